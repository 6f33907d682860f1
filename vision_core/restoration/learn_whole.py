"""Batches, loss and validation for the original's networks, which restore a whole crop at once."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from vision_core import devices
from vision_core.loading import prefetched
from vision_core.restoration import data, losses
from vision_core.restoration.degrade import KINDS, Recipe, degrade, draw, draw_mixture
from vision_core.restoration.validation import Validation

Batch = tuple[Tensor, Tensor]


class Lesson:
    """The task of such a network, for `training.run`.

    Args:
        size, count: crops per batch, batches per epoch.
        side: side of the crops in pixels.
        generated: share of the crops from generated pages.
        term, weight: a loss besides L1, (restored, clean) -> scalar, and its weight.
    """

    best: ClassVar[dict[str, Literal["max", "min"]]] = {"val_psnr": "max", "val_l1": "min"}

    def __init__(
        self,
        pages: list[data.Page],
        held_out: list[data.Page],
        seed: int,
        size: int,
        count: int,
        side: int,
        generated: float = 0.0,
        workers: int = 0,
        term: Callable[[Tensor, Tensor], Tensor] | None = None,
        weight: float = 0.1,
    ) -> None:
        self.make = partial(_batch, pages, seed, size, side, generated)
        self.count, self.workers, self.term = count, workers, term
        self.weights = {"perceptual": weight}
        self.validation = Validation(held_out, seed, side)  # images of one size only

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The clean and damaged crops of an epoch, uint8 (B, 3, S, S); they depend on seed and epoch only."""
        return prefetched(partial(self.make, epoch), self.count, self.workers)

    def terms(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        clean, damaged = (part.float() / 255 for part in batch)
        with devices.autocast(damaged.device):
            restored = model(damaged.contiguous(memory_format=torch.channels_last))
        restored = restored.float()
        terms = {"l1": losses.l1(restored, clean)}
        if self.term is not None:
            terms["perceptual"] = self.term(restored, clean)
        return terms

    def measure(self, model: nn.Module, preview: Path | None = None) -> dict[str, Any]:
        return self.validation.measure(model, preview)


def recipe(seed: int) -> Recipe:
    """Draw the damage of one training crop: none (1 in 10), a single kind (6 in 10) or a mixture.

    With more mixtures, networks take any damage for a sign of others, and recolour crops that are merely
    blurred.
    """
    rng = random.Random(f"crop {seed}")
    chance = rng.random()
    if chance < 0.1:
        return {"seed": seed, "steps": []}
    return draw(seed, (rng.choice(list(KINDS)),)) if chance < 0.7 else draw_mixture(seed)


def _batch(
    pages: list[data.Page], seed: int, size: int, side: int, generated: float, epoch: int, number: int
) -> Batch:
    rng = devices.generator(seed, epoch, number)
    clean = torch.stack([_crop(pages, side, generated, rng) for _ in range(size)])
    seeds = torch.randint(2**31, (size,), generator=rng).tolist()
    damaged = degrade(clean, [recipe(seed) for seed in seeds], clean.roll(1, 0))
    return _bytes(clean), _bytes(damaged)


def _bytes(images: Tensor) -> Tensor:
    """Round to 8 bits, as in a file, so that nothing finer can be learned."""
    return (images * 255).round().byte()


def _crop(pages: list[data.Page], side: int, generated: float, rng: torch.Generator) -> Tensor:
    """A clean crop, perhaps mirrored; half of them at half to full scale, one in twelve grey."""
    chance = torch.rand(8, generator=rng).tolist()
    if chance[0] < generated:
        from vision_core.restoration import pages as generator

        number = int(torch.randint(2**31, (), generator=rng))
        image = generator.crop(number, side)
    else:
        page = pages[int(torch.randint(len(pages), (), generator=rng))]
        scale = 1.0 if chance[1] < 0.5 else 0.5 + 0.5 * chance[2]
        image = data.crop(page, side, rng, scale)
    image = image.flip([axis for axis in (1, 2) if chance[4 + axis] < 0.5])
    return image.mean(0, keepdim=True).expand(3, -1, -1) if chance[7] < 1 / 12 else image
