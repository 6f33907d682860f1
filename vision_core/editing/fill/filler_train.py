"""Trains the filler on photographs: crop, make a hole, fill it, compare.

Thin holes are filled in detail, wide ones coarsely, to guide the search of patches.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core import devices, runs, training
from vision_core.editing import photo_training
from vision_core.editing.fill import holes
from vision_core.editing.fill.filler import Filler
from vision_core.editing.fill.push_pull import push_pull
from vision_core.events import Event
from vision_core.loading import prefetched
from vision_core.settings import BATCH_SIZE, COUNT, CROP, WORKERS, TrainingSettings, setting

SYSTEM = "edit filler"
HELD_OUT = 20  # one in 20 photographs is held out for validation
SIDE = 256  # side of the validation crops in pixels
BATCH = 10  # validation crops per batch
COARSE, VIEWS = 96, 12  # side of the validation views of wide holes, and their number per photograph


@dataclass(frozen=True)
class Settings(TrainingSettings):
    """Settings of a training; fields without help belong to the architecture or the optimiser."""

    train_dir: str = setting(help="Folder of photographs; those in folders below count, too.", path=True)
    val_dir: str | None = setting(
        None, "Photographs to measure on; without it, every twentieth is held out.", path=True
    )
    start: str | None = setting(None, "Begin with these weights: a best.safetensors.", path=True)
    holes: Literal["thin", "wide"] = setting(
        "thin", "thin: strokes and lost pixels, in detail; wide: whole objects, in reduced photographs."
    )
    epochs: int = setting(40, "A run is measured, and can be resumed, at its epochs.", least=1, most=COUNT)
    steps: int = setting(250, "Optimiser steps of an epoch.", least=1, most=COUNT)
    batch_size: int = setting(64, "Crops of a batch.", least=1, most=BATCH_SIZE)
    crop: int = setting(128, "Side of the crops in pixels.", least=16, most=CROP, multiple=16)
    smallest: float = setting(
        0.4, "Half of the crops are of photographs reduced down to this share.", above=0, most=1
    )
    lr: float = setting(8e-4, "AdamW's largest learning rate.", above=0, below=1)
    weight_decay: float = setting(0.01, least=0, below=1)
    clip: float = setting(1.0, above=0, below=1e6)
    ema: float = setting(0.998, "Decay of the averaged weights.", above=0, below=1)
    # added to the squared error, or nearly perfect crops of sky would dominate its logarithm
    floor: float = setting(2e-4, above=0, below=1)
    widths: tuple[int, ...] = (64, 128, 192, 224)
    down: tuple[int, ...] = (2, 2, 2, 2)
    up: tuple[int, ...] = (2, 2, 2)
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
    return photo_training.export(run, out, SYSTEM, Settings, Filler)


def _photos(settings: Settings) -> tuple[list[np.ndarray], list[np.ndarray]]:
    photos = photo_training.read(settings.train_dir)
    if settings.val_dir:
        return photos, photo_training.read(settings.val_dir)
    return photo_training.split(photos, HELD_OUT)


def _train(
    run: runs.Run, settings: Settings, split: tuple[list[np.ndarray], list[np.ndarray]]
) -> Generator[Event]:
    photos, held_out = split
    device = devices.pick(settings.device)

    def terms(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        clean, hole = batch[0].float() / 255, batch[1]
        smooth = push_pull(clean, hole)
        with devices.autocast(device):
            filled = model(smooth, hole)
        if settings.holes == "wide":
            return {"l1": coarse(filled, clean, hole)}
        return {"db": decibels(filled, clean, hole, settings.floor)}

    return photo_training.train(
        run,
        settings,
        Filler,
        partial(batches, photos, settings),
        terms,
        (Views if settings.holes == "wide" else Validation)(held_out, settings.seed).measure,
        "val_psnr",
        photographs=len(photos),
        warmup=max(1, min(300, settings.epochs * settings.steps // 50)),
        least=0.01,
    )


def decibels(filled: Tensor, clean: Tensor, hole: Tensor, floor: float = 0.0) -> Tensor:
    """Mean over pictures of 10 log10 (MSE in the hole + `floor`): for a floor of 0, minus the PSNR there.

    So a picture that is nearly right counts as much as a bad one.

    Args:
        filled, clean: (B, 3, H, W) in [0, 1].
        hole: bool (B, 1, H, W), nowhere empty.
    """
    if filled.shape != clean.shape or hole.shape != (len(clean), 1, *clean.shape[2:]):
        shapes = [tuple(x.shape) for x in (filled, clean, hole)]
        raise ValueError(f"expected twice (B, 3, H, W) and (B, 1, H, W), got {shapes}")
    wrong = ((filled - clean) * hole).square().sum((1, 2, 3)) / (3 * hole.sum((1, 2, 3)))
    return (10 * torch.log10(wrong + floor)).mean()


def coarse(filled: Tensor, clean: Tensor, hole: Tensor) -> Tensor:
    """Mean absolute error in the hole at full, half and quarter size, and of the slopes; see `decibels`."""
    wrong, share, loss = (filled - clean) * hole, hole.float(), filled.new_zeros(())
    for scale in (1, 2, 4):
        if scale > 1:
            wrong, share = F.avg_pool2d(wrong, 2), F.avg_pool2d(share, 2)
        loss = loss + (wrong.abs().sum((1, 2, 3)) / (3 * share.sum((1, 2, 3)))).mean()
        if scale < 4:
            slopes = wrong.diff(dim=2).abs().sum((1, 2, 3)) + wrong.diff(dim=3).abs().sum((1, 2, 3))
            loss = loss + 0.5 * (slopes / (3 * share.sum((1, 2, 3)))).mean()
    return loss


def batches(photos: list[np.ndarray], settings: Settings, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch's crops, uint8 (B, 3, S, S), and holes, bool (B, 1, S, S): a function of seed and epoch."""
    return prefetched(partial(_batch, photos, settings, epoch), settings.steps, settings.workers)


