"""Overlays on pictures for the leaf pages."""

import numpy as np

from vision_core.leaves import Explanation
from vision_core.leaves.masks import leaf_mask

WHITE = 255


def explained(why: Explanation) -> np.ndarray:
    """The Grad-CAM, with the outline of the leaf if `why.outside` was measured."""
    overlay = why.overlay.copy()
    if why.outside is not None:
        overlay[_outline(leaf_mask(why.shown))] = WHITE
    return overlay


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask, bool (H, W), that lie within two pixels of its edge."""
    inside = mask
    for _ in range(2):
        padded = np.pad(inside, 1)
        inside = inside & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside
