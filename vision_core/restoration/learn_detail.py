"""Batches, loss and validation for the detail network, which restores detail and finds the ink."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core import devices
from vision_core.loading import prefetched
from vision_core.restoration import ink, losses, metrics
from vision_core.restoration.network import PageRestorer, smooth
from vision_core.restoration.world import Sample, World

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
BATCH = 8


class Lesson:
    """The task of the detail network, for `training.run`.

    Args:
        size, count: crops per batch, batches per epoch.
        side, measured: side of the crops in pixels, in training and validation.
        floor: added to squared errors before their logarithm.
    """

    best: ClassVar[dict[str, Literal["max", "min"]]] = {"val_score": "max"}
    weights: ClassVar = {"error": 0.05, "fine": 0.05, "l1": 1.0, "gradient": 1.0, "ink": 0.5, "overlap": 0.1}

    def __init__(
        self,
        world: World,
        unseen: World,
        seed: int,
        size: int,
        count: int,
        side: int,
        measured: int,
        workers: int,
        floor: float,
    ) -> None:
        self.make = partial(_batch, world, seed, side, size)
        self.count, self.workers, self.floor = count, workers, floor
        self.validation = DetailValidation(unseen, seed, measured)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch; they depend on seed and epoch only."""
        return prefetched(partial(self.make, epoch), self.count, self.workers)

    def terms(self, model: PageRestorer, batch: Batch) -> dict[str, Tensor]:
        return terms(model, batch, self.floor)

    def measure(self, model: PageRestorer, preview: Path | None = None) -> dict[str, Any]:
        return self.validation.measure(model, preview)


def _batch(world: World, seed: int, side: int, size: int, epoch: int, number: int) -> Batch:
    seeds = torch.randint(2**31, (size,), generator=devices.generator(seed, epoch, number)).tolist()
    return _stacked([world.sample(each, side) for each in seeds])


def _stacked(samples: list[Sample]) -> Batch:
    return (
        torch.stack([sample.damaged for sample in samples]),
        torch.stack([sample.target for sample in samples]),
        torch.stack([sample.ink for sample in samples]),
        torch.stack([sample.thumbnail for sample in samples]),
    )


def terms(model: PageRestorer, batch: Batch, floor: float) -> dict[str, Tensor]:
    """The losses: the log mean squared error of each crop, L1, and the ink where the truth is certain.

    The logarithm weights nearly clean crops as much as heavily damaged ones; `floor`, added to the squared
    error, limits this. "fine" is the error without its means over 16 x 16 pixels.
    """
    damaged, target, truth, thumbnail = batch
    restored, logits = _ran(model, damaged, thumbnail)
    error = restored - target.float() / 255
    fine = error - smooth(error)
    return {
        "error": torch.log(error.square().mean((1, 2, 3)) + floor).mean(),
        "fine": torch.log(fine.square().mean((1, 2, 3)) + floor / 4).mean(),
        "l1": error.abs().mean(),
        "gradient": losses.gradient(restored, restored - error),
        "ink": _cross_entropy(logits, truth),
        "overlap": _overlap(logits, truth),
    }


def _ran(model: PageRestorer, damaged: Tensor, thumbnail: Tensor) -> tuple[Tensor, Tensor]:
    x = (damaged.float() / 255).contiguous(memory_format=torch.channels_last)
    with devices.autocast(damaged.device):
        restored, logits = model.detail(x, thumbnail)
    return restored.float(), logits.float()


def _cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    sure = (truth != ink.UNSURE).float()
    each = F.binary_cross_entropy_with_logits(logits, (truth == 255).float(), reduction="none")
    return (each * sure).sum() / sure.sum().clamp(min=1)


def _overlap(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - F-measure of the probabilities over the whole batch."""
    sure = (truth != ink.UNSURE).float()
    predicted, expected = torch.sigmoid(logits) * sure, (truth == 255).float()
    return 1 - (2 * (predicted * expected).sum() + 1) / (predicted.sum() + expected.sum() + 1)


class DetailValidation:
    """Held-out crops, the same in every run: with the original's mixtures, from the wide world, undamaged."""

    def __init__(self, world: World, seed: int, side: int) -> None:
        self.plain = _stacked([world.sample(10_000 + seed + n, side, plain=True) for n in range(48)])
        self.wide = _stacked([world.sample(20_000 + seed + n, side) for n in range(48)])

    def measure(self, model: PageRestorer, preview: Path | None = None) -> dict[str, Any]:
        """Gains in dB over the damaged crops under their own light, F-measures of ink in %, and `val_score`.

        `val_score`, which selects weights, is the PSNR of mixtures plus a tenth of the F-measure.
        """
        psnr, gain, plain_logits = _figures(model, self.plain)
        _, wide_gain, wide_logits = _figures(model, self.wide)
        damaged = (self.wide[0] != self.wide[1]).flatten(1).any(1)
        untouched, _, _ = _figures(model, (self.plain[1], *self.plain[1:]))
        f_measure = 100 * (1 - _overlap(20 * wide_logits, self.wide[2]).item())
        if preview is not None:
            _save_preview(preview, self.wide, model)
        return {
            "val_score": psnr.mean().item() + f_measure / 10,
            "val_psnr": psnr.mean().item(),
            "val_gain": gain.mean().item(),
            "val_worst": gain.min().item(),
            "val_wide_gain": wide_gain[damaged].mean().item(),
            "val_undamaged": untouched.mean().item(),
            "val_ink": f_measure,
            "val_ink_mixtures": 100 * (1 - _overlap(20 * plain_logits, self.plain[2]).item()),
        }


@torch.inference_mode()
def _figures(model: PageRestorer, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """PSNR and gain of each crop, and the logits of ink."""
    device = next(model.parameters()).device
    parts = [
        _ran(model, d.to(device), t.to(device))
        for d, t in zip(batch[0].split(BATCH), batch[3].split(BATCH), strict=True)
    ]
    restored, logits = (torch.cat([part[i].cpu() for part in parts]) for i in range(2))
    damaged, target = (part.float() / 255 for part in batch[:2])
    psnr = metrics.psnr(restored.clamp(0, 1), target)
    return psnr, psnr - metrics.psnr(damaged, target), logits


def _save_preview(path: Path, batch: Batch, model: nn.Module) -> None:
    """Save four rows: damaged, restored, target, ink."""
    from vision_core.files import atomic
    from vision_core.pictures import images

    assert isinstance(model, PageRestorer)
    some = slice(0, 12)
    with torch.inference_mode():
        device = next(model.parameters()).device
        restored, logits = (
            x.cpu() for x in _ran(model, batch[0][some].to(device), batch[3][some].to(device))
        )
    grid = (
        batch[0][some] / 255,
        restored.clamp(0, 1),
        batch[1][some] / 255,
        1 - torch.sigmoid(logits).expand(-1, 3, -1, -1),
    )
    rows = [torch.cat(list(part[..., ::2, ::2]), 2) for part in grid]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        file.write(images.encode(images.Picture(images.from_tensor(torch.cat(rows, 1)[None])), "JPEG", 85))
