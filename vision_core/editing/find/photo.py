"""Real photographs without large weights: what MobileNetV2 of ImageNet sees, and selections refined to edges.

It knows a thousand classes and the words for them; a mask from its activation is a hint, to be corrected by
hand. Sources: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization" (class activation
maps); Rother et al. 2004, "GrabCut".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from vision_core import torchvision_cpu
from vision_core.editing import compose, masks
from vision_core.editing.find import selection, words
from vision_core.editing.find.saliency import Look, normalized
from vision_core.pictures import images
from vision_core.weights import find

SCALES = (224, 352, 512)  # the shorter side, in pixels, at which a photograph is looked at
SOFTNESS = 2.0  # temperature of the softmax: what is there beside the most likely class is not lost
FOUND = 0.085  # probability of the word's classes at the best place, from which a thing counts as found
LAYERS = (3, 6, 13, 17)  # blocks whose features tell a thing in a box from what is around it
AGREED = 0.75  # IoU of what features and colours find in a box, from which the colours decide
WORKING = 320  # longer side, in pixels, at which edges are searched


@dataclass(frozen=True, eq=False)
class Hint:
    """Where a word's thing may be: `mask`, bool (H, W), is None when it was not found; `score` in [0, 1]."""

    word: str
    score: float
    heat: np.ndarray
    mask: np.ndarray | None


