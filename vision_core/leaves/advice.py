"""Advice on a picture: too dark, overexposed, blurred, leaf too small, several leaves."""

from dataclasses import dataclass

import cv2
import numpy as np

from vision_core.leaves import masks

SIDE = 256  # pixels of the longer side at which light and sharpness are judged
DARK, BRIGHT = 0.16, 0.97  # thresholds of the 80th and the 20th percentile of the brightness
SHARP = 0.09  # minimum steepness of the strongest edges; below, a picture is blurred
TINY = 0.10  # minimum area of a leaf, as a share of the picture


@dataclass(frozen=True)
class Advice:
    """`sentences` say how to take a better picture; `boxes` has (left, top, right, bottom) of each leaf.

    `boxes` is empty if the leaves cannot be separated from the background.
    """

    sentences: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int], ...]


def advise(rgb: np.ndarray) -> Advice:
    """Suggestions to improve a picture, uint8 (H, W, 3)."""
    grey = cv2.cvtColor(_shrunk(rgb), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    boxes, sentences = masks.boxes(rgb), []
    if np.quantile(grey, 0.8) < DARK:
        sentences.append("The picture is very dark: take it in more light.")
    elif np.quantile(grey, 0.2) > BRIGHT:
        sentences.append("The picture is overexposed: take it in less light.")
    if sharpness(grey) < SHARP:
        sentences.append("The picture is blurred: hold still, and touch the leaf on the screen to focus.")
    if len(boxes) > 1:
        sentences.append(f"There are {len(boxes)} leaves: each is classified by itself.")
    elif len(boxes) == 1 and _share(boxes[0], rgb) < TINY:
        sentences.append("The leaf is small: move closer until it fills most of the picture.")
    return Advice(tuple(sentences), boxes)


def sharpness(grey: np.ndarray) -> float:
    """Steepness of the sharpest edges relative to the contrast: (H, W) in [0, 1] -> about .02 to .5."""
    steep = np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=1))
    return float(np.quantile(steep, 0.99) / (np.quantile(grey, 0.99) - np.quantile(grey, 0.01) + 0.02))


def _shrunk(rgb: np.ndarray) -> np.ndarray:
    scale = min(1.0, SIDE / max(rgb.shape[:2]))
    size = (max(16, round(rgb.shape[1] * scale)), max(16, round(rgb.shape[0] * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _share(box: tuple[int, int, int, int], rgb: np.ndarray) -> float:
    left, top, right, bottom = box
    return (right - left) * (bottom - top) / (rgb.shape[0] * rgb.shape[1])
