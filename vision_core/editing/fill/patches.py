"""Fills a wide hole with patches of the same picture, which continues textures and edges.

pypatchmatch does the search. This module decides which pixels may be copied and at which size to search, and
copies the result at full size.

Source: Wexler et al. 2007, "Space-Time Completion of Video"; Barnes et al. 2009, "PatchMatch".
"""

from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np

from vision_core.editing import masks


class Version(NamedTuple):
    """One of several fillings: the radius of its patches, and whether a coarse filling guides them."""

    radius: int
    guided: bool = False


LARGEST = 400_000  # maximum pixels of a picture that is searched at full size,
DEEPEST = 60_000  # and of its hole; larger ones are searched downscaled, then copied at full size
VERSIONS = (Version(3, guided=True), Version(3), Version(5))
WEIGHT = 0.02  # of height and lightness against the difference of the patches
STEP = 4  # spacing in pixels of the grid whose sources are used at full size
REACH = 8  # margin in pixels around the hole within which the light is matched
STRIP = 3_000_000  # array elements copied at a time
_LOCK = Lock()  # the library has one global seed per process


def fill(
    rgb: np.ndarray,
    hole: np.ndarray,
    seed: int = 0,
    version: int = 0,
    avoid: np.ndarray | None = None,
    guide: np.ndarray | None = None,
) -> np.ndarray:
    """uint8 (H, W, 3) with the hole, bool (H, W), filled; nothing else changes.

    Args:
        rgb: the values in the hole are ignored.
        version: index of the `VERSIONS`, which give alternative results.
        avoid: bool (H, W), pixels that are not copied, as long as enough others are left.
        guide: the picture filled coarsely, uint8 (h, w, 3) of any size: patches are preferred from places of
            the same height in the picture and the same lightness. Meant for the guided versions.

    Raises:
        ValueError: nowhere in the picture is there enough known to copy.
    """
    radius = VERSIONS[version].radius
    if not (~masks.grow(hole, radius + 1))[radius:-radius, radius:-radius].any():
        raise ValueError("too little of the picture is known to continue its texture")
    barred = hole if avoid is None or not roomy(hole | avoid, radius) else hole | avoid
    scale = min(1.0, (LARGEST / hole.size) ** 0.5, (DEEPEST / hole.sum()) ** 0.5)
    height, width = (max(8, round(side * scale)) for side in hole.shape)
    small, gap, kept_out = rgb, hole, barred
    if scale < 1:
        small, gap = shrink(rgb, hole, height, width)
        kept_out = gap | (cv2.resize(barred.astype(np.float32), (width, height)) > 0)
        if not roomy(kept_out, radius):
            kept_out = gap
    layout = None if guide is None else _layout(guide, *gap.shape)
    filled = _search(small, gap, kept_out, seed, radius, layout)
    if scale < 1:
        return enlarge(rgb, barred, filled, kept_out, hole)
    return np.where(hole[..., None], filled, rgb)


def roomy(hole: np.ndarray, radius: int = 3) -> bool:
    """Whether enough known pixels lie clear of the hole to copy from: a quarter of its area."""
    room = ~masks.grow(hole, 2 * radius)
    return bool(4 * room.sum() >= hole.sum() and room[radius:-radius, radius:-radius].any())


def _search(
    rgb: np.ndarray, gap: np.ndarray, barred: np.ndarray, seed: int, radius: int, layout: np.ndarray | None
) -> np.ndarray:
    """Fill with patches from places of a similar `layout`, float32 (H, W, 3)."""
    import patchmatch

    others = barred & ~gap if (barred & ~gap).any() else None
    with _LOCK:
        patchmatch.set_random_seed(seed % 2**32)
        if layout is None:
            return patchmatch.inpaint(rgb, gap, global_mask=others, patch_size=radius)
        return patchmatch.inpaint_regularity(
            rgb, gap, layout, global_mask=others, patch_size=radius, guide_weight=WEIGHT
        )


