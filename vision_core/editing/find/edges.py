"""Aligns a coarse mask to the edges of the picture, at full resolution.

Source: He, Sun 2015, "Fast Guided Filter".
"""

import cv2
import numpy as np

from vision_core.editing import compose

WORKING = 1024  # longer side, in pixels, at which the filter's coefficients are computed
RADIUS = 6  # radius of its window in these pixels: slightly more than a cell of the mask
SMOOTH = 2e-4  # edges with a smaller grey variance, of values in [0, 1], are ignored
SURE = 0.02  # only pixels with a probability from SURE to 1 - SURE are refined
STEEP = 0.5  # scale of the logits: the steepness of the coarse edge
PART = 4_000_000  # pixels per chunk: a large picture at once would take gigabytes


def refine(rgb: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The mask, bool (H, W), of a picture, uint8 (H, W, 3), from logits `level`, float32 (h, w) of any size.

    Only pixels near the coarse edge are refined, at full resolution, so that large pictures show no steps.
    """
    from scipy.special import expit

    height, width = rgb.shape[:2]
    scale = min(1.0, WORKING / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    gray = _gray(compose.resize(rgb, size[1], size[0]))
    chance = expit(STEEP * cv2.resize(level, size, interpolation=cv2.INTER_LINEAR))
    slope, rest = _coefficients(gray, chance)
    mask = np.zeros((height, width), bool)
    rows, columns = (np.flatnonzero((chance > SURE).any(axis)) for axis in (1, 0))
    if not len(rows):
        return mask
    top, bottom = _reach(rows, size[1], height)
    left, right = _reach(columns, size[0], width)
    step = max(1, PART // (right - left))
    for start in range(top, bottom, step):
        part = slice(start, min(bottom, start + step)), slice(left, right)
        fine_slope, fine_rest, coarse = (
            _enlarged(values, part, height, width) for values in (slope, rest, chance)
        )
        fine = fine_slope * _gray(rgb[part]) + fine_rest
        mask[part] = np.where((coarse > SURE) & (coarse < 1 - SURE), fine, coarse) > 0.5
    return mask


def _gray(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def _coefficients(gray: np.ndarray, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of the best linear fit from grey to probability around each place."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, cv2.CV_32F, (2 * RADIUS + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    shade, likely = mean(gray), mean(chance)
    slope = (mean(gray * chance) - shade * likely) / (mean(gray * gray) - shade**2 + SMOOTH)
    return mean(slope), mean(likely - slope * shade)


def _reach(places: np.ndarray, cells: int, length: int) -> tuple[int, int]:
    """The range of pixels of a side that some of its cells cover, with one more cell on both ends."""
    first, last = (int(places[0]) - 1) * length / cells, (int(places[-1]) + 2) * length / cells
    return max(0, int(first)), min(length, int(np.ceil(last)))


def _enlarged(values: np.ndarray, part: tuple[slice, slice], height: int, width: int) -> np.ndarray:
    """A map of the whole picture, at the pixels of a part of it."""
    y, x = values.shape[0] / height, values.shape[1] / width
    top, left = part[0].start, part[1].start
    places = np.array([[x, 0, x * (left + 0.5) - 0.5], [0, y, y * (top + 0.5) - 0.5]])
    size = part[1].stop - left, part[0].stop - top
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, places, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
