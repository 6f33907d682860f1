"""Clean pages for training: read once, held out by manuscript, cut into crops of native resolution."""

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
    """uint8 (3, H, W) of one page; pages of one manuscript share the first part of their names."""

    name: str
    pixels: Tensor

    @property
    def manuscript(self) -> str:
        stem = Path(self.name).stem
        return str(Path(self.name).parent / re.split(r"__|[_\-. ]*\d+[rv]?$", stem)[0])


def read(folder: str | Path) -> list[Page]:
    """All images below `folder`, by name.

    Raises:
        ValueError: no such folder, no image in it, or one that cannot be read.
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
    """Pages to train on, pages to validate on: all pages of one manuscript are on one side.

    Raises:
        ValueError: pages of one manuscript only.
    """
    manuscripts = sorted({page.manuscript for page in pages})
    if len(manuscripts) < 2:
        raise ValueError("pages of at least two manuscripts are needed to hold one out for validation")
    held_out = set(manuscripts[len(manuscripts) // 2 % HELD_OUT :: HELD_OUT])
    return (
        [page for page in pages if page.manuscript not in held_out],
        [page for page in pages if page.manuscript in held_out],
    )


def crop(page: Page, side: int, drawn: Generator, scale: float = 1.0) -> Tensor:
    """A random square of the page, float (3, side, side) in [0, 1]; `scale` below 1 makes the page smaller.

    A page that is too small is continued by mirroring. Squares beside the page, nearly black, are drawn again
    a few times.
    """
    wide = max(side, round(side / scale))
    cut = _square(page.pixels, wide, drawn)
    for _ in range(3):
        if cut[:, ::8, ::8].float().mean() > 48:
            break
        cut = _square(page.pixels, wide, drawn)
    image = cut.float() / 255
    if wide > side:
        image = F.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)
    return image


def _square(pixels: Tensor, side: int, drawn: Generator) -> Tensor:
    """A random square of (3, H, W), continued by mirroring where the page is smaller."""
    _, height, width = pixels.shape
    top, left = (
        int(torch.randint(0, max(1, have - side + 1), (), generator=drawn)) for have in (height, width)
    )
    cut = pixels[:, top : top + side, left : left + side]
    if min(height, width) >= side:
        return cut
    rows, columns = (torch.from_numpy(mirrored(size, side)) for size in cut.shape[1:])
    return cut[:, rows][:, :, columns]
