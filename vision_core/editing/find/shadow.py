"""Finds the shadow that a marked thing casts and lifts it, so that it goes with the thing.

On level ground, a shadow is the outline of its object, sheared to one side and flattened from the foot. To
the most likely such outlines, a soft shape and a loss of light are fitted, to leave the smallest gradient
across the edge. How well they fit tells a shadow from none. Lifting restores the lost light, so the ground
keeps its texture.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from vision_core.editing import masks
from vision_core.editing.find import outlines
from vision_core.editing.find.outlines import LUMINANCE

SIDE = 400  # longer side, in pixels, at which the surroundings of an object are analysed
REACH = 1.5  # margin around the object, relative to its longer side
EACH = 3  # outlines proposed by each of three measures
SOFT = (0.7, 1.5, 3.0, 5.0, 8.0)  # candidate widths of the soft edge,
WIDER = (-6, -4, -2, -1, 0, 1, 2, 4)  # and growths of the outline, in pixels
ROUGHLY = ((1.0, 3.0), (-2, 0, 2))  # the few of both with which outlines are compared
# Logistic regression of the chance that an outline is a shadow's: weights of the features of `_candidates`
# and the intercept, fitted on scenes drawn for it; see docs/editing.md
WEIGHTS, INTERCEPT = (3.8, 0.65, 21.0, 0.47, 0.5), -3.45
LIKELY = 0.3  # minimum chance
USUAL = 0.8  # the loss of light that is assumed the more, the less of the gradient the measured one explains;
DOUBT = 0.02  # at this share, both count equally
SUNNY = 1.5  # minimum difference of light, as a logarithm, of a shadow that darkness alone separates,
SEPARATE = 0.85  # and minimum share of the variance that it explains
BAND = 14  # pixels around a shape in which gradients are compared
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

    What covers the whole width of the picture is sky or ground, and casts none.

    Args:
        rgb: uint8 (H, W, 3).
        mask: bool (H, W), the thing; not empty.
    """
    if mask.any(0).all():
        return None
    part, small, thing = _surroundings(rgb, mask)
    cast = _cast(small, thing) if thing.any() else None
    if cast is None:
        return None
    cover = np.zeros(mask.shape, np.float32)
    cover[part] = cv2.resize(cast.cover, cover[part].shape[::-1], interpolation=cv2.INTER_LINEAR)
    cover[mask | (cover < 0.02)] = 0
    return Shadow(cover, cast.loss) if cover.any() else None


