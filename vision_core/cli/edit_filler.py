"""Commands of the network that fills thin holes: train it, write it for use."""

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

app = typer.Typer(help="The network that fills scratches and lost pixels.", no_args_is_help=True)


@command(app)
def train(
    train_dir: Annotated[Path | None, Option(help="Folder of photographs.")] = None,
    val_dir: Annotated[
        Path | None, Option(help="Photographs to measure on; without it, every twentieth is held out.")
    ] = None,
    out: RunFolder = None,
    start: Annotated[Path | None, Option(help="Begin with these weights: a best.safetensors.")] = None,
    epochs: Annotated[int, Option(min=1)] = 40,
    steps: Annotated[int, Option(min=1, help="Optimiser steps of an epoch.")] = 250,
    batch_size: Annotated[int, Option(min=1)] = 64,
    crop: Annotated[int, Option(min=16, help="Side of the crops in pixels, a multiple of 16.")] = 128,
    lr: Annotated[float, Option(help="AdamW's largest learning rate.")] = 8e-4,
    ema: Annotated[float, Option(help="Decay of the averaged weights.")] = 0.998,
    workers: Annotated[int, Option(min=0, help="Processes that cut crops ahead.")] = 0,
    seed: Seed = 0,
    device: Device = "auto",
    track: Track = None,
    replace: Replace = False,
    resume: Resume = None,
) -> Answer:
    """Train on photographs alone: holes are made, filled and compared with what was there."""
    from vision_core.editing import filler_train as trainer

    if resume is not None:
        folder, events = resume, trainer.resume(resume)
    else:
        folder = run_folder(out)
        if train_dir is None:
            raise ValueError("say what to train on: --train-dir FOLDER")
        settings = trainer.Settings(
            train_dir=str(train_dir), val_dir=str(val_dir) if val_dir else None,
            start=str(start) if start else None, epochs=epochs, steps=steps, batch_size=batch_size, crop=crop,
            lr=lr, ema=ema, workers=workers, seed=seed, device=device, track=track,
        )  # fmt: skip
        events = trainer.train(folder, settings, replace=replace)
    result = watch(events, "train")
    if result is None:
        return stopped(folder)
    found = ", ".join(f"{name} {value:.2f}" for name, value in result.items())
    return Answer(f"{folder}: {found} dB", {"out": str(folder), **result})


@command(app)
def export(
    run: Annotated[Path, Argument(help="Folder of a run, finished or not.")],
    out: Annotated[Path, Option(help="The file to write, e.g. models/editing/filler.safetensors.")],
) -> Answer:
    """Write a run's best network in half precision."""
    from vision_core.editing import filler_train as trainer

    written = trainer.export(run, out)
    return Answer(f"{written} is written", {"out": str(written)})
