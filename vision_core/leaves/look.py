"""Analyses one picture: advice, and each leaf with its prediction and its discoloured area."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vision_core.leaves import masks
from vision_core.leaves.advice import TINY, Advice, advise
from vision_core.leaves.network import LeafNet
from vision_core.leaves.predict import Prediction, predict
from vision_core.pictures import images
from vision_core.pictures.images import Picture

SIDE = 320  # pixels of the longer side when leaves and their spots are segmented
NO_LEAF = "No leaf was found: put one leaf on a plain background and fill the picture with it."
MARGIN = 0.12  # margin around a single leaf, relative to its longer side


@dataclass(frozen=True)
class LeafSeen:
    """One leaf: its prediction, its box, and how much of it is discoloured.

    `box` is (left, top, right, bottom) as fractions of the picture's size, or None if the whole picture was
    classified. `ill` is the discoloured fraction of the leaf's area, `spots` its mask, bool (h, w), for the
    downscaled picture; both are None if the leaf is not known or cannot be separated from the background.
    """

    answer: Prediction
    box: tuple[float, float, float, float] | None
    ill: float | None
    spots: np.ndarray | None


@dataclass(frozen=True)
class Look:
    """Advice on a picture, and its leaves, at least one."""

    advice: tuple[str, ...]
    leaves: tuple[LeafSeen, ...]


def look(model: LeafNet, pictures: Sequence[Picture]) -> list[Look]:
    """Analyse pictures with a model (see `load`); several leaves in one picture are classified one by one."""
    smaller = [images.shrink(picture.rgb, SIDE) for picture in pictures]
    advice = [advise(rgb) for rgb in smaller]
    parts = [part for each in map(_parts, pictures, smaller, advice) for part in each]
    answers = iter(predict(model, [Picture(rgb) for rgb, _, _ in parts]))
    looks = []
    for suggestions, rgb, picture in zip(advice, smaller, pictures, strict=True):
        seen = tuple(
            _seen(next(answers), box, rgb, part) for _, box, part in _parts(picture, rgb, suggestions)
        )
        warning = () if suggestions.boxes or any(leaf.answer.known for leaf in seen) else (NO_LEAF,)
        looks.append(Look((*suggestions.sentences, *warning), seen))
    return looks


Box = tuple[int, int, int, int]
Shares = tuple[float, float, float, float]


def _parts(picture: Picture, rgb: np.ndarray, advice: Advice) -> list[tuple[np.ndarray, Shares | None, Box]]:
    """The parts to classify: pixels, box as fractions, and place in the downscaled picture."""
    height, width = rgb.shape[:2]
    whole = (0, 0, width, height)
    boxes = advice.boxes
    if len(boxes) < 2 and not (boxes and _area(boxes[0]) < TINY * _area(whole)):
        return [(picture.rgb, None, whole)]
    parts = []
    for box in boxes:
        around = _square(rgb.shape, box)
        scale = picture.rgb.shape[0] / height
        left, top, right, bottom = (round(scale * side) for side in around)
        shares = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        parts.append((picture.rgb[top:bottom, left:right], shares, around))
    return parts


def _square(shape: tuple[int, ...], box: Box) -> Box:
    """The square around a box, with a margin, as far as the picture reaches."""
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (0.5 + MARGIN)
    x, y = (left + right) / 2, (top + bottom) / 2
    return (
        max(0, round(x - half)),
        max(0, round(y - half)),
        min(shape[1], round(x + half)),
        min(shape[0], round(y + half)),
    )


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _seen(answer: Prediction, box: Shares | None, rgb: np.ndarray, place: Box) -> LeafSeen:
    """A part with its prediction; discoloured areas only of known leaves, for a cat is all discoloured."""
    left, top, right, bottom = place
    part = rgb[top:bottom, left:right]
    try:
        mask = masks.leaf_mask(part) if answer.known else None
    except ValueError:
        mask = None
    if mask is None:
        return LeafSeen(answer, box, None, None)
    spots = np.zeros(rgb.shape[:2], bool)
    spots[top:bottom, left:right] = masks.discoloured(part, mask)
    return LeafSeen(answer, box, float(spots.sum() / mask.sum()), spots)
