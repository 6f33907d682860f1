"""Commands of editing's small world: draw scenes, train its networks, write and measure them."""

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

app = typer.Typer(help="The small world: scenes, and the small networks of it.", no_args_is_help=True)


@command(app)
def train(
    network: Annotated[
        str | None, Argument(help="autoencoder, clip, dino, judge, or painter (needs --autoencoder).")
    ] = None,
    out: RunFolder = None,
    epochs: Annotated[int | None, Option(min=1)] = None,
    steps: Annotated[int | None, Option(min=1, help="Optimiser steps of an epoch.")] = None,
    batch_size: Annotated[int | None, Option(min=1)] = None,
    lr: Annotated[float | None, Option(help="Adam's learning rate.")] = None,
    warmup: Annotated[int | None, Option(min=1, help="Steps in which the learning rate rises.")] = None,
    schedule: Annotated[str | None, Option(help="Of the learning rate: constant or cosine.")] = None,
    ema: Annotated[float | None, Option(help="Decay of the average of the weights.")] = None,
    scenes: Annotated[int | None, Option(min=1, help="How many scenes there are to draw from.")] = None,
    workers: Annotated[int | None, Option(min=0, help="Processes that make batches ahead.")] = None,
    cache: Annotated[Path | None, Option(help="Keep pictures and latents here.")] = None,
    autoencoder: Annotated[
        Path | None, Option(help="As exported: what the painter paints in, or whose decoder is to improve.")
    ] = None,
    clip: Annotated[
        Path | None, Option(help="As exported: its features count for a decoder that is to improve.")
    ] = None,
    start: Annotated[Path | None, Option(help="Begin with these weights: a last.safetensors.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    track: Track = None,
    replace: Replace = False,
    resume: Resume = None,
) -> Answer:
    """Train one network of the small world, for as long as there is time; --resume goes on."""
    from vision_core.editing.tiny import train as trainer

    if resume is not None:
        folder, events = resume, trainer.resume(resume)
    else:
        folder = run_folder(out)
        if network is None:
            raise ValueError(f"say which network: {', '.join(trainer.NETWORKS)}")
        asked = {
            "epochs": epochs,
            "steps": steps,
            "batch_size": batch_size,
            "lr": lr,
            "warmup": warmup,
            "schedule": schedule,
            "ema": ema,
            "scenes": scenes,
            "workers": workers,
            "cache": str(cache.resolve()) if cache else None,
            "autoencoder": str(autoencoder.resolve()) if autoencoder else None,
            "clip": str(clip.resolve()) if clip else None,
            "start": str(start.resolve()) if start else None,
            "seed": seed,
            "device": device,
            "track": track,
        }
        settings = trainer.defaults(network, {k: v for k, v in asked.items() if v is not None})
        events = trainer.train(folder, settings, replace=replace)
    result = watch(events, "train")
    if result is None:
        return stopped(folder)
    return Answer(f"{folder}: {result} is ready to be exported", {"out": str(folder), "weights": result})


@command(app)
def draw(
    network: Annotated[str, Argument(help="The network whose training needs it.")],
    cache: Annotated[Path, Option(help="Keep pictures here.")],
    scenes: Annotated[int, Option(min=1, help="How many scenes there are to draw from.")] = 20_480,
    workers: Annotated[int, Option(min=0, help="Processes that draw.")] = 0,
) -> Answer:
    """Draw ahead what a training needs; it would do so itself at its start."""
    from vision_core.editing.tiny import train as trainer

    trainer.draw(network, str(cache.resolve()), scenes, workers)
    return Answer(f"{cache} holds {scenes} scenes for {network}", {"cache": str(cache), "scenes": scenes})


@command(app)
def export(
    run: Annotated[Path, Argument(help="Folder of a run, finished or not.")],
    out: Annotated[Path, Option(help="Folder of the models, e.g. models/editing.")],
) -> Answer:
    """Write a run's network in the format of diffusers, transformers or open_clip, in half precision."""
    from vision_core.editing.tiny import train as trainer

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
    from vision_core.editing.inpainting import GUIDANCE
    from vision_core.editing.tiny.evaluate import measure

    found = measure(models, edits, scenes, seed, GUIDANCE["tiny"] if guidance is None else guidance)
    lines = [f"{name.replace('_', ' ')}: {value:.1%}" for name, value in found.items()]
    return Answer("\n".join(lines), {"models": str(models), **found})
