"""Embeddings of pictures by the frozen features, computed once and kept in the run's folder."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from vision_core import devices
from vision_core.files import atomic
from vision_core.leaves import augment, data
from vision_core.leaves.data import Manifest
from vision_core.leaves.network import LeafNet
from vision_core.runs import Run
from vision_core.training import Step

BATCH = 32
FILE = "embeddings.safetensors"
View = Callable[
    [Tensor, int], Tensor
]  # squares uint8 (B, 3, S, S), number of the batch -> (B, 3, crop, crop)


def tensor(squares) -> Tensor:
    """uint8 (B, S, S, 3) -> (B, 3, S, S)."""
    return torch.from_numpy(squares).permute(0, 3, 1, 2)


def embeddings(
    model: LeafNet, folder: str | Path, files: Sequence[str], views: Sequence[View]
) -> Generator[Tensor]:
    """For each 32 pictures the embeddings (V, B, 1280) of their views, on the CPU.

    Raises:
        ValueError: a picture is gone or damaged.
    """
    device = next(model.parameters()).device
    features = model.folded().to(device)
    for number, start in enumerate(range(0, len(files), BATCH)):
        squares = tensor(data.read_squares(folder, files[start : start + BATCH]))
        yield _embedded(model, features, [view(squares, number).to(device) for view in views])


@torch.no_grad()
def _embedded(model: LeafNet, features: torch.nn.Module, views: list[Tensor]) -> Tensor:
    return torch.stack([features(model.normalised(view)).mean((2, 3)).cpu() for view in views])


def middle(crop: int) -> View:
    """The view that is measured and predicted on."""
    return lambda squares, number: augment.centre(squares, crop)


def augmented(crop: int, seed: int, view: int) -> View:
    """The random view of this number, the same for a seed."""
    return lambda squares, number: augment.random_views(squares, crop, devices.generator(seed, view, number))


def prepare(
    run: Run, model: LeafNet, manifest: Manifest, views: int, seed: int
) -> Generator[Step, None, dict[str, Tensor]]:
    """The embeddings of "train" (V, N, 1280), the first view being the middle, and of "validation" (M, 1280).

    Computed once, then read from the run's folder. With no `views`, the training pictures are left out.
    """
    try:
        return load_file(run.folder / FILE)
    except (SafetensorError, OSError):  # not there yet, or half of it
        pass
    ways = {"validation": [middle(model.crop)]}
    if views:
        ways["train"] = [middle(model.crop), *(augmented(model.crop, seed, v) for v in range(1, views))]
    files = {split: [photo.file for photo in manifest.of(split)] for split in ways}
    total, done, kept = sum(-(-len(files[s]) // BATCH) * len(ways[s]) for s in ways), 0, {}
    for split in ways:
        parts = []
        for part in embeddings(model, manifest.folder, files[split], ways[split]):
            parts.append(part)
            done += len(part)
            yield Step(done, total, {}, 0.0)
        kept[split] = torch.cat(parts, 1).contiguous()
    kept["validation"] = kept["validation"][0].contiguous()
    with atomic(run.folder / FILE) as file:
        file.write(save(kept))
    return kept
