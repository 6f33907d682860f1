"""Training pictures of the small world, drawn once and cached in a folder by scene number."""

import hashlib
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vision_core.files import atomic
from vision_core.loading import prefetched
from vision_core.smallworld import world

SIDE, CHUNK = 128, 512
HELD_OUT = 1 << 30  # first of the held-out scenes


def scenes(first: int, count: int) -> list[world.Scene]:
    """The scenes `first` ... `first + count - 1`; those below `HELD_OUT` are for training."""
    return [world.scene(number) for number in range(first, first + count)]


Numbered = Callable[[int], world.Scene]  # maps a number to a scene


def pictures(
    first: int, count: int, folder: str | Path | None = None, scene: Numbered = world.scene
) -> NDArray[np.uint8]:
    """The pictures of scenes, (count, 128, 128, 3); with a folder, cached there in chunks of 512."""
    if folder is None:
        return np.stack([world.render(scene(number)) for number in range(first, first + count)])
    parts = []
    while count:
        start = first % CHUNK
        taken = min(count, CHUNK - start)
        parts.append(_chunk(Path(folder), first // CHUNK, scene)[start : start + taken])
        first, count = first + taken, count - taken
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def draw(folder: str | Path, first: int, count: int, workers: int = 0, scene: Numbered = world.scene) -> None:
    """Draw the pictures of scenes that are not cached yet, with `workers` processes."""
    chunks = range(first // CHUNK, -(-(first + count) // CHUNK))
    missing = [k for k in chunks if not _path(Path(folder), k, scene).exists()]

    def drawn(number: int) -> None:
        pictures(missing[number] * CHUNK, 1, folder, scene)

    for _ in prefetched(drawn, len(missing), min(workers, len(missing))):
        pass


@lru_cache(512)
def _chunk(folder: Path, number: int, scene: Numbered) -> NDArray[np.uint8]:
    path = _path(folder, number, scene)
    return cached(path, lambda: pictures(number * CHUNK, CHUNK, None, scene))


def _path(folder: Path, number: int, scene: Numbered) -> Path:
    return folder / f"pictures-{version(scene)}" / f"{number:06}.npy"


def cached(path: Path | None, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Load the array in `path`; if it does not exist, create it with `make` first."""
    if path is None:
        return make()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        array = make()
        with atomic(path) as file:
            np.save(file, array)
    return np.load(path, mmap_mode="r")


@cache
def version(scene: Numbered) -> str:
    """A hash that changes whenever the scenes or their pictures do."""
    seeds = range(40)
    texts = "".join(map(repr, (scene(seed) for seed in seeds))).encode()
    pixels = b"".join(world.render(scene(seed), 64).tobytes() for seed in seeds)
    return hashlib.sha256(texts + pixels).hexdigest()[:10]


def image(number: int, folder: str | Path | None = None) -> Tensor:
    """The picture of one scene, uint8 (3, 128, 128)."""
    return torch.from_numpy(pictures(number, 1, folder)[0].copy()).permute(2, 0, 1)


def images(first: int, count: int, folder: str | Path | None = None) -> Tensor:
    """The pictures of scenes, float32 (count, 3, 128, 128) in [0, 1]."""
    return torch.stack([image(number, folder) for number in range(first, first + count)]).float() / 255


def drawn(scenes: list[world.Scene]) -> Tensor:
    """Render scenes, uint8 (B, 3, 128, 128)."""
    return torch.from_numpy(np.stack([world.render(scene) for scene in scenes])).permute(0, 3, 1, 2)


def draws(settings: Any, rng: torch.Generator) -> Iterator[list[int]]:
    """The scene numbers of each batch of an epoch."""
    for _ in range(settings.steps):
        yield torch.randint(settings.scenes, (settings.batch_size,), generator=rng).tolist()


def save_sheet(path: Path, images: Tensor, columns: int = 8) -> None:
    """Write pictures (B, 3, H, W) in [0, 1] as one PNG, in rows of eight."""
    pixels = (images.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    rows = [np.concatenate(list(pixels[k : k + columns]), 1) for k in range(0, len(pixels), columns)]
    with atomic(path) as file:
        Image.fromarray(np.concatenate(rows)).save(file, "PNG")


def halves(network: torch.nn.Module) -> dict[str, Tensor]:
    """The weights in half precision."""
    return {n: v.half() if v.is_floating_point() else v for n, v in network.state_dict().items()}
