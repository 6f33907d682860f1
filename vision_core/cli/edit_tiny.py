"""Commands of editing's small world: draw scenes, train its networks, write and measure them."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import Started, training
from vision_core.cli.verbs import Answer, Seed, command, run_folder

app = typer.Typer(help="The small world: scenes, and the small networks of it.", no_args_is_help=True)


def _start(trainer: ModuleType, out: Path | None, replace: bool, given: dict[str, Any]) -> Started:
    folder = run_folder(out)
    if "network" not in given:
        raise ValueError(f"say which network: {', '.join(trainer.NETWORKS)}")
    settings = trainer.defaults(given.pop("network"), given)
    return folder, trainer.train(folder, settings, replace=replace), []


@training(app, "vision_core.smallworld.train", arguments=("network",), start=_start)
def train(folder: Path, result: Any) -> Answer:
    """Train one network of the small world, for as long as there is time; --resume goes on.

    The defaults differ by network.
    """
    return Answer(f"{folder}: {result} is ready to be exported", {"out": str(folder), "weights": result})


@command(app)
def draw(
    network: Annotated[str, Argument(help="The network whose training needs it.")],
    cache: Annotated[Path, Option(help="Keep pictures here.")],
    scenes: Annotated[int, Option(min=1, help="How many scenes there are to draw from.")] = 20_480,
    workers: Annotated[int, Option(min=0, help="Processes that draw.")] = 0,
) -> Answer:
    """Draw ahead what a training needs; it would do so itself at its start."""
    from vision_core.smallworld import train as trainer

    trainer.draw(network, str(cache.resolve()), scenes, workers)
    return Answer(f"{cache} holds {scenes} scenes for {network}", {"cache": str(cache), "scenes": scenes})


@command(app)
def export(
    run: Annotated[Path, Argument(help="Folder of a run, finished or not.")],
    out: Annotated[Path, Option(help="Folder of the models, e.g. models/editing.")],
) -> Answer:
    """Write a run's network in the format of diffusers, transformers or open_clip, in half precision."""
    from vision_core.smallworld import train as trainer

    written = trainer.export(run, out)
    return Answer(f"{written} is written", {"out": str(written)})


@command(app)
def evaluate(
    models: Annotated[Path, Argument(help="Folder of exported networks.")],
    edits: Annotated[int, Option(min=2, help="Edits to paint and judge.")] = 60,
    scenes: Annotated[int, Option(min=1, help="Scenes for retrieval and pointing.")] = 200,
    seed: Seed = 0,
    guidance: Annotated[
        float | None, Option(min=1, help="How much the painter heeds the text; as in an edit.")
    ] = None,
) -> Answer:
    """Measure retrieval, pointing, and edits as the judge sees them, on held-out scenes."""
    from vision_core.editing.fill.inpainting import GUIDANCE
    from vision_core.smallworld.evaluate import measure

    found = measure(models, edits, scenes, seed, GUIDANCE["tiny"] if guidance is None else guidance)
    lines = [f"{name.replace('_', ' ')}: {value:.1%}" for name, value in found.items()]
    return Answer("\n".join(lines), {"models": str(models), **found})
