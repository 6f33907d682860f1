"""Training crops for the detail network, clean and damaged, with strokes of every size.

Pages at their own scale, enlarged and reduced; their writing on other papers; print and handwriting of many
scripts; blank paper, covers and photographs. Fading, tint and shade are part of the target, since they cannot
be inferred from a crop; see `light`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vision_core.restoration import damage, ink, mixtures, text
from vision_core.restoration.sheets import (
    Image,
    Mask,
    cloud,
    cut,
    darkness,
    log_uniform,
    paled,
    tensor,
    written,
)
from vision_core.restoration.thumbnail import thumbnail

ORIGINAL = 0.3  # share of crops with the original's mixtures
AROUND = 1.5  # side of the region in the thumbnail, relative to the crop's, for one crop in three


@dataclass(frozen=True)
class Sample:
    """The damaged crop and its target, uint8 (3, S, S), ink (1, S, S) as in `ink`, and a thumbnail."""

    damaged: Tensor
    target: Tensor
    ink: Tensor
    thumbnail: Tensor


@dataclass(frozen=True)
class World:
    """The sources of crops: clean pages and photographs, uint8 (H, W, 3), and font files."""

    pages: Sequence[Image]
    photographs: Sequence[Image] = ()
    fonts: Sequence[Path] = ()
    _inks: dict[int, np.ndarray] = field(default_factory=dict)
    _both: dict[int, np.ndarray] = field(default_factory=dict)  # page and ink, (H, W, 4)

    def sample(self, seed: int, side: int, plain: bool = False, kind: str | None = None) -> Sample:
        """The crop of a seed.

        Args:
            plain: a page at its own scale with the original's mixture, for validation.
            kind: the only kind of damage.
        """
        rng = np.random.default_rng(seed)
        region = side if plain or rng.random() < 0.65 else round(AROUND * side)
        clean, truth = self._page(rng, region, 1.0) if plain else self._clean(rng, region)
        if plain or (kind is None and rng.random() < ORIGINAL):
            damaged, target = mixtures.original(clean, rng)
        else:
            steps = mixtures.wide(rng) if kind is None else mixtures.draw(rng, [kind])
            verso, darkest = self._verso(rng, region), darkness(clean, truth)
            damaged, target = mixtures.apply(tensor(clean), steps, verso, rng, False, darkest, kind is None)
        top, left = (int(rng.integers(region - side + 1)) for _ in range(2))
        area = (slice(None), slice(top, top + side), slice(left, left + side))
        statistics = thumbnail(damaged.permute(1, 2, 0).contiguous().numpy())
        parts = [part[area].contiguous() for part in (damaged, target, torch.from_numpy(truth)[None])]
        return Sample(parts[0], parts[1], parts[2], torch.from_numpy(statistics))

    def pair(self, seed: int, side: int) -> tuple[Tensor, Tensor]:
        """A crop of a page, clean and with the original's mixture, uint8 (3, S, S), for validation."""
        rng = np.random.default_rng(seed)
        clean, _ = self._page(rng, side, 1.0)
        whole = mixtures.to_bytes(tensor(clean))
        damaged = whole
        while torch.equal(damaged, whole):
            damaged, _ = mixtures.original(clean, rng)
        return whole, damaged

    def _clean(self, rng: np.random.Generator, side: int) -> tuple[Image, np.ndarray]:
        """A clean crop and its ink, uint8."""
        chance = rng.random()
        if chance < 0.5:
            scale = log_uniform(rng, 0.5, 1.7) if rng.random() < 0.5 else 1.0
            clean, truth = self._page(rng, side, scale)
            if rng.random() < 0.2:
                clean = paled(rng, clean)
        elif chance < 0.72:
            clean, truth = written(rng, self._mask(rng, side))
        elif chance < 0.92 or not self.photographs:
            clean, truth = written(rng, text.mask(rng, side, self.fonts))
        elif chance < 0.95:
            clean, truth = written(rng, np.zeros((side, side), np.float32))
        else:
            photograph = self.photographs[int(rng.integers(len(self.photographs)))]
            clean, truth = cut(rng, photograph, side, 1.0) / 255, np.zeros((side, side), np.uint8)
        if rng.random() < 0.08:
            self._surround(rng, clean, truth)
        if rng.random() < 0.15:
            clean = np.repeat(clean @ np.array(damage.LUMA, np.float32)[:, None], 3, 2)
        if rng.random() < 0.1:  # nearly black on white, as many scans are
            low, high = np.percentile(clean, (2, 70))
            clean = (clean - 0.8 * low) / max(high - 0.8 * low, 0.1)
        return clean.clip(0, 1).astype(np.float32), truth

    def _page(self, rng: np.random.Generator, side: int, scale: float) -> tuple[Image, np.ndarray]:
        number = int(rng.integers(len(self.pages)))
        if number not in self._both:
            self._both[number] = np.dstack([self.pages[number], self._ink(number)])
        square = cut(rng, self._both[number], side, scale)
        ends = np.array([0, ink.UNSURE, 255], np.uint8)[np.digitize(square[..., 3], (40, 215))]
        return (square[..., :3] / 255).astype(np.float32), ends

    def _mask(self, rng: np.random.Generator, side: int) -> Mask:
        """The writing of a page alone, at a random scale and stroke width."""
        import cv2

        scale = log_uniform(rng, 0.4, 3.2)
        square = cut(rng, self._ink(int(rng.integers(len(self.pages)))), side, scale) / 255
        if scale > 1:  # keeps enlarged edges sharp
            square = cv2.GaussianBlur(square, (0, 0), 0.5 * scale)
        width = 0.5 + rng.normal(0, 0.1)
        return ((square - width) * max(2.0, 2 * scale) + 0.5).clip(0, 1).astype(np.float32)

    def _verso(self, rng: np.random.Generator, side: int) -> Mask:
        """The ink of the other side: of another hand and size, usually mirrored."""
        if rng.random() < 0.7:
            mask = self._mask(rng, side)
        else:
            mask = text.mask(rng, side, self.fonts)
        return np.ascontiguousarray(mask[:, ::-1]) if rng.random() < 0.9 else mask

    def _surround(self, rng: np.random.Generator, clean: Image, truth: np.ndarray) -> None:
        """Cover one side of a crop with a table, a book cover or a dark background, in place."""
        import cv2

        side = clean.shape[0]
        angle, depth = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.45) * side
        y, x = np.mgrid[:side, :side] - side / 2
        cover = 1 / (
            1
            + np.exp(
                (-(x * math.cos(angle) + y * math.sin(angle) - depth) / rng.uniform(0.3, 2)).clip(-50, 50)
            )
        )
        if self.photographs and rng.random() < 0.3:
            behind = cut(rng, self.photographs[int(rng.integers(len(self.photographs)))], side, 1.0) / 255
        else:
            behind = rng.uniform(0, 0.4) * rng.uniform(0.7, 1.3, 3) + 0.05 * cloud(rng, side, 12)[..., None]
        shadow = 1 - rng.uniform(0, 0.4) * cv2.GaussianBlur(cover, (0, 0), rng.uniform(2, 9))
        share = cover[..., None]
        clean[:] = clean * shadow[..., None] * (1 - share) + behind * share
        truth[cover > 0.5] = 0
        truth[(cover > 0.05) & (cover <= 0.5)] = ink.UNSURE

    def _ink(self, number: int) -> np.ndarray:
        if number not in self._inks:
            self._inks[number] = ink.of_clean_page(self.pages[number])
        return self._inks[number]
