"""Finds the shadow that a marked thing casts and lifts it, so that it goes with the thing.

On level ground, a shadow is the outline of its object, sheared to one side and flattened from the foot. All
such outlines are tried. A soft shape and a loss of light are fitted to the best one, to leave the smallest
gradient across its edge. If that explains too little of the gradient, there is no shadow. Lifting restores
the lost light, so the ground keeps its texture.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from vision_core.editing import masks

SIDE = 400  # longer side, in pixels, at which the surroundings of an object are analysed
REACH = 1.5  # margin around the object, relative to its longer side
LEANS = np.linspace(-2.0, 2.0, 81)  # horizontal shear of a shadow, in heights of its object,
FLATS = np.linspace(-0.6, 0.6, 49)  # and its vertical extent
NEAR = np.linspace(-0.75, 0.75, 7)  # refinement around the best pair, in steps of both grids
DARKER = (0.15, 1.8)  # minimum and maximum darkening across a shadow's edge, as a logarithm
TINT = 12.0  # maximum colour shift across its edge, in CIELAB
ALIKE, CERTAIN = 0.55, 0.75  # minimum share of the outline that matches a shadow's edge; share that suffices
EXPLAINED = 0.035  # below CERTAIN: minimum share of the edge gradients that lifting must remove,
DEEPEST = 1.3  # and maximum brightening, as a logarithm
SOFT = (0.7, 1.5, 3.0, 5.0, 8.0)  # candidate widths of the soft edge,
WIDER = (-6, -4, -2, -1, 0, 1, 2, 4)  # and growths of the outline, in pixels
BAND = 14  # pixels around a shape in which gradients are compared
LUMINANCE = np.array([0.21, 0.72, 0.07], np.float32)  # of linear red, green and blue
BLACK = 0.003  # added to the light before the logarithm


@dataclass(frozen=True, eq=False)
class Shadow:
    """A shadow: the share of light lost, `cover`, float32 (H, W), 0 to 1 in the core of the shadow.

    `loss` is the logarithm of the light that a whole shadow takes from red, green and blue, (3,).
    """

    cover: np.ndarray
    loss: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """The shaded pixels, bool (H, W)."""
        return self.cover > 0

    def lift(self, rgb: np.ndarray) -> np.ndarray:
        """Lift the shadow in a picture, uint8 (H, W, 3), to the light around it; the rest stays."""
        result, where = rgb.copy(), self.mask
        light = (rgb[where].astype(np.float32) / 255) ** 2.2 + BLACK
        light = light * np.exp(self.cover[where][:, None] * self.loss) - BLACK
        result[where] = (light.clip(0, 1) ** (1 / 2.2) * 255).round()
        return result


def find(rgb: np.ndarray, mask: np.ndarray) -> Shadow | None:
    """The shadow of the marked object, outside its mask; None if there is none.

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
    cast = _cast(small, thing) if thing.any() else None
    if cast is None:
        return None
    cover = np.zeros(mask.shape, np.float32)
    cover[part] = cv2.resize(cast.cover, (width, height), interpolation=cv2.INTER_LINEAR)
    cover[mask | (cover < 0.02)] = 0
    return Shadow(cover, cast.loss) if cover.any() else None


def _cast(rgb: np.ndarray, thing: np.ndarray) -> Shadow | None:
    """`find` at the working size."""
    smooth = cv2.GaussianBlur(rgb.astype(np.float32) / 255, (0, 0), 1)
    light = np.log((smooth**2.2) @ LUMINANCE + 0.01)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB)
    outline, foot = _outline(thing)
    values = np.dstack([light, lab[..., 1], lab[..., 2], thing.astype(np.float32)])
    ways = [grid.ravel() for grid in np.meshgrid(LEANS, FLATS)]
    best, *_ = _likeness(values, outline, foot, *ways)
    between = (  # the best and its neighbours
        way[best] + NEAR * (steps[1] - steps[0]) for way, steps in zip(ways, (LEANS, FLATS), strict=True)
    )
    ways = [grid.ravel() for grid in np.meshgrid(*between)]
    best, x, y, share, middle = _likeness(values, outline, foot, *ways)
    if share[best] < ALIKE:
        return None
    laid = _filled_outline(thing, np.stack([x[best], y[best]], 1))
    shapes = [laid, _with_dark_pixels(light, thing, laid, float(middle[best]))]
    explained, shadow = _fitted(rgb, thing, shapes)
    if shadow is None or share[best] >= CERTAIN:
        return shadow
    return shadow if explained >= EXPLAINED and shadow.loss.max() < DEEPEST else None


