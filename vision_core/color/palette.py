"""Palettes: the few most distinct colours of a picture, each with its share of the pixels."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from dataclasses import replace as with_fields

import numpy as np

from vision_core.color.spaces import Space, decode, encode
from vision_core.pictures.images import Picture

CHUNK = 1 << 19  # pixels counted at a time, so that memory does not grow with the picture
SAMPLE = 1 << 19  # the mean colours of the bins come from at least so many pixels, where there are as many
ROUNDS = 50  # of k-means, at most
PAIRS = 1 << 15  # of neighbouring pixels, of which those that look alike are kept for a training
ALIKE = (1.0, 4.0)  # Lab distance of neighbours that look alike without being equal
DARK_BITS = 4
DARK = 1 << DARK_BITS


@dataclass(frozen=True, eq=False)
class CountedColors:
    """The distinct colours of a picture, uint8 (N, 3), and how many pixels have each, int64 (N,).

    `pairs`, uint8 (P, 2, 3): a sample of neighbouring pixels that look alike, where the picture was known.
    """

    colors: np.ndarray
    counts: np.ndarray
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 3), np.uint8))


@dataclass(frozen=True, eq=False)
class Palette:
    """Colours, uint8 (K, 3) sRGB, and the share of the pixels that each stands for, float64 (K,), sum 1."""

    colors: np.ndarray
    shares: np.ndarray

    def __post_init__(self) -> None:
        colors, shares = self.colors, self.shares
        if colors.dtype != np.uint8 or colors.ndim != 2 or colors.shape[1] != 3 or len(colors) == 0:
            raise ValueError(
                f"palette colours are {colors.dtype} {colors.shape}, expected uint8 (K, 3), K >= 1"
            )
        if shares.shape != (len(colors),):
            raise ValueError(f"{shares.size} shares for {len(colors)} palette colours")
        if not (np.isfinite(shares).all() and (shares >= 0).all() and abs(shares.sum() - 1) < 1e-6):
            raise ValueError(f"palette shares must be 0 or more and sum to 1, got {shares.tolist()}")


def count_colors(rgb: np.ndarray, bits: int = 6) -> CountedColors:
    """Count the colours of a picture, uint8 (..., 3), in bins of 2**bits levels per channel.

    The counts are exact. The colour of a bin is the mean of its pixels; in pictures of more than a megapixel
    only every n-th pixel enters the mean, and a bin that gets none has the colour of its centre. Colours with
    all channels below 16 have bins of their own, because OKLab spreads them over a sixth of its lightness.

    Args:
        rgb: of (H, W, 3) pairs of neighbours are sampled, too; a list of pixels (N, 3) has none.
        bits: 1 to 7. The default leaves some 10,000 colours of a photograph.
    """
    if rgb.dtype != np.uint8 or rgb.ndim < 2 or rgb.shape[-1] != 3 or rgb.size == 0:
        raise ValueError(f"picture is {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3), at least one pixel")
    if not 1 <= bits <= 7:
        raise ValueError(f"bits is {bits}, expected 1 to 7")
    flat = rgb.reshape(-1, 3)
    bins = (1 << 3 * bits) + DARK**3
    chunks = [flat[start : start + CHUNK] for start in range(0, len(flat), CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = sum(pool.map(lambda chunk: np.bincount(_bin(chunk, bits), minlength=bins), chunks))
    used = np.flatnonzero(counts)

    sample = flat[:: max(1, len(flat) // SAMPLE)]
    index = _bin(sample, bits)
    seen = np.bincount(index, minlength=bins)[used]
    sums = np.stack([np.bincount(index, channel, minlength=bins)[used] for channel in sample.T], 1)
    means = np.where(seen[:, None] > 0, sums / np.maximum(seen, 1)[:, None], _centres(used, bits))
    counted = CountedColors(np.rint(means).astype(np.uint8), np.asarray(counts)[used])
    return with_fields(counted, pairs=_alike(rgb)) if rgb.ndim == 3 else counted


def count_picture(picture: Picture) -> CountedColors:
    """`count_colors` of what can be seen of a picture, with pairs of its neighbours."""
    return with_fields(count_colors(picture.visible), pairs=_alike(picture.seen))


def _alike(rgb: np.ndarray) -> np.ndarray:
    """Pairs of neighbours, uint8 (P, 2, 3), that look alike in the picture, uint8 (H, W, 3)."""
    flat = rgb.reshape(-1, 3)
    pairs = np.stack([flat[index] for index in neighbours(rgb.shape[:2], PAIRS)], 1)
    distance = np.linalg.norm(np.diff(encode(pairs, "lab"), axis=1)[:, 0], axis=1)
    return pairs[(distance >= ALIKE[0]) & (distance <= ALIKE[1])]


def neighbours(shape: tuple[int, ...], number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices (P,), (P,) of pixels side by side or one above the other in a picture of `shape` (H, W).

    All such pairs, or `number` of them drawn at random where there are more.
    """
    height, width = shape
    beside, below = height * (width - 1), (height - 1) * width
    pairs = np.arange(beside + below)
    if len(pairs) > number:
        pairs = np.random.default_rng(seed).integers(beside + below, size=number)
    row, column = np.divmod(pairs, max(width - 1, 1))
    first = np.where(pairs < beside, row * width + column, pairs - beside)
    return first, first + np.where(pairs < beside, 1, width)


