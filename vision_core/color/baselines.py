"""What one would use without training: the methods that a colour map is compared with.

Each takes a picture, uint8 (H, W, 3), and a target picture or palette, and gives uint8 (H, W, 3).
"""

import numpy as np
from skimage.exposure import match_histograms

from vision_core.color.palette import Palette, nearest
from vision_core.color.spaces import decode, encode

SAMPLE = 2000  # colours between which the transport plan is computed: its cost grows with their square


def nearest_color(source: np.ndarray, palette: Palette) -> np.ndarray:
    """Each pixel becomes the palette colour nearest to it in CIELAB."""
    colors, where = np.unique(source.reshape(-1, 3), axis=0, return_inverse=True)
    return nearest(colors, palette, "lab")[where.ravel()].reshape(source.shape)


def reinhard(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each CIELAB channel.

    Source: Reinhard et al. 2001, "Color Transfer between Images".
    """
    x, y = _lab(source), _lab(target)
    moved = (x - x.mean(axis=0)) * (y.std(axis=0) / np.maximum(x.std(axis=0), 1e-9)) + y.mean(axis=0)
    return decode(moved, "lab").reshape(source.shape)


def mkl(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The linear map that moves one normal distribution to another at the least cost, in CIELAB.

    Source: Pitié and Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for example-based
        colour transfer".
    """
    x, y = _lab(source), _lab(target)
    a, b = (np.cov(z, rowvar=False) + 1e-6 * np.eye(3) for z in (x, y))
    root = _power(a, 0.5)
    inverse = _power(a, -0.5)
    matrix = inverse @ _power(root @ b @ root, 0.5) @ inverse
    return decode((x - x.mean(axis=0)) @ matrix + y.mean(axis=0), "lab").reshape(source.shape)


def histogram_matching(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Equal quantiles, each sRGB channel on its own (scikit-image)."""
    return np.rint(match_histograms(source, target, channel_axis=2)).clip(0, 255).astype(np.uint8)


def optimal_transport(source: np.ndarray, target: np.ndarray, seed: int = 0) -> np.ndarray:
    """Exact optimal transport between samples of CIELAB colours.

    Other pixels move as their nearest sample does (POT).
    """
    from ot.da import EMDTransport

    random = np.random.default_rng(seed)
    x, y = _lab(source), _lab(target)
    plan = EMDTransport()
    plan.fit(Xs=random.permutation(x)[:SAMPLE], Xt=random.permutation(y)[:SAMPLE])
    colors, where = np.unique(source.reshape(-1, 3), axis=0, return_inverse=True)
    moved = plan.transform(Xs=_lab(colors), batch_size=4096)
    return decode(np.asarray(moved), "lab")[where.ravel()].reshape(source.shape)


def _lab(rgb: np.ndarray) -> np.ndarray:
    return encode(rgb.reshape(-1, 3), "lab").astype(np.float64)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """A power of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.maximum(values, 1e-12) ** exponent) @ vectors.T
