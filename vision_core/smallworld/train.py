"""Trains the networks of the small world: one run each, resumable, useful whenever it is stopped.

The learning rate rises, then stays, and an average of the weights is measured and kept: no schedule is there
for a stop to cut short, and a run goes on for as long as there is time. Where the time is known, the rate may
fall along a cosine instead.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from vision_core import checkpoints, runs, training
from vision_core.devices import seeded
from vision_core.events import Event
from vision_core.settings import absolute, check, device, seed, setting, track
from vision_core.smallworld import autoencoder, clip, data, dino, judge, painter, world
from vision_core.training import Plan

SYSTEM = "edit tiny"
NETWORKS = {"autoencoder": autoencoder, "clip": clip, "dino": dino, "judge": judge, "painter": painter}


@dataclass(frozen=True)
class Settings:
    """How to train one network of the small world."""

    network: Literal["autoencoder", "clip", "dino", "judge", "painter"] = setting(
        help="The network; the painter is an inpainting diffusion model and needs --autoencoder."
    )
    epochs: int = setting(1000, "A run can be resumed at its epochs.", least=1)
    steps: int = setting(50, "Optimiser steps of an epoch.", least=1)
    batch_size: int = setting(32, "Pictures of a batch.", least=1)
    lr: float = setting(1e-3, "AdamW's learning rate.", least=0, below=1)
    weight_decay: float = setting(0.01, least=0, below=1)
    warmup: int = setting(200, "Steps in which the learning rate rises.", least=1)
    schedule: Literal["constant", "cosine"] = setting(
        "constant", "Of the learning rate; cosine falls to 0 over all steps."
    )
    ema: float = setting(0.99, "Decay of the average of the weights.", least=0, below=1)
    scenes: int = setting(20_480, "How many scenes there are to draw from.", least=1)
    cache: str | None = setting(None, "Keep pictures and latents here, made once.", path=True)
    autoencoder: str | None = setting(
        None, "As exported: what the painter paints in, or whose decoder is to improve.", path=True
    )
    clip: str | None = setting(
        None, "As exported: its features count for a decoder that is to improve.", path=True
    )
    start: str | None = setting(
        None, "Begin with these weights: a last.safetensors, or a folder that was exported.", path=True
    )
    workers: int = setting(0, "Processes that make batches ahead; they change the speed alone.", least=0)
    seed: int = seed()
    device: str = device()
    track: str | None = track()

    def __post_init__(self) -> None:
        check(self)
        if self.network == "painter" and self.autoencoder is None:
            raise ValueError("the painter paints in the latents of an autoencoder: name its folder")


DEFAULTS: dict[str, dict[str, Any]] = {  # where a network wants other settings than the common ones
    "clip": {"batch_size": 48, "lr": 7e-4},
    "dino": {"batch_size": 64, "weight_decay": 0.04},
    "painter": {"steps": 16, "ema": 0.998},  # 16 batches of 32 need one more chunk of scenes
}


def defaults(network: Any, changes: dict[str, Any]) -> Settings:
    """The settings of a network, with some of them changed; an unknown network is a `ValueError`."""
    return Settings(network, **(DEFAULTS.get(network, {}) | changes))


def train(out: str | Path, settings: Settings, replace: bool = False) -> Generator[Event]:
    """Train one network into the new folder `out`; last.safetensors is the averaged network so far.

    Raises:
        ValueError: `out` holds a run and `replace` is not set, or the settings fit nothing.
        FloatingPointError: the loss is not finite.
    """
    runs.create(out, SYSTEM, absolute(settings), replace=replace)
    yield from resume(out)


def resume(out: str | Path) -> Generator[Event]:
    """Go on with the run in `out` from its last epoch.

    Raises:
        ValueError: `out` holds no run of these networks, or one that is complete or being trained.
    """
    run, settings = runs.open(out, SYSTEM, Settings)
    network = NETWORKS[settings.network]
    model = initial(settings)
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": others, "weight_decay": 0.0}],
        settings.lr,
        betas=(0.9, 0.99),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    yield from training.run(
        run,
        model,
        optimizer,
        lambda epoch: network.batches(settings, epoch),
        network.terms,
        Plan(
            epochs=settings.epochs,
            steps_per_epoch=settings.steps,
            clip=1.0,
            ema=settings.ema,
            every=network.EVERY,
            seed=settings.seed,
            device=settings.device,
            track=settings.track,
        ),
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(settings, step)),
        measure=lambda model, epoch: network.measure(model, settings, run.folder),
        metadata={"network": settings.network, "licence": "Apache-2.0", "data": "vision-core's small world"},
        finish=lambda model: str(run.folder / "last.safetensors"),
    )


def _rate(settings: Settings, step: int) -> float:
    """The share of the learning rate at a step, counted from 0."""
    if settings.schedule == "constant":
        return min(1, (step + 1) / settings.warmup)
    return training.cosine(step, settings.epochs * settings.steps, settings.warmup)


def initial(settings: Settings) -> nn.Module:
    """The network before training; convolutions are faster on a CPU with the channels last."""
    with seeded(settings.seed):
        if settings.start:
            model = _started(settings.network, settings.start)
        elif settings.network == "autoencoder" and settings.autoencoder:
            model = autoencoder.with_its_encoder(settings.autoencoder, settings.clip)
        else:
            model = NETWORKS[settings.network].Network()
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _started(name: str, start: str) -> nn.Module:
    exported = {"clip": clip.exported, "painter": painter.exported}
    if name in exported and Path(start).is_dir():
        return exported[name](start)
    return checkpoints.load(start, NETWORKS[name].Network)[0]


def load(run_folder: str | Path) -> tuple[Settings, nn.Module]:
    """The settings of a run and its averaged network of the last measured epoch, in eval mode."""
    run, settings = runs.open(run_folder, SYSTEM, Settings)
    network = NETWORKS[settings.network]
    model, _ = checkpoints.load(run.folder / "last.safetensors", network.Network)
    return settings, model.eval()


def draw(network: str, cache: str, scenes: int, workers: int = 0) -> None:
    """Draw what the cache lacks for training a network; an unknown network is a `ValueError`."""
    if network not in NETWORKS:
        raise ValueError(f"network is {network!r}; it must be one of {', '.join(NETWORKS)}")
    if network == "painter":
        for first, count in ((0, scenes), (data.HELD_OUT, painter.TESTED)):
            for _ in painter.Examples("", cache, count, first).hide(count, workers):
                pass
    elif network == "autoencoder":
        data.draw(cache, 0, scenes, workers, world.wild)
    else:
        data.draw(cache, 0, scenes, workers)


def export(run_folder: str | Path, out: str | Path) -> Path:
    """Write a run's network under `out` in the standard format that its library loads; where it lies."""
    settings, model = load(run_folder)
    return NETWORKS[settings.network].save_pretrained(model, settings, Path(out))
