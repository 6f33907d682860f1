"""Draws holes to learn from and to measure on: strokes, lost pixels, specks, letters, boxes."""

from collections.abc import Callable

import cv2
import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def strokes(
    rng: np.random.Generator,
    height: int,
    width: int,
    thick: int,
    share: float = 0.1,
    length: tuple[float, float] = (20, 60),
    bend: float = 0.6,
) -> np.ndarray:
    """Broken lines of `thick` pixels over a `share` of the picture, bool (H, W).

    Args:
        length: of each piece, in pixels.
        bend: standard deviation of the turn between two pieces, in radians.
    """
    mask = np.zeros((height, width), np.uint8)
    while mask.mean() < share:
        point, angle = rng.random(2) * (width, height), rng.random() * 2 * np.pi
        for _ in range(rng.integers(2, 5)):
            angle += rng.normal() * bend
            end = point + np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(*length)
            cv2.line(mask, point.astype(int).tolist(), end.astype(int).tolist(), 1, thick)
            point = end
    return mask.astype(bool)


def lost(rng: np.random.Generator, height: int, width: int, share: float) -> np.ndarray:
    """A `share` of the pixels, each for itself."""
    return rng.random((height, width), np.float32) < share


def draw(rng: np.random.Generator, side: int) -> np.ndarray:
    """A hole to learn from, bool (side, side), neither empty nor everything; none is far from its rim."""
    while True:
        kinds = rng.choice(len(_KINDS), 1 + int(rng.random() < 0.15), p=_CHANCES)
        hole = np.logical_or.reduce([_KINDS[int(kind)](rng, side) for kind in kinds])
        if hole.any() and not hole.all():
            return hole


def thing(rng: np.random.Generator, side: int) -> np.ndarray:
    """A hole of the shape and size of an object, bool (side, side), of at least 1 % of the square.

    It is a body with limbs, or a box, and may touch the rim.
    """
    while True:
        mask, middle = np.zeros((side, side), np.uint8), rng.uniform(0.1, 0.9, 2) * side
        length = rng.uniform(0.15, 0.55) * side
        if rng.random() < 0.15:
            start, end = (middle + sign * rng.uniform(0.2, 0.5, 2) * length for sign in (-1, 1))
            cv2.rectangle(mask, start.astype(int).tolist(), end.astype(int).tolist(), 1, -1)
        else:
            for _ in range(rng.integers(1, 6)):
                axes = rng.uniform(0.08, 0.4, 2) * length
                place = middle + rng.uniform(-0.25, 0.25, 2) * length
                half = np.maximum(axes, 1).astype(int).tolist()
                cv2.ellipse(mask, place.astype(int).tolist(), half, rng.uniform(0, 180), 0, 360, 1, -1)
        if 0.01 <= mask.mean() <= 0.35:
            return mask.astype(bool)


def _strokes(rng: np.random.Generator, side: int) -> np.ndarray:
    thick, shortest = int(rng.integers(2, 21)), rng.uniform(3, 30)
    length = (shortest, shortest + rng.uniform(5, 60))
    return strokes(rng, side, side, thick, rng.uniform(0.03, 0.25), length, rng.uniform(0, 1))


def _lost(rng: np.random.Generator, side: int) -> np.ndarray:
    return lost(rng, side, side, rng.uniform(0.3, 0.9))


def _specks(rng: np.random.Generator, side: int) -> np.ndarray:
    mask, largest = np.zeros((side, side), np.uint8), rng.uniform(1, 11)
    for _ in range(rng.integers(5, 60)):
        middle, axes = rng.integers(0, side, 2).tolist(), rng.uniform(0.5, largest, 2)
        cv2.ellipse(mask, middle, axes.astype(int).tolist(), rng.uniform(0, 180), 0, 360, 1, -1)
    return mask.astype(bool)


def _letters(rng: np.random.Generator, side: int) -> np.ndarray:
    mask, scale = np.zeros((side, side), np.uint8), rng.uniform(0.3, 1.5)
    font, thick = int(rng.integers(0, 8)), int(rng.integers(1, 5))
    for line in range(1, 1 + int(rng.integers(1, 7))):
        words = "".join(rng.choice(list(LETTERS), rng.integers(3, 20)))
        place = (int(rng.integers(-20, side // 2)), round(line * 40 * scale))
        cv2.putText(mask, words, place, font, scale, 1, thick)
    return mask.astype(bool)


def _boxes(rng: np.random.Generator, side: int) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    for _ in range(rng.integers(1, 9)):
        (top, left), (tall, wide) = rng.integers(0, side, 2), rng.integers(2, 33, 2)
        mask[top : top + tall, left : left + wide] = True
    return mask


_KINDS: tuple[Callable[[np.random.Generator, int], np.ndarray], ...] = (
    _strokes,
    _lost,
    _specks,
    _letters,
    _boxes,
)
_CHANCES = (0.5, 0.3, 0.07, 0.07, 0.06)
