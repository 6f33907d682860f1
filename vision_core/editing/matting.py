"""Cuts a thing out along its true, soft edge, where its background is exchanged.

Near the edge of a selection each pixel is part thing and part ground. Its share is estimated from samples of
both sides: the pair of colours between which its own lies, and the selection where the sides look alike.
Source: Wang, Cohen 2007, "Optimized Color Sampling for Robust Matting"; He et al. 2013, "Guided Image
Filtering".
"""

import cv2
import numpy as np

from vision_core.editing import masks

REACH = 1.5  # the edge is expected up to this far inside the selection, in units of `_unit`
SPOTS = ((0, 0), (2, 0), (5, 0), (2, 4), (2, -4))  # samples: from the nearest pixel inward and sideways
FAR = 3.0  # cost of the next pair of samples, in grey levels
ALIKE = 40.0  # colours this far apart, in grey levels, are as good a clue as the selection
SPREAD = 10.0  # weight of the variance of a side's samples against the distance of the sides
OFF = 25.0  # pixels this far from the line between two colours, in grey levels, are no mixture of them
TEXTURE = 30.0  # maximum difference of an edge pixel of the thing to its sample, in grey levels
SIDE = 1024  # pixels of a tile


def cut(rgb: np.ndarray, hole: np.ndarray, selection: np.ndarray, new: np.ndarray) -> np.ndarray:
    """`new` in the hole, with the things beside the selection cut out in front of it: uint8 (H, W, 3).

    Args:
        rgb, new: uint8 (H, W, 3).
        hole: bool (H, W), the pixels that may change: the selection, and a margin of the things around it.
        selection: bool (H, W), the ground that is exchanged.
    """
    selection = selection & hole
    if selection.all() or not selection.any():
        return new
    unit = _unit(hole)
    depth = masks.distance(~selection)  # in the ground
    unknown = hole & (depth <= REACH * unit)
    result, context = np.where(hole[..., None], new, rgb), round(12 * max(1.0, unit))
    for inner, outer in masks.tiles(unknown, SIDE, context):
        tile = np.zeros_like(unknown[outer])
        place = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
        tile[place] = unknown[inner]
        share, colors = _shares(rgb[outer], hole[outer], selection[outer], unknown[outer], depth[outer], unit)
        a = share[tile][:, None]
        result[outer][tile] = (a * colors[tile] + (1 - a) * new[outer][tile]).round().clip(0, 255)
    return result


def _unit(hole: np.ndarray) -> float:
    """The usual uncertainty of a selected edge, in pixels."""
    return max(2.0, max(hole.shape) / 250)


