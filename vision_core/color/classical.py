"""Histogram matching as a LUT: a preview while the network trains."""

import numpy as np

from vision_core.color.lut import bake
from vision_core.color.palette import CountedColors


def match_histograms(source: CountedColors, target: CountedColors, size: int = 33) -> np.ndarray:
    """Histogram matching as a LUT, float32 (size, size, size, 3): matches the quantiles of each channel.

    Target quantiles are interpolated linearly, so that even a palette of a few colours gives smooth curves.
    """
    levels = np.arange(256)
    curves = []
    for channel in range(3):
        ranks = _ranks(source.colors[:, channel], source.counts)
        target_ranks = _ranks(target.colors[:, channel], target.counts)
        used = np.bincount(target.colors[:, channel], target.counts, minlength=256) > 0
        curves.append(np.interp(ranks, target_ranks[used], levels[used]) / 255)
    return bake(
        lambda rgb: np.stack([np.interp(255 * rgb[:, c], levels, curves[c]) for c in range(3)], 1), size
    )


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(256,): share of the pixels below each level, plus half of those at the level."""
    shares = np.bincount(values, counts, minlength=256) / counts.sum()
    return shares.cumsum() - shares / 2