def _likeness(
    values: np.ndarray, outline: np.ndarray, foot: float, leans: np.ndarray, flats: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Likeness of an outline, placed in K ways, to the edge of a shadow, at each of its N points.

    The best way; of all, x and y, (K, N), the share of points that do, how much darker it is within, (K,).

    Args:
        values: logarithm of the light, a and b of CIE Lab, and the thing, (H, W, 4).
    """
    lean, flat = leans[:, None], flats[:, None]
    up = foot - outline[:, 1]  # heights above the foot, (N,)
    x, y = outline[:, 0] + lean * up, foot + flat * up
    away_x, away_y = -np.gradient(y, axis=1), np.gradient(x, axis=1)  # OpenCV's contours run counterclockwise
    turned = np.where(flat > 0, -1, 1)  # a mirrored outline runs the other way round
    length = np.maximum(np.hypot(away_x, away_y), 1e-6) * turned
    away_x, away_y = away_x / length, away_y / length
    out, inner = (_at(values, x + d * away_x, y + d * away_y) for d in (3.0, -3.0))  # (K, N, 4)
    step = out[..., 0] - inner[..., 0]
    shift = np.hypot(*(out[..., c] - inner[..., c] * np.exp(step / 6) for c in (1, 2)))
    inside = (x > 3) & (y > 3) & (x < values.shape[1] - 4) & (y < values.shape[0] - 4)
    usable = inside & (out[..., 3] < 0.1) & (inner[..., 3] < 0.1)
    count = usable.sum(1)
    right = usable & (step > DARKER[0]) & (step < DARKER[1]) & (shift < TINT)
    share = right.sum(1) / np.maximum(count, 1)
    share[count < max(12, 0.4 * x.shape[1])] = 0
    middle = np.array([np.median(s[r]) if r.any() else 0 for s, r in zip(step, right, strict=True)])
    even = np.where(right, np.abs(step - middle[:, None]), 0).sum(1) / np.maximum(right.sum(1), 1)
    return int(np.argmax(share - 0.3 * even)), x, y, share, middle


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


def _filled_outline(thing: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The inside of an outline without the object, bool (H, W)."""
    laid = np.zeros(thing.shape, np.uint8)
    cv2.fillPoly(laid, [points.round().astype(np.int32)], 1)
    return (laid > 0) & ~thing


def _with_dark_pixels(light: np.ndarray, thing: np.ndarray, laid: np.ndarray, step: float) -> np.ndarray:
    """A shape with the pixels nearby that are darker than their surroundings by half of `step`."""
    near = masks.grow(laid, 6) & ~thing
    around = masks.grow(laid, 14) & ~near & ~thing
    if not around.any():
        return laid
    weight = around.astype(np.float32)
    lit = cv2.GaussianBlur(light * weight, (0, 0), 15) / (cv2.GaussianBlur(weight, (0, 0), 15) + 1e-6)
    return masks.grow(laid | (near & (light < lit - step / 2)), 2) & ~thing


def _fitted(rgb: np.ndarray, thing: np.ndarray, shapes: list[np.ndarray]) -> tuple[float, Shadow | None]:
    """The best soft shadow, and the share of the gradient around its edge that lifting it removes."""
    light = cv2.GaussianBlur(np.log((rgb.astype(np.float32) / 255) ** 2.2 + BLACK), (0, 0), 0.7)
    band = masks.grow(np.logical_or.reduce(shapes), BAND) & ~masks.grow(thing, 4)
    if band.sum() < 40:
        return 0.0, None
    around = [_slopes(light[..., c])[:, band] for c in range(3)]  # each (2, N)
    gray = np.tensordot(LUMINANCE, around, 1)
    before, least, result = float(np.abs(gray).sum()), 1.0, None
    for cover in (soft for shape in shapes for soft in _softened(shape, thing)):
        rise = -_slopes(cover)[:, band]
        loss = _ratio(gray, rise)
        left = float(np.abs(gray - loss * rise).sum()) / before
        if loss > 0 and left < least:
            least = left
            each = np.array([_ratio(one, rise) for one in around], np.float32)
            result = Shadow(cover, each.clip(0.5 * loss, 1.6 * loss))
    return 1 - least, result


def _softened(shape: np.ndarray, thing: np.ndarray) -> Iterator[np.ndarray]:
    """A shape in several sizes and softnesses, float32 (H, W), continued beneath the object."""
    for wider in WIDER:
        grown = masks.grow(shape, wider)
        away = masks.distance(grown)
        for soft in SOFT:
            hard = grown | (thing & (away < 3 * soft + 3))
            yield cv2.GaussianBlur(hard.astype(np.float32), (0, 0), soft)


def _slopes(values: np.ndarray) -> np.ndarray:
    """Across and down, (2, H, W)."""
    return np.stack([np.gradient(values, axis=1), np.gradient(values, axis=0)])


def _ratio(values: np.ndarray, to: np.ndarray) -> float:
    """The factor of `to` that minimises the absolute differences to `values`."""
    used = np.abs(to) > 1e-3
    if not used.any():
        return 0.0
    ratios, weights = values[used] / to[used], np.abs(to[used])
    order = np.argsort(ratios)
    total = np.cumsum(weights[order])
    return float(ratios[order][np.searchsorted(total, total[-1] / 2)])
