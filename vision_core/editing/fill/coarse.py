"""Fills wide holes coarsely by a network that sees all surroundings, to guide the search of patches."""

from functools import cache

import numpy as np
import torch

from vision_core import devices
from vision_core.editing import masks
from vision_core.editing.fill import filler, patches, push_pull
from vision_core.editing.fill.filler import Filler
from vision_core.pictures import images
from vision_core.weights import WEIGHTS, locate

NAME = "editing-coarse"
SIDE = 96  # longer side in pixels of the picture that the network sees
KNOWN = 0.7  # share of a reduced pixel that is known, below which it is filled


@cache
def shipped() -> Filler | None:
    """The network of this release, if this copy has it; one for the whole process."""
    return filler.load(name=NAME)[0] if locate(WEIGHTS[NAME]) is not None else None


def guide(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray | None:
    """The coarse filling for `patches.fill`, if there is a network, and if it helps.

    Beyond a side of the picture it does not: the colours of a strip turned out worse with a guide.
    """
    network = None if masks.extends(hole) else shipped()
    return None if network is None else fill(network, rgb, hole)


def fill(network: Filler, rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The picture with its hole filled, reduced to a longer side of `SIDE`: uint8 (h, w, 3).

    Args:
        rgb: uint8 (H, W, 3); the values in the hole are ignored.
        hole: bool (H, W).
    """
    height, width = (max(2, round(side * SIDE / max(hole.shape))) for side in hole.shape)
    small, gap = patches.shrink(rgb, hole, height, width, KNOWN)
    smooth, unknown = images.to_tensor(push_pull.fill(small, gap)), torch.from_numpy(gap)[None, None]
    devices.share_cores()
    with torch.inference_mode():
        views = network(smooth, unknown), network(smooth.flip(3), unknown.flip(3)).flip(3)
    return images.from_tensor((views[0] + views[1]) / 2)
