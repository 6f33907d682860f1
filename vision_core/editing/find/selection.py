"""What a box was drawn around: a frozen network's features, inside against outside, then edges by GrabCut.

Source: Rother et al. 2004, "GrabCut"; the features are those of `photo.PhotoEyes`.
"""

from collections.abc import Sequence

import cv2
import numpy as np

SIDE = 384  # pixels a side of the square that the network sees: the box and half as much again on each side
CELLS = 48  # of the maps of features, a side; the box is the middle half of them
LIKELY = 0.4  # from which a place is taken to be the thing's
_CUT = 160  # pixels a side of the square in which edges are searched
_INSIDE = slice(CELLS // 4, 3 * CELLS // 4)
# of `evidence`, by logistic regression on COCO's true masks: `benchmarks/editing.py box`
WEIGHTS: tuple[float, ...] = (
    -0.935,
    -0.249, 0.273, 0.45, -0.797, -0.459, 0.293, 0.487, -0.934, 0.225,
    0.76, 0.516, 0.107, -0.549,
    0.073, -0.385, 0.534, -0.728,
    0.031, 0.706, 0.4, -0.066,
    0.502, -0.078, 0.779, -0.544,
)  # fmt: skip


def around(rgb: np.ndarray, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The square of `SIDE` pixels that shows a box and its surroundings, and which of it the picture has.

    Args:
        box: left, top, right, bottom in pixels; its proportions are not kept.

    Returns:
        uint8 (SIDE, SIDE, 3), mirrored where the picture ends, and bool (CELLS, CELLS).
    """
    left, top, right, bottom = box
    x, y = SIDE / 2 / (right - left), SIDE / 2 / (bottom - top)
    matrix = np.array([[x, 0, SIDE / 4 - left * x], [0, y, SIDE / 4 - top * y]])
    way = cv2.INTER_AREA if x < 1 else cv2.INTER_LINEAR
    seen = cv2.warpAffine(rgb, matrix, (SIDE, SIDE), flags=way, borderMode=cv2.BORDER_REFLECT_101)
    real = cv2.warpAffine(np.ones(rgb.shape[:2], np.uint8), matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST)
    return seen, cv2.resize(real, (CELLS, CELLS), interpolation=cv2.INTER_NEAREST) > 0


def evidence(maps: Sequence[np.ndarray], real: np.ndarray) -> np.ndarray:
    """What tells a thing from its surroundings at each place in the box, (25, CELLS / 2, CELLS / 2).

    Args:
        maps: features (C, CELLS, CELLS) of several layers.
        real: bool (CELLS, CELLS), False where the picture has ended.
    """
    y, x = (np.mgrid[:CELLS, :CELLS] - (CELLS - 1) / 2) / (CELLS / 4)
    core, ring = np.hypot(x, y) < 0.6, np.maximum(abs(x), abs(y)) > 1.2
    ring = ring & real if (ring & real).sum() >= 50 else ring
    found = [y, abs(x), abs(y), x**2, y**2, abs(x * y), np.hypot(x, y), (x * y) ** 2, y**3]
    for features in maps:
        mean, spread = (getattr(features, name)((1, 2), keepdims=True) for name in ("mean", "std"))
        z = ((features - mean) / (spread + 1e-3)).clip(-4, 4)
        found += _contrasts(z, core, ring)
    return np.stack(found)[:, _INSIDE, _INSIDE].astype(np.float32)


def likely(found: np.ndarray, weights: Sequence[float] = WEIGHTS) -> np.ndarray:
    """How likely each place of `evidence` belongs to the thing, float32 (CELLS / 2, CELLS / 2)."""
    level = weights[0] + np.tensordot(np.asarray(weights[1:], np.float32), found, 1)
    return 1 / (1 + np.exp(-level))


def refine(seen: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """`likely` drawn to the edges of the square of `around`: float32 (_CUT / 2, _CUT / 2), of the box.

    The thing is where it is above `LIKELY`; a soft edge stays smooth when it is enlarged.
    """
    small = cv2.resize(seen, (_CUT, _CUT), interpolation=cv2.INTER_AREA)
    inside = slice(_CUT // 4, 3 * _CUT // 4)
    level = np.zeros((_CUT, _CUT), np.float32)
    level[inside, inside] = cv2.resize(chance, (_CUT // 2, _CUT // 2), interpolation=cv2.INTER_CUBIC)
    trimap = np.full(level.shape, cv2.GC_BGD, np.uint8)
    trimap[level > 0.12] = cv2.GC_PR_BGD
    trimap[level > LIKELY] = cv2.GC_PR_FGD
    trimap[level > 0.75] = cv2.GC_FGD
    cut = grab_cut(small, trimap, rounds=2)[inside, inside]
    return cv2.GaussianBlur((0.3 * cut + 0.7 * level[inside, inside]).astype(np.float32), (0, 0), 1)


def grab_cut(rgb: np.ndarray, trimap: np.ndarray, rounds: int) -> np.ndarray:
    """GrabCut from a trimap of its four values; too few pixels of either kind stay as they are."""
    front = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if front.sum() < 8 or (~front).sum() < 8:  # GrabCut's mixtures need pixels of both
        return front
    trimap, models = trimap.copy(), np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)
    rgb = np.ascontiguousarray(rgb)
    cv2.grabCut(rgb, trimap, (0, 0, 1, 1), models[0], models[1], rounds, cv2.GC_INIT_WITH_MASK)
    return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _contrasts(z: np.ndarray, core: np.ndarray, ring: np.ndarray) -> list[np.ndarray]:
    """Four maps of one layer's features (C, h, w): how far each place is from those outside the box."""
    length = np.linalg.norm(z, axis=0).clip(1e-3)
    inner, outer = z[:, core].T, z[:, ring].T
    away = z - outer.mean(0)[:, None, None]
    far = np.linalg.norm(away, axis=0).clip(1e-3)
    direction = inner.mean(0) - outer.mean(0)
    aligned = np.einsum("c,chw->hw", direction / max(np.linalg.norm(direction), 1e-3), away) / far
    nearest = np.einsum("cn,chw->nhw", (z / length)[:, ring][:, ::3], z / length).max(0)
    return [aligned, far / len(z) ** 0.5, _discriminant(z, inner, outer), nearest]


def _discriminant(z: np.ndarray, inner: np.ndarray, outer: np.ndarray, ridge: float = 0.3) -> np.ndarray:
    """Ridge regression that says 1 in the middle of the box and -1 outside it, everywhere, (h, w)."""
    samples = np.concatenate([inner, outer])
    samples = np.c_[samples, np.ones(len(samples))]
    share = np.r_[np.full(len(inner), 1 / len(inner)), np.full(len(outer), 1 / len(outer))]
    truth = np.r_[np.ones(len(inner)), -np.ones(len(outer))]
    moments = (samples * share[:, None]).T @ samples + ridge * np.eye(samples.shape[1])
    weights = np.linalg.solve(moments, (samples * share[:, None]).T @ truth)
    return np.einsum("c,chw->hw", weights[:-1], z) + weights[-1]
