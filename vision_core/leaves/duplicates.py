"""Near duplicates: a perceptual hash that is invariant to rotation and mirroring, and groups by it.

Source: the DCT hash of C. Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions".
"""

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE, LOW = 32, 8  # the picture is reduced to SIDE x SIDE; the LOW x LOW lowest DCT coefficients are used
NEAR = 4  # bits: a copy saved again, resized, mirrored or turned; another photograph differs in more
_SIGNS = np.where(np.arange(LOW) % 2, -1.0, 1.0)  # mirroring an axis negates its odd cosines


def perceptual_hash(rgb: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> uint64 (8,): the hashes of the picture turned and mirrored in all eight ways."""
    grey = Image.fromarray(rgb).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    low = np.asarray(dctn(np.asarray(grey, np.float64), norm="ortho"))[:LOW, :LOW]
    sides = [signed for c in (low, low.T) for signed in _mirrored(c)]
    return np.array([_bits(c) for c in sides], np.uint64)


def _mirrored(cosines: np.ndarray) -> list[np.ndarray]:
    across, down = _SIGNS[None, :], _SIGNS[:, None]
    return [cosines, cosines * across, cosines * down, cosines * across * down]


def _bits(cosines: np.ndarray) -> int:
    values = cosines.ravel()[1:]
    return int("".join("1" if above else "0" for above in values > np.median(values)), 2)


def near_pairs(hashes: np.ndarray, most: int = NEAR) -> np.ndarray:
    """The pairs (P, 3) of rows i < j, and bits, of hashes (N, 8) that differ in at most `most` bits.

    One of the two is turned and mirrored in all ways, so that a copied and turned picture is found.
    """
    pairs = []
    for i in range(len(hashes) - 1):
        bits = np.bitwise_count(hashes[i, 0] ^ hashes[i + 1 :]).min(1)
        near = np.flatnonzero(bits <= most)
        pairs.append(np.stack([np.full_like(near, i), near + i + 1, bits[near].astype(near.dtype)], 1))
    return np.concatenate(pairs) if pairs else np.empty((0, 3), np.int64)


def groups(count: int, pairs: np.ndarray) -> np.ndarray:
    """The group (N,) of each of `count` pictures: linked pictures share one."""
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1]
