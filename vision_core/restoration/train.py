"""Trains a restorer from clean pages alone: crop, damage, restore, compare."""

from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vision_core import devices, runs, training
from vision_core.events import Event
from vision_core.restoration import data, learn_detail, learn_light, learn_whole, losses, networks, text
from vision_core.restoration.validation import SIDE
from vision_core.restoration.world import World
from vision_core.settings import BATCH_SIZE, COUNT, CROP, WORKERS, TrainingSettings, setting

SYSTEM = "restore"


@dataclass(frozen=True)
class Settings(TrainingSettings):
    """Settings of a training; the defaults are the original's."""

    train_dir: str | None = setting(None, "Folder of clean pages; without it, generated ones.", path=True)
    val_dir: str | None = setting(
        None, "Pages to measure on; without it, a seventh of the manuscripts of --train-dir.", path=True
    )
    photos_dir: str | None = setting(None, "Photographs for covers, tables and pictures.", path=True)
    fonts_dir: str | None = setting(
        None, "Fonts for generated writing; without it, those of the package.", path=True
    )
    network: Literal["pages", "tiny", "small", "base", "large"] = setting(
        "pages", "The project's own network, or a size of the original's.", option="--size"
    )
    start: str | None = setting(None, "Weights to start from.", path=True)
    only: Literal["detail", "light"] = setting(
        "detail", "The part of pages that learns: detail (with the ink), or light."
    )
    epochs: int = setting(100, "Passes, of --crops crops each.", least=1, most=COUNT)
    crops: int | None = setting(None, "Crops of an epoch; without it, one of each page.", least=1, most=COUNT)
    batch_size: int = setting(16, "Crops of a batch.", least=1, most=BATCH_SIZE)
    crop: int = setting(256, "Side of the crops in pixels.", least=16, most=CROP, multiple=16)
    lr: float = setting(1e-4, "AdamW's learning rate.", above=0, below=1)
    weight_decay: float = setting(0.01, least=0, below=1)
    schedule: Literal["cosine", "constant"] = setting(
        "cosine", "Of the learning rate; constant falls in the last fifth only, for runs that may be stopped."
    )
    # as small as that of 8-bit rounding, crops that need nothing would outweigh all others
    floor: float = setting(1e-4, "Added to the squared error before its logarithm.", above=0, below=1)
    perceptual: Literal["auto", "vgg16", "gradient", "none"] = setting(
        "auto", "The term beside L1 of the original's networks; auto is VGG16 where its weights are."
    )
    perceptual_weight: float = setting(0.1, "Of that term.", least=0)
    clip: float = setting(1.0, above=0, below=1e6)
    accumulate: int = setting(1, "Batches of a step.", least=1, most=COUNT)
    ema: float = setting(0.999, "Decay of the averaged weights.", above=0, below=1)
    generated: float = setting(0.0, "Share of generated pages, for the original's networks.", least=0, most=1)
    workers: int = setting(
        0, "Processes that damage crops ahead; 0: between the steps.", least=0, most=WORKERS
    )
    every: int = setting(1, "Epochs between measurements.", least=1, most=COUNT)


def train(out: str | Path, settings: Settings | None = None, *, replace: bool = False) -> Generator[Event]:
    """Train in the folder `out`. Besides the files of all runs, it holds previews/; see `training.start`."""
    return training.start(out, SYSTEM, _resolved(settings or Settings()), _pages, _train, replace)


def resume(out: str | Path) -> Generator[Event]:
    """Resume the run in `out` from its last evaluation."""
    return training.resume(out, SYSTEM, Settings, _pages, _train)


def _resolved(settings: Settings) -> Settings:
    """Resolve the loss term "auto", so that a resume uses the same one."""
    if settings.perceptual != "auto":
        return settings
    return replace(settings, perceptual="vgg16" if losses.vgg16_file().is_file() else "gradient")