class PhotoEyes:
    """MobileNetV2 with ImageNet's classes, as shipped.

    Raises:
        ValueError: the weights are another network's.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        torchvision_cpu.prepare()
        from torchvision.models import mobilenet_v2

        path = find("imagenet", weights)
        self.network = mobilenet_v2(weights=None)
        try:
            self.network.load_state_dict(load_file(path))
        except Exception as error:  # a stranger's file: whatever its parser raises
            raise ValueError(f"{path} holds no MobileNetV2 of a thousand classes") from error
        self.network.eval().float()
        self.mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        self.std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    def look(self, rgb: np.ndarray) -> Look:
        """What stands out, whatever it is: where the network is activated, at all scales."""
        maps = [self._features(rgb, side) for side in SCALES]
        size = maps[-1].shape[1:]
        heats = [
            F.interpolate(m.square().sum(0).sqrt()[None, None], size, mode="bilinear")[0, 0] for m in maps
        ]
        heat = torch.stack([h / h.max().clamp(min=1e-6) for h in heats]).mean(0)
        return Look(normalized(heat.numpy()), maps[-1])

    def hint(self, rgb: np.ndarray, text: str, found: float = FOUND) -> Hint:
        """A mask of what `text` names.

        Raises:
            ValueError: no word of the text is known.
        """
        word, numbers = words.classes(text)
        if not numbers:
            raise ValueError(
                f"none of the words of {text!r} is known here: mark the thing by a box or a brush"
            )
        heat = heat_of(self.chances(rgb), numbers)
        score = float(heat.max())
        mask = from_heat(rgb, heat) if score >= found else None
        return Hint(word, score, heat, mask if mask is not None and mask.any() else None)

    def from_box(self, rgb: np.ndarray, left: float, top: float, right: float, bottom: float) -> np.ndarray:
        """What a box, in pixels, was drawn around: bool (H, W), inside the box, never empty.

        Raises:
            ValueError: the box is empty or lies outside the picture.
        """
        height, width = rgb.shape[:2]
        sides = (round(left), round(top), round(right), round(bottom))
        box = masks.box(height, width, *sides)
        seen, real = selection.around(rgb, sides)
        chance = selection.likely(selection.evidence(self.layers(seen), real))
        inside, (x, y) = np.zeros(box.shape, np.float32), sides[:2]
        size = (sides[2] - x, sides[3] - y)
        inside[y : y + size[1], x : x + size[0]] = cv2.resize(chance, size, interpolation=cv2.INTER_CUBIC)
        by_colors, by_features = _by_colors(rgb, box), inside > selection.LIKELY
        if (by_colors & by_features).sum() > AGREED * (by_colors | by_features).sum():
            return by_colors  # where both find the same thing, colours know its edge better
        level = cv2.resize(selection.refine(seen, chance), size, interpolation=cv2.INTER_CUBIC)
        found = np.zeros_like(box)
        found[y : y + size[1], x : x + size[0]] = level > selection.LIKELY
        return found if found.sum() > 0.05 * box.sum() else box

    def left(self, rgb: np.ndarray, text: str) -> float:
        """How much of what `text` names is still seen, in [0, 1]; an unknown word is a `ValueError`."""
        _, numbers = words.classes(text)
        if not numbers:
            raise ValueError(f"none of the words of {text!r} is known here")
        return float(heat_of(self.chances(rgb), numbers).max())

    def chances(self, rgb: np.ndarray) -> list[np.ndarray]:
        """Probability of each class at each place, (1000, h, w), the finest of the `SCALES` first."""
        found: list[np.ndarray] = []
        layer: Any = self.network.classifier[-1]
        for side in reversed(SCALES):
            features = F.avg_pool2d(self._features(rgb, side)[None], 3, 1, 1, count_include_pad=False)[0]
            with torch.inference_mode():
                logits = torch.einsum("chw,kc->khw", features, layer.weight) + layer.bias[:, None, None]
                found.append((logits / SOFTNESS).softmax(0).numpy())
        return found

    def layers(self, seen: np.ndarray) -> list[np.ndarray]:
        """Features of four depths for `selection.evidence`, each (C, CELLS, CELLS)."""
        found: list[np.ndarray] = []
        cells = (selection.CELLS, selection.CELLS)
        with torch.inference_mode():
            x = (images.to_tensor(seen) - self.mean) / self.std
            for number, block in enumerate(self.network.features.children()):
                if number > LAYERS[-1]:
                    break
                x = block(x)
                if number in LAYERS:
                    found.append(F.interpolate(x, cells, mode="bilinear")[0].numpy())
        return found

    def _features(self, rgb: np.ndarray, side: int) -> torch.Tensor:
        height, width = rgb.shape[:2]
        scale = min(side / min(height, width), 4 * side / max(height, width))
        size = tuple(max(1, round(length * scale / 32)) * 32 for length in (height, width))
        x = F.interpolate(images.to_tensor(rgb), size, mode="bilinear", antialias=True)
        with torch.inference_mode():
            return self.network.features((x - self.mean) / self.std)[0].clone()


def heat_of(chances: Sequence[np.ndarray], numbers: Sequence[int]) -> np.ndarray:
    """Probability of any of the classes at each place, (h, w), the mean over the scales of `chances`."""
    size = chances[0].shape[:0:-1]
    levels = [cv2.resize(chance[list(numbers)].sum(0), size) for chance in chances]
    return np.mean(levels, axis=0)


def from_heat(rgb: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A heat map refined to the picture's edges: bool (H, W), perhaps empty."""
    small = _shrunk(rgb)
    level = cv2.resize(heat.astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    level = level / max(float(level.max()), 1e-6)
    trimap = np.full(level.shape, cv2.GC_BGD, np.uint8)
    trimap[level > 0.1] = cv2.GC_PR_BGD
    trimap[level > 0.3] = cv2.GC_PR_FGD
    trimap[level > 0.6] = cv2.GC_FGD
    return _enlarged(_cut(small, trimap, rounds=1), rgb)


def _by_colors(rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    """GrabCut of the colours in an ellipse a little larger than the box: bool (H, W), inside the box."""
    small = _shrunk(rgb)
    inside = compose.resize(box, *small.shape[:2])
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    y, x = np.mgrid[: small.shape[0], : small.shape[1]]
    middle, half = (rows[0] + rows[-1]) / 2, max(1, len(rows) / 2)
    center, wide = (columns[0] + columns[-1]) / 2, max(1, len(columns) / 2)
    away = ((y - middle) / half) ** 2 + ((x - center) / wide) ** 2
    trimap = np.full(inside.shape, cv2.GC_BGD, np.uint8)
    trimap[inside] = np.where(away < 1.2, cv2.GC_PR_FGD, cv2.GC_PR_BGD)[inside]
    return _enlarged(_cut(small, trimap), rgb) & box


def from_point(rgb: np.ndarray, x: float, y: float, size: float = 0.35) -> np.ndarray:
    """What lies under a point, in pixels: bool (H, W), never empty.

    Args:
        size: farthest that the thing is expected to reach, as a share of the picture's longer side.

    Raises:
        ValueError: the point lies outside the picture.
    """
    height, width = rgb.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"the point {x:g}, {y:g} lies outside a picture of {width} x {height} pixels")
    small = _shrunk(rgb)
    scale = small.shape[1] / width
    rows, columns = np.mgrid[: small.shape[0], : small.shape[1]]
    away = np.hypot(rows - y * scale, columns - x * scale) / (size * max(small.shape[:2]))
    trimap = np.full(away.shape, cv2.GC_BGD, np.uint8)
    trimap[away < 1] = cv2.GC_PR_BGD
    trimap[away < 0.35] = cv2.GC_PR_FGD
    trimap[away <= max(0.03, float(away.min()))] = cv2.GC_FGD
    cut = _cut(small, trimap)
    _, labels = cv2.connectedComponents(cut.astype(np.uint8))
    found = _enlarged((labels == labels[int(y * scale), int(x * scale)]) & cut, rgb)
    return found if found.any() else _enlarged(trimap == cv2.GC_FGD, rgb)


def _shrunk(rgb: np.ndarray) -> np.ndarray:
    scale = min(1.0, WORKING / max(rgb.shape[:2]))
    return compose.resize(rgb, *(max(2, round(side * scale)) for side in rgb.shape[:2]))


def _cut(rgb: np.ndarray, trimap: np.ndarray, rounds: int = 5) -> np.ndarray:
    cut = selection.grab_cut(rgb, trimap, rounds).astype(np.uint8)
    return masks.fill_enclosed(cv2.morphologyEx(cut, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(bool))


def _enlarged(mask: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    level = cv2.resize(mask.astype(np.float32), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return level >= 0.5
