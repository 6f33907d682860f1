"""Fills thin holes with a network that adds the missing detail to a smooth filling."""

from collections.abc import Generator
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vision_core import checkpoints, devices, unet
from vision_core.checkpoints import HubMixin
from vision_core.editing import masks
from vision_core.editing.fill import push_pull
from vision_core.events import Event, Preview, Step
from vision_core.pictures import images
from vision_core.safety.bounds import Bounds
from vision_core.unet import UNet
from vision_core.weights import WEIGHTS, find, locate

NAME = "editing-filler"
CONTEXT = 48  # pixels of context around a hole
TILE = 384  # side of a tile in pixels
TURNS = 8  # mirrored and turned views that are averaged,
MOST_TURNED = 1_000_000  # up to this many pixels, context included: half a minute; above, a single view
MOST = 8_000_000


class Filler(nn.Module, HubMixin, library_name="vision-core", license="apache-2.0"):
    """A smooth filling and its hole, of any size -> a filling with detail.

    Untrained it changes nothing. Positions come from convolutions alone.

    Args:
        widths: channels at 1/2, 1/4, 1/8 ... of the resolution.
        down: blocks at each of these on the way down.
        up: blocks at each but the last on the way up.
    """

    bounds: ClassVar[Bounds] = unet.BOUNDS

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 192, 224),
        down: tuple[int, ...] = (2, 2, 2, 2),
        up: tuple[int, ...] = (2, 2, 2),
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {"widths": list(widths), "down": list(down), "up": list(up)}
        self.unet = UNet(4, 3, widths, down, up)
        self.multiple = 2 ** len(widths)

    def forward(self, smooth: Tensor, hole: Tensor) -> Tensor:
        """(B, 3, H, W), not bounded; outside the hole it is `smooth`, bit for bit.

        Args:
            smooth: (B, 3, H, W) in [0, 1], the hole filled by `push_pull`.
            hole: bool (B, 1, H, W).
        """
        if smooth.ndim != 4 or smooth.shape[1] != 3 or hole.shape != (len(smooth), 1, *smooth.shape[2:]):
            raise ValueError(
                f"expected (B, 3, H, W) and (B, 1, H, W), got {tuple(smooth.shape)}, {tuple(hole.shape)}"
            )
        height, width = smooth.shape[2:]
        x = torch.cat([smooth - 0.5, hole.to(smooth.dtype)], 1)  # (B, 4, H, W)
        rows, columns = (_mirrored(size, self.multiple, x.device) for size in (height, width))
        if (len(rows), len(columns)) != (height, width):
            x = x[:, :, rows][:, :, :, columns]
        detail = self.unet(x.contiguous(memory_format=torch.channels_last))
        return torch.where(hole, smooth + detail[..., :height, :width].to(smooth.dtype), smooth)


def _mirrored(size: int, multiple: int, device: torch.device) -> Tensor:
    """The places of 0 ... size - 1, continued by mirroring to a multiple."""
    place = torch.arange(-(-size // multiple) * multiple, device=device) % (2 * size)
    return torch.minimum(place, 2 * size - 1 - place)


def load(path: str | Path | None = None, name: str = NAME) -> tuple[Filler, dict[str, Any]]:
    """A trained network in eval mode and its metadata; without a path, the one of this release called `name`.

    Raises:
        ValueError: not a checkpoint of a filler, or a damaged one.
        WeightsMissing: no path, and the weights are not there.
    """
    return checkpoints.load(find(name, path), Filler)


def shipped() -> Filler | None:
    """The network of this release, if this copy has one."""
    entry = WEIGHTS.get(NAME)
    return load()[0] if entry is not None and locate(entry) is not None else None


def affordable(hole: np.ndarray) -> bool:
    """Whether `fill` is done within a few minutes, and there is something to learn from."""
    return not hole.all() and _pixels(hole) <= MOST


def fill(network: Filler, rgb: np.ndarray, hole: np.ndarray) -> Generator[Event, None, np.ndarray]:
    """uint8 (H, W, 3) with the hole, bool (H, W), filled; nothing else changes."""
    start, began = push_pull.fill(rgb, hole), monotonic()
    result, tiles = start.copy(), list(masks.tiles(hole, TILE, CONTEXT))
    turns = TURNS if _pixels(hole) <= MOST_TURNED else 1
    done, total = 0, len(tiles) * turns
    for core, around in tiles:
        smooth, unknown = images.to_tensor(start[around]), torch.from_numpy(hole[around])[None, None]
        average = torch.zeros_like(smooth)
        for turn in range(turns):
            devices.share_cores()
            with torch.inference_mode():
                average += _turned_back(network(_turned(smooth, turn), _turned(unknown, turn)), turn) / turns
            done += 1
            yield Step(done, total, {}, (monotonic() - began) / done * (total - done))
        painted = np.zeros_like(rgb)
        painted[around] = images.from_tensor(average)
        result[core] = np.where(hole[core][..., None], painted[core], result[core])
        yield Preview("filling", result.copy())
    return result


def _pixels(hole: np.ndarray) -> int:
    """Number of pixels that the network sees to fill a hole."""
    return sum(hole[around].size for _, around in masks.tiles(hole, TILE, CONTEXT))


def _turned(x: Tensor, turn: int) -> Tensor:
    """One of the eight views of a picture: every other mirrored, each pair turned by a quarter."""
    return torch.rot90(x.flip(3) if turn % 2 else x, turn // 2, (2, 3))


def _turned_back(x: Tensor, turn: int) -> Tensor:
    x = torch.rot90(x, -(turn // 2), (2, 3))
    return x.flip(3) if turn % 2 else x
