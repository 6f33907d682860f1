"""Fills thin holes smoothly: scratches, strokes, lost pixels. For wide ones see `patches`.

Source: Gortler et al. 1996, "The Lumigraph".
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core.pictures import images


def push_pull(rgb: Tensor, hole: Tensor) -> Tensor:
    """Fill the holes with averages of the known pixels nearby, coarser the deeper inside.

    Args:
        rgb: (B, 3, H, W). hole: (B, 1, H, W), 1 where unknown.
    """
    if rgb.shape[1] != 3 or hole.shape != (len(rgb), 1, *rgb.shape[2:]):
        raise ValueError(
            f"expected (B, 3, H, W) and (B, 1, H, W), got {tuple(rgb.shape)}, {tuple(hole.shape)}"
        )
    rgb, weight = rgb.float() * (1 - hole.float()), 1 - hole.float()
    levels = []
    while min(rgb.shape[2:]) > 2 and len(levels) < 7:
        levels.append((rgb, weight))
        odd = (0, rgb.shape[3] % 2, 0, rgb.shape[2] % 2)
        rgb, weight = (F.avg_pool2d(F.pad(x, odd), 2) for x in (rgb, weight))
        full = (4 * weight).clamp(max=1)  # one known pixel of four is enough to trust the mean
        rgb, weight = rgb / weight.clamp(min=1e-8) * full, full
    result = rgb / weight.clamp(min=1e-8)
    for rgb, weight in reversed(levels):
        result = rgb + (1 - weight) * F.interpolate(result, size=rgb.shape[2:], mode="bilinear")
    return result


def fill(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) with the hole, bool (H, W), filled; nothing else changes."""
    with torch.inference_mode():
        unknown = torch.from_numpy(hole)[None, None].float()
        filled = images.from_tensor(push_pull(images.to_tensor(rgb), unknown))
    return np.where(hole[..., None], filled, rgb)
