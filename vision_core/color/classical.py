"""A colour transfer that needs no training, as a LUT: what to look at while a network learns."""

import numpy as np

from vision_core.color.lut import bake
from vision_core.color.palette import CountedColors


def match_histograms(source: CountedColors, target: CountedColors, size: int = 33) -> np.ndarray:
    """Histogram matching as a LUT, float32 (size, size, size, 3): each channel takes the target's quantiles.

    Between the target's levels the quantiles are joined by straight lines, so that a palette of a few colours
    gives smooth curves, too.
    """
    levels = np.arange(256)
    curves = []
    for channel in range(3):
        ranks = _ranks(source.colors[:, channel], source.counts)
        wanted = _ranks(target.colors[:, channel], target.counts)
        there = np.bincount(target.colors[:, channel], target.counts, minlength=256) > 0
        curves.append(np.interp(ranks, wanted[there], levels[there]) / 255)
    return bake(
        lambda rgb: np.stack([np.interp(255 * rgb[:, c], levels, curves[c]) for c in range(3)], 1), size
    )


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(256,): the share of the pixels below each level and half of those at it."""
    shares = np.bincount(values, counts, minlength=256) / counts.sum()
    return shares.cumsum() - shares / 2
