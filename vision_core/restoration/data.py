"""Clean pages for training: loading, splitting by manuscript, random crops."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from vision_core import folders
from vision_core.pictures import images
from vision_core.restoration.tiles import mirrored

HELD_OUT = 7  # every seventh manuscript is kept for validation


@dataclass(frozen=True)
class Page:
    """One page, uint8 (3, H, W). Pages of a manuscript share the beginning of their names."""

    name: str
    pixels: Tensor

    @property
    def rgb(self) -> np.ndarray:
        """uint8 (H, W, 3)."""
        return self.pixels.permute(1, 2, 0).contiguous().numpy()

    @property
    def manuscript(self) -> str:
        stem = Path(self.name).stem
        return str(Path(self.name).parent / re.split(r"__|[_\-. ]*\d+[rv]?$", stem)[0])


def read(folder: str | Path) -> list[Page]:
    """All images below `folder`, sorted by name.

    Raises:
        ValueError: the folder does not exist or has no images, or an image cannot be read.
    """
    folder = Path(folder)
    return [
        Page(path.relative_to(folder).as_posix(), page_tensor(images.read(path).rgb))
        for path in folders.below(folder)
    ]


def page_tensor(rgb: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) -> uint8 (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))


def split(pages: Sequence[Page]) -> tuple[list[Page], list[Page]]:
    """Split pages into training and validation; pages of one manuscript stay together.

    Raises:
        ValueError: there are fewer than two manuscripts.
    """
    manuscripts = sorted({page.manuscript for page in pages})
    if len(manuscripts) < 2:
        raise ValueError("pages of at least two manuscripts are needed to hold one out for validation")
    held_out = set(manuscripts[len(manuscripts) // 2 % HELD_OUT :: HELD_OUT])
    return (
        [page for page in pages if page.manuscript not in held_out],
        [page for page in pages if page.manuscript in held_out],
    )


def crop(page: Page, side: int, generator: Generator, scale: float = 1.0) -> Tensor:
    """A random crop, float (3, side, side) in [0, 1]; a `scale` below 1 reduces the page first.

    Small pages are padded by reflection. Crops that are almost black, beside the page, are redrawn up to
    three times.
    """
    wide = max(side, round(side / scale))
    cut = _square(page.pixels, wide, generator)
    for _ in range(3):
        if cut[:, ::8, ::8].float().mean() > 48:
            break
        cut = _square(page.pixels, wide, generator)
    image = cut.float() / 255
    if wide > side:
        image = F.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)
    return image


def _square(pixels: Tensor, side: int, generator: Generator) -> Tensor:
    """A random square crop of (3, H, W), padded by reflection."""
    _, height, width = pixels.shape
    top, left = (
        int(torch.randint(0, max(1, have - side + 1), (), generator=generator)) for have in (height, width)
    )
    cut = pixels[:, top : top + side, left : left + side]
    if min(height, width) >= side:
        return cut
    rows, columns = (torch.from_numpy(mirrored(size, side)) for size in cut.shape[1:])
    return cut[:, rows][:, :, columns]
