"""Candidate regions for edits: anchors at saliency peaks, with square boxes of several sizes around each.

Source: Lin et al. 2024, "Text-Driven Image Editing via Learnable Regions" (CVPR). In contrast to it,
non-maximum suppression keeps the anchors apart, and boxes at the border are moved inside instead of dropped.
"""

from dataclasses import dataclass

import numpy as np

TOKENS = 32  # tokens along the picture's shorter side, the unit of `max_window`


@dataclass(frozen=True)
class Anchor:
    """A point of interest: `x`, `y` in [0, 1] of width and height, and the saliency there in [0, 1]."""

    x: float
    y: float
    saliency: float


@dataclass(frozen=True)
class Box:
    """A box in whole pixels; (right, bottom) is excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of an array (H, W, ...)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def mask(self, height: int, width: int) -> np.ndarray:
        """bool (H, W), True inside."""
        inside = np.zeros((height, width), bool)
        inside[self.slices] = True
        return inside


def anchors(saliency: np.ndarray, count: int = 9, spacing: float = 0.12) -> list[Anchor]:
    """The highest peaks of a saliency map, apart from each other.

    Greedy non-maximum suppression: the highest value, then the highest at least `spacing` away, and so on;
    if no place is left before there are `count`, the spacing is reduced.

    Args:
        saliency: (H, W), finite; only the order of its values counts.
        spacing: Euclidean, as a share of the map's diagonal.

    Raises:
        ValueError: the map is not a finite (H, W), or has fewer than `count` cells.
    """
    if saliency.ndim != 2 or not np.isfinite(saliency).all():
        raise ValueError(f"expected a finite saliency map (H, W), got shape {saliency.shape}")
    if not 1 <= count <= saliency.size:
        raise ValueError(f"{count} anchors were asked of a map of {saliency.size} cells")
    height, width = saliency.shape
    low, high = float(saliency.min()), float(saliency.max())
    rows, columns = np.mgrid[:height, :width]
    radius = spacing * float(np.hypot(height, width))
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count:
        far = np.full(saliency.shape, np.inf)
        for row, column in chosen:
            far = np.minimum(far, np.hypot(rows - row, columns - column))
        left = np.where((far >= radius) & (far > 0), saliency, -np.inf)
        best = int(left.argmax())
        if np.isneginf(left.flat[best]):
            radius *= 0.7
            continue
        chosen.append((best // width, best % width))
    span = high - low or 1.0
    return [
        Anchor((column + 0.5) / width, (row + 0.5) / height, (float(saliency[row, column]) - low) / span)
        for row, column in chosen
    ]


def window_sizes(max_window: int = 15) -> tuple[float, ...]:
    """Sides of the boxes as shares of the picture's shorter side.

    Half-widths 4, 6, ... up to `max_window`, in tokens of a grid of 32: 6 sizes from 0.25 to 0.875 at 15.

    Raises:
        ValueError: `max_window` outside 4 to 16.
    """
    if not 4 <= max_window <= TOKENS // 2:
        raise ValueError(f"the largest window is {max_window}; 4 to {TOKENS // 2} was expected")
    return tuple(2 * half / TOKENS for half in range(4, max_window + 1, 2))


def box(anchor: Anchor, size: float, height: int, width: int) -> Box:
    """The square of `size` times the shorter side around the anchor, moved inside the picture."""
    side = max(1, min(round(size * min(height, width)), height, width))
    left = min(max(round(anchor.x * width - side / 2), 0), width - side)
    top = min(max(round(anchor.y * height - side / 2), 0), height - side)
    return Box(left, top, left + side, top + side)