def _surroundings(rgb: np.ndarray, mask: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The part of the picture around the thing, and what is there at the working size: picture and thing."""
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
    return part, small, thing


def _cast(rgb: np.ndarray, thing: np.ndarray) -> Shadow | None:
    """`find` at the working size."""
    values, light = outlines.seen(rgb, thing), _light(rgb)
    shapes, features = _candidates(values, light, thing)
    chances = 1 / (1 + np.exp(-(features @ WEIGHTS + INTERCEPT)))
    if not len(chances) or chances.max() < LIKELY:
        return None
    best = shapes[int(np.argmax(chances))]
    deep = _deep(values[..., 0], thing, best)
    tried = [best, _with_dark_pixels(values[..., 0], thing, best)] if deep is None else [deep]
    return _fitted(light, thing, tried)[1]


def _candidates(
    values: np.ndarray, light: np.ndarray, thing: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """The most likely shapes of a shadow, bool (H, W) each, and what speaks for each of K, float32 (K, 5).

    The features: share of the outline that looks like a shadow's edge; clearness of the edge; share of the
    gradient around it that lifting explains; logarithms of the loss of light and of the area, relative to the
    thing's.

    Args:
        values: see `outlines.seen`. light: see `_light`.
    """
    outline = outlines.of(thing)
    ways = outlines.proposals(values, outline, EACH)
    found, shapes, features = outlines.evidence(values, outline, *ways), [], []
    for points, share, clear in zip(outline.laid(*ways)[0], found.share, found.clear, strict=True):
        shape = outlines.filled(points, thing)
        explained, cast = _fitted(light, thing, [shape], *ROUGHLY)
        if cast is not None and shape.any() and np.isfinite(share):
            area, loss = shape.sum() / thing.sum(), float(cast.loss @ LUMINANCE)
            shapes.append(shape)
            features.append((share, clear, explained, np.log(loss), np.log(area)))
    return shapes, np.array(features, np.float32).reshape(-1, 5)


def _light(rgb: np.ndarray) -> np.ndarray:
    """The logarithm of the light, a little smoothed, float32 (H, W, 3)."""
    return cv2.GaussianBlur(np.log((rgb.astype(np.float32) / 255) ** 2.2 + BLACK), (0, 0), 0.7)


def _with_dark_pixels(light: np.ndarray, thing: np.ndarray, laid: np.ndarray) -> np.ndarray:
    """A shape with the pixels nearby that are darker than their surroundings by half of its own darkening.

    Args:
        light: the logarithm of the luminance, (H, W).
    """
    near = masks.grow(laid, 6) & ~thing
    around = masks.grow(laid, 14) & ~near & ~thing
    if not around.any():
        return laid
    weight = around.astype(np.float32)
    lit = cv2.GaussianBlur(light * weight, (0, 0), 15) / (cv2.GaussianBlur(weight, (0, 0), 15) + 1e-6)
    step = max(outlines.DARKER[0], float(np.median((lit - light)[laid])))
    return masks.grow(laid | (near & (light < lit - step / 2)), 2) & ~thing


def _deep(light: np.ndarray, thing: np.ndarray, laid: np.ndarray) -> np.ndarray | None:
    """The shape of a shadow in bright sun, which its darkness alone separates (Otsu's threshold); or None.

    Args:
        light: the logarithm of the luminance, (H, W).
    """
    near = masks.grow(laid, 10) & ~masks.grow(thing, 2)
    inside = light[near]
    if not len(inside) or np.ptp(inside) < SUNNY:
        return None
    levels = ((inside - inside.min()) / np.ptp(inside) * 255).astype(np.uint8)
    dark = levels.ravel() <= cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
    step = inside[~dark].mean() - inside[dark].mean()
    between = dark.mean() * (1 - dark.mean()) * step**2  # variance
    if step < SUNNY or between < SEPARATE * inside.var():
        return None
    shape = np.zeros_like(near)
    shape[near] = dark
    shape = masks.grow(shape, 1) & ~thing
    return shape if (shape & laid).sum() > 0.4 * (shape | laid).sum() else None


def _fitted(
    light: np.ndarray,
    thing: np.ndarray,
    shapes: list[np.ndarray],
    softs: tuple[float, ...] = SOFT,
    wider: tuple[int, ...] = WIDER,
) -> tuple[float, Shadow | None]:
    """The best soft shadow, and the share of the gradient around its edge that lifting it removes.

    Args:
        light: see `_light`.
    """
    band = masks.grow(np.logical_or.reduce(shapes), BAND) & ~masks.grow(thing, 4)
    if band.sum() < 40:
        return 0.0, None
    around = [_slopes(light[..., c])[:, band] for c in range(3)]  # each (2, N)
    gray = np.tensordot(LUMINANCE, around, 1)
    before, least, result = float(np.abs(gray).sum()), 1.0, None
    for cover in (soft for shape in shapes for soft in _softened(shape, thing, softs, wider)):
        rise = -_slopes(cover)[:, band]
        loss = _ratio(gray, rise)
        left = float(np.abs(gray - loss * rise).sum()) / before
        if loss > 0 and left < least:
            least, result = left, (cover, rise, loss)
    if result is None:
        return 0.0, None
    cover, rise, measured = result
    trust = (1 - least) / (1 - least + DOUBT)
    loss = measured**trust * USUAL ** (1 - trust)
    each = np.array([_ratio(one, rise) for one in around], np.float32) * (loss / measured)
    return 1 - least, Shadow(cover, each.clip(0.85 * loss, 1.2 * loss))


def _softened(
    shape: np.ndarray, thing: np.ndarray, softs: tuple[float, ...], wider: tuple[int, ...]
) -> Iterator[np.ndarray]:
    """A shape in several sizes and softnesses, float32 (H, W), continued beneath the object."""
    for more in wider:
        grown = masks.grow(shape, more)
        away = masks.distance(grown)
        for soft in softs:
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
