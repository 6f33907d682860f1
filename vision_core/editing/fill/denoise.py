"""Fills thin holes with a denoiser as a prior: the known pixels are restored after each denoising.

The denoiser keeps the large coefficients of overlapping cosine transforms. Sources: Guleryuz 2006, "Nonlinear
Approximation Based Image Recovery Using Adaptive Sparse Reconstructions and Iterated Denoising"; Yu and
Sapiro 2011, "DCT Image Denoising".
"""

from collections.abc import Generator
from functools import cache
from time import monotonic

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core import devices
from vision_core.editing import masks
from vision_core.events import Event, Preview, Step
from vision_core.pictures import images

STEPS = 20
NOISE = (50 / 255, 3 / 255)  # standard deviation of the noise removed in the first and in the last step
BLOCK = 8  # side of a transformed block in pixels
STRIDE = 2  # pixels between blocks; each step starts at another offset
KEPT = 2.7  # coefficients above this multiple of the noise are kept
CONTEXT = 24  # pixels of context around a hole
TILE = 256  # side of a tile in pixels
MOST = 1_000_000  # maximum pixels to denoise, context included: about a minute


@cache
def _basis() -> tuple[Tensor, Tensor]:
    """The cosines (64, 1, 8, 8) of a block, orthonormal, and the channels (3, 3) that colours become."""
    rows = torch.arange(BLOCK, dtype=torch.float32)
    waves = (2 / BLOCK) ** 0.5 * torch.cos(torch.pi * (2 * rows + 1) * rows[:, None] / (2 * BLOCK))
    waves[0] /= 2**0.5
    channels = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]])
    return torch.einsum("ai,bj->abij", waves, waves).reshape(-1, 1, BLOCK, BLOCK), F.normalize(
        channels, dim=1
    )


def denoise(rgb: Tensor, sigma: float, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """(1, 3, H, W) without noise of the standard deviation `sigma`.

    Args:
        shift: rows and columns, below `STRIDE`, by which the blocks are moved.
    """
    cosines, channels = _basis()
    height, width = rgb.shape[2:]
    top, left = BLOCK - shift[0], BLOCK - shift[1]
    edges = (left, BLOCK + width % 2 + shift[1], top, BLOCK + height % 2 + shift[0])
    x = F.pad(torch.einsum("bchw,dc->dbhw", rgb, channels), edges, mode="replicate")
    blocks = F.conv2d(x, cosines, stride=STRIDE)  # (3, 64, h, w)
    large = blocks.abs() > KEPT * sigma
    large[:, 0] = True  # the mean always stays
    weight = 1 / large.sum(1, keepdim=True)  # sparse blocks get more weight
    total = F.conv_transpose2d(blocks * large * weight, cosines, stride=STRIDE)
    share = F.conv_transpose2d(weight, torch.ones(1, 1, BLOCK, BLOCK), stride=STRIDE)
    denoised = (total / share)[..., top : top + height, left : left + width]
    return torch.einsum("dbhw,dc->bchw", denoised, channels)


def affordable(hole: np.ndarray) -> bool:
    """Whether `fill` is done within about a minute."""
    return sum(hole[around].size for _, around in masks.tiles(hole, TILE, CONTEXT)) <= MOST


def fill(
    rgb: np.ndarray, hole: np.ndarray, start: np.ndarray, steps: int = STEPS
) -> Generator[Event, None, np.ndarray]:
    """uint8 (H, W, 3) with the hole, bool (H, W), filled; nothing else changes.

    Args:
        start: a first guess, uint8 (H, W, 3).
    """
    result, began = np.where(hole[..., None], start, rgb), monotonic()
    tiles = list(masks.tiles(hole, TILE, CONTEXT))
    total, done = len(tiles) * steps, 0
    for core, around in tiles:
        x, unknown = images.to_tensor(result[around]), torch.from_numpy(hole[around])[None, None]
        for number, sigma in enumerate(np.geomspace(*NOISE, steps)):
            devices.share_cores()
            with torch.inference_mode():
                shift = (number % STRIDE, number // STRIDE % STRIDE)
                x = torch.where(unknown, denoise(x, float(sigma), shift), x)
            done += 1
            yield Step(done, total, {}, (monotonic() - began) / done * (total - done))
        painted = np.zeros_like(rgb)
        painted[around] = images.from_tensor(x.clamp(0, 1))
        result[core] = np.where(hole[core][..., None], painted[core], result[core])
        yield Preview("filling", result.copy())
    return result
