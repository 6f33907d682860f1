"""Tiled processing of a page with bounded memory; overlapping tiles are blended by a partition of unity."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor

from vision_core import devices

OVERLAP = 48  # covers nearly all of the receptive field of the bundled network
LARGEST = 576  # side of a tile; larger tiles are not faster
BATCH = 4


@dataclass(frozen=True)
class Grid:
    """Rows and columns of tiles of (height, width), processed in batches."""

    height: int
    width: int
    rows: list[tuple[int, Tensor]]  # start of each row of tiles, and its weights (height,)
    columns: list[tuple[int, Tensor]]
    batch: int

    @property
    def tiles(self) -> int:
        return len(self.rows) * len(self.columns)


def plan(
    height: int, width: int, multiple: int, fixed: bool, bytes_per_pixel: int, memory: float = 1024
) -> Grid:
    """The grid with the largest tiles that fit into memory.

    Args:
        multiple: tile sides are multiples of this, or equal to it if `fixed`.
        bytes_per_pixel: memory of the network per pixel of a tile.
        memory: limit in MB for the page and the tiles.

    Raises:
        ValueError: even the smallest tiles do not fit.
    """
    left = memory * 2**20 - 8 * height * width  # input, output, a mask and the ink, in bytes
    need = 0.0
    for side in [multiple] if fixed else [s for s in (LARGEST, 384, 256, 192, 128) if s >= multiple]:
        tall, wide = (multiple, multiple) if fixed else (_fit(s, side, multiple) for s in (height, width))
        band, tile = 24 * tall * max(width, wide), tall * wide * bytes_per_pixel
        if (batch := int((left - band) // tile)) >= 1:
            return Grid(tall, wide, _cuts(height, tall), _cuts(width, wide), min(BATCH, batch))
        need = 8 * height * width + band + tile
    raise ValueError(f"{width} x {height} pixels need {ceil(need / 2**20)} MB, and {memory:g} MB are allowed")


def process(
    page: np.ndarray,
    grid: Grid,
    network: Callable[[Tensor], Tensor],
    tell: Callable[[int, int], None] | None = None,
    channels: int = 3,
) -> np.ndarray:
    """Run `network`, (B, 3, h, w) in [0, 1] -> (B, C, h, w), over a page, uint8 (H, W, 3) -> uint8 (H, W, C).

    Only one row of tiles is held as floats. With the identity as the network, the output equals the page.

    Args:
        tell: called with the number of finished tiles and of all tiles; may raise to stop.
        channels: C.
    """
    height, width, _ = page.shape
    out = np.empty((height, width, channels), np.uint8)
    band = torch.zeros(channels, grid.height, max(width, grid.width))
    starts = [start for start, _ in grid.rows]
    for row, (top, down) in enumerate(grid.rows):
        strip = _padded(page[top : top + grid.height], grid)
        for first in range(0, len(grid.columns), grid.batch):
            devices.share_cores()
            part = grid.columns[first : first + grid.batch]
            tiles = torch.stack([_tensor(strip[:, left : left + grid.width]) for left, _ in part])
            for (left, across), restored in zip(part, network(tiles), strict=True):
                band[:, :, left : left + grid.width] += restored * (down[:, None] * across)
            if tell is not None:
                tell(row * len(grid.columns) + first + len(part), grid.tiles)
        end = starts[row + 1] if row + 1 < len(starts) else height
        ready = (band[:, : end - top, :width].clamp(0, 1) * 255).round().byte()
        out[top:end] = ready.permute(1, 2, 0).numpy()
        band = torch.cat([band[:, end - top :], torch.zeros_like(band[:, : end - top])], 1)
    return out


def mirrored(size: int, length: int) -> np.ndarray:
    """Indices 0, 1, ..., size - 1, size - 1, ..., 0, 0, 1, ... of the given length."""
    index = np.arange(length) % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def _fit(size: int, largest: int, multiple: int) -> int:
    """The smallest tile side that covers `size` with as few tiles as the side `largest`."""
    count = max(1, ceil((size - OVERLAP) / (largest - OVERLAP)))
    return ceil((size + (count - 1) * OVERLAP) / count / multiple) * multiple


def _cuts(size: int, tile: int) -> list[tuple[int, Tensor]]:
    """Starts of tiles that cover `size`, with weights (tile,) that add up to 1 everywhere."""
    count = 1 if size <= tile else ceil((size - OVERLAP) / (tile - OVERLAP))
    starts = [round(i * (size - tile) / max(1, count - 1)) for i in range(count)]
    ramp = torch.sin(torch.linspace(0, torch.pi / 2, OVERLAP + 2, dtype=torch.float64)[1:-1]) ** 2
    total, windows = torch.zeros(max(size, tile), dtype=torch.float64), []
    for number, start in enumerate(starts):
        window = torch.ones(tile, dtype=torch.float64)
        if number > 0:
            window[:OVERLAP] = ramp
        if number < count - 1:
            window[-OVERLAP:] = torch.minimum(window[-OVERLAP:], ramp.flip(0))
        total[start : start + tile] += window
        windows.append(window)
    return [
        (start, (window / total[start : start + tile]).float())
        for start, window in zip(starts, windows, strict=True)
    ]


def _padded(strip: np.ndarray, grid: Grid) -> np.ndarray:
    """Pad the strip by reflection if the page is smaller than a tile."""
    height, width, _ = strip.shape
    if height < grid.height:
        strip = strip[mirrored(height, grid.height)]
    return strip[:, mirrored(width, grid.width)] if width < grid.width else strip


def _tensor(tile: np.ndarray) -> Tensor:
    """uint8 (h, w, 3) -> float (3, h, w) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(tile.transpose(2, 0, 1))).float() / 255