def _layout(guide: np.ndarray, height: int, width: int) -> np.ndarray:
    """Height in the picture, and the guide's lightness, float32 (H, W, 3).

    pypatchmatch compares two channels on circles of length 1; within half of it they are lines.
    """
    rgb = cv2.resize(guide, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    layout = np.zeros_like(rgb)
    layout[..., 0] = np.linspace(0, 0.5, height, dtype=np.float32)[:, None]
    layout[..., 1] = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[..., 0] / 200
    return layout


def shrink(
    rgb: np.ndarray, hole: np.ndarray, height: int, width: int, least: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Shrink the known pixels and the hole; a pixel of which less than `least` is known becomes hole."""
    known = rgb.copy()
    known[hole] = 0
    small = cv2.resize(known, (width, height), interpolation=cv2.INTER_AREA)
    weight = cv2.resize((~hole).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    light = small / np.maximum(weight, least)[..., None]
    return light.round().clip(0, 255).astype(np.uint8), weight < least


def enlarge(
    rgb: np.ndarray, barred: np.ndarray, small: np.ndarray, gap: np.ndarray, hole: np.ndarray
) -> np.ndarray:
    """Fill the hole at full size: each pixel is copied from the source of the small patches around it.

    Each patch of the small filling is matched to the known patch of the most similar colours. The four grid
    places around a pixel give its possible sources; the low frequencies stay those of the small filling.
    """
    places, moved = _sources(small, gap)
    scale = np.array(hole.shape) / gap.shape
    grid = tuple(-(-side // STEP) + 1 for side in gap.shape)
    has_source, offsets = np.zeros(grid, bool), np.zeros((*grid, 2), int)  # in pixels of full size
    has_source[tuple((places // STEP).T)] = True
    offsets[tuple((places // STEP).T)] = (moved * scale).round()
    part = masks.around(hole, round(REACH * scale.max()))
    plain = cv2.resize(small, hole.shape[::-1], interpolation=cv2.INTER_LINEAR)[part].astype(np.float32)
    result, removed = plain.copy(), hole[part]
    rows, columns = (np.arange(side.start, side.stop) for side in part)
    for strip in np.array_split(np.arange(len(rows)), -(-plain.size // STRIP)):
        copied = _copied_colors(rgb, barred, plain[strip], has_source, offsets, (rows[strip], columns), scale)
        result[strip] = np.where(removed[strip][..., None], copied, plain[strip])
    size = tuple(max(1, round(side / s)) for side, s in zip(removed.shape, scale, strict=True))[::-1]
    drift = cv2.GaussianBlur(cv2.resize(result - plain, size, interpolation=cv2.INTER_AREA), (0, 0), 2)
    result -= cv2.resize(drift, removed.shape[::-1], interpolation=cv2.INTER_LINEAR)
    whole = rgb.copy()
    whole[part][removed] = result[removed].round().clip(0, 255)
    return whole


def _copied_colors(
    rgb: np.ndarray,
    barred: np.ndarray,
    plain: np.ndarray,
    has_source: np.ndarray,
    offsets: np.ndarray,
    pixels: tuple[np.ndarray, np.ndarray],
    scale: np.ndarray,
) -> np.ndarray:
    """Copy each pixel from the sources of its four grid places, weighted by distance; else from `plain`.

    Args:
        has_source, offsets: of a grid of places: whether each has a source, (R, C), how far away, (R, C, 2).
        pixels: rows and columns of the pixels of `plain`, (h, w, 3).
    """
    at = [((index + 0.5) / s - 0.5).clip(0) / STEP for index, s in zip(pixels, scale, strict=True)]
    corner = [place.astype(int) for place in at]
    colors, total = plain * np.float32(1e-6), np.full(plain.shape[:2], 1e-6, np.float32)
    flat, free, (height, width) = rgb.reshape(-1, 3), ~barred.ravel(), barred.shape
    for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
        place = [start + more for start, more in zip(corner, step, strict=True)]
        away, usable = offsets[np.ix_(*place)], has_source[np.ix_(*place)]
        y = (pixels[0][:, None] + away[..., 0]).clip(0, height - 1)
        x = (pixels[1] + away[..., 1]).clip(0, width - 1)
        source = y * width + x
        down, across = ((1 - np.abs(a - p)) ** 3 for a, p in zip(at, place, strict=True))  # one of them wins
        share = np.outer(down, across).astype(np.float32) * (usable & free[source])
        colors += flat[source] * share[..., None]
        total += share
    return colors / total[..., None]


def _sources(small: np.ndarray, gap: np.ndarray, radius: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Grid places (row, column) over the gap, and the offset from each to the most similar known patch."""
    from scipy.spatial import KDTree

    height, width = gap.shape
    near = masks.grow(gap, 2 * STEP)
    inner = np.zeros_like(gap)
    inner[radius : height - radius, radius : width - radius] = True
    candidates = np.argwhere(inner & ~masks.grow(gap, radius + 1))
    places = np.argwhere(near)
    places = places[(places % STEP == 0).all(1)]
    steps = np.arange(-radius, radius + 1, radius)
    lab = cv2.cvtColor(cv2.blur(small, (3, 3)), cv2.COLOR_RGB2LAB).astype(np.float32)
    padded = np.pad(lab, ((radius, radius), (radius, radius), (0, 0)), mode="edge")

    def patches(at: np.ndarray) -> np.ndarray:  # nine means around each place, (N, 27)
        parts = [padded[at[:, 0] + radius + y, at[:, 1] + radius + x] for y in steps for x in steps]
        return np.concatenate(parts, 1)

    _, nearest = KDTree(patches(candidates)).query(patches(places), eps=1.0)
    return places, candidates[nearest] - places
