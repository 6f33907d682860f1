"""Distances of restored pages to clean ones: (B, 3, H, W) in [0, 1] -> (B,)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def mse(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean squared error."""
    _check(restored, clean)
    return ((restored - clean) ** 2).mean((1, 2, 3))


def mae(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute error."""
    _check(restored, clean)
    return (restored - clean).abs().mean((1, 2, 3))


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, of the whole image over all channels; at most 100."""
    return -10 * torch.log10(mse(restored, clean).clamp(min=1e-10))


def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity, mean over channels and all places where the window of 11 x 11 pixels fits.

    Images smaller than the window are compared with one as large as they are. Source: Wang et al. 2004.
    """
    _check(restored, clean)
    sides = [min(11, side) for side in restored.shape[2:]]

    def local(x: Tensor) -> Tensor:
        return _windowed(x, sides)

    mean_x, mean_y = local(restored), local(clean)
    var_x = local(restored**2) - mean_x**2
    var_y = local(clean**2) - mean_y**2
    covariance = local(restored * clean) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    index = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return index.mean((1, 2, 3))


def sharpness(image: Tensor) -> Tensor:
    """Variance of the Laplacian of the luma, in 8-bit units squared: the original's measure."""
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"expected (B, 3, H, W), got {tuple(image.shape)}")
    luma = (image * image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True) * 255
    padded = F.pad(luma, (1, 1, 1, 1), "replicate")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return (around - 4 * luma).var((1, 2, 3), correction=0)


def _windowed(x: Tensor, sides: list[int]) -> Tensor:
    """Means under a Gaussian window of sigma 1.5, without padding: sums of shifted images."""
    for axis, side in zip((2, 3), sides, strict=True):
        offsets = torch.arange(side) - (side - 1) / 2
        weights = torch.exp(-0.5 * (offsets / 1.5) ** 2)
        length = x.shape[axis] - side + 1
        parts = (w * x.narrow(axis, i, length) for i, w in enumerate((weights / weights.sum()).tolist()))
        x = sum(parts, torch.zeros_like(x.narrow(axis, 0, length)))
    return x


def _check(restored: Tensor, clean: Tensor) -> None:
    if restored.shape != clean.shape or restored.ndim != 4:
        raise ValueError(f"restored {tuple(restored.shape)} and clean {tuple(clean.shape)} must match")
