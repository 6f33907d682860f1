"""A small U-Net that fills thin holes: scratches, strokes, lost pixels. It knows how photographs go on.

Wide holes, where texture must be made, are `exemplar`'s.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core import images


class FillNet(nn.Module):
    """Pictures (B, 3, H, W) in [0, 1] and holes (B, 1, H, W), 1 where unknown -> filled pictures.

    It adds detail to the push-pull interpolation, so that the untrained network is that interpolation.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96, 128), depth: int = 2) -> None:
        super().__init__()
        self.architecture = {"widths": list(widths), "depth": depth}
        self.stem = nn.Conv2d(16, widths[0], 3, padding=1)
        self.encode = nn.ModuleList(_stage(width, depth) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.decode = nn.ModuleList(_stage(width, depth) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, rgb: Tensor, hole: Tensor) -> Tensor:
        if rgb.shape[1] != 3 or hole.shape != (len(rgb), 1, *rgb.shape[2:]):
            raise ValueError(
                f"expected (B, 3, H, W) and (B, 1, H, W), got {tuple(rgb.shape)}, {tuple(hole.shape)}"
            )
        height, width = rgb.shape[2:]
        step = 2 ** len(self.encode)
        first = push_pull(rgb, hole)
        x = F.pad(torch.cat((first, hole), 1), (0, -width % step, 0, -height % step), mode="replicate")
        x = self.stem(F.pixel_unshuffle(x, 2))  # (B, widths[0], H / 2, W / 2)
        kept = []
        for stage, down in zip(self.encode, self.down, strict=False):
            kept.append(stage(x))
            x = down(kept[-1])
        x = self.encode[-1](x)
        for skip, up, stage in reversed(list(zip(kept, self.up, self.decode, strict=True))):
            x = stage(skip + F.interpolate(up(x), scale_factor=2.0))
        return first + F.pixel_shuffle(self.head(x), 2)[..., :height, :width]


def push_pull(rgb: Tensor, hole: Tensor) -> Tensor:
    """The holes filled with averages of what is known near them, ever coarser the deeper inside.

    Source: Gortler et al. 1996, "The Lumigraph".
    """
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


def fill(
    network: Callable[[Tensor, Tensor], Tensor],
    rgb: np.ndarray,
    hole: np.ndarray,
    tile: int = 768,
    overlap: int = 64,
) -> np.ndarray:
    """uint8 (H, W, 3) with the hole, bool (H, W), filled; nothing else changes.

    `network` takes what `FillNet` takes. Tiles of `tile` pixels bound the memory; each has `overlap`
    pixels of context that are not used.
    """
    result = rgb.copy()
    height, width = hole.shape
    step = tile - 2 * overlap
    for top in range(0, height, step):
        for left in range(0, width, step):
            core = slice(top, top + step), slice(left, left + step)
            if not hole[core].any():
                continue
            y, x = max(0, top - overlap), max(0, left - overlap)
            around = slice(y, top + step + overlap), slice(x, left + step + overlap)
            with torch.inference_mode():
                unknown = torch.from_numpy(hole[around])[None, None].float()
                filled = images.from_tensor(network(images.to_tensor(rgb[around]), unknown))
            part = filled[top - y : top - y + step, left - x : left - x + step]
            result[core] = np.where(hole[core][..., None], part, rgb[core])
    return result


def _stage(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(depth)))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))