def extract(
    picture: np.ndarray | CountedColors,
    clusters: int = 25,
    colors: int = 10,
    space: Space = "lab",
    seed: int = 0,
    keep: np.ndarray | None = None,
) -> Palette:
    """The most distinct colours of a picture, lightest first, with their true shares of its pixels.

    K-means on the counted colours gives `clusters` centres. Starting with the centre of the largest cluster,
    so that the main colour is always included, the centre farthest from all chosen ones is added until there
    are `colors`. A picture with fewer distinct colours gives as many as it has.

    Args:
        picture: uint8 (H, W, 3), or its counted colours.
        keep: uint8 (M, 3), M <= `colors`, locked colours, which are always included; the rest is chosen
            around them. One that is nearest to no pixel has share 0.
    """
    locked = np.zeros((0, 3), np.uint8) if keep is None else np.asarray(keep).reshape(-1, 3)
    if colors < 1 or clusters < 1 or len(locked) > colors:
        raise ValueError(
            f"{clusters} clusters and {colors} colours with {len(locked)} locked: "
            "expected 1 or more, and no more locked than colours"
        )
    counted = picture if isinstance(picture, CountedColors) else count_colors(picture)
    centres = cluster(counted, clusters, space, seed)
    start = locked if len(locked) else centres.colors[[centres.shares.argmax()]]
    chosen = _farthest(centres.colors, start, colors, space)
    lightness = encode(chosen, "oklab")[:, 0]
    chosen = chosen[np.lexsort((*chosen.T, -lightness))]
    return Palette(chosen, shares(chosen, counted, space))


def cluster(counted: CountedColors, number: int = 25, space: Space = "lab", seed: int = 0) -> Palette:
    """Weighted k-means: the cluster centres and their shares; the colours themselves if there are no more.

    Written out, for scikit-learn takes longer to import than this takes.
    """
    weights = counted.counts / counted.counts.sum()
    if len(weights) <= number:
        return Palette(counted.colors, weights)
    points = encode(counted.colors, space).astype(np.float64)
    centres = _seeds(points, weights, number, np.random.default_rng(seed))
    mass = weights
    for _ in range(ROUNDS):
        index = _closest(points, centres)
        mass = np.bincount(index, weights, minlength=number)
        sums = np.stack([np.bincount(index, weights * x, minlength=number) for x in points.T], 1)
        moved = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1e-300)[:, None], centres)
        shift = ((moved - centres) ** 2).sum()
        centres = moved
        if shift < 1e-4 * points.var(axis=0).mean():
            break
    return Palette(decode(centres, space), mass)


