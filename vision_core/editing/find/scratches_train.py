"""Teaches the finder of scratches from photographs alone: damage is drawn on them, and to be found again."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core import devices, runs, training
from vision_core.editing import photo_training
from vision_core.editing.find.scratches import ScratchNet
from vision_core.events import Event
from vision_core.loading import made
from vision_core.settings import BATCH_SIZE, COUNT, CROP, WORKERS, TrainingSettings, setting

SYSTEM = "edit scratches"
HELD_OUT = 10  # one of so many photographs is kept for validation
CLEAN = 0.5  # share of the crops that get no damage
SCENERY = 0.35  # share of the crops on which thin things of the scene are drawn, which are no damage
TRIES = 4  # of so many places for a clean crop, the one with the most thin lines is taken


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
    widths: tuple[int, ...] = (16, 32, 48, 64)
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
    validation = list(_batches(held_out, settings, 1 << 20, 8))  # the same at every epoch

    def terms(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        with devices.autocast(device):
            logits = model(batch[0].float() / 255)
        return losses(logits.float(), batch[1])

    return photo_training.train(
        run,
        settings,
        ScratchNet,
        partial(_batches, photos, settings),
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
        found = model(rgb.to(device).float() / 255).cpu() > 0
        counts += [int(x.sum()) for x in (found & truth, truth, found, torch.ones_like(found))]
        clean += [float(f.float().mean()) for f, t in zip(found, truth, strict=True) if not t.any()]
    recall, precision = counts[0] / max(1, counts[1]), counts[0] / max(1, counts[2])
    f1 = 2 * recall * precision / max(1e-9, recall + precision)
    return {
        "f1": float(f1),
        "recall": float(recall),
        "precision": float(precision),
        "clean_marked": float(np.mean(clean)),
    }


def _batches(
    photos: list[np.ndarray], settings: Settings, epoch: int, steps: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops, uint8 (B, 3, S, S), and their damage, bool (B, 1, S, S): a function of seed and epoch."""
    return made(partial(_batch, photos, settings, epoch), steps or settings.steps, settings.workers)


def _batch(photos: list[np.ndarray], settings: Settings, epoch: int, number: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng((settings.seed, epoch, number))
    crops, marks = [], []
    for _ in range(settings.batch_size):
        photo = photos[int(rng.integers(len(photos)))]
        clean = rng.random() < CLEAN
        tries = TRIES if clean and rng.random() < 0.5 else 1
        crops_there = [
            photo_training.crop(photo, settings.crop, settings.smallest, rng) for _ in range(tries)
        ]
        crop = max(crops_there, key=thinness)
        if rng.random() < SCENERY:
            crop = scenery(crop, rng)
        worn, mark = (crop, np.zeros(crop.shape[:2], bool)) if clean else wear(crop, rng)
        crops.append(copied(worn, rng))
        marks.append(mark)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(marks))[:, None]


def wear(rgb: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A photograph, uint8 (H, W, 3), with damage drawn on it, and where, bool (H, W), not empty."""
    result, mark = rgb.astype(np.float32), np.zeros(rgb.shape[:2], bool)
    while not mark.any():
        for kind in rng.integers(0, 3, int(rng.integers(1, 4))):
            cover = (_scratches, _dust, _fold)[kind](rng, *rgb.shape[:2])
            if rng.random() < 0.5:
                cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.3, 0.8))
            light = rng.uniform(190, 255) if rng.random() < 0.65 else rng.uniform(0, 60)
            tone = np.clip(light + rng.normal(0, 12 if rng.random() < 0.85 else 50, 3), 0, 255)
            shown = cover * _worn_through(rng, cover.shape) * rng.uniform(0.6, 1)
            change = (tone - result) * shown[..., None]
            result += change
            visible = (np.abs(change).mean(2) > 10).astype(np.uint8)  # white on white is no damage
            mark |= (shown > 0.3) & (cv2.dilate(visible, np.ones((5, 5))) > 0)
    return result.round().clip(0, 255).astype(np.uint8), mark


def thinness(rgb: np.ndarray) -> float:
    """How many thin lines a photograph, uint8 (H, W, 3), has: what an opening or a closing takes away."""
    grey, around = np.ascontiguousarray(rgb[..., 1]), np.ones((5, 5), np.uint8)
    lines = [cv2.morphologyEx(grey, way, around) for way in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    return float(np.mean(np.maximum(*lines) > 24))


def scenery(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photograph, uint8 (H, W, 3), with thin things in its own colours, as soft as a lens leaves them."""
    height, width = rgb.shape[:2]
    cover = (_wires, _railing, _branches, _letters)[int(rng.integers(4))](rng, height, width)
    cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.45, 1.1)) * rng.uniform(0.7, 1)
    tone = rgb[int(rng.integers(height)), int(rng.integers(width))].astype(np.float32)
    tone = tone * rng.uniform(0.1, 0.6) if rng.random() < 0.65 else 255 - (255 - tone) * rng.uniform(0.1, 0.6)
    light = cv2.resize(rng.uniform(0.75, 1.25, (3, 3)).astype(np.float32), (width, height))[..., None]
    return (rgb + (tone * light - rgb) * cover[..., None]).round().clip(0, 255).astype(np.uint8)


