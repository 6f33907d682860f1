"""The networks by name, and the one that comes with the package."""

from pathlib import Path
from typing import Any

from vision_core import checkpoints, devices, weights
from vision_core.restoration.hybrid import HybridRestorer
from vision_core.restoration.vit import SIZES, ViTRestorer

Restorer = HybridRestorer | ViTRestorer
NETWORKS = ("hybrid", *SIZES)


def build(name: str, seed: int = 0, image_size: int = 256) -> Restorer:
    """An untrained network: "hybrid", or the original in tiny, small, base or large.

    Raises:
        ValueError: another name.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    with devices.seeded(seed):
        return HybridRestorer() if name == "hybrid" else ViTRestorer(name, image_size)


def load(path: str | Path | None = None) -> tuple[Restorer, dict[str, Any]]:
    """A trained network in eval mode and its metadata; without a path, the one of this release.

    Raises:
        ValueError: not a checkpoint of a restorer, or a damaged one.
        WeightsMissing: no path, and the embedded weights are not there.
    """
    return checkpoints.load(weights.find("restoration", path), HybridRestorer, ViTRestorer)
