"""Commands of the digit system."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import Started, begin, training
from vision_core.cli.verbs import Answer, command, run_folder

app = typer.Typer(help="The digit explorer: train, export, publish, read a digit.", no_args_is_help=True)


def _start(
    trainer: ModuleType,
    out: Path | None,
    replace: bool,
    given: dict[str, Any],
    download: Annotated[bool, Option("--download", help="Fetch MNIST into --data first.")] = False,
) -> Started:
    run_folder(out)
    if download:
        from vision_core import digits

        digits.load(given.get("data"), download=True)
    return begin(trainer, out, replace, given)


@training(app, "vision_core.digits.train", start=_start)
def train(folder: Path, result: Any) -> Answer:
    """Train the classifier and keep every epoch: weights, metrics, activations."""
    metrics = result["metrics"]
    text = (
        f"{folder}: epoch {result['epoch']}, validation accuracy {metrics['val_accuracy']:.2%}, "
        f"test accuracy {metrics['test_accuracy']:.2%}"
    )
    return Answer(text, {"out": str(folder), **result})


@command(app)
def export(
    run: Annotated[Path, Argument(help="Folder of a run, finished or not.")],
    out: Annotated[Path, Option(help="File to write: *.json, or *.onnx.")],
    form: Annotated[str, Option(help="packed (for the site), json (one document) or onnx.")] = "packed",
    dtype: Annotated[str, Option(help="Of the packed weights: float16 or float32.")] = "float16",
    data: Annotated[Path | None, Option(help="Where the run's data lie now, if they were moved.")] = None,
) -> Answer:
    """Write a run for the site, for people or for other engines."""
    from vision_core import digits

    files = {str(path): path.stat().st_size for path in digits.export(run, out, form, dtype, data)}
    return Answer("\n".join(f"{name}: {size:,} bytes" for name, size in files.items()), {"files": files})


@command(app)
def site(
    out: Annotated[Path, Option(help="Folder to write.")],
    run: Annotated[Path | None, Option(help="Show this run instead of the default one.")] = None,
) -> Answer:
    """Write the explorer's page as a folder for a file server or a static Space."""
    from vision_core import digits

    digits.publish(out, run)
    text = f"{out} is ready. To look at it: python -m http.server --directory {out}"
    return Answer(text, {"out": str(out), "files": sorted(str(p) for p in out.rglob("*") if p.is_file())})


@command(app)
def predict(
    image: Annotated[Path, Argument(help="One digit, drawn or photographed on paper.")],
    weights: Annotated[Path | None, Option(help="A .pth or .safetensors of your own training.")] = None,
) -> Answer:
    """Read the digit in a picture: status 1 where it is not sure, 2 where there is no single digit."""
    from vision_core import digits
    from vision_core.pictures import images

    probabilities = digits.classify(images.read(image), weights)
    sure, order = digits.answer(probabilities), probabilities.argsort()[::-1]
    best, second = (f"{digit} ({probabilities[digit]:.1%})" for digit in order[:2].tolist())
    text = f"not sure: {best} or {second}" if sure is None else best
    return Answer(text, {"digit": sure, "probabilities": probabilities.tolist()}, incomplete=sure is None)