def copied(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As a scanner and a file leave it: sometimes grey or sepia, blurred, noisy, compressed."""
    if rng.random() < 0.35:
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
        sepia = rng.uniform(0, 25) * np.array([1, 0.3, -1])
        rgb = np.clip(grey + sepia, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.3, 1))
    if rng.random() < 0.4:
        grain = rng.normal(0, rng.uniform(1, 9), (*rgb.shape[:2], 1))
        rgb = np.clip(rgb + grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
        decoded = cv2.imdecode(cv2.imencode(".jpg", rgb, quality)[1], cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded
    return rgb


def _worn_through(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray | float:
    """How whole a mark is along its way, (H, W) in [0, 1]: some are broken."""
    if rng.random() < 0.6:
        return 1.0
    coarse = rng.random((max(2, shape[0] // 12), max(2, shape[1] // 12)), np.float32)
    return np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) * 2, 0, 1)


def _line(cover: np.ndarray, points: np.ndarray, thick: float) -> None:
    """A line through points (x, y), as wide as `thick` pixels, which may be less than one."""
    canvas = np.zeros(cover.shape, np.uint8)
    at = [np.round(points * 16).astype(np.int32)]
    cv2.polylines(canvas, at, False, 255, max(1, round(thick)), cv2.LINE_AA, 4)
    np.maximum(cover, canvas / np.float32(255) * min(1.0, thick), out=cover)


def _scratches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cover, side = np.zeros((height, width), np.float32), max(height, width)
    for _ in range(rng.integers(1, 7)):
        upright, bend = rng.random() < 0.3, rng.choice([0, 0.02, 0.15, 0.5])
        angle = np.pi / 2 + rng.normal(0, 0.03) if upright else rng.uniform(0, 2 * np.pi)
        length = side * (rng.uniform(0.6, 1.6) if upright else rng.uniform(0.05, 1.2))
        turns = angle + np.cumsum(rng.normal(0, bend / 3, 12))
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * length / 12
        start = rng.random(2) * (width, height)
        points = np.concatenate([[start], start + np.cumsum(steps, 0)])
        _line(cover, points - steps.sum(0) / 2, rng.choice([0.7, 1, 1, 2, 2, 3, 4, 5]))
    return cover


def _dust(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cover, largest = np.zeros((height, width), np.float32), rng.uniform(1.2, 6)
    for _ in range(rng.integers(2, 25)):
        middle = rng.random(2) * (width, height)
        if rng.random() < 0.25:  # a hair
            turns = rng.uniform(0, 6.3) + np.cumsum(rng.normal(0, 0.5, 8))
            steps = np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(1, 6)
            _line(cover, middle + np.cumsum(steps, 0), rng.choice([0.8, 1, 2]))
            continue
        around = np.linspace(0, 2 * np.pi, 9)[:-1]
        reach = rng.uniform(0.7, largest) * rng.uniform(0.6, 1.3, 8)
        spot = middle + reach[:, None] * np.stack([np.cos(around), rng.uniform(0.5, 1) * np.sin(around)], 1)
        canvas = np.zeros(cover.shape, np.uint8)
        cv2.fillPoly(canvas, [np.round(spot * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        np.maximum(cover, canvas / np.float32(255), out=cover)
    return cover


def _fold(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A crease from edge to edge, uneven, with flakes broken off along it."""
    cover, angle = np.zeros((height, width), np.float32), rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    way = np.array([np.cos(angle), np.sin(angle)])
    along = np.linspace(-1, 1, 40)[:, None] * max(height, width) * 1.5
    middle = rng.uniform(0.1, 0.9, 2) * (width, height)
    wobble = np.cumsum(rng.normal(0, 0.4, 40))[:, None] * way[::-1] * (-1, 1)
    points, thick = middle + along * way + wobble, rng.uniform(1, 6)
    for start in range(0, 38, 2):
        _line(cover, points[start : start + 4], max(0.8, thick * rng.uniform(0.5, 1.4)))
    for _ in range(rng.integers(0, 12)):
        at = points[int(rng.integers(40))] + rng.normal(0, thick, 2)
        radius = int(rng.integers(1, 2 + round(thick)))
        canvas = np.zeros(cover.shape, np.uint8)
        cv2.circle(canvas, np.round(at).astype(int).tolist(), radius, 255, -1, cv2.LINE_AA)
        np.maximum(cover, canvas / np.float32(255), out=cover)
    return cover


def _wires(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Cables that sag side by side, from edge to edge."""
    cover, along = np.zeros((height, width), np.float32), np.linspace(-0.7, 0.7, 24)[:, None]
    angle, side, apart = rng.uniform(0, np.pi), 1.5 * max(height, width), rng.uniform(4, 24)
    way = np.array([np.cos(angle), np.sin(angle)])
    bend, middle = rng.uniform(-0.15, 0.15), rng.random(2) * (width, height)
    thick = rng.choice([0.8, 1, 1, 2, 3])
    for number in range(rng.integers(1, 6)):
        sag = (along**2 * bend * side + number * apart) * way[::-1] * (-1, 1)
        _line(cover, middle + along * way * side + sag, thick)
    return cover


def _railing(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Bars at equal distances between two rails."""
    cover, count = np.zeros((height, width), np.float32), int(rng.integers(4, 20))
    apart, tall = rng.uniform(4, 18), rng.uniform(0.15, 1) * height
    way = np.array([1, rng.normal(0, 0.2)])
    up, start = np.array([rng.normal(0, 0.1), -1]) * tall, rng.random(2) * (0.6 * width, height)
    thick = rng.choice([1, 1, 2, 3])
    feet = start + np.arange(count)[:, None] * apart * way
    for foot in feet:
        _line(cover, np.stack([foot, foot + up]), thick)
    for rail in (feet, feet + up):
        _line(cover, rail, thick + 1)
    return cover


def _branches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Twigs or hair: bent lines from one root that get thinner."""
    cover, root = np.zeros((height, width), np.float32), rng.random(2) * (width, height)
    angle, spread, thick = rng.uniform(0, 6.3), rng.choice([0.1, 0.4, 0.8]), rng.uniform(1, 4)
    for _ in range(rng.integers(4, 24)):
        turns = angle + rng.normal(0, spread) + np.cumsum(rng.normal(0, 0.12, 10))
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(0.02, 0.09) * max(height, width)
        points = root + rng.normal(0, 3, 2) + np.cumsum(steps, 0)
        for part, share in ((slice(0, 4), 1), (slice(3, 7), 0.6), (slice(6, 10), 0.3)):
            _line(cover, points[part], max(0.6, thick * share))
    return cover


def _letters(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A line or two of print, as on a sign."""
    canvas, size = np.zeros((height, width), np.uint8), rng.uniform(0.3, 1.6)
    for row in range(rng.integers(1, 4)):
        text = "".join(map(chr, rng.integers(48, 123, int(rng.integers(3, 12)))))
        at = (int(rng.integers(-10, width // 2)), int(rng.integers(10, height)) + round(30 * size * row))
        cv2.putText(canvas, text, at, int(rng.integers(8)), size, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    return canvas / np.float32(255)
