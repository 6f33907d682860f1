"""Lays the outline of a thing on the ground as its shadow might lie, and reads the picture along it.

On level ground, a shadow is the outline of its thing, sheared to one side and flattened from the foot. So two
numbers place it: `lean`, the shear, and `flat`, the vertical extent, both in heights of the thing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

LEANS = np.linspace(-2.0, 2.0, 81)
FLATS = np.linspace(-0.6, 0.6, 49)
NEAR = np.linspace(-0.8, 0.8, 5)  # refinement around a proposal, in steps of both grids
APART = (0.12, 0.06)  # minimum distance of two proposals in lean or flat
DARKER = (0.15, 1.8)  # minimum and maximum darkening across the edge of a shadow, as a logarithm
TINT = 12.0  # maximum colour shift across its edge, in CIELAB
POINTS = 64  # points on an outline
SEEN = 0.4  # minimum share of them that lie on the ground in the picture,
ALIKE = 0.4  # and minimum share of the darker ones that keep their colour
LUMINANCE = np.array([0.21, 0.72, 0.07], np.float32)  # of linear red, green and blue


class Evidence(NamedTuple):
    """What speaks for K outlines as edges of the shadow, (K,) each; -inf where there can be none.

    Attributes:
        share: share of the points at which it is darker within, and of the same colour.
        even: minus the mean deviation of the darkening at these points.
        darker: mean darkening, the logarithm of the light.
        clear: that in relation to its variation.
    """

    share: np.ndarray
    even: np.ndarray
    darker: np.ndarray
    clear: np.ndarray


@dataclass(frozen=True, eq=False)
class Outline:
    """The edge of a thing: points (N, 2), x and y in pixels, counterclockwise; the row of its foot."""

    points: np.ndarray
    foot: float

    def laid(self, leans: np.ndarray, flats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points of K shadows, and the directions out of each there, of length 1: both (K, N, 2)."""
        up = self.foot - self.points[:, 1]  # heights above the foot, (N,)
        x = self.points[:, 0] + leans[:, None] * up
        y = self.foot + flats[:, None] * up
        along = [np.roll(z, -1, 1) - np.roll(z, 1, 1) for z in (x, y)]
        away = np.stack([-along[1], along[0]], 2)
        turned = np.where(flats > 0, -1, 1)[:, None, None]  # a mirrored outline runs the other way round
        return np.stack([x, y], 2), away * turned / np.linalg.norm(away, axis=2, keepdims=True).clip(1e-6)


def of(thing: np.ndarray) -> Outline:
    """The outline of the largest part of a thing, bool (H, W), not empty."""
    lines, _ = cv2.findContours(thing.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    line = max(lines, key=len)[:, 0].astype(np.float32)
    line = cv2.blur(line, (1, 5), borderType=cv2.BORDER_REFLECT) if len(line) > 20 else line
    some = np.linspace(0, len(line), POINTS, endpoint=False).astype(int)
    return Outline(line[some], float(line[:, 1].max()))


def filled(points: np.ndarray, thing: np.ndarray) -> np.ndarray:
    """The inside of an outline, (N, 2), without the thing, bool (H, W)."""
    inside = np.zeros(thing.shape, np.uint8)
    cv2.fillPoly(inside, [points.round().astype(np.int32)], 1)
    return (inside > 0) & ~thing


def seen(rgb: np.ndarray, thing: np.ndarray) -> np.ndarray:
    """What is read along an outline, float32 (H, W, 4): log of the light, a and b of CIELAB, the thing."""
    smooth = cv2.GaussianBlur(rgb.astype(np.float32) / 255, (0, 0), 1)
    light = np.log((smooth**2.2) @ LUMINANCE + 0.01)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB)
    return np.dstack([light, lab[..., 1], lab[..., 2], thing.astype(np.float32)])


def evidence(values: np.ndarray, outline: Outline, leans: np.ndarray, flats: np.ndarray) -> Evidence:
    """What speaks for each of K shadows.

    Args:
        values: see `seen`.
    """
    points, away = outline.laid(leans, flats)
    (outer, out), (inner, within) = (_at(values, points + d * away) for d in (3.0, -3.0))
    usable = out & within & (outer[..., 3] < 0.1) & (inner[..., 3] < 0.1)
    step = outer[..., 0] - inner[..., 0]
    shift = np.hypot(*(outer[..., c] - inner[..., c] * np.exp(step / 6) for c in (1, 2)))
    dark = usable & (step > DARKER[0]) & (step < DARKER[1])
    right = dark & (shift < TINT)
    count, hits = np.maximum(usable.sum(1), 1), np.maximum(right.sum(1), 1)
    typical = np.where(right, step, 0).sum(1) / hits
    uneven = np.where(right, np.abs(step - typical[:, None]), 0).sum(1) / hits
    bounded = np.where(usable, step, 0).clip(-1, 1.2)
    mean = bounded.sum(1) / count
    spread = np.sqrt((np.where(usable, bounded - mean[:, None], 0) ** 2).sum(1) / count + 0.02)
    every = right.sum(1) / count, -uneven, mean, mean / spread
    possible = (usable.mean(1) >= SEEN) & (right.sum(1) >= ALIKE * dark.sum(1))
    return Evidence(*(np.where(possible, x, -np.inf) for x in every))


def proposals(values: np.ndarray, outline: Outline, each: int) -> tuple[np.ndarray, np.ndarray]:
    """The most likely shadows, `each` by one of three measures: their leans and flats, (K,)."""
    leans, flats = (grid.ravel() for grid in np.meshgrid(LEANS, FLATS))
    coarse = Outline(outline.points[::2], outline.foot)
    found = evidence(values, coarse, leans, flats)
    chosen: list[int] = []
    for measure in (found.share + 0.3 * found.even, found.darker, found.clear):
        chosen += _peaks(measure, leans, flats, each)
    moves = [grid.ravel() for grid in np.meshgrid(NEAR * np.diff(LEANS)[0], NEAR * np.diff(FLATS)[0])]
    refined = []
    for number in dict.fromkeys(chosen):
        near = leans[number] + moves[0], flats[number] + moves[1]
        found = evidence(values, outline, *near)
        best = int(np.argmax(found.share + 0.5 * found.clear))
        refined.append((near[0][best], near[1][best]))
    placed = np.array(refined).reshape(-1, 2)
    return placed[:, 0], placed[:, 1]


def _peaks(measure: np.ndarray, leans: np.ndarray, flats: np.ndarray, most: int) -> list[int]:
    """The best places that are apart from each other."""
    left, found = measure.copy(), []
    while len(found) < most and np.isfinite(left).any():
        best = int(np.argmax(left))
        found.append(best)
        near = (np.abs(leans - leans[best]) < APART[0]) & (np.abs(flats - flats[best]) < APART[1])
        left[near] = -np.inf
    return found


def _at(values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values (H, W, C) at places, (..., 2), and whether each lies inside of the picture."""
    height, width = values.shape[:2]
    columns, rows = (places[..., number].round().astype(np.intp) for number in range(2))
    inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
    return values[rows.clip(0, height - 1), columns.clip(0, width - 1)], inside
