"""Commands of the digit system."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from vision_core.cli.verbs import (
    Answer,
    Device,
    Replace,
    Resume,
    RunFolder,
    Seed,
    Track,
    command,
    run_folder,
    stopped,
    watch,
)

app = typer.Typer(help="The digit explorer: train, export, publish, read a digit.", no_args_is_help=True)


@command(app)
def train(
    out: RunFolder = None,
    data: Annotated[
        Path | None, Option(help="Folder of MNIST's idx files; without it, 10,000 digits.")
    ] = None,
    download: Annotated[bool, Option("--download", help="Fetch MNIST into --data first.")] = False,
    epochs: Annotated[int, Option(min=1)] = 20,
    batches: Annotated[int, Option(min=0, help="Batches an epoch; 0: all training images.")] = 100,
    batch_size: Annotated[int, Option(min=1)] = 64,
    lr: Annotated[float, Option(help="Adam's learning rate.")] = 1e-3,
    augment: Annotated[
        bool, Option("--augment", help="Turn, scale, shear and shift the training images.")
    ] = False,
    cosine: Annotated[
        bool, Option("--cosine", help="Let the learning rate fall to 0 along a half cosine.")
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    track: Track = None,
    replace: Replace = False,
    resume: Resume = None,
) -> Answer:
    """Train the classifier and keep every epoch: weights, metrics, activations."""
    from vision_core import digits

    if resume is not None:
        folder, events = resume, digits.resume(resume)
    else:
        folder = run_folder(out)
        if download:
            digits.load(data, download=True)
        settings = digits.Settings(
            data=str(data.resolve()) if data else None,
            epochs=epochs,
            batches=batches or None,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
            augment=augment,
            cosine=cosine,
            device=device,
            track=track,
        )
        events = digits.train(folder, settings, replace=replace)
    result = watch(events, "train")
    if result is None:
        return stopped(folder)
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
    image: Annotated[Path, Argument(help="One digit on a plain ground.")],
    weights: Annotated[Path | None, Option(help="A .pth or .safetensors of your own training.")] = None,
) -> Answer:
    """Read the digit in a picture."""
    from vision_core import digits, images

    probabilities = digits.classify(images.read(image), weights)
    best = int(probabilities.argmax())
    text = f"{best} ({probabilities[best]:.1%})"
    return Answer(text, {"digit": best, "probabilities": probabilities.tolist()})
