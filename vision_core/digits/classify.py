"""Reads one digit from a picture, prepared as MNIST prepared its own."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vision_core import checkpoints, weights
from vision_core.digits.measure import predict
from vision_core.digits.network import DigitNet
from vision_core.images import Picture

LONGEST = 640  # pixels of a digit's longer side that are looked at: 32 for each of the 20 it will have


def classify(picture: Picture, weights_path: str | Path | None = None) -> np.ndarray:
    """Probabilities (10,) of the digits 0 to 9.

    Args:
        picture: one digit on a plain ground, dark on light or light on dark.
        weights_path: a .pth or .safetensors of a `DigitNet`; None is the one that comes with the package.

    Raises:
        ValueError: nothing is drawn in the picture, or the weights are another network's.
        WeightsMissing: the default weights are gone.
    """
    image = normalise(picture)
    model, _ = checkpoints.load(weights.find("digits", weights_path), DigitNet)
    return predict(model, torch.from_numpy(image)[None, None])[0].softmax(0).numpy()


def normalise(picture: Picture) -> np.ndarray:
    """White on black, the longer side 20 pixels, the centre of mass on pixel (14, 14): uint8 (28, 28).

    An empty picture is a `ValueError`. Source: how the MNIST page says that its digits were made.
    """
    ink = _ink(picture)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shrunk = Image.fromarray(ink)
    shrunk.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    ink = np.asarray(shrunk)
    height, width = ink.shape
    cell = max(height, width) / 20  # picture pixels to one of ours
    y, x = ((np.arange(n) + 0.5) @ ink.sum(axis) / ink.sum() for axis, n in ((1, height), (0, width)))
    # 14.5 cells before the centre of mass, but no ink may fall off the edge
    top = min(0.0, max(height - 28 * cell, y - 14.5 * cell))
    left = min(0.0, max(width - 28 * cell, x - 14.5 * cell))
    margin = int(np.ceil(28 * cell))
    canvas = Image.fromarray(np.pad(ink, margin))
    box = (left + margin, top + margin, left + margin + 28 * cell, top + margin + 28 * cell)
    small = canvas.resize((28, 28), Image.Resampling.BOX, box)
    return np.rint(np.asarray(small) * 255).astype(np.uint8)


def _ink(picture: Picture) -> np.ndarray:
    """How far each pixel stands out from the ground, 0..1, the ground being what most of the border shows."""
    grey = picture.rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    if picture.alpha is not None:  # a transparent ground counts as white paper
        share = picture.alpha / np.float32(255)
        grey = grey * share + 255 * (1 - share)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    contrast = np.abs(grey - np.median(border))
    if contrast.max() < 32:
        raise ValueError("the picture is empty: a digit that stands out from its ground was expected")
    return np.clip(contrast / contrast.max() * 1.25 - 0.25, 0, 1)  # the lowest fifth is paper and noise
