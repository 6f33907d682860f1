"""Evaluation for the explorer: loss, accuracy, confusion matrix and layer activations."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core.digits.data import Digits, Split
from vision_core.digits.network import DigitNet
from vision_core.events import Event
from vision_core.files import atomic

BATCH = 250  # larger batches overflow the CPU cache and were half as fast
TRAIN_IMAGES = 5_000  # training accuracy is estimated on this many images

E = TypeVar("E", bound=Event)
_SETTING = Lock()  # another training must not mistake our temporary thread count for the original


def measure(model: DigitNet, digits: Digits) -> dict[str, Any]:
    """Mean cross-entropy and accuracy of each split; per-class accuracy and confusion of the test split.

    `confusion[true][predicted]` counts images. At most the first 5,000 training images (they are shuffled)
    are evaluated.
    """
    train = Split(digits.train.images[:TRAIN_IMAGES], digits.train.labels[:TRAIN_IMAGES])
    logits = {"train": predict(model, train.images), "val": predict(model, digits.val.images)}
    test = predict(model, digits.test.images).argmax(1)
    confusion = torch.bincount(digits.test.labels * 10 + test, minlength=100).reshape(10, 10)
    return {
        "loss": F.cross_entropy(logits["train"], train.labels).item(),
        "val_loss": F.cross_entropy(logits["val"], digits.val.labels).item(),
        "train_accuracy": _share(logits["train"].argmax(1) == train.labels),
        "val_accuracy": _share(logits["val"].argmax(1) == digits.val.labels),
        "test_accuracy": _share(test == digits.test.labels),
        "per_class": (confusion.diag() / confusion.sum(1)).tolist(),
        "confusion": confusion.tolist(),
    }


@torch.inference_mode()
def predict(model: DigitNet, images: Tensor) -> Tensor:
    """uint8 images (N, 1, 28, 28) -> logits (N, 10) on the CPU."""
    model.eval()
    device = model.conv1.weight.device
    return torch.cat([model(part.to(device).float() / 255).cpu() for part in images.split(BATCH)])


@torch.inference_mode()
def save_activations(path: Path, model: DigitNet, images: Tensor) -> None:
    """Write an .npz with `images`, uint8 (N, 1, 28, 28), and the activations of every layer, float32."""
    model.eval()
    layers = model.layers(images.to(model.conv1.weight.device).float() / 255)
    arrays: dict[str, Any] = {name: value.cpu().numpy() for name, value in layers.items()}
    with atomic(path) as file:
        np.savez_compressed(file, images=images.numpy(), **arrays)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use a single thread inside the block, so that results do not depend on the number of cores.

    With several threads, sums are added in another order. One thread takes a fifth longer on an idle machine
    and much less time on a busy one, where threads with so little work mainly wait for each other. Never
    yield to a caller inside the block; see `on_one_thread`.
    """
    with _SETTING:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        # torch applies the last value to all new threads, so another thread restores the original one
        others = Thread(target=torch.set_num_threads, args=(threads,))
        others.start()
        others.join()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def on_one_thread(events: Generator[E]) -> Generator[E]:
    """Advance the generator inside `one_thread`; between events the caller has its own thread count."""
    with closing(events):
        while True:
            with one_thread():
                event = next(events, None)
            if event is None:
                return
            yield event


def _share(right: Tensor) -> float:
    return right.double().mean().item()
