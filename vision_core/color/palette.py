"""Palettes: the most distinct colours of a picture, each with its share of the pixels."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from dataclasses import replace as with_fields

import numpy as np

from vision_core.color.spaces import Space, decode, encode
from vision_core.pictures.images import Picture

CHUNK = 1 << 19  # pixels counted at a time; bounds the memory
SAMPLE = 1 << 19  # minimum number of pixels for the mean colours of the bins, if there are as many
ROUNDS = 50  # maximum iterations of k-means
PAIRS = 1 << 15  # pairs of neighbours sampled per picture; similar ones are kept for training
ALIKE = (1.0, 4.0)  # Lab distance of neighbours that are similar, but not equal
DARK_BITS = 4
DARK = 1 << DARK_BITS


@dataclass(frozen=True, eq=False)
class CountedColors:
    """The distinct colours of a picture with their pixel counts.

    Args:
        colors: uint8 (N, 3).
        counts: int64 (N,).
        pairs: uint8 (P, 2, 3), a sample of similar neighbouring pixels; empty for unordered pixels.
    """

    colors: np.ndarray
    counts: np.ndarray
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 3), np.uint8))


@dataclass(frozen=True, eq=False)
class Palette:
    """Colours, uint8 (K, 3) sRGB, and their shares of the pixels, float64 (K,), which sum to 1."""

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

    The counts are exact. The colour of a bin is the mean of its pixels. In pictures of more than a megapixel,
    the mean is taken over every n-th pixel, and bins without a sample have the colour of their centre.
    Colours with all channels below 16 are not binned, because they span a sixth of OKLab's lightness.

    Args:
        rgb: a picture (H, W, 3), of which pairs of neighbours are sampled, too, or a list of pixels (N, 3).
        bits: 1 to 7. With the default, a photograph has some 10,000 colours.
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
    """Count the visible colours of a picture, with pairs of its neighbours."""
    return with_fields(count_colors(picture.visible), pairs=_alike(picture.seen))


def _alike(rgb: np.ndarray) -> np.ndarray:
    """Pairs of similar neighbours, uint8 (P, 2, 3), in a picture, uint8 (H, W, 3)."""
    flat = rgb.reshape(-1, 3)
    pairs = np.stack([flat[index] for index in neighbours(rgb.shape[:2], PAIRS)], 1)
    distance = np.linalg.norm(np.diff(encode(pairs, "lab"), axis=1)[:, 0], axis=1)
    return pairs[(distance >= ALIKE[0]) & (distance <= ALIKE[1])]


def neighbours(shape: tuple[int, ...], number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices (P,), (P,) of horizontally or vertically adjacent pixels in a picture of `shape` (H, W).

    Returns all pairs, or a random sample of `number` if there are more.
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
    """Extract the most distinct colours of a picture, lightest first, with their shares of its pixels.

    The counted colours are clustered by k-means. Starting with the centre of the largest cluster, the centre
    farthest from all selected ones is added until there are `colors`, or no more distinct ones.

    Args:
        picture: uint8 (H, W, 3), or its counted colours.
        clusters: number of clusters.
        colors: size of the palette.
        keep: locked colours, uint8 (M, 3) with M <= `colors`, which are always included. The others are
            selected around them. A locked colour that is nearest to no pixel has share 0.
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
    """Weighted k-means: cluster centres with their shares, or all colours if there are no more.

    Implemented here because importing scikit-learn takes longer than the clustering.
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
    centres = encode(palette, space).astype(np.float64)
    parts = np.array_split(colors, len(colors) // CHUNK + 1)
    return np.concatenate([_closest(encode(part, space).astype(np.float64), centres) for part in parts])


def nearest(colors: np.ndarray, palette: Palette, space: Space = "lab") -> np.ndarray:
    """Replace each colour, uint8 (N, 3), by the nearest palette colour."""
    return palette.colors[assign(colors, palette.colors, space)]


def shares(colors: np.ndarray, counted: CountedColors, space: Space = "lab") -> np.ndarray:
    """Shares, float64 (K,), of the counted pixels that are nearest to each of the colours (K, 3)."""
    counts = np.bincount(assign(counted.colors, colors, space), counted.counts, minlength=len(colors))
    return counts / counts.sum()


def drop(palette: Palette, index: int, counted: CountedColors | None = None, space: Space = "lab") -> Palette:
    """Remove one colour from the palette.

    Its pixels are assigned to the nearest other colours. Without counted pixels, its share is distributed
    proportionally.
    """
    _check_index(palette, index)
    if len(palette.colors) == 1:
        raise ValueError("cannot remove the only colour of a palette")
    weights = np.delete(palette.shares, index)
    if weights.sum() == 0:  # all others are locked colours that do not occur in the picture
        weights = np.ones_like(weights)
    return _with_shares(np.delete(palette.colors, index, axis=0), weights, counted, space)


def replace(
    palette: Palette,
    index: int,
    color: tuple[int, int, int],
    counted: CountedColors | None = None,
    space: Space = "lab",
) -> Palette:
    """Replace one colour of the palette; without counted pixels, the new colour keeps the share."""
    _check_index(palette, index)
    if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
        raise ValueError(f"colour {color} is not three numbers from 0 to 255")
    colors = palette.colors.copy()
    colors[index] = color
    return _with_shares(colors, palette.shares, counted, space)


def _bin(colors: np.ndarray, bits: int) -> np.ndarray:
    """uint8 (N, 3) -> int32 (N,) bin numbers: first the cube of 2**bits levels, then the dark colours."""
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
    """Bin numbers (N,) -> the colours (N, 3) at the centres of the bins."""
    cube, levels = 1 << 3 * bits, 1 << bits
    regular = np.stack(np.unravel_index(np.minimum(index, cube - 1), (levels,) * 3), 1)
    dark = np.stack(np.unravel_index(np.maximum(index - cube, 0), (DARK,) * 3), 1)
    return np.where(index[:, None] < cube, (regular + 0.5) * (256 / levels) - 0.5, dark)


def _farthest(candidates: np.ndarray, start: np.ndarray, number: int, space: Space) -> np.ndarray:
    """Greedy max-min selection: `start`, uint8 (M, 3), then the candidate farthest from all selected."""
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
    """Initial centres by greedy k-means++.

    Source: Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding".
    """
    trials = 2 + int(np.log(number))
    centres = points[[random.choice(len(points), p=weights)]]
    distance = ((points - centres[0]) ** 2).sum(axis=1)
    while len(centres) < number and (mass := weights * distance).any():
        candidates = points[random.choice(len(points), trials, p=mass / mass.sum())]
        nearer = np.minimum(distance, ((points - candidates[:, None]) ** 2).sum(axis=2))
        best = (nearer @ weights).argmin()
        centres, distance = np.vstack([centres, candidates[best]]), nearer[best]
    return centres


def _closest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index (N,) of the centre (K, 3) nearest to each point (N, 3)."""
    return ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)


def _with_shares(
    colors: np.ndarray, weights: np.ndarray, counted: CountedColors | None, space: Space
) -> Palette:
    return Palette(colors, weights / weights.sum() if counted is None else shares(colors, counted, space))


def _check_index(palette: Palette, index: int) -> None:
    if not 0 <= index < len(palette.colors):
        raise ValueError(f"palette has {len(palette.colors)} colours, no number {index}")
