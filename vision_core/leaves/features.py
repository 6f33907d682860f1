"""Embeddings of pictures by the frozen features, cached in the run's folder."""

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vision_core import devices, runs
from vision_core.events import Prepare
from vision_core.files import atomic
from vision_core.leaves import data
from vision_core.leaves.augment import centre, random_views
from vision_core.leaves.data import Manifest
from vision_core.leaves.network import LeafNet, pooled
from vision_core.runs import Run

BATCH = 32
VIEWS = 2  # random views per training picture for the gate, if the training cached none
FILE, PARTIAL = "embeddings.safetensors", "embeddings.partial.safetensors"


def tensor(squares: np.ndarray) -> Tensor:
    """uint8 (B, S, S, 3) -> (B, 3, S, S)."""
    return torch.from_numpy(squares).permute(0, 3, 1, 2)


def embeddings(
    model: LeafNet, folder: str | Path, files: Sequence[str], views: int = 0, seed: int = 0, first: int = 0
) -> Generator[Tensor]:
    """For each batch of 32 pictures, on the CPU: embeddings of the pictures and of V random views,
    (1 + V, B, WIDTH).

    Args:
        first: the number of the first batch.

    Raises:
        ValueError: a picture is missing or damaged.
    """
    device, features = model.temperature.device, model.folded()
    for number in range(first, -(-len(files) // BATCH)):
        squares = tensor(
            data.read_squares(folder, files[number * BATCH : (number + 1) * BATCH], model.square)
        )
        yield _embedded(model, features, device, squares, [(seed, v, number) for v in range(1, views + 1)])


@torch.no_grad()
def _embedded(
    model: LeafNet,
    features: nn.Sequential,
    device: torch.device,
    squares: Tensor,
    seeds: list[tuple[int, int, int]],
) -> Tensor:
    def embed(images: Tensor) -> Tensor:
        return pooled(model.maps(images.to(device), features)).cpu()

    middle = centre(squares, model.crop)
    random = [random_views(squares, model.crop, devices.generator(*seed)) for seed in seeds]
    return torch.stack([(embed(middle) + embed(middle.flip(3))) / 2, *map(embed, random)])


def embed(model: LeafNet, manifest: Manifest, split: str) -> Tensor:
    """The embeddings of a split (N, WIDTH); for "train" also of random views (1 + VIEWS, N, WIDTH)."""
    files = [photo.file for photo in manifest.of(split)]
    parts = embeddings(model, manifest.folder, files, VIEWS if split == "train" else 0)
    embedded = torch.cat([*parts], 1)
    return embedded if split == "train" else embedded[0]


def prepare(
    run: Run, model: LeafNet, manifest: Manifest, views: int, seed: int, kept: dict[str, Tensor]
) -> Generator[Prepare]:
    """Fill `kept` with embeddings: "train" (V, N, WIDTH), unaugmented first, and "validation" (M, WIDTH).

    They are computed once, then read from the run's folder. With `views` 0, the training pictures are left
    out. If the generator is closed early, the next one continues. At the end the model is set to standardise
    by them.
    """
    kept |= _read(run.folder / FILE)
    if not kept:
        yield from _filled(run, model, manifest, views, seed, kept)
    model.set_scale(kept.get("train", kept["validation"]).flatten(0, -2).to(model.feature_std.device))


def _filled(
    run: Run, model: LeafNet, manifest: Manifest, views: int, seed: int, kept: dict[str, Tensor]
) -> Generator[Prepare]:
    started = _read(run.folder / PARTIAL)
    views_of = {"validation": 0} | ({"train": views - 1} if views else {})
    files = {split: [photo.file for photo in manifest.of(split)] for split in views_of}
    total, done = sum(-(-len(names) // BATCH) for names in files.values()), 0
    parts: dict[str, list[Tensor]] = {}
    try:
        for split, random in views_of.items():
            parts[split] = [started[split]] if split in started else []
            first = -(-parts[split][0].shape[1] // BATCH) if parts[split] else 0
            done += first
            for part in embeddings(model, manifest.folder, files[split], random, seed, first):
                parts[split].append(part)
                done += 1
                yield Prepare(done, total)
    except GeneratorExit:
        _write(run.folder / PARTIAL, {split: torch.cat(part, 1) for split, part in parts.items() if part})
        raise
    kept |= {split: torch.cat(part, 1) for split, part in parts.items()}
    kept["validation"] = kept["validation"][0].clone()
    _write(run.folder / FILE, kept)
    if runs.is_first_process():
        (run.folder / PARTIAL).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError):  # missing or incomplete
        return {}


def _write(path: Path, kept: dict[str, Tensor]) -> None:
    if runs.is_first_process():
        with atomic(path) as file:
            file.write(save(kept))