def _pages(settings: Settings) -> tuple[list[data.Page], list[data.Page]]:
    if settings.train_dir is None:
        from vision_core.restoration import pages

        generated = [pages.page(number, settings.seed) for number in range(24)]
        return (
            (generated, data.read(settings.val_dir)) if settings.val_dir else (generated[4:], generated[:4])
        )
    readable = data.read(settings.train_dir)
    return (readable, data.read(settings.val_dir)) if settings.val_dir else data.split(readable)


def _train(
    run: runs.Run, settings: Settings, split: tuple[list[data.Page], list[data.Page]]
) -> Generator[Event]:
    (pages, held_out), model = split, _network(settings)
    steps = max(1, (settings.crops or len(pages)) // (settings.batch_size * settings.accumulate))
    lesson = _lesson(settings, pages, held_out, steps * settings.accumulate)
    original = settings.network != "pages"
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad],
        settings.lr,
        (0.9, 0.999 if original else 0.99),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    dropout_seed = settings.seed if original else None
    plan = training.Plan.of(settings, steps, weights=lesson.weights, best=lesson.best, seed=dropout_seed)

    def measured(model: nn.Module, epoch: int) -> dict[str, Any]:
        picture = run.folder / "previews" / f"epoch_{epoch:04d}.jpg"
        return lesson.measure(model, picture if runs.is_first_process() else None)  # pyright: ignore[reportArgumentType]

    yield from training.run(
        run,
        model,
        optimizer,
        lesson.batches,
        lesson.terms,  # pyright: ignore[reportArgumentType]
        plan,
        scheduler=LambdaLR(optimizer, partial(_rate, settings.schedule, settings.epochs * steps)),
        measure=measured,
        metadata={**asdict(settings), "pages": len(pages), "licence": "Apache-2.0"},
        finish=lambda model: measured(model, settings.epochs),
    )


def _lesson(
    settings: Settings, pages: list[data.Page], held_out: list[data.Page], count: int
) -> learn_detail.Lesson | learn_light.Lesson | learn_whole.Lesson:
    if settings.network != "pages":
        return learn_whole.Lesson(
            pages,
            held_out,
            settings.seed,
            size=settings.batch_size,
            count=count,
            side=settings.crop,
            generated=settings.generated,
            workers=settings.workers,
            term=losses.perceptual(settings.perceptual, devices.pick(settings.device)),
            weight=settings.perceptual_weight,
        )
    photographs = [] if settings.photos_dir is None else data.read(settings.photos_dir)
    fonts = () if settings.fonts_dir is None else text.found_fonts(Path(settings.fonts_dir))
    train_images, val_images, around = (
        [page.rgb for page in part] for part in (pages, held_out, photographs)
    )
    if settings.only == "light":
        lights = learn_light.Lights(train_images, around, learn_light.BETWEEN)
        return learn_light.Lesson(
            lights, learn_light.Lights(val_images, around), settings.seed, settings.batch_size, count
        )
    worlds = [World(part, around, fonts) for part in (train_images, val_images)]
    return learn_detail.Lesson(
        worlds[0],
        worlds[1],
        settings.seed,
        size=settings.batch_size,
        count=count,
        side=settings.crop,
        measured=min(settings.crop, SIDE),
        workers=settings.workers,
        floor=settings.floor,
    )


def _network(settings: Settings) -> nn.Module:
    if settings.start is None:
        model = networks.build(settings.network, settings.seed, settings.crop)
    else:
        model, _ = networks.load(settings.start)
    if settings.network == "pages":
        model.requires_grad_(False).get_submodule(settings.only).requires_grad_(True)
    return model.train().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _rate(schedule: str, total: int, step: int) -> float:
    """The share of the learning rate at a step: 2 % warm-up, then the schedule."""
    warmup = max(1, min(100, total // 50))
    if schedule == "cosine":
        return training.cosine(step, total, warmup, 0.01)
    return min(1.0, (step + 1) / warmup) * min(1.0, 5 * (1 - min(1.0, step / total)) + 1e-3)
