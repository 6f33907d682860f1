"""Finds scratches, dust and folds of old photographs: a guess to be looked at, not yet a repair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vision_core import checkpoints, unet
from vision_core.checkpoints import HubMixin
from vision_core.pictures import images
from vision_core.safety.bounds import Bounds
from vision_core.unet import UNet
from vision_core.weights import find as locate

NAME = "editing-scratches"
LONGER = 2048  # larger pictures are reduced to this longer side, in pixels
SURE = 0.9  # high threshold of the hysteresis
FAINT = 0.7  # low threshold
TURNS = ((0, False), (1, False), (0, True))  # quarter turns and mirroring of the averaged views


class ScratchNet(nn.Module, HubMixin, library_name="vision-core", license="apache-2.0"):
    """A picture, (B, 3, H, W) in [0, 1] -> logits (B, 1, H, W) of damage; H and W multiples of `multiple`.

    Args:
        widths, down, up: as `UNet`'s.
    """

    bounds: ClassVar[Bounds] = unet.BOUNDS

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 96, 128),
        down: tuple[int, ...] = (1, 1, 1, 2),
        up: tuple[int, ...] = (1, 1, 1),
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {"widths": list(widths), "down": list(down), "up": list(up)}
        self.unet = UNet(3, 1, widths, down, up)
        self.multiple = 2 ** len(widths)

    def forward(self, rgb: Tensor) -> Tensor:
        if rgb.ndim != 4 or rgb.shape[1] != 3 or any(side % self.multiple for side in rgb.shape[2:]):
            raise ValueError(
                f"expected (B, 3, H, W) with sides of multiples of {self.multiple}, got {tuple(rgb.shape)}"
            )
        return self.unet((rgb - 0.5).contiguous(memory_format=torch.channels_last))


def load(path: str | Path | None = None) -> ScratchNet:
    """A trained network in eval mode; without a path, the one of this release.

    Raises:
        ValueError: not a checkpoint of such a network, or a damaged one.
        WeightsMissing: no path, and the weights are not there.
    """
    return checkpoints.load(locate(NAME, path), ScratchNet)[0]


def find(rgb: np.ndarray, network: ScratchNet | None = None, sure: float = SURE) -> np.ndarray:
    """A guess at scratches, dust and folds of uint8 (H, W, 3): bool (H, W), perhaps empty.

    Args:
        sure: probability that each mark reaches; smaller marks more.
    """
    return marks(chance(rgb, network or load()), sure)


def marks(likely: np.ndarray, sure: float = SURE) -> np.ndarray:
    """The connected parts of probability `FAINT` that reach `sure` somewhere (hysteresis): bool (H, W)."""
    faint = (likely >= min(FAINT, sure)).astype(np.uint8)
    count, labels = cv2.connectedComponents(faint, connectivity=8)
    places = np.asarray(labels, np.intp)
    reached = np.zeros(count, bool)
    reached[places[likely >= sure]] = True
    return reached[places]


def chance(rgb: np.ndarray, network: ScratchNet, turns: Sequence[tuple[int, bool]] = TURNS) -> np.ndarray:
    """The probability of damage at each pixel, the mean of some views, float32 (H, W)."""
    small = images.shrink(rgb, LONGER)
    probability = np.zeros(small.shape[:2], np.float32)
    for quarters, mirrored in turns:
        view = np.rot90(small[:, ::-1] if mirrored else small, quarters)
        height, width = view.shape[:2]
        more = [-side % network.multiple for side in (height, width)]
        padded = cv2.copyMakeBorder(np.ascontiguousarray(view), 0, more[0], 0, more[1], cv2.BORDER_REFLECT)
        with torch.inference_mode():
            likely = network(images.to_tensor(padded))[0, 0, :height, :width].float().sigmoid().numpy()
        likely = np.rot90(likely, -quarters)
        probability += (likely[:, ::-1] if mirrored else likely) / len(turns)
    if small.shape != rgb.shape:
        probability = cv2.resize(probability, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return probability
