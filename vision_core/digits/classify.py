"""Reads one digit from a picture, normalised like the MNIST images."""

from pathlib import Path

import cv2
import numpy as np
import torch

from vision_core import checkpoints, weights
from vision_core.digits import paper
from vision_core.digits.measure import predict
from vision_core.digits.network import DigitNet
from vision_core.pictures.images import Picture

SURE = 0.6  # minimum confidence; of 1,000 digits held out 97.4 % are right above it and 0.9 % wrong
THINNEST = 0.08  # width of strokes as a share of the longer side; MNIST's have about 0.1
FAINT = 0.1  # fainter ink is ignored for the bounding box and the centre of mass


def classify(picture: Picture, weights_path: str | Path | None = None) -> np.ndarray:
    """Probabilities (10,) of the digits 0 to 9, the mean over seven views of the mark.

    Args:
        picture: one digit on paper or a plain background, dark on light or light on dark.
        weights_path: a .pth or .safetensors of a `DigitNet`; the bundled weights by default.

    Raises:
        NoDigit: the picture does not show a single digit; see `paper.find`.
        ValueError: the weights belong to another network.
        WeightsMissing: the bundled weights are missing.
    """
    views = np.stack([normalise(ink) for ink in _views(paper.find(picture))])
    model, _ = checkpoints.load(weights.find("digits", weights_path), DigitNet)
    return predict(model, torch.from_numpy(views)[:, None]).softmax(1).mean(0).numpy()


def answer(probabilities: np.ndarray) -> int | None:
    """The most likely digit by its probabilities (10,); None if the confidence is below SURE."""
    return int(probabilities.argmax()) if probabilities.max() >= SURE else None


def _views(ink: np.ndarray) -> list[np.ndarray]:
    """The ink with strokes of at least THINNEST, also rotated, sheared, and with thicker and thinner strokes.

    A mark that is read alike in all of them is less often read wrong, and the network never saw strokes as
    thin as a pencil's.
    """
    scale = 200 / max(ink.shape)
    size = [max(2, round(side * scale)) for side in ink.shape[::-1]]
    large = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    large = np.pad(large, 60)
    strokes = (large > 0.5).astype(np.uint8)
    rim = strokes.sum() - cv2.erode(strokes, np.ones((3, 3), np.uint8)).sum()
    missing = round(200 * THINNEST - 2 * strokes.sum() / max(1, rim))
    if missing > 1:
        large = cv2.dilate(large, _disc(missing + 1))
    height, width = large.shape
    turns = [cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1) for angle in (-10, 10)]
    turns += [np.array([[1, share, -share * height / 2], [0, 1, 0]]) for share in (-0.2, 0.2)]
    turned = [cv2.warpAffine(large, turn, (width, height)) for turn in turns]
    thinner = cv2.erode(large, _disc(13))
    return [large, *turned, cv2.dilate(large, _disc(13)), thinner if thinner.max() > FAINT else large]


def _disc(size: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def normalise(ink: np.ndarray) -> np.ndarray:
    """Normalise ink (h, w) in 0..1 like MNIST: uint8 (28, 28), white on black.

    The longer side of the bounding box is scaled to 20 pixels, and the centre of mass is moved to the centre
    of pixel (14, 14) unless that would cut off ink. `normalised` in apps/digits_site/js/drawing.js does the
    same.

    Source: the description of the preprocessing on the MNIST page.
    """
    strong = np.where(ink > FAINT, ink, 0)
    if not strong.any():
        raise ValueError(paper.EMPTY)
    weights = []
    spans = [np.flatnonzero(strong.any(axis)) for axis in (1, 0)]
    cell = max(span[-1] + 1 - span[0] for span in spans) / 20  # input pixels per output pixel
    for axis, span in enumerate(spans):
        low, high, places = span[0], span[-1] + 1, np.arange(ink.shape[axis])
        centre = (places + 0.5) @ strong.sum(1 - axis) / strong.sum()
        start = min(low, max(high - 28 * cell, centre - 14.5 * cell))
        edges = start + cell * np.arange(29)[:, None]
        shared = np.minimum(edges[1:], places + 1) - np.maximum(edges[:-1], places)
        weights.append(
            np.clip(shared, 0, None) / cell
        )  # (28, n): overlap of each output cell with each pixel
    small = weights[0] @ ink @ weights[1].T
    return np.rint(np.clip(small * 255, 0, 255)).astype(np.uint8)
