"""Clean material for training crops: cut from pages, written on generated paper, with paler ink."""

import math

import numpy as np
import torch
from torch import Tensor

from vision_core.restoration import damage, ink

Image = np.ndarray  # float32 (S, S, 3) in [0, 1]
Mask = np.ndarray  # float32 (S, S) in [0, 1]


def cut(rng: np.random.Generator, page: np.ndarray, side: int, scale: float) -> np.ndarray:
    """A random square of a uint8 page at `scale`, perhaps mirrored: float32 in 0..255."""
    import cv2

    wide = min(round(side / scale), *page.shape[:2])
    cut = _square(rng, page, wide)
    for _ in range(3):  # the surroundings of pages are nearly black
        if cut.ndim == 2 or cut[::8, ::8, :3].mean() > 48:
            break
        cut = _square(rng, page, wide)
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    if rng.random() < 0.25:
        cut = cut[::-1]
    if wide != side:
        how = cv2.INTER_AREA if wide > side else cv2.INTER_CUBIC
        cut = cv2.resize(np.ascontiguousarray(cut), (side, side), interpolation=how)
    return np.ascontiguousarray(cut, np.float32)


def _square(rng: np.random.Generator, page: np.ndarray, wide: int) -> np.ndarray:
    top, left = (int(rng.integers(have - wide + 1)) for have in page.shape[:2])
    return page[top : top + wide, left : left + wide]


def written(rng: np.random.Generator, mask: Mask) -> tuple[Image, np.ndarray]:
    """Compose writing in any ink on any paper; returns the sheet and its exact ink map."""
    import cv2

    side = len(mask)
    tone = rng.uniform(0.45, 0.97)
    paper = np.clip(tone - np.array([0, rng.uniform(0, 0.08), rng.uniform(0, 0.2)]), 0.2, 1)
    dark = rng.uniform(0.02, 0.4) * tone * (1 + rng.uniform(-0.3, 0.3, 3)).clip(0, None)
    if rng.random() < 0.25:  # brown ink that has paled
        dark = rng.uniform(0.45, 0.8) * tone * np.array([1, rng.uniform(0.75, 1), rng.uniform(0.5, 0.95)])
    if rng.random() < 0.08:
        dark = rng.permutation([rng.uniform(0.5, 0.75), rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3)]) * tone
    clouds = rng.uniform(0, 0.05) * cloud(rng, side, 3) + rng.uniform(0, 0.03) * cloud(rng, side, side // 10)
    grain = rng.normal(0, rng.uniform(0.001, 0.012), (side, side))
    sheet = paper * (1 + clouds + grain)[..., None]
    if rng.random() < 0.1:
        sheet = sheet * (1 - rng.uniform(0.1, 0.4) * _ruled(rng, side))[..., None]
    dense = (
        rng.uniform(0.6, 1)
        + rng.uniform(0, 0.25) * cloud(rng, side, 12)
        + rng.uniform(0, 0.2) * cloud(rng, side, side // 6)
    )
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.35, 0.9))
    cover = (soft * np.clip(dense, 0.3, 1))[..., None]
    truth = ink.strokes(soft, 0.12, 0.25)
    return (sheet * (1 - cover) + dark * cover).clip(0, 1).astype(np.float32), truth


def _ruled(rng: np.random.Generator, side: int) -> Mask:
    """Thin horizontal and sometimes vertical lines, as on ruled paper and in tables."""
    import cv2

    lines = np.zeros((side, side), np.float32)
    for axis in range(1 + (rng.random() < 0.4)):
        step, at = rng.uniform(16, 90), rng.uniform(0, 60)
        while at < side:
            ends = (0, at, side, at + rng.uniform(-2, 2)) if axis == 0 else (at, 0, at, side)
            a, b = (round(v) for v in ends[:2]), (round(v) for v in ends[2:])
            cv2.line(lines, tuple(a), tuple(b), 1.0, 1 + int(rng.random() < 0.2), cv2.LINE_AA)
            at += step
    return lines


def paled(rng: np.random.Generator, clean: Image) -> Image:
    """Fade the ink of a page towards the surrounding paper and, usually, towards brown."""
    import cv2

    side = len(clean)
    paper = cv2.blur(cv2.dilate(clean, np.ones((15, 15), np.uint8)), (31, 31))
    share = rng.uniform(0.25, 0.8) * np.array([1, rng.uniform(1, 1.2), rng.uniform(1, 1.4)])
    share = share * (1 + 0.2 * cloud(rng, side, 4)[..., None])
    return (paper + (clean - paper) * share.clip(0, 1)).astype(np.float32)


def darkness(clean: Image, truth: np.ndarray) -> float:
    """Relative darkness of the ink of a crop against its paper, in [0, 1]; 1 if there is hardly any ink."""
    mask = truth == 255
    if mask.mean() < 0.003 or not (truth == 0).any():
        return 1.0
    luma = clean @ np.array(damage.LUMA, np.float32)
    return float(1 - np.median(luma[mask]) / max(np.median(luma[truth == 0]), 0.05))


def cloud(rng: np.random.Generator, side: int, cells: int) -> Mask:
    """A smooth random field, about -1 to 1, from `cells` values per side."""
    import cv2

    coarse = rng.uniform(-1, 1, (max(2, cells), max(2, cells))).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def tensor(image: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))
