"""The networks by name, and the one that comes with the package."""

from pathlib import Path
from typing import Any

from vision_core import checkpoints, devices, weights
from vision_core.restoration.network import PageRestorer
from vision_core.restoration.vit import SIZES, ViTRestorer
from vision_core.settings import shareable

Restorer = PageRestorer | ViTRestorer
NETWORKS = ("pages", *SIZES)


def build(name: str, seed: int = 0, image_size: int = 256) -> Restorer:
    """An untrained network: "pages", or the original in tiny, small, base or large.

    Raises:
        ValueError: another name.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    with devices.seeded(seed):
        return PageRestorer() if name == "pages" else ViTRestorer(name, image_size)


def load(path: str | Path | None = None) -> tuple[Restorer, dict[str, Any]]:
    """A trained network in eval mode and its metadata; without a path, the one of this release.

    Raises:
        ValueError: not a checkpoint of a restorer, or a damaged one.
        WeightsMissing: no path, and the embedded weights are not there.
    """
    return checkpoints.load(weights.find("restoration", path), PageRestorer, ViTRestorer)


def join(detail: str | Path, light: str | Path, out: str | Path) -> dict[str, Any]:
    """Write one network with the detail of one file and the light of another, in half precision.

    Returns:
        The metadata: those of both.

    Raises:
        ValueError: one of them is no `PageRestorer`.
    """
    (one, detail_facts), (other, light_facts) = (
        checkpoints.load(path, PageRestorer) for path in (detail, light)
    )
    if one.architecture["light"] != other.architecture["light"]:
        raise ValueError(f"{detail} and {light} have lights of different sizes")
    one.light.load_state_dict(other.light.state_dict())
    facts = {"detail": shareable(detail_facts), "light": shareable(light_facts), "licence": "Apache-2.0"}
    checkpoints.save(out, one, facts, half=True)
    return facts
