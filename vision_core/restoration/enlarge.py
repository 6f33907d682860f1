"""Interpolation as matrix products, ten times as fast as torch's for a few channels."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


@lru_cache(256)
@torch.inference_mode(False)  # cached tensors are also used in training
def weights(side: int, length: int, mode: str, align_corners: bool) -> Tensor:
    """(length, side), the matrix of `F.interpolate` from `side` values to `length`."""
    each = torch.eye(side)[:, None, :, None]
    large = F.interpolate(each, (length, 1), mode=mode, align_corners=align_corners)
    return large[:, 0, :, 0].mT.contiguous()