def _shares(
    rgb: np.ndarray,
    hole: np.ndarray,
    selection: np.ndarray,
    unknown: np.ndarray,
    depth: np.ndarray,
    unit: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The share of the thing, float32 (H, W) in [0, 1], and its colours, float32 (H, W, 3)."""
    inside = masks.distance(selection)  # depth in the thing
    thing = ~hole | (~selection & _ridge(inside))
    ground = (hole & ~unknown) | (selection & _ridge(depth))
    share, pixels = (~selection).astype(np.float32), rgb.astype(np.float32)
    if not (thing.any() and ground.any() and unknown.any()):
        return share, pixels
    at, own = np.argwhere(unknown), pixels[unknown]
    samples = [_samples(pixels, known, at, unit / 4) for known in (thing, ground)]
    front, back, mixed, clear = _pairs(own, *samples)
    signed = np.where(selection, -depth, inside)[unknown]
    guess = np.clip(0.5 + signed / unit, 0, 1)
    share[unknown] = clear * mixed + (1 - clear) * guess
    weight = np.ones_like(share)
    weight[unknown] = 0.1 + clear
    alpha = np.clip((_guided(pixels / 255, share, weight, unknown)[unknown] - 0.05) / 0.9, 0, 1)
    share[unknown], a = alpha, alpha[:, None]
    unmixed = (own - (1 - a) * back) / np.maximum(a, 0.05)
    edge = front + np.clip(unmixed - front, -TEXTURE, TEXTURE)
    pixels[unknown] = np.where(a > 0.99, own, edge)
    return share, pixels


def _ridge(depth: np.ndarray) -> np.ndarray:
    """The middle of narrow parts, where the depth is largest."""
    return (depth >= 1) & np.isfinite(depth) & (depth >= cv2.dilate(depth, np.ones((3, 3))))


def _samples(pixels: np.ndarray, known: np.ndarray, at: np.ndarray, unit: float) -> np.ndarray:
    """Colours of known pixels near the places `at`, (N, 2): float32 (N, K, 3)."""
    weight = known.astype(np.float32)
    soft = cv2.blur(pixels * weight[..., None], (3, 3)) / np.maximum(cv2.blur(weight, (3, 3)), 0.1)[..., None]
    labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )[1].astype(np.intp)
    places = np.zeros((labels.max() + 1, 2), np.int32)
    places[labels[known]] = np.argwhere(known)
    nearest = places[labels[tuple(at.T)]]
    inward = (nearest - at).astype(np.float32)
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-4)
    sideways, colors = inward[:, ::-1] * np.array((1, -1), np.float32), []
    for deep, beside in SPOTS:
        spot = (nearest + 2 * unit * (deep * inward + beside * sideways)).round().astype(int)
        spot = spot.clip(0, np.array(known.shape) - 1)
        spot = np.where(known[tuple(spot.T)][:, None], spot, nearest)
        colors.append(soft[tuple(spot.T)])
    return np.stack(colors, 1)


def _pairs(
    own: np.ndarray, front: np.ndarray, back: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The best pair of samples for each pixel, its share of the first, and how clear that is in [0, 1].

    Args:
        own: colours (N, 3) of the pixels. front, back: samples (N, K, 3) of both sides.
    """
    best, gap = np.full(len(own), np.inf, np.float32), np.zeros(len(own), np.float32)
    share, pair = np.zeros_like(best), np.stack([front[:, 0], back[:, 0]])
    for i in range(front.shape[1]):
        for j in range(back.shape[1]):
            line = front[:, i] - back[:, j]
            length = np.einsum("nc,nc->n", line, line)
            away = own - back[:, j]
            mixed = (np.einsum("nc,nc->n", away, line) / np.maximum(length, 1)).clip(0, 1)
            away -= mixed[:, None] * line
            off = np.sqrt(np.einsum("nc,nc->n", away, away)) + FAR * (i + j)
            better = off < best
            best, share, gap = (
                np.where(better, new, old) for new, old in ((off, best), (mixed, share), (length, gap))
            )
            pair[0, better], pair[1, better] = front[better, i], back[better, j]
    apart = ((front.mean(1) - back.mean(1)) ** 2).sum(1)
    spread = front.var(1).sum(1) + back.var(1).sum(1)
    clear = gap / (gap + ALIKE**2) * np.exp(-((best / OFF) ** 2)) * apart / (apart + SPREAD * spread + 1)
    return pair[0], pair[1], share, clear


def _guided(
    guide: np.ndarray, share: np.ndarray, weight: np.ndarray, where: np.ndarray, flat: float = 4e-3
) -> np.ndarray:
    """The share at `where`, as a linear function of the guide's colours in each window of 3 x 3 pixels."""
    near = cv2.dilate(where.astype(np.uint8), np.ones((3, 3))) > 0
    total = cv2.blur(weight, (3, 3))[near]

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values * weight, (3, 3))[near] / total

    channels = [np.ascontiguousarray(guide[..., i]) for i in range(3)]
    color, level = np.stack([mean(x) for x in channels], 1), mean(share)
    with_share = np.stack([mean(x * share) for x in channels], 1) - color * level[:, None]
    variance = np.stack([np.stack([mean(x * y) for y in channels], 1) for x in channels], 1)
    variance += flat * np.eye(3, dtype=np.float32) - color[:, :, None] * color[:, None]
    line = np.zeros((*share.shape, 4), np.float32)
    line[near, :3] = np.linalg.solve(variance, with_share[..., None])[..., 0]
    line[near, 3] = level - (line[near, :3] * color).sum(1)
    line = cv2.blur(line, (3, 3))
    return np.clip((line[..., :3] * guide).sum(-1) + line[..., 3], 0, 1)