def assign(colors: np.ndarray, palette: np.ndarray, space: Space = "lab") -> np.ndarray:
    """Index (N,) of the colour of `palette`, uint8 (K, 3), nearest to each of `colors`, uint8 (N, 3)."""
    wanted = encode(palette, space).astype(np.float64)
    parts = np.array_split(colors, len(colors) // CHUNK + 1)
    return np.concatenate([_closest(encode(part, space).astype(np.float64), wanted) for part in parts])


def nearest(colors: np.ndarray, palette: Palette, space: Space = "lab") -> np.ndarray:
    """Each colour, uint8 (N, 3), replaced by the nearest palette colour."""
    return palette.colors[assign(colors, palette.colors, space)]


def shares(colors: np.ndarray, counted: CountedColors, space: Space = "lab") -> np.ndarray:
    """Share, float64 (K,) of sum 1, of the counted pixels that lie nearest to each of the colours (K, 3)."""
    counts = np.bincount(assign(counted.colors, colors, space), counted.counts, minlength=len(colors))
    return counts / counts.sum()


def drop(palette: Palette, index: int, counted: CountedColors | None = None, space: Space = "lab") -> Palette:
    """The palette without one colour.

    Its pixels go to the nearest of the others; without counted pixels its share is spread over them in
    proportion.
    """
    _check_index(palette, index)
    if len(palette.colors) == 1:
        raise ValueError("cannot drop the only colour of a palette")
    left = np.delete(palette.shares, index)
    if left.sum() == 0:  # the others were locked colours that the picture does not have
        left = np.ones_like(left)
    return _with_shares(np.delete(palette.colors, index, axis=0), left, counted, space)


def replace(
    palette: Palette,
    index: int,
    color: tuple[int, int, int],
    counted: CountedColors | None = None,
    space: Space = "lab",
) -> Palette:
    """The palette with one colour replaced; the new one takes over its share unless pixels are counted."""
    _check_index(palette, index)
    if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
        raise ValueError(f"colour {color} is not three numbers from 0 to 255")
    colors = palette.colors.copy()
    colors[index] = color
    return _with_shares(colors, palette.shares, counted, space)


def _bin(colors: np.ndarray, bits: int) -> np.ndarray:
    """uint8 (N, 3) -> int32 (N,) bin numbers: the cube of 2**bits levels, then that of the dark colours."""
    channels = np.ascontiguousarray(colors.T)
    dark = (channels[0] | channels[1] | channels[2]) < DARK
    index = _pack(channels >> 8 - bits, bits)
    np.copyto(index, _pack(channels & DARK - 1, DARK_BITS) + (1 << 3 * bits), where=dark)
    return index


def _pack(levels: np.ndarray, bits: int) -> np.ndarray:
    index = levels[0].astype(np.int32)
    for channel in levels[1:]:
        index <<= bits
        index |= channel
    return index


def _centres(index: np.ndarray, bits: int) -> np.ndarray:
    """Bin numbers (N,) -> the colours (N, 3) in the middle of the bins."""
    cube, levels = 1 << 3 * bits, 1 << bits
    regular = np.stack(np.unravel_index(np.minimum(index, cube - 1), (levels,) * 3), 1)
    dark = np.stack(np.unravel_index(np.maximum(index - cube, 0), (DARK,) * 3), 1)
    return np.where(index[:, None] < cube, (regular + 0.5) * (256 / levels) - 0.5, dark)


def _farthest(candidates: np.ndarray, start: np.ndarray, number: int, space: Space) -> np.ndarray:
    """Greedy max-min: `start`, uint8 (M, 3), then always the candidate farthest from all chosen."""
    points, chosen = encode(candidates, space), list(start)
    distance = np.full(len(points), np.inf)
    for color in start:
        distance = np.minimum(distance, np.linalg.norm(points - encode(color, space), axis=1))
    while len(chosen) < number and distance.max() > 0:
        best = int(distance.argmax())
        chosen.append(candidates[best])
        distance = np.minimum(distance, np.linalg.norm(points - points[best], axis=1))
    return np.unique(np.array(chosen), axis=0)


def _seeds(points: np.ndarray, weights: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    """The first centres: each is drawn far from those before it, the best of a few draws.

    Source: Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding".
    """
    trials = 2 + int(np.log(number))
    centres = points[[random.choice(len(points), p=weights)]]
    distance = ((points - centres[0]) ** 2).sum(axis=1)
    while len(centres) < number and (mass := weights * distance).any():
        drawn = points[random.choice(len(points), trials, p=mass / mass.sum())]
        nearer = np.minimum(distance, ((points - drawn[:, None]) ** 2).sum(axis=2))
        best = (nearer @ weights).argmin()
        centres, distance = np.vstack([centres, drawn[best]]), nearer[best]
    return centres


def _closest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index (N,) of the centre (K, 3) nearest to each point (N, 3)."""
    return ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)


def _with_shares(
    colors: np.ndarray, left: np.ndarray, counted: CountedColors | None, space: Space
) -> Palette:
    return Palette(colors, left / left.sum() if counted is None else shares(colors, counted, space))


def _check_index(palette: Palette, index: int) -> None:
    if not 0 <= index < len(palette.colors):
        raise ValueError(f"palette has {len(palette.colors)} colours, no number {index}")
