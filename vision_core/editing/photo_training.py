"""Shared parts of the trainers on photographs: reading, held-out photographs, crops, start, export."""

from collections.abc import Callable, Generator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vision_core import checkpoints, devices, folders, runs, training
from vision_core.events import Event
from vision_core.pictures import images

HERE = ("train_dir", "val_dir", "start", "device", "track", "workers")  # settings of this machine only
Network = TypeVar("Network", bound=nn.Module)


def read(folder: str | Path) -> list[np.ndarray]:
    """All photographs below a folder, uint8 (H, W, 3) each, by name.

    Raises:
        ValueError: no such folder, no photograph in it, or one that cannot be read.
    """
    return [images.read(path).seen for path in folders.below(folder)]


def split(photos: list[np.ndarray], every: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(training, held out): one in `every` photographs, at least one, is held out.

    Raises:
        ValueError: fewer than two photographs.
    """
    if len(photos) < 2:
        raise ValueError("at least two photographs are needed to hold one out for validation")
    held_out = set(range(len(photos) // 2 % every, len(photos), every))
    return (
        [photo for number, photo in enumerate(photos) if number not in held_out],
        [photo for number, photo in enumerate(photos) if number in held_out],
    )


def crop(photo: np.ndarray, side: int, smallest: float, rng: np.random.Generator) -> np.ndarray:
    """A random square of the photograph, uint8 (S, S, 3): downscaled, turned, mirrored, channels swapped."""
    scale = 1.0 if rng.random() < 0.5 else rng.uniform(smallest, 1)
    wide = max(side, min(round(side / scale), *photo.shape[:2]))
    square = max((square_at(photo, wide, rng.random(2)) for _ in range(2)), key=_detail)  # less sky
    if len(square) > side:
        small = Image.fromarray(np.ascontiguousarray(square)).resize((side, side), Image.Resampling.LANCZOS)
        square = np.asarray(small)
    return turned(square, rng)


def turned(square: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square of a photograph mirrored, turned by quarters, and its channels swapped, at random."""
    square = np.rot90(square[:, ::-1] if rng.random() < 0.5 else square, int(rng.integers(4)))
    return square[..., rng.permutation(3)] if rng.random() < 0.3 else square


def _detail(square: np.ndarray) -> float:
    return float(np.abs(np.diff(square[::2, ::2, 1].astype(np.int16))).mean())


def square_at(photo: np.ndarray, side: int, place: np.ndarray) -> np.ndarray:
    """A square of the photograph, padded by mirroring if that is smaller; `place` in [0, 1]."""
    top, left = (round(p * max(0, have - side)) for p, have in zip(place, photo.shape[:2], strict=True))
    square = photo[top : top + side, left : left + side]
    missing = [(0, side - have) for have in square.shape[:2]]
    return np.pad(square, [*missing, (0, 0)], mode="symmetric")


def network(kind: type[Network], settings: Any) -> Network:
    """A network to train: new weights drawn from `settings.seed`, or those of `settings.start`.

    A narrower one to start with becomes the first channels of a wider one, which computes the same at first.

    Raises:
        ValueError: the network to start with is wider, or of another depth.
    """
    with devices.seeded(settings.seed):
        model = kind(settings.widths, settings.down, settings.up)
    if settings.start is not None:
        _put_into(model, checkpoints.load(settings.start, kind)[0])
    return model.train().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


@torch.no_grad()
def _put_into(model: nn.Module, small: nn.Module) -> None:
    pairs = list(zip(model.parameters(), small.parameters(), strict=False))
    depths = [{name for name, _ in each.named_parameters()} for each in (model, small)]
    if depths[0] != depths[1] or any(
        a < b for new, old in pairs for a, b in zip(new.shape, old.shape, strict=True)
    ):
        raise ValueError("the network to start with is no narrower one of the same depth")
    for new, old in pairs:
        new[: len(old)] = 0  # what was there does not see the new channels yet
        new[tuple(map(slice, old.shape))] = old


def train(
    run: runs.Run,
    settings: Any,
    kind: type[nn.Module],
    batches: training.Batches,
    terms: training.Terms,
    measure: Callable[[nn.Module], dict[str, Any]],
    best: str,
    *,
    photographs: int,
    warmup: int,
    least: float,
) -> Generator[Event]:
    """Train a network of `kind` with AdamW and cosine decay; see `training.run`.

    Args:
        best: the metric to maximise.
        photographs: how many there are to train on, for the metadata.
        warmup, least: see `training.cosine`.
    """
    model, steps = network(kind, settings), settings.epochs * settings.steps
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    rate = partial(training.cosine, total=steps, warmup=warmup, least=least)
    yield from training.run(
        run,
        model,
        optimizer,
        batches,
        terms,
        training.Plan.of(settings, settings.steps, best={best: "max"}),
        scheduler=LambdaLR(optimizer, rate),
        measure=lambda model, epoch: measure(model),
        metadata={**asdict(settings), "photographs": photographs, "licence": "Apache-2.0"},
        finish=measure,
    )


def export(run: str | Path, out: str | Path, system: str, settings: type, kind: type[Network]) -> Path:
    """Write a run's best network, finished or not, in half precision to the file `out`.

    Raises:
        ValueError: `run` is no run of this system, or one that has not been measured yet.
    """
    trained, _ = runs.open(run, system, settings)
    model, metadata = checkpoints.load(trained.folder / "best.safetensors", kind)
    checkpoints.save(out, model, {k: v for k, v in metadata.items() if k not in HERE}, half=True)
    return Path(out)
