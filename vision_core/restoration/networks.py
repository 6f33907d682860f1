"""The networks by name, and the bundled one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision_core import checkpoints, devices, weights
from vision_core.restoration.network import PageRestorer
from vision_core.restoration.vit import SIZES, ViTRestorer
from vision_core.settings import shareable

Restorer = PageRestorer | ViTRestorer
NETWORKS = ("pages", *SIZES)


def build(name: str, seed: int = 0, image_size: int = 256) -> Restorer:
    """An untrained network: "pages", or the original's ViT as "tiny", "small", "base" or "large".

    Raises:
        ValueError: unknown name.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    with devices.seeded(seed):
        return PageRestorer() if name == "pages" else ViTRestorer(name, image_size)


def load(path: str | Path | None = None) -> tuple[Restorer, dict[str, Any]]:
    """A trained network in eval mode and its metadata; by default, the bundled one.

    Raises:
        ValueError: the file is damaged, or not a checkpoint of a restorer.
        WeightsMissing: the bundled weights are missing.
    """
    return checkpoints.load(weights.find("restoration", path), PageRestorer, ViTRestorer)


def join(detail: str | Path, lights: Sequence[str | Path], out: str | Path) -> dict[str, Any]:
    """Write a network with the detail of one file and all light networks of others, in half precision.

    Returns:
        The joined metadata.

    Raises:
        ValueError: a file holds no `PageRestorer`, or the sizes differ.
    """
    source, detail_facts = checkpoints.load(detail, PageRestorer)
    loaded = [checkpoints.load(path, PageRestorer) for path in lights]
    sizes = {name: source.architecture[name] for name in ("widths", "down", "up", "light")}
    if any(other.architecture["light"] != sizes["light"] for other, _ in loaded):
        raise ValueError(f"{detail} and {', '.join(map(str, lights))} have lights of different sizes")
    parts = [part for other, _ in loaded for part in (other.light, *other.others)]
    joined = PageRestorer(**sizes, lights=len(parts))
    joined.detail.load_state_dict(source.detail.state_dict())
    for light, part in zip((joined.light, *joined.others), parts, strict=True):
        light.load_state_dict(part.state_dict())
    facts = {
        "detail": shareable(detail_facts),
        "lights": [shareable(fact) for _, each in loaded for fact in each.get("lights", [each])],
        "licence": "Apache-2.0",
    }
    checkpoints.save(out, joined, facts, half=True)
    return facts
