"""Commands of the small world: draw scenes, and train, export and evaluate its networks."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import Started, training
from vision_core.cli.verbs import Answer, Seed, command, run_folder
from vision_core.settings import COUNT, WORKERS

app = typer.Typer(
    help="The small world: drawn scenes, and small networks trained on them.", no_args_is_help=True
)


def _start(trainer: ModuleType, out: Path | None, replace: bool, given: dict[str, Any]) -> Started:
    folder = run_folder(out)
    if "network" not in given:
        raise ValueError(f"NETWORK is missing, expected one of {', '.join(trainer.NETWORKS)}")
    settings = trainer.defaults(given.pop("network"), given)
    return folder, trainer.train(folder, settings, replace=replace), []


@training(app, "vision_core.smallworld.train", arguments=("network",), start=_start)
def train(folder: Path, result: Any) -> Answer:
    """Train one network of the small world. It can be interrupted at any time and resumed with --resume.

    The defaults depend on the network.
    """
    return Answer(f"{folder}: {result} is ready to export", {"out": str(folder), "weights": result})


@command(app)
def draw(
    network: Annotated[str, Argument(help="The network to prepare for.")],
    cache: Annotated[Path, Option(help="Folder for the drawn pictures.")],
    scenes: Annotated[int, Option(min=1, max=COUNT, help="Number of scenes.")] = 20_480,
    workers: Annotated[int, Option(min=0, max=WORKERS, help="Number of worker processes.")] = 0,
) -> Answer:
    """Draw the scenes for a training in advance; otherwise it draws them when it starts."""
    from vision_core.smallworld import train as trainer

    trainer.draw(network, str(cache.resolve()), scenes, workers)
    return Answer(f"{cache} holds {scenes} scenes for {network}", {"cache": str(cache), "scenes": scenes})


@command(app)
def export(
    run: Annotated[Path, Argument(help="Folder of a run, which need not be finished.")],
    out: Annotated[Path, Option(help="Folder for the models, e.g. models/editing.")],
) -> Answer:
    """Export the network of a run for diffusers, transformers or open_clip, in half precision."""
    from vision_core.smallworld import train as trainer

    exported = trainer.export(run, out)
    return Answer(f"{exported} is written", {"out": str(exported)})


@command(app)
def evaluate(
    models: Annotated[Path, Argument(help="Folder of exported networks.")],
    edits: Annotated[int, Option(min=2, max=100_000, help="Number of edits to paint and judge.")] = 60,
    scenes: Annotated[
        int, Option(min=1, max=100_000, help="Number of scenes for retrieval and pointing.")
    ] = 200,
    seed: Seed = 0,
    guidance: Annotated[
        float | None, Option(min=1, max=100, help="Classifier-free guidance scale of the painter.")
    ] = None,
) -> Answer:
    """Evaluate retrieval, pointing and edits, as scored by the judge network, on held-out scenes."""
    from vision_core.editing.fill.inpainting import GUIDANCE
    from vision_core.smallworld.evaluate import measure

    metrics = measure(models, edits, scenes, seed, GUIDANCE["tiny"] if guidance is None else guidance)
    lines = [f"{name.replace('_', ' ')}: {value:.1%}" for name, value in metrics.items()]
    return Answer("\n".join(lines), {"models": str(models), **metrics})
