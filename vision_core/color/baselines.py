"""Baselines without training that a colour map is compared with.

Each maps a picture, uint8 (H, W, 3), and a target picture or palette to uint8 (H, W, 3).
"""

import numpy as np

from vision_core.color.palette import Palette, nearest
from vision_core.color.spaces import decode, encode

BACKGROUND = 0.25  # minimum share of a picture's border in the place of a background
LIGHTER = 12.0  # maximum change of a background's lightness, in CIELAB
SAMPLE = 2000  # colours in the transport plan, whose cost is quadratic


def nearest_color(source: np.ndarray, palette: Palette) -> np.ndarray:
    """Replace each pixel by the nearest palette colour in CIELAB."""
    colors, where, _ = _distinct(source)
    return nearest(colors, palette, "lab")[where]


def reinhard(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Match the mean and standard deviation of each CIELAB channel.

    Source: Reinhard et al. 2001, "Color Transfer between Images".
    """
    (x, where, n), (y, _, m) = _lab(source), _lab(target)
    (a, variance), (b, target_variance) = _moments(x, n), _moments(y, m)
    scale = np.sqrt(np.diag(target_variance) / np.maximum(np.diag(variance), 1e-18))
    return decode((x - a) * scale + b, "lab")[where]


def surroundings(source: np.ndarray, picture: np.ndarray, place: np.ndarray, most: float = 0.6) -> np.ndarray:
    """A picture that takes on the light of another, in which it will stand at a place: uint8 (h, w, 3).

    `reinhard`, from what lies around the place, a part of the way: a red balloon stays red. The spread
    changes by a quarter at most, or a thing in the sky would be as flat as it. A place along `BACKGROUND`
    of the picture's border is a sky or a background: it does not take on the colours of what stands before
    it, only some of the lightness of what was there.

    Args:
        source: uint8 (h, w, 3). picture: uint8 (H, W, 3). place: bool (H, W).
        most: the part of the way, 0 to 1.
    """
    rows, columns = np.flatnonzero(place.any(1)), np.flatnonzero(place.any(0))
    if not len(rows) or place.all():
        return source
    x, where, n = _lab(source)
    border = np.concatenate([place[0], place[-1], place[:, 0], place[:, -1]])
    if border.mean() >= BACKGROUND:
        gap = np.average(encode(picture[place], "lab")[:, 0]) - np.average(x[:, 0], weights=n)
        return decode(x + np.array([np.clip(most * gap, -LIGHTER, LIGHTER), 0, 0]), "lab")[where]
    more = max(8, max(len(rows), len(columns)) // 3)
    part = (
        slice(max(0, rows[0] - more), rows[-1] + 1 + more),
        slice(max(0, columns[0] - more), columns[-1] + 1 + more),
    )
    around = picture[part][~place[part]]
    if len(around) < 64:
        around = picture[~place]
    y, _, m = _lab(around[None])
    (a, variance), (b, target_variance) = _moments(x, n), _moments(y, m)
    scale = np.sqrt(np.diag(target_variance) / np.maximum(np.diag(variance), 1e-18)).clip(0.75, 1.25)
    return decode(x + most * ((x - a) * scale + b - x), "lab")[where]


def mkl(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Linear Monge-Kantorovich map: optimal transport between normal distributions in CIELAB.

    Source: Pitié and Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for example-based
        colour transfer".
    """
    (x, where, n), (y, _, m) = _lab(source), _lab(target)
    (a, variance), (b, target_variance) = _moments(x, n), _moments(y, m)
    variance, target_variance = (matrix + 1e-6 * np.eye(3) for matrix in (variance, target_variance))
    root, inverse = _power(variance, 0.5), _power(variance, -0.5)
    matrix = inverse @ _power(root @ target_variance @ root, 0.5) @ inverse
    return decode((x - a) @ matrix + b, "lab")[where]


def histogram_matching(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Match the histogram of each sRGB channel independently (scikit-image)."""
    from skimage.exposure import match_histograms

    return np.rint(match_histograms(source, target, channel_axis=2)).clip(0, 255).astype(np.uint8)


def optimal_transport(source: np.ndarray, target: np.ndarray, seed: int = 0) -> np.ndarray:
    """Exact optimal transport between samples of CIELAB colours (POT).

    A sample moves to the mean of its transport targets; other colours are shifted like their nearest sample.
    """
    import ot
    from scipy.spatial import KDTree

    (x, where, _), (y, other, _) = _lab(source), _lab(target)
    start, end = (colors[_sample(index, seed)] for colors, index in ((x, where), (y, other)))
    plan = ot.emd([], [], ot.dist(start, end), numItermax=1_000_000)  # rows sum to 1 / len(start)
    shift = np.asarray(plan) @ end * len(start) - start
    return decode(x + shift[KDTree(start).query(x)[1]], "lab")[where]


def _distinct(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct colours uint8 (N, 3), their index at each pixel (H, W), and pixel counts (N,)."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    codes, where, counts = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1).astype(np.uint8)
    return colors, where.reshape(rgb.shape[:2]), counts


def _lab(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_distinct` with the colours in CIELAB, float64."""
    colors, where, counts = _distinct(rgb)
    return encode(colors, "lab").astype(np.float64), where, counts


def _moments(points: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (3,) and covariance (3, 3) of points (N, 3) with counts (N,)."""
    mean = np.average(points, axis=0, weights=counts)
    return mean, np.cov(points.T, fweights=counts, bias=True).reshape(3, 3)


def _sample(where: np.ndarray, seed: int) -> np.ndarray:
    """The colour indices of SAMPLE random pixels, or of all if there are fewer."""
    pixels = np.random.default_rng(seed).choice(where.size, min(SAMPLE, where.size), replace=False)
    return where.ravel()[pixels]


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Power of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.maximum(values, 1e-12) ** exponent) @ vectors.T
