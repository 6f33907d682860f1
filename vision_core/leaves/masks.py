"""Segments the leaf and its discoloured areas; gives no result where the segmentation is unreliable.

Source: Rother et al. 2004, "GrabCut": initialised with the colours of the picture's border instead of a box.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

SIDE = 112  # pixels of the longer side for the segmentation
ALIKE = 0.17  # masks with a higher colour overlap of leaf and background are not trusted
MOST = 12  # maximum number of leaves per picture
SMALL = 0.04  # minimum area of a leaf, as a share of the picture
HUE, HUES, DARK, GREY = 0.28, (0.75, 1.45), 0.72, 8.0  # see `discoloured`; angles in radians, Lab
UNSURE = "no leaf can be separated from the background: one leaf on a plain background was expected"


@dataclass(frozen=True)
class Leaf:
    """A leaf's mask, bool (H, W), and the overlap of its colours with the background's, in [0, 1]."""

    mask: np.ndarray
    alike: float


def leaf_mask(rgb: np.ndarray) -> np.ndarray:
    """Segment the leaf: uint8 (H, W, 3) -> bool (H, W), one connected part without holes.

    Raises:
        ValueError: it cannot be separated from the background reliably.
    """
    candidate = search(rgb)
    if candidate is None or candidate.alike > ALIKE:
        raise ValueError(UNSURE)
    return candidate.mask


def search(rgb: np.ndarray) -> Leaf | None:
    """The most likely leaf near the centre of a picture; None if nothing of a leaf's size is found."""
    small = _shrunk(rgb)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    smooth = cv2.GaussianBlur(lab, (0, 0), 1)
    if np.ptp(smooth.reshape(-1, 3), axis=0).max() < 8:
        return None
    mask = _cut(small, _guess(smooth))
    if mask is None or mask.mean() < SMALL or not mask[_radius(mask.shape) < 0.3].mean() > 0.6:
        return None
    large = cv2.resize(mask.astype(np.uint8), rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    return Leaf(large, _color_overlap(lab, mask))


def _shrunk(rgb: np.ndarray) -> np.ndarray:
    scale = min(1.0, SIDE / max(rgb.shape[:2]))
    size = tuple(max(16, round(side * scale)) for side in rgb.shape[1::-1])
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _radius(shape: tuple[int, ...]) -> np.ndarray:
    """Distance from the middle of the picture: 1 at the middle of its sides."""
    y, x = (np.linspace(-1, 1, side) for side in shape[:2])
    return np.hypot(y[:, None], x[None])


def _guess(lab: np.ndarray) -> np.ndarray:
    """Initial labels for GrabCut: the border is background; other colours than its three are leaf."""
    far, radius = _border_distance(lab), _radius(lab.shape)
    guess = np.full(lab.shape[:2], cv2.GC_PR_BGD, np.uint8)
    guess[(radius < 0.8) & (far > _otsu(far))] = cv2.GC_PR_FGD
    guess[radius < 0.25] = cv2.GC_PR_FGD
    guess[_border(lab.shape)] = cv2.GC_BGD
    return guess


def _border(shape: tuple[int, ...]) -> np.ndarray:
    y, x = (abs(np.linspace(-1, 1, side)) for side in shape[:2])
    return np.maximum(y[:, None], x[None]) > 0.94


def _border_distance(lab: np.ndarray) -> np.ndarray:
    """Distance of each pixel's colour to the nearest of three colours of the border: uint8 (H, W)."""
    seen = lab * np.array((0.5, 1, 1), np.float32)  # a shadow is darker, and of the same colour
    cv2.setRNGSeed(0)
    rule = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    edge = seen[_border(lab.shape)]
    _, _, colors = cv2.kmeans(edge, 3, None, rule, 2, cv2.KMEANS_PP_CENTERS)  # pyright: ignore[reportCallIssue, reportArgumentType]
    far = np.sqrt(((seen[..., None, :] - colors) ** 2).sum(-1)).min(-1)
    return (255 * far / max(float(far.max()), 1e-6)).astype(np.uint8)


def _otsu(far: np.ndarray) -> float:
    return cv2.threshold(far, 0, 255, cv2.THRESH_OTSU)[0]


def _cut(rgb: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """The largest part that GrabCut finds, with holes filled; None if nothing is left."""
    mask = _parts(rgb, guess)
    if mask is None:
        return None
    parts, _ = ndimage.label(mask)  # pyright: ignore[reportGeneralTypeIssues]
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    closed = ndimage.binary_closing(np.pad(largest, 3), iterations=2)
    return np.asarray(ndimage.binary_fill_holes(closed), bool)[3:-3, 3:-3]


def _parts(rgb: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """All parts that GrabCut finds; None if there are none."""
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(np.ascontiguousarray(rgb[..., ::-1]), guess, None, *models, 3, cv2.GC_INIT_WITH_MASK)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except cv2.error:  # leaf or background has too few pixels for a colour model
        return None
    mask = np.asarray(ndimage.binary_opening(guess & 1), bool)
    return mask if mask.any() else None


def _color_overlap(lab: np.ndarray, mask: np.ndarray) -> float:
    """The overlap of the colour histograms inside and outside the mask."""
    cells = ((lab + np.array((0, 128, 128), np.float32)) / (100 / 6, 16, 16)).astype(int).clip(0, 15)
    code = cells @ (256, 16, 1)
    inside, outside = (np.bincount(code[side], minlength=4096) for side in (mask, ~mask))
    return float(np.minimum(inside / max(1, inside.sum()), outside / max(1, outside.sum())).sum())


def discoloured(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The discoloured pixels of a leaf: bool (H, W), within the mask.

    A pixel is discoloured if it is yellower, browner or redder than the leaf's own green, or in a spot much
    darker than its surroundings. The leaf's own green is that of its greenest fifth, also if the whole leaf
    is olive. Large dark areas are taken for shade.

    Args:
        rgb: uint8 (H, W, 3).
        mask: bool (H, W), the leaf.
    """
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), max(0.6, max(rgb.shape) / 400))
    light, across, along = lab[..., 0], -lab[..., 1], lab[..., 2]
    hue, colorful = np.arctan2(along, across), np.hypot(across, along) > GREY  # 0 green, pi / 2 yellow
    inner = np.asarray(ndimage.binary_erosion(mask, iterations=max(1, max(mask.shape) // 60)), bool)
    if not (inner & colorful).any():
        return np.zeros_like(mask)
    limit = np.clip(np.quantile(hue[inner & colorful], 0.2) + HUE, *HUES)
    wide = np.sqrt(mask.sum()) / 10
    cover = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), wide)
    around = cv2.GaussianBlur(light * mask, (0, 0), wide) / np.maximum(cover, 1e-3)
    off = ((hue > limit) & colorful) | ((light < DARK * around) & (along > 2))
    return np.asarray(ndimage.binary_opening(off & inner), bool)


def boxes(rgb: np.ndarray) -> tuple[tuple[int, int, int, int], ...]:
    """Left, top, right, bottom of each leaf on a plain background, the largest first; () if unreliable.

    Touching leaves count as one. Parts below an eighth of the largest are ignored.
    """
    small = _shrunk(rgb)
    lab = cv2.GaussianBlur(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), (0, 0), 1)
    if np.ptp(lab.reshape(-1, 3), axis=0).max() < 8:
        return ()
    far = _border_distance(lab)
    guess = np.where(far > _otsu(far), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    guess[_border(lab.shape)] = cv2.GC_BGD
    mask = _parts(small, guess)
    if mask is None:
        return ()
    parts, count = ndimage.label(mask)  # pyright: ignore[reportGeneralTypeIssues]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    kept = [n for n in np.argsort(-sizes, kind="stable") if sizes[n] > max(sizes.max() / 8, 0.01 * mask.size)]
    if not kept or _color_overlap(lab, np.isin(parts, [n + 1 for n in kept])) > ALIKE or len(kept) > MOST:
        return ()
    scale = (rgb.shape[1] / mask.shape[1], rgb.shape[0] / mask.shape[0])
    slices = ndimage.find_objects(parts)
    return tuple(
        (
            round(slices[n][1].start * scale[0]),
            round(slices[n][0].start * scale[1]),
            round(slices[n][1].stop * scale[0]),
            round(slices[n][0].stop * scale[1]),
        )
        for n in kept
    )
