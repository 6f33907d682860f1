"""Commands of the digit system."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import Started, begin, training
from vision_core.cli.verbs import Answer, command, noted, run_folder

app = typer.Typer(
    help="Digit classification: train, export, publish the explorer, read a digit.", no_args_is_help=True
)


def _start(
    trainer: ModuleType,
    out: Path | None,
    replace: bool,
    given: dict[str, Any],
    download: Annotated[bool, Option("--download", help="Download MNIST into --data first.")] = False,
) -> Started:
    run_folder(out)
    if download:
        from vision_core import digits

        digits.load(given.get("data"), download=True)
    return begin(trainer, out, replace, given)


@training(app, "vision_core.digits.train", start=_start)
def train(folder: Path, result: Any) -> Answer:
    """Train the classifier and keep the weights, metrics and activations of every epoch."""
    metrics = result["metrics"]
    text = (
        f"{folder}: epoch {result['epoch']}, validation accuracy {metrics['val_accuracy']:.2%}, "
        f"test accuracy {metrics['test_accuracy']:.2%}"
    )
    return Answer(text, {"out": str(folder), **result})


@command(app)
def export(
    run: Annotated[Path, Argument(help="Folder of a run, which need not be finished.")],
    out: Annotated[Path, Option(help="File to write, .json or .onnx.")],
    form: Annotated[str, Option(help="packed (for the explorer), json (one document) or onnx.")] = "packed",
    dtype: Annotated[str, Option(help="Data type of packed weights: float16 or float32.")] = "float16",
    data: Annotated[Path | None, Option(help="Current folder of the run's data, if they were moved.")] = None,
) -> Answer:
    """Export a run for the explorer, as JSON or as ONNX."""
    from vision_core import digits

    files = {str(path): path.stat().st_size for path in digits.export(run, out, form, dtype, data)}
    return Answer("\n".join(f"{name}: {size:,} bytes" for name, size in files.items()), {"files": files})


@command(app)
def site(
    out: Annotated[Path, Option(help="Folder to write.")],
    run: Annotated[Path | None, Option(help="Show this run instead of the bundled one.")] = None,
) -> Answer:
    """Write the explorer as a static site for a file server or a static Space."""
    from vision_core import digits

    digits.publish(out, run)
    text = f"{out} is ready. To view it: python -m http.server --directory {out}"
    return Answer(text, {"out": str(out), "files": sorted(str(p) for p in out.rglob("*") if p.is_file())})


@command(app)
def predict(
    image: Annotated[Path, Argument(help="Picture of one digit, drawn or photographed.")],
    weights: Annotated[
        Path | None, Option(help="Your own .pth or .safetensors; by default the bundled one.")
    ] = None,
) -> Answer:
    """Read the digit in a picture. Exits with status 1 if unsure and 2 if there is no single digit."""
    from vision_core import digits
    from vision_core.pictures import images

    picture = images.read(image)
    probabilities = digits.classify(picture, weights)
    sure, order = digits.answer(probabilities), probabilities.argsort()[::-1]
    best, second = (f"{digit} ({probabilities[digit]:.1%})" for digit in order[:2].tolist())
    text = f"not sure: {best} or {second}" if sure is None else best
    data = {"digit": sure, "probabilities": probabilities.tolist()}
    return noted(Answer(text, data, incomplete=sure is None), picture)
