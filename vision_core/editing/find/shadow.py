"""Finds the shadow that a marked thing casts, so that it can go with the thing.

On level ground a shadow is the outline of its thing laid down from its foot: sheared to one side and
flattened. All such outlines are tried; one counts whose edge is a shadow's, darker within by much the same
factor all along and without another colour. Its pixels are those near it that are as dark.
"""

import cv2
import numpy as np

from vision_core.editing import masks

SIDE = 400  # longer side, in pixels, at which the surroundings of a thing are looked at
REACH = 1.5  # of what is looked at around a thing, in lengths of its longer side
LEANS = np.linspace(-2.0, 2.0, 81)  # how far to the side a shadow falls, in heights of its thing,
FLATS = np.linspace(-0.6, 0.6, 49)  # and how far down the picture
DARKER = (0.15, 1.8)  # logarithm of the light that a shadow takes: at least, at most
TINT = 12.0  # by which the colour may shift across its edge, in CIE Lab
SURE = 0.6  # share of the outline that must look like a shadow's edge


def find(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The shadow of what is marked: bool (H, W), perhaps empty, nowhere on the mask.

    Args:
        rgb: uint8 (H, W, 3).
        mask: bool (H, W), the thing; not empty.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    more = round(REACH * max(len(rows), len(columns)))
    part = (
        slice(max(0, rows[0] - more), rows[-1] + 1 + more),
        slice(max(0, columns[0] - more), columns[-1] + 1 + more),
    )
    height, width = mask[part].shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(rgb[part], size, interpolation=cv2.INTER_AREA)
    thing = cv2.resize(mask[part].astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.3
    found = np.zeros_like(mask)
    if thing.any():
        dark = _cast(small, thing).astype(np.float32)
        found[part] = cv2.resize(dark, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    return found & ~mask


def _cast(rgb: np.ndarray, thing: np.ndarray) -> np.ndarray:
    """`find` at the size at which it is decided."""
    smooth = cv2.GaussianBlur(rgb.astype(np.float32) / 255, (0, 0), 1)
    light = np.log((smooth**2.2) @ np.array([0.21, 0.72, 0.07], np.float32) + 0.01)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB)
    outline, foot = _outline(thing)
    lean, flat = (grid.ravel()[:, None] for grid in np.meshgrid(LEANS, FLATS))
    up = foot - outline[:, 1]  # heights above the foot, (N,)
    x, y = outline[:, 0] + lean * up, foot + flat * up  # each outline laid down, (K, N)
    away_x, away_y = -np.gradient(y, axis=1), np.gradient(x, axis=1)  # OpenCV goes round leftwards
    turned = np.where(flat > 0, -1, 1)  # a mirrored outline runs the other way round
    length = np.maximum(np.hypot(away_x, away_y), 1e-6) * turned
    away_x, away_y = away_x / length, away_y / length
    values = np.dstack([light, lab[..., 1], lab[..., 2], thing.astype(np.float32)])
    out, own = (_at(values, x + d * away_x, y + d * away_y) for d in (3.0, -3.0))  # (K, N, 4)
    step = out[..., 0] - own[..., 0]
    shift = np.hypot(*(out[..., c] - own[..., c] * np.exp(step / 6) for c in (1, 2)))
    inside = (x > 3) & (y > 3) & (x < thing.shape[1] - 4) & (y < thing.shape[0] - 4)
    usable = inside & (out[..., 3] < 0.1) & (own[..., 3] < 0.1)
    count = usable.sum(1)
    right = usable & (step > DARKER[0]) & (step < DARKER[1]) & (shift < TINT)
    share = right.sum(1) / np.maximum(count, 1)
    share[count < max(12, 0.4 * len(outline))] = 0
    middle = np.array([np.median(s[r]) if r.any() else 0 for s, r in zip(step, right, strict=True)])
    even = np.where(right, np.abs(step - middle[:, None]), 0).sum(1) / np.maximum(right.sum(1), 1)
    best = int(np.argmax(share - 0.3 * even))
    if share[best] < SURE:
        return np.zeros_like(thing)
    return _as_dark(light, thing, np.stack([x[best], y[best]], 1), float(middle[best]))


def _outline(thing: np.ndarray) -> tuple[np.ndarray, float]:
    """Points (x, y) on the edge of the largest part, some 150 of them, and the row of its foot."""
    lines, _ = cv2.findContours(thing.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    line = max(lines, key=len)[:, 0].astype(np.float32)
    line = cv2.blur(line, (1, 5), borderType=cv2.BORDER_REFLECT) if len(line) > 20 else line
    return line[:: max(1, len(line) // 150)], float(line[:, 1].max())


def _at(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The values (H, W, C) at points, each (K, N): (K, N, C)."""
    rows, columns = (
        np.clip(place.round().astype(int), 0, side - 1)
        for place, side in zip((y, x), values.shape[:2], strict=True)
    )
    return values[rows, columns]


def _as_dark(light: np.ndarray, thing: np.ndarray, points: np.ndarray, step: float) -> np.ndarray:
    """The pixels in and near an outline whose light is nearer to that within than to that around."""
    laid = np.zeros(thing.shape, np.uint8)
    cv2.fillPoly(laid, [points.round().astype(np.int32)], 1)
    laid = (laid > 0) & ~thing
    near, core = masks.grow(laid, 6) & ~thing, masks.grow(laid, -3)
    around = masks.grow(laid, 14) & ~near & ~thing
    if not core.any() or not around.any():
        return masks.grow(laid, 2) & ~thing
    weight = around.astype(np.float32)
    lit = cv2.GaussianBlur(light * weight, (0, 0), 15) / (cv2.GaussianBlur(weight, (0, 0), 15) + 1e-6)
    dark = laid | (near & (light < lit - step / 2))
    return masks.grow(dark, 2) & ~thing
