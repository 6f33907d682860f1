"""Losses of restored and clean pages, both (B, 3, H, W) in [0, 1]."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.weights import IMAGENET_MEAN, IMAGENET_STD


def l1(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference, the main term of the original project."""
    return (_alike(restored, clean)).abs().mean()


def gradient(restored: Tensor, clean: Tensor) -> Tensor:
    """L1 of the horizontal and vertical gradients, which emphasises the edges of strokes."""
    difference = _alike(restored, clean)
    return difference.diff(dim=3).abs().mean() + difference.diff(dim=2).abs().mean()


def perceptual(name: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The perceptual loss by name: "vgg16", "gradient" or "none".

    Raises:
        ValueError: another name, or the weights of VGG16 are missing or damaged.
    """
    match name:
        case "none":
            return None
        case "gradient":
            return gradient
        case "vgg16":
            return VGG16Features().to(device)
    raise ValueError(f"the perceptual term is {name!r}; vgg16, gradient or none was expected")


def vgg16_file() -> Path:
    """The file in which torchvision caches the weights of VGG16."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "vgg16-397923af.pth"


class VGG16Features(nn.Module):
    """MSE of the VGG16 features after relu3_3, the perceptual term of the original project.

    Source: Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution".
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        from vision_core import states, torchvision_cpu

        torchvision_cpu.prepare()
        from torchvision.models import vgg16

        network = vgg16()
        state = states.load_state(vgg16_file(), "features.0.weight", "features.14.bias")
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{vgg16_file()} does not hold VGG16: {error}") from error
        self.layers = network.features[:16].eval().requires_grad_(False)  # pyright: ignore[reportIndexIssue]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        _alike(restored, clean)
        with torch.no_grad():
            target = self.layers((clean - self.mean) / self.std)
        return F.mse_loss(self.layers((restored - self.mean) / self.std), target)


def _alike(restored: Tensor, clean: Tensor) -> Tensor:
    if restored.shape != clean.shape:
        raise ValueError(f"restored {tuple(restored.shape)} and clean {tuple(clean.shape)} must match")
    return restored - clean
