"""Painters that need no model: another picture, a colour or a blur."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from vision_core.editing import compose, masks
from vision_core.events import Event

GREY = 10  # objects with less CIELAB chroma are grey
# The other picture (h, w, 3), the one it is put into (H, W, 3), and where (H, W) -> the first one relit.
Relight = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Material:
    """A `Painter` that ignores the prompt.

    Args:
        make: uint8 (H, W, 3) and the hole, bool (H, W) -> what shall be in the hole, uint8 (H, W, 3).
    """

    name: str
    make: Callable[[np.ndarray, np.ndarray], np.ndarray]
    takes_text: bool = False
    side: int | None = None
    whole: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def paint(
        self, rgb: np.ndarray, hole: np.ndarray, prompt: str = "", seed: int = 0, strength: float = 1.0
    ) -> Generator[Event, None, np.ndarray]:
        """See `Painter.paint`; `strength` mixes the material with the picture."""
        yield from ()
        return cv2.addWeighted(self.make(rgb, hole), strength, rgb, 1 - strength, 0)


def color(value: str) -> Material:
    """One colour, `#rrggbb`; anything else is a `ValueError`."""
    channels = _channels(value)
    return Material("color", lambda rgb, hole: np.broadcast_to(channels, rgb.shape).copy())


def tint(value: str) -> Material:
    """Change the main colour in the hole to `#rrggbb`; shading and other colours stay.

    In CIELAB, the part of each colour along the main hue is turned to the new one. A grey thing takes the
    new colour everywhere.
    """
    goal = _lab(_channels(value)[None, None])[0, 0]

    def make(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
        lab = _lab(rgb)
        main = _main(lab[hole])
        length = float(np.hypot(*main[1:]))
        if length < GREY:
            share, rest = np.ones(hole.shape, np.float32), lab[..., 1:]
            main = np.median(lab[hole], axis=0)
        else:
            # 1 where a colour is as clear as the main one
            share = (lab[..., 1:] @ main[1:]).clip(0) / length**2
            rest = lab[..., 1:] - share[..., None] * main[1:]
        light = lab[..., 0] + share.clip(0, 1) * (goal[0] - main[0])
        new = np.dstack([light.clip(0, 100), rest + share[..., None] * goal[1:]]).astype(np.float32)
        return (cv2.cvtColor(new, cv2.COLOR_LAB2RGB).clip(0, 1) * 255).round().astype(np.uint8)

    return Material("tint", make)


def _main(lab: np.ndarray) -> np.ndarray:
    """The mean of the CIELAB colours (N, 3) around the hue with the largest total chroma."""
    chroma, hue = np.hypot(lab[:, 1], lab[:, 2]), np.arctan2(lab[:, 2], lab[:, 1])
    counted, edges = np.histogram(hue, 36, (-np.pi, np.pi), weights=chroma)
    most = np.argmax(counted + np.roll(counted, 1) + np.roll(counted, -1))
    near = np.cos(hue - edges[most : most + 2].mean()) > np.cos(np.pi / 6)
    return np.average(lab[near], axis=0, weights=chroma[near] + 1e-6) if near.any() else lab.mean(0)


def _channels(value: str) -> np.ndarray:
    """`#rrggbb` as uint8 (3,)."""
    digits = value.removeprefix("#")
    if len(digits) != 6 or set(digits.lower()) - set("0123456789abcdef"):
        raise ValueError(f"{value!r} is no colour; #rrggbb was expected")
    return np.array([int(digits[at : at + 2], 16) for at in (0, 2, 4)], np.uint8)


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def blur(amount: float = 0.02) -> Material:
    """Blur the hole, increasingly with the distance from what stays sharp, like a background out of focus.

    What stays sharp does not bleed in: the hole's own pixels alone are averaged, as light, less a rim that
    may still show the thing; and at its edge the thing is cut out softly.

    Args:
        amount: standard deviation of the blur, as a share of the picture's longer side, above 0 to 0.25.
    """
    if not 0 < amount <= 0.25:
        raise ValueError(
            f"the blur is {amount:g}; a share of the picture above 0 and up to 0.25 was expected"
        )

    def make(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
        side = max(hole.shape)
        sure = masks.grow(hole, -max(1.0, side / 500))
        light = (rgb.astype(np.float32) / 255) ** 2.2
        near, far = (_out_of_focus(light, sure, share * amount * side) for share in (0.4, 1.0))
        apart = np.clip(masks.distance(~hole) / (0.25 * side), 0, 1)[..., None] if not hole.all() else 1.0
        new = ((near * (1 - apart) + far * apart).clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)
        return matted(rgb, hole, new)

    return Material("blur", make, options={"amount": amount})


def _out_of_focus(light: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """The blurred known pixels, (H, W, 3); a wide blur is computed at a reduced size."""
    scale = min(1.0, 4 / max(sigma, 0.5))
    size = tuple(max(1, round(length * scale)) for length in known.shape[::-1])
    weight = known.astype(np.float32)
    total, spread = (
        cv2.GaussianBlur(
            cv2.resize(x, size, interpolation=cv2.INTER_AREA),
            (0, 0),
            max(0.5, sigma * scale),
            borderType=cv2.BORDER_REFLECT,
        )
        for x in (weight, light * weight[..., None])
    )
    mean = spread / np.maximum(total, 1e-4)[..., None]
    return cv2.resize(mean, known.shape[::-1], interpolation=cv2.INTER_LINEAR)


def matted(rgb: np.ndarray, hole: np.ndarray, new: np.ndarray) -> np.ndarray:
    """`new` in the hole, with the objects next to the hole cut out along their true, soft edges.

    Within some pixels of the hole's edge each pixel is part thing and part ground: how much is read from the
    picture by a guided filter, and its ground is exchanged.
    Source: He et al. 2013, "Guided Image Filtering".
    """
    if hole.all():
        return new
    radius = max(2, round(max(hole.shape) / 250))
    result, box = new.copy(), compose.window(hole & masks.grow(~hole, 2 * radius), 0, 8 * radius)
    part = box.slices
    guide, share = rgb[part].astype(np.float32).mean(2) / 255, (~hole[part]).astype(np.float32)
    alpha = _guided(guide, share, radius)
    band = hole[part] & (masks.distance(~hole[part]) <= 2 * radius)
    weight = cv2.erode(share, np.ones((3, 3)))
    colors, total = (cv2.blur(x, (4 * radius + 1,) * 2) for x in (rgb[part] * weight[..., None], weight))
    thing = colors / np.maximum(total, 1e-4)[..., None]  # the object's colours just inside its edge
    alpha = np.where(band & (total > 1e-3), np.clip((alpha - 0.1) / 0.8, 0, 1), 0)[..., None]
    result[part] = (alpha * thing + (1 - alpha) * new[part]).round().astype(np.uint8)
    return result


def _guided(guide: np.ndarray, share: np.ndarray, radius: int, flat: float = 1e-3) -> np.ndarray:
    """Align `share` (H, W) to the edges of the guide, both in [0, 1]."""
    mean_g, mean_s, mean_gs, mean_gg = (
        cv2.blur(x, (2 * radius + 1,) * 2) for x in (guide, share, guide * share, guide * guide)
    )
    slope = (mean_gs - mean_g * mean_s) / (mean_gg - mean_g * mean_g + flat)
    slope, offset = (cv2.blur(x, (2 * radius + 1,) * 2) for x in (slope, mean_s - slope * mean_g))
    return np.clip(slope * guide + offset, 0, 1)


def picture(
    material: np.ndarray,
    alpha: np.ndarray | None = None,
    fit: bool = False,
    right: float = 0.0,
    down: float = 0.0,
    scale: float = 1.0,
    relight: Relight | None = None,
) -> Material:
    """Another picture, uint8 (h, w, 3), centred on the hole's bounding box.

    Args:
        alpha: uint8 (h, w), where it is opaque; None everywhere.
        fit: the picture stays whole inside the bounding box; otherwise it covers the box.
        right, down: moved by so many widths and heights of the box, each -2 to 2.
        scale: larger or smaller by this factor, 0.1 to 10.
        relight: adapts the other picture to the light of the place.
    """
    if not (-2 <= right <= 2 and -2 <= down <= 2 and 0.1 <= scale <= 10):
        raise ValueError(
            f"the other picture is moved by {right:g}, {down:g} and scaled by {scale:g}; -2 to 2 and 0.1 "
            "to 10 were expected"
        )
    opaque = np.full(material.shape[:2], 255, np.uint8) if alpha is None else alpha

    def make(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
        box = compose.window(hole, 0)
        spans = ((box.top, box.bottom - box.top), (box.left, box.right - box.left))
        ratios = [extent / length for (_, extent), length in zip(spans, material.shape, strict=False)]
        ratio = scale * (min(ratios) if fit else max(ratios))
        size = tuple(max(1, round(side * ratio)) for side in material.shape[:2])
        place = [
            start + (extent - length) / 2 + move * extent
            for (start, extent), length, move in zip(spans, size, (down, right), strict=True)
        ]
        ways = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
        lit = relight(material, rgb, hole) if relight else material
        scaled, share = (cv2.resize(x, size[::-1], interpolation=ways) for x in (lit, opaque))
        top, left = (round(p) for p in place)
        result = rgb.copy()
        seen = result[max(0, top) : max(0, top + size[0]), max(0, left) : max(0, left + size[1])]
        visible = tuple(
            slice(max(0, -at), max(0, -at) + side)
            for at, side in zip((top, left), seen.shape[:2], strict=True)
        )
        opacity = share[visible][..., None] / 255
        seen[:] = (scaled[visible] * opacity + seen * (1 - opacity)).round()
        return matted(rgb, hole, result) if alpha is None else result

    options = {"right": right, "down": down, "scale": scale, "light": relight is not None}
    return Material("picture", make, options=options)
