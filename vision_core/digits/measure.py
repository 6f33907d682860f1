"""What the explorer measures of a network: loss, accuracy, confusion, and every layer's answer."""

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

BATCH = 250  # larger ones fall out of the processor's cache and were half as fast
TRAIN_IMAGES = 5_000  # of the training images, these many are measured

E = TypeVar("E", bound=Event)
_SETTING = Lock()  # another training must not take our one for the number that is its own


def measure(model: DigitNet, digits: Digits) -> dict[str, Any]:
    """Mean cross-entropy and accuracy (0..1) of each split; per class and confusion of the test images.

    `confusion[true][predicted]` counts images. Of more than 5,000 training images (shuffled as they are) the
    first 5,000 are measured.
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
    """Logits (N, 10) on the CPU of uint8 images (N, 1, 28, 28)."""
    model.eval()
    device = model.conv1.weight.device
    return torch.cat([model(part.to(device).float() / 255).cpu() for part in images.split(BATCH)])


@torch.inference_mode()
def save_activations(path: Path, model: DigitNet, images: Tensor) -> None:
    """Write an .npz: `images` uint8 (N, 1, 28, 28) and every layer's answer to them, float32, by its name."""
    model.eval()
    layers = model.layers(images.to(model.conv1.weight.device).float() / 255)
    arrays: dict[str, Any] = {name: value.cpu().numpy() for name, value in layers.items()}
    with atomic(path) as file:
        np.savez_compressed(file, images=images.numpy(), **arrays)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums added in one order, so that the bytes do not depend on the number of cores.

    It costs a fifth of the time on an idle machine and saves most of it on a busy one, where threads of
    such small work mainly wait for each other. Nothing may be yielded to a caller inside: see
    `on_one_thread`.
    """
    with _SETTING:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        # torch gives this number to every thread that begins to compute later; only ours may keep it
        others = Thread(target=torch.set_num_threads, args=(threads,))
        others.start()
        others.join()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def on_one_thread(events: Generator[E]) -> Generator[E]:
    """The events, each made inside `one_thread`; between them their reader computes with its own number."""
    with closing(events):
        while True:
            with one_thread():
                event = next(events, None)
            if event is None:
                return
            yield event


def _share(right: Tensor) -> float:
    return right.double().mean().item()