def _batch(photos: list[np.ndarray], settings: Settings, epoch: int, number: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng((settings.seed, epoch, number))
    if settings.holes == "wide":
        picked = rng.integers(len(photos), size=settings.batch_size)
        crops = np.stack([view(photos[pick], settings.crop, rng) for pick in picked])
        marks = np.stack([holes.thing(rng, settings.crop) for _ in picked])
        return torch.from_numpy(crops).permute(0, 3, 1, 2), torch.from_numpy(marks)[:, None]
    areas = np.array([photo.size for photo in photos], float)  # larger photographs are drawn more often
    picked = rng.choice(len(photos), settings.batch_size, p=areas / areas.sum())
    crops = np.stack(
        [photo_training.crop(photos[pick], settings.crop, settings.smallest, rng) for pick in picked]
    )
    marks = np.stack([holes.draw(rng, settings.crop) for _ in picked])
    return torch.from_numpy(crops).permute(0, 3, 1, 2), torch.from_numpy(marks)[:, None]


def view(photo: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of 30 to 100 % of the shorter side, reduced, half mirrored: uint8 (side, side, 3)."""
    wide = max(side, round(min(photo.shape[:2]) * rng.uniform(0.3, 1)))
    square = photo_training.square_at(photo, wide, rng.random(2))
    small = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    return small[:, ::-1] if rng.random() < 0.5 else small


class Views:
    """Views of the held-out photographs with object-sized holes; the same at every epoch."""

    def __init__(self, photos: list[np.ndarray], seed: int) -> None:
        rng = np.random.default_rng(seed)
        crops = np.stack([view(photo, COARSE, rng) for photo in photos for _ in range(VIEWS)])
        marks = np.stack([holes.thing(rng, COARSE) for _ in crops])
        self.clean, self.hole = (
            torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255,
            torch.from_numpy(marks)[:, None],
        )
        self.smooth = _psnr(push_pull(self.clean, self.hole), self.clean, self.hole).mean().item()

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """PSNR in the holes, and the gain over the smooth filling."""
        psnr = _filled_psnr(model, self.clean, self.hole).mean().item()
        return {"val_psnr": psnr, "gain_smooth": psnr - self.smooth}


class Validation:
    """Centres of the held-out photographs with the holes of `benchmarks/editing.py`, drawn from the seed.

    They are the same at every epoch and in every run of that seed, so that figures can be compared.
    """

    def __init__(self, photos: list[np.ndarray], seed: int) -> None:
        self.kinds, crops, marks, telea = ("strokes_7", "strokes_15", "lost_70"), [], [], []
        for number, photo in enumerate(photos):
            square = np.ascontiguousarray(photo_training.square_at(photo, SIDE, np.full(2, 0.5)))
            for kind in self.kinds:
                rng, (name, size) = np.random.default_rng((seed, number)), kind.split("_")
                if name == "lost":
                    hole = holes.lost(rng, SIDE, SIDE, int(size) / 100)
                else:
                    hole = holes.strokes(rng, SIDE, SIDE, int(size))
                broken = np.where(hole[..., None], 0, square).astype(np.uint8)
                telea.append(cv2.inpaint(broken, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA))
                crops.append(square)
                marks.append(hole)
        self.clean, other = (
            torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2).float() / 255 for part in (crops, telea)
        )
        self.hole = torch.from_numpy(np.stack(marks))[:, None]
        self.telea = _psnr(other, self.clean, self.hole)

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """PSNR in the holes, and for each kind of hole the gain over OpenCV's Telea."""
        psnr = _filled_psnr(model, self.clean, self.hole)
        gains = (psnr - self.telea).view(-1, len(self.kinds)).mean(0).tolist()
        return {
            "val_psnr": psnr.mean().item(),
            **{f"gain_{kind}": gain for kind, gain in zip(self.kinds, gains, strict=True)},
        }


@torch.inference_mode()
def _filled_psnr(model: nn.Module, clean: Tensor, hole: Tensor) -> Tensor:
    """PSNR of what a network fills into each picture (B,)."""
    device = next(model.parameters()).device
    parts = []
    for truth, gap in zip(clean.split(BATCH), hole.split(BATCH), strict=True):
        truth, gap = truth.to(device), gap.to(device)
        smooth = push_pull(truth, gap)
        with devices.autocast(device):
            filled = model(smooth, gap)
        parts.append(_psnr(filled.float().clamp(0, 1), truth, gap).cpu())
    return torch.cat(parts)


def _psnr(filled: Tensor, clean: Tensor, hole: Tensor) -> Tensor:
    """Of each picture (B,), in its hole."""
    each = zip(filled.split(1), clean.split(1), hole.split(1), strict=True)
    return torch.stack([-decibels(*one, 1e-9) for one in each])
