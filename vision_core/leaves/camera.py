"""Robustness: the same leaves on other backgrounds, in other light, blurred, compressed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from vision_core.leaves import data, features
from vision_core.leaves.augment import GROUNDS_DRAWN, centre, drawn_ground, lit, on_ground
from vision_core.leaves.evaluate import judged
from vision_core.leaves.masks import leaf_mask
from vision_core.leaves.network import LeafNet


def _light(stops: float = 0.0, warmth: float = 0.0, shade: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    def change(rgb: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        numbers = (torch.tensor([value]) for value in (stops, warmth, shade, 0.1))
        return (lit(image, *numbers)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)

    return change


def _other_ground(rgb: np.ndarray) -> np.ndarray:
    try:
        mask = leaf_mask(rgb)
    except ValueError:
        return rgb
    number = GROUNDS_DRAWN + int(rgb.sum()) % GROUNDS_DRAWN  # none that a training has seen
    return on_ground(rgb, mask, drawn_ground(number, len(rgb)))


def _jpeg(rgb: np.ndarray) -> np.ndarray:
    _, saved = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])
    return np.asarray(cv2.imdecode(saved, cv2.IMREAD_COLOR))[..., ::-1]


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda rgb: rgb,
    "another background": _other_ground,
    "half in the shade": _light(shade=0.7),
    "1,500 K warmer": _light(warmth=0.15),
    "1,500 K colder": _light(warmth=-0.15),
    "a stop and a half darker": _light(stops=-1.5),
    "a stop brighter": _light(stops=1.0),
    "blurred": lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 1.5),
    "JPEG of quality 50": _jpeg,
}


def camera(
    model: LeafNet, folder: str | Path, files: list[str], truth: np.ndarray
) -> dict[str, dict[str, Any]]:
    """For each of the `WAYS`: accuracy, also relative to the unchanged pictures, and the share rejected.

    Args:
        truth: the number of each file's class (N,).
    """
    right = {way: [] for way in WAYS}
    refused = {way: [] for way in WAYS}
    for start in range(0, len(files), features.BATCH):
        squares = data.read_squares(folder, files[start : start + features.BATCH], model.square)
        for way, change in WAYS.items():
            pixels: Tensor = centre(features.tensor(np.stack([*map(change, squares)])), model.crop)
            with torch.no_grad():
                embeddings = model.eval().embed(pixels.to(model.temperature.device))
            probabilities, scores = judged(model, embeddings)
            right[way] += (probabilities.argmax(1) == truth[start : start + len(squares)]).tolist()
            refused[way] += (scores > 1).tolist()
    clean = float(np.mean(right["as it is"])) or 1.0
    return {
        way: {
            "right": float(np.mean(right[way])),
            "refused": float(np.mean(refused[way])),
            "of_clean": float(np.mean(right[way])) / clean,
        }
        for way in WAYS
    }
