"""Trains the scratch detector on photographs with drawn damage."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core import devices, runs, training
from vision_core.editing import photo_training
from vision_core.editing.find import drawn_damage, scratches
from vision_core.editing.find.scratches import ScratchNet
from vision_core.events import Event
from vision_core.loading import prefetched
from vision_core.settings import BATCH_SIZE, COUNT, CROP, WORKERS, TrainingSettings, setting

SYSTEM = "edit scratches"
HELD_OUT = 10  # one in 10 photographs is held out for validation
CLEAN = 0.5  # share of the crops without damage
SCENERY = 0.35  # share of the crops with drawn thin objects that are no damage
TRIES = 4  # candidates per clean crop; the one with the most thin lines is used
MISTAKES = 0.4  # share of the clean crops at false positives of the initial network
NONE = np.zeros((0, 2), int)
Photo = tuple[np.ndarray, np.ndarray]  # uint8 (H, W, 3), and places (row, column) that look damaged (N, 2)


@dataclass(frozen=True)
class Settings(TrainingSettings):
    """Settings of a training; fields without help belong to the architecture or the optimiser."""

    train_dir: str = setting(help="Folder of undamaged photographs; folders below count, too.", path=True)
    start: str | None = setting(None, "Begin with these weights: a best.safetensors.", path=True)
    epochs: int = setting(30, "A run is measured, and can be resumed, at its epochs.", least=1, most=COUNT)
    steps: int = setting(100, "Optimiser steps of an epoch.", least=1, most=COUNT)
    batch_size: int = setting(12, "Crops of a batch.", least=1, most=BATCH_SIZE)
    crop: int = setting(160, "Side of the crops in pixels.", least=16, most=CROP, multiple=16)
    smallest: float = setting(
        0.4, "Half of the crops are of photographs reduced down to this share.", above=0, most=1
    )
    lr: float = setting(2e-3, "AdamW's largest learning rate.", above=0, below=1)
    weight_decay: float = setting(0.01, least=0, below=1)
    clip: float = setting(1.0, above=0, below=1e6)
    ema: float = setting(0.99, "Decay of the averaged weights.", above=0, below=1)
    widths: tuple[int, ...] = (32, 64, 96, 128)
    down: tuple[int, ...] = (1, 1, 1, 2)
    up: tuple[int, ...] = (1, 1, 1)
    workers: int = setting(0, "Processes that cut crops ahead; 0: between the steps.", least=0, most=WORKERS)


def train(out: str | Path, settings: Settings, *, replace: bool = False) -> Generator[Event]:
    """Train in the folder `out`; see `training.start`."""
    return training.start(out, SYSTEM, settings, _photos, _train, replace)


def resume(out: str | Path) -> Generator[Event]:
    """Resume the run in `out` from its last epoch."""
    return training.resume(out, SYSTEM, Settings, _photos, _train)


def export(run: str | Path, out: str | Path) -> Path:
    """Write a run's best network, finished or not, in half precision to the file `out`.

    Raises:
        ValueError: `run` is no run of this system, or one that has not been measured yet.
    """
    return photo_training.export(run, out, SYSTEM, Settings, ScratchNet)


def _photos(settings: Settings) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return photo_training.split(photo_training.read(settings.train_dir), HELD_OUT)


def _train(
    run: runs.Run, settings: Settings, split: tuple[list[np.ndarray], list[np.ndarray]]
) -> Generator[Event]:
    photos, held_out = split
    device = devices.pick(settings.device)
    validation = list(_batches([(p, NONE) for p in held_out], settings, 1 << 20, 8))  # same at every epoch
    places = [NONE] * len(photos) if settings.start is None else mistakes(photos, settings.start)

    def terms(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        with devices.autocast(device):
            logits = model(batch[0].float() / 255)
        return losses(logits.float(), batch[1])

    return photo_training.train(
        run,
        settings,
        ScratchNet,
        partial(_batches, list(zip(photos, places, strict=True)), settings),
        terms,
        partial(measure, batches=validation),
        "f1",
        photographs=len(photos),
        warmup=50,
        least=0.02,
    )


def losses(logits: Tensor, damaged: Tensor) -> dict[str, Tensor]:
    """Cross entropy of each pixel, and 1 - Dice over the batch, which thin lines need: they are few pixels.

    Args:
        logits: (B, 1, H, W). damaged: bool (B, 1, H, W).
    """
    if logits.shape != damaged.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and damage {tuple(damaged.shape)} must match")
    truth, chance = damaged.float(), logits.sigmoid()
    dice = 1 - 2 * (chance * truth).sum() / (chance.sum() + truth.sum() + 1)
    return {"entropy": F.binary_cross_entropy_with_logits(logits, truth), "dice": dice}


@torch.inference_mode()
def measure(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Recall, precision and F1 of pixels at probability one half, and the share of clean crops marked."""
    device, counts = next(model.parameters()).device, np.zeros(4)
    clean = [0.0]
    for rgb, truth in batches:
        marked = model(rgb.to(device).float() / 255).cpu() > 0
        counts += [int(x.sum()) for x in (marked & truth, truth, marked, torch.ones_like(marked))]
        clean += [float(f.float().mean()) for f, t in zip(marked, truth, strict=True) if not t.any()]
    recall, precision = counts[0] / max(1, counts[1]), counts[0] / max(1, counts[2])
    f1 = 2 * recall * precision / max(1e-9, recall + precision)
    return {
        "f1": float(f1),
        "recall": float(recall),
        "precision": float(precision),
        "clean_marked": float(np.mean(clean)),
    }


