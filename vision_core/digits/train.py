"""Trains the digit classifier and keeps every epoch, the untrained network and moments of the first epoch."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from vision_core import checkpoints, runs, training
from vision_core.devices import generator, seeded
from vision_core.digits import data
from vision_core.digits.measure import measure, on_one_thread, save_activations
from vision_core.digits.network import DigitNet
from vision_core.events import Epoch, Event, Step
from vision_core.files import read_json, write_json
from vision_core.settings import BATCH_SIZE, COUNT, TrainingSettings, setting

# Batches of the first epoch after which the network is kept, too: it learns most there
MOMENTS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Settings(TrainingSettings):
    """Settings of a training."""

    data: str | None = setting(
        None, "Folder of MNIST's idx files; by default the 10,000 bundled digits.", path=True
    )
    epochs: int = setting(20, "Passes over the data.", least=1, most=COUNT)
    batches: int = setting(100, "Batches per epoch; 0: all training images.", least=0, most=COUNT)
    batch_size: int = setting(64, "Images per batch.", least=1, most=BATCH_SIZE)
    lr: float = setting(1e-3, "Learning rate of Adam.", above=0, below=1)
    augment: bool = setting(False, "Randomly rotate, scale, shear and shift the training images.")
    cosine: bool = setting(False, "Cosine decay of the learning rate to 0.")


def train(out: str | Path, settings: Settings | None = None, *, replace: bool = False) -> Generator[Event]:
    """Train in the folder `out`. On the same kind of machine, equal settings produce equal bytes.

    After each epoch N, starting with 0, the run holds epoch_weights/epoch_N_weights.pth,
    activations/epoch_N.npz (for one test image of each digit) and an entry in metrics.jsonl. For the batches
    `MOMENTS` of the first epoch, it holds batch_weights/batch_N_weights.pth and batch_N.json, the metrics.
    The final weights are final_model_weights.pth; their metadata are `Done.result`. See `training.run` for
    the files that all runs have, and `training.start` for the errors.
    """
    return training.start(out, "digits", settings or Settings(), _read, _train, replace)


def resume(out: str | Path) -> Generator[Event]:
    """Resume a run from its last whole epoch, with the same bytes as if uninterrupted."""
    return training.resume(out, "digits", Settings, _read, _train)


def history(run: runs.Run) -> list[Epoch]:
    """The finished epochs in order, starting with 0; raises `ValueError` if there are none yet."""
    entries = [entry for entry in run.events() if entry["event"] == "epoch"]
    if not entries:
        raise ValueError(f"{run.folder} has no finished epoch yet")
    return [Epoch(entry["epoch"], entry["epochs"], entry["metrics"]) for entry in entries]


def weights_file(run: runs.Run, epoch: int, batch: int = 0) -> Path:
    """The weights after an epoch, or after a batch of the first one."""
    if batch:
        return run.folder / "batch_weights" / f"batch_{batch}_weights.pth"
    return run.folder / "epoch_weights" / f"epoch_{epoch}_weights.pth"


def moments(run: runs.Run) -> list[tuple[int, dict[str, Any]]]:
    """(batch, metrics) of the moments of the first epoch that the run holds, in order."""
    folder = run.folder / "batch_weights"
    kept = [batch for batch in MOMENTS if (folder / f"batch_{batch}.json").exists()]
    records = [(batch, read_json(folder / f"batch_{batch}.json")) for batch in kept]
    if not all(isinstance(metrics, dict) for _, metrics in records):
        raise ValueError(f"{folder} holds a file that is no metrics of a batch")
    return records


def _train(run: runs.Run, settings: Settings, digits: data.Digits) -> Generator[Event]:
    """In distributed training all processes evaluate, so that all agree, and the first one writes."""
    steps, model = batches(settings, len(digits.train)), _initial(settings.seed)
    optimizer = torch.optim.Adam(model.parameters(), settings.lr, fused=True)
    scheduler = CosineAnnealingLR(optimizer, settings.epochs * steps) if settings.cosine else None

    def evaluate(model: torch.nn.Module, epoch: int) -> dict[str, Any]:
        assert isinstance(model, DigitNet)
        metrics = measure(model, digits)
        if runs.is_first_process():
            facts = _metadata(settings, digits, [Epoch(epoch, settings.epochs, metrics)])
            checkpoints.save(weights_file(run, epoch), model, facts)
            images = digits.test.first(1)
            save_activations(run.folder / "activations" / f"epoch_{epoch}.npz", model, images)
        return metrics

    def finish(model: torch.nn.Module) -> dict[str, Any]:
        metadata = _metadata(settings, digits, history(run))
        if runs.is_first_process():
            checkpoints.save(run.folder / "final_model_weights.pth", model, metadata)
        return metadata

    def kept(events: Generator[Event]) -> Generator[Event]:
        """Keep the moments of the first epoch; the metrics are written last."""
        with closing(events):
            for event in events:
                if isinstance(event, Step) and event.step in MOMENTS and event.step < steps:
                    if runs.is_first_process():
                        file = weights_file(run, 1, event.step)
                        checkpoints.save(file, model, {**_facts(settings, digits), "batch": event.step})
                        write_json(file.with_name(f"batch_{event.step}.json"), measure(model, digits))
                yield event

    events = kept(
        training.run(
            run,
            model,
            optimizer,
            partial(_batches, digits.train, settings, steps),
            _terms,
            _plan(settings, digits),
            scheduler=scheduler,
            measure=evaluate,
            metadata=_facts(settings, digits),
            finish=finish,
        )
    )
    yield from on_one_thread(events)


def _read(settings: Settings) -> data.Digits:
    digits = data.load(settings.data)
    _plan(settings, digits)  # validates the settings
    return digits


def _plan(settings: Settings, digits: data.Digits) -> training.Plan:
    steps = batches(settings, len(digits.train))
    return training.Plan.of(settings, steps, best={"val_accuracy": "max"}, untrained=True)


def _metadata(settings: Settings, digits: data.Digits, epochs: list[Epoch]) -> dict[str, Any]:
    """The metadata of a weights file: its epoch, the last of `epochs`, and the best one by validation."""
    best = max(epochs, key=lambda event: event.metrics["val_accuracy"])
    scalars = {name: value for name, value in epochs[-1].metrics.items() if isinstance(value, float)}
    return {
        **_facts(settings, digits),
        "epoch": epochs[-1].epoch,
        "best_epoch": best.epoch,
        "metrics": scalars,
    }


def _facts(settings: Settings, digits: data.Digits) -> dict[str, Any]:
    values = {name: value for name, value in asdict(settings).items() if name not in ("device", "track")}
    return {**values, "data": digits.name, "licence": "Apache-2.0"}


def batches(settings: Settings, images: int) -> int:
    """Batches per epoch; raises `ValueError` if there are too few images."""
    available = -(-images // settings.batch_size)
    if (settings.batches or 0) > available:
        raise ValueError(
            f"{images:,} images make {available} batches of {settings.batch_size}, not {settings.batches}"
        )
    return settings.batches or available


def _initial(seed: int) -> DigitNet:
    with seeded(seed):
        model = DigitNet()
    # a seventh faster on the CPU
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _batches(
    train: data.Split, settings: Settings, steps: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images (B, 1, 28, 28) in [0, 1] and labels (B,); depends only on the seed and the epoch."""
    random = generator(settings.seed, epoch)
    order = torch.randperm(len(train), generator=random)[: steps * settings.batch_size]
    for index in order.split(settings.batch_size):
        images = train.images[index].float() / 255
        yield (data.jitter(images, random) if settings.augment else images), train.labels[index]


def _terms(model: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    images, labels = batch
    return {"cross_entropy": F.cross_entropy(model(images), labels)}
