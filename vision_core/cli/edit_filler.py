"""Commands that train and export the networks that fill thin holes and find scratches."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import training
from vision_core.cli.verbs import Answer, command

app = typer.Typer(help="The network that fills scratches and lost pixels.", no_args_is_help=True)
scratches = typer.Typer(help="The network that finds scratches, dust and folds.", no_args_is_help=True)


@training(app, "vision_core.editing.fill.filler_train")
def train(folder: Path, result: Any) -> Answer:
    """Train on photographs with random holes."""
    measures = ", ".join(f"{name} {value:.2f}" for name, value in result.items())
    return Answer(f"{folder}: {measures} dB", {"out": str(folder), **result})


@training(scratches, "vision_core.editing.find.scratches_train")
def train_scratches(folder: Path, result: Any) -> Answer:
    """Train on undamaged photographs with generated damage."""
    measures = ", ".join(f"{name} {value:.3f}" for name, value in result.items())
    return Answer(f"{folder}: {measures}", {"out": str(folder), **result})


def _add_export(commands: typer.Typer, module: str) -> None:
    @command(commands)
    def export(
        run: Annotated[Path, Argument(help="Folder of a run, finished or not.")],
        out: Annotated[Path, Option(help="File to write, *.safetensors.")],
    ) -> Answer:
        """Write a run's best network in half precision."""
        written = import_module(module).export(run, out)
        return Answer(f"{written} is written", {"out": str(written)})


_add_export(app, "vision_core.editing.fill.filler_train")
_add_export(scratches, "vision_core.editing.find.scratches_train")