def _batches(
    photos: list[Photo], settings: Settings, epoch: int, steps: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops, uint8 (B, 3, S, S), and their damage, bool (B, 1, S, S): a function of seed and epoch."""
    return prefetched(partial(_batch, photos, settings, epoch), steps or settings.steps, settings.workers)


def _batch(photos: list[Photo], settings: Settings, epoch: int, number: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng((settings.seed, epoch, number))
    crops, marks = [], []
    for _ in range(settings.batch_size):
        photo, places = photos[int(rng.integers(len(photos)))]
        clean, kind = rng.random() < CLEAN, rng.random()
        if clean and kind < MISTAKES and len(places):
            crop = photo_training.turned(_around(photo, places, settings.crop, rng), rng)
        else:
            tries = TRIES if clean and kind < 0.5 + MISTAKES / 2 else 1
            candidates = [
                photo_training.crop(photo, settings.crop, settings.smallest, rng) for _ in range(tries)
            ]
            crop = max(candidates, key=drawn_damage.thinness)
        if rng.random() < SCENERY:
            crop = drawn_damage.scenery(crop, rng)
        worn, mark = (crop, np.zeros(crop.shape[:2], bool)) if clean else drawn_damage.wear(crop, rng)
        crops.append(drawn_damage.copied(worn, rng))
        marks.append(mark)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(marks))[:, None]


def _around(photo: np.ndarray, places: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A square of the photograph with one of the places somewhere in it."""
    corner = places[int(rng.integers(len(places)))] - rng.integers(0, side, 2)
    room = np.maximum(1, np.subtract(photo.shape[:2], side))
    return photo_training.square_at(photo, side, np.clip(corner / room, 0, 1))


def mistakes(photos: list[np.ndarray], start: str) -> list[np.ndarray]:
    """Where the network of the file `start` sees damage in photographs that have none: (N, 2) for each."""
    network, places = scratches.load(start), []
    for rgb in photos:
        with devices.autocast(torch.device("cpu")):
            seen = scratches.chance(rgb, network, scratches.TURNS[:1]) > 0.5
        places.append(np.argwhere(seen & (np.indices(seen.shape).sum(0) % 3 == 0)))
    return places
