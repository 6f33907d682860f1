"""Trains the networks of the small world in resumable runs that can be stopped at any time.

By default the learning rate warms up and then stays constant, and the exponential moving average of the
weights is evaluated and saved, so a run has no fixed length. If the length is known, cosine decay can be used
instead.
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
from vision_core.runs import Run
from vision_core.settings import BATCH_SIZE, COUNT, WORKERS, TrainingSettings, setting
from vision_core.smallworld import autoencoder, clip, data, dino, judge, painter, world
from vision_core.smallworld.examples import Examples
from vision_core.training import Plan

SYSTEM = "edit tiny"
NETWORKS = {"autoencoder": autoencoder, "clip": clip, "dino": dino, "judge": judge, "painter": painter}


@dataclass(frozen=True)
class Settings(TrainingSettings):
    """Settings for training one network of the small world."""

    network: Literal["autoencoder", "clip", "dino", "judge", "painter"] = setting(
        help="Network to train; the painter is an inpainting diffusion model and needs --autoencoder."
    )
    epochs: int = setting(1000, "Number of epochs.", least=1, most=COUNT)
    steps: int = setting(50, "Optimiser steps per epoch.", least=1, most=COUNT)
    batch_size: int = setting(32, "Pictures per batch.", least=1, most=BATCH_SIZE)
    lr: float = setting(1e-3, "Learning rate of AdamW.", least=0, below=1)
    weight_decay: float = setting(0.01, least=0, below=1)
    warmup: int = setting(200, "Warm-up steps of the learning rate.", least=1, most=COUNT)
    schedule: Literal["constant", "cosine"] = setting(
        "constant", "Learning rate schedule; cosine decays to 0 over all steps."
    )
    ema: float = setting(0.99, "Decay of the moving average of the weights.", least=0, below=1)
    scenes: int = setting(20_480, "Number of training scenes.", least=1, most=COUNT)
    cache: str | None = setting(None, "Folder to cache pictures and latents.", path=True)
    autoencoder: str | None = setting(
        None, "Exported autoencoder: for the painter, or to improve its decoder.", path=True
    )
    clip: str | None = setting(
        None, "Exported CLIP for a perceptual loss when improving a decoder.", path=True
    )
    start: str | None = setting(
        None, "Initial weights: a last.safetensors, or an exported folder.", path=True
    )
    workers: int = setting(0, "Worker processes that prefetch batches.", least=0, most=WORKERS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network == "painter" and self.autoencoder is None:
            raise ValueError("the painter needs an autoencoder: name its folder with --autoencoder")


DEFAULTS: dict[str, dict[str, Any]] = {  # that differ from the common ones
    "clip": {"batch_size": 48, "lr": 7e-4},
    "dino": {"batch_size": 64, "weight_decay": 0.04},
    "painter": {"steps": 16, "ema": 0.998},  # 16 batches of 32 need one more chunk of scenes
}


def defaults(network: Any, changes: dict[str, Any]) -> Settings:
    """The default settings of a network with changes; raises `ValueError` for an unknown network."""
    return Settings(network, **(DEFAULTS.get(network, {}) | changes))


def train(out: str | Path, settings: Settings, replace: bool = False) -> Generator[Event]:
    """Train one network in the folder `out`; last.safetensors holds the current moving average."""
    return training.start(out, SYSTEM, settings, initial, _train, replace)


def resume(out: str | Path) -> Generator[Event]:
    """Resume the run in `out` from its last epoch."""
    return training.resume(out, SYSTEM, Settings, initial, _train)


def _train(run: Run, settings: Settings, model: nn.Module) -> Generator[Event]:
    network = NETWORKS[settings.network]
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
        Plan.of(settings, settings.steps, clip=1.0, every=network.EVERY, seed=settings.seed),
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(settings, step)),
        measure=lambda model, epoch: network.measure(model, settings, run.folder),
        metadata={"network": settings.network, "licence": "Apache-2.0", "data": "vision-core's small world"},
        finish=lambda model: str(run.folder / "last.safetensors"),
    )


def _rate(settings: Settings, step: int) -> float:
    """Learning rate factor at a step, counted from 0."""
    if settings.schedule == "constant":
        return min(1, (step + 1) / settings.warmup)
    return training.cosine(step, settings.epochs * settings.steps, settings.warmup)


def initial(settings: Settings) -> nn.Module:
    """The initial network, in channels-last format, which is faster on a CPU."""
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
    """The settings of a run and its averaged network at the last evaluation, in eval mode."""
    run, settings = runs.open(run_folder, SYSTEM, Settings)
    network = NETWORKS[settings.network]
    model, _ = checkpoints.load(run.folder / "last.safetensors", network.Network)
    return settings, model.eval()


def draw(network: str, cache: str, scenes: int, workers: int = 0) -> None:
    """Draw the missing pictures for training a network; raises `ValueError` for an unknown network."""
    if network not in NETWORKS:
        raise ValueError(f"network is {network!r}; it must be one of {', '.join(NETWORKS)}")
    if network == "painter":
        for first, count in ((0, scenes), (data.HELD_OUT, painter.TESTED)):
            for _ in Examples("", cache, count, first).hide(count, workers):
                pass
    elif network == "autoencoder":
        data.draw(cache, 0, scenes, workers, world.wild)
    else:
        data.draw(cache, 0, scenes, workers)


def export(run_folder: str | Path, out: str | Path) -> Path:
    """Export the network of a run to `out` in the format of its library; returns the path."""
    settings, model = load(run_folder)
    return NETWORKS[settings.network].save_pretrained(model, settings, Path(out))
