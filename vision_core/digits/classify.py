"""Reads one digit from a picture, prepared as MNIST prepared its own."""

from pathlib import Path

import numpy as np
import torch

from vision_core import checkpoints, weights
from vision_core.digits import paper
from vision_core.digits.measure import predict
from vision_core.digits.network import DigitNet
from vision_core.pictures.images import Picture

SURE = 0.6  # of 10,000 test digits 97.7 % are read right and as surely, 1.1 % wrong
FAINT = 0.1  # ink below this does not count for the box and the middle of a digit


def classify(picture: Picture, weights_path: str | Path | None = None) -> np.ndarray:
    """Probabilities (10,) of the digits 0 to 9.

    Args:
        picture: one digit on paper or a plain ground, dark on light or light on dark.
        weights_path: a .pth or .safetensors of a `DigitNet`; None is the one that comes with the package.

    Raises:
        NoDigit: the picture shows no single digit, see `paper.find`; a ValueError.
        ValueError: the weights are another network's.
        WeightsMissing: the default weights are gone.
    """
    image = normalise(paper.find(picture))
    model, _ = checkpoints.load(weights.find("digits", weights_path), DigitNet)
    return predict(model, torch.from_numpy(image)[None, None])[0].softmax(0).numpy()


def answer(probabilities: np.ndarray) -> int | None:
    """The digit that probabilities (10,) say, None where they are not sure of one."""
    return int(probabilities.argmax()) if probabilities.max() >= SURE else None


def normalise(ink: np.ndarray) -> np.ndarray:
    """Ink (h, w) in 0..1 as MNIST has its digits: uint8 (28, 28), white on black.

    The longer side of its box becomes 20 pixels, and the centre of mass goes to the centre of pixel (14, 14)
    as far as no ink falls off the edge. `normalised` in apps/digits_site/js/drawing.js is the same.

    Source: how the MNIST page says that its digits were made.
    """
    strong = np.where(ink > FAINT, ink, 0)
    if not strong.any():
        raise ValueError(paper.EMPTY)
    weights = []
    spans = [np.flatnonzero(strong.any(axis)) for axis in (1, 0)]
    cell = max(span[-1] + 1 - span[0] for span in spans) / 20  # picture pixels to one of ours
    for axis, span in enumerate(spans):
        low, high, places = span[0], span[-1] + 1, np.arange(ink.shape[axis])
        centre = (places + 0.5) @ strong.sum(1 - axis) / strong.sum()
        start = min(low, max(high - 28 * cell, centre - 14.5 * cell))
        edges = start + cell * np.arange(29)[:, None]
        shared = np.minimum(edges[1:], places + 1) - np.maximum(edges[:-1], places)
        weights.append(np.clip(shared, 0, None) / cell)  # (28, n): how much of each pixel a cell covers
    small = weights[0] @ ink @ weights[1].T
    return np.rint(np.clip(small * 255, 0, 255)).astype(np.uint8)
