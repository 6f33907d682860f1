"""Painters that need no model: another picture, a colour or a blur."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch

from vision_core.editing import compose, masks
from vision_core.editing.fill import push_pull
from vision_core.editing.fill.inpainting import Painter
from vision_core.events import Event

GREY = 10  # objects with less CIELAB chroma are grey
# The other picture (h, w, 3), the one it is put into (H, W, 3), and where (H, W) -> the first one relit.
Relight = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Material:
    """A `Painter` that ignores the prompt.

    Args:
        make: uint8 (H, W, 3) and the hole, bool (H, W) -> what shall be in the hole, uint8 (H, W, 3).
        outline: of a cut-out: the hole -> the pixels that it covers, bool (H, W), which may lie beside it.
        remover: of a cut-out: paints away the thing that it replaces.
    """

    name: str
    make: Callable[[np.ndarray, np.ndarray], np.ndarray]
    takes_text: bool = False
    side: int | None = None
    whole: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    outline: Callable[[np.ndarray], np.ndarray] | None = None
    remover: Painter | None = None

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

    What stays sharp does not bleed in: before the blur, it and a rim of the hole that may still show it are
    filled smoothly. Pixels are averaged as light.

    Args:
        amount: standard deviation of the blur, as a share of the picture's longer side, above 0 to 0.25.
    """
    if not 0 < amount <= 0.25:
        raise ValueError(
            f"the blur is {amount:g}; a share of the picture above 0 and up to 0.25 was expected"
        )

    def make(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
        side = max(hole.shape)
        sure = masks.grow(hole, -max(3.0, side / 250))
        light, known = (rgb.astype(np.float32) / 255) ** 2.2, sure if sure.any() else hole
        near, far = (_out_of_focus(light, known, share * amount * side) for share in (0.4, 1.0))
        apart = np.clip(masks.distance(~hole) / (0.25 * side), 0, 1)[..., None] if not hole.all() else 1.0
        return ((near * (1 - apart) + far * apart).clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)

    return Material("blur", make, options={"amount": amount})


def _out_of_focus(light: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """The blurred known pixels, float32 (H, W, 3); a wide blur is computed at a reduced size."""
    scale = min(1.0, 4 / max(sigma, 0.5))
    height, width = known.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    share = known.astype(np.float32)
    weight, small = (
        cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (share, light * share[..., None])
    )
    small /= np.maximum(weight, 1e-3)[..., None]
    with torch.inference_mode():
        pixels, hole = torch.from_numpy(small).permute(2, 0, 1), torch.from_numpy(weight < 0.1)
        whole = push_pull.push_pull(pixels[None], hole[None, None])[0].permute(1, 2, 0).numpy()
    blurred = cv2.GaussianBlur(whole, (0, 0), max(0.5, sigma * scale), borderType=cv2.BORDER_REFLECT)
    return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)


def picture(
    material: np.ndarray,
    alpha: np.ndarray | None = None,
    fit: bool = False,
    right: float = 0.0,
    down: float = 0.0,
    scale: float = 1.0,
    relight: Relight | None = None,
    remover: Painter | None = None,
) -> Material:
    """Another picture, uint8 (h, w, 3), centred on the hole's bounding box; a cut-out stands at its bottom.

    Args:
        alpha: uint8 (h, w), where it is opaque; None everywhere.
        fit: the picture stays whole inside the bounding box; otherwise it covers the box.
        right, down: moved by so many widths and heights of the box, each -2 to 2.
        scale: larger or smaller by this factor, 0.1 to 10.
        relight: adapts the other picture to the light of the place.
        remover: see `Material`; used with `alpha` only.
    """
    if not (-2 <= right <= 2 and -2 <= down <= 2 and 0.1 <= scale <= 10):
        raise ValueError(
            f"the other picture is moved by {right:g}, {down:g} and scaled by {scale:g}; -2 to 2 and 0.1 "
            "to 10 were expected"
        )
    opaque = np.full(material.shape[:2], 255, np.uint8) if alpha is None else alpha

    def placed(layer: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice]]:
        """The visible part of a layer of the other picture, scaled, and its place in the hole's picture."""
        box = compose.window(hole, 0)
        height, width = box.bottom - box.top, box.right - box.left
        ratios = height / layer.shape[0], width / layer.shape[1]
        ratio = scale * (min(ratios) if fit else max(ratios))
        size = [max(1, round(side * ratio)) for side in layer.shape[:2]]
        foot = 0.5 if alpha is None else 1  # of the free height, the share above the other picture
        top = round(box.top + (height - size[0]) * foot + down * height)
        left = round(box.left + (width - size[1]) / 2 + right * width)
        ways = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(layer, size[::-1], interpolation=ways)
        rows = np.clip((top, top + size[0]), 0, hole.shape[0])
        columns = np.clip((left, left + size[1]), 0, hole.shape[1])
        visible = scaled[slice(*rows - top), slice(*columns - left)]
        return visible, (slice(*rows), slice(*columns))

    def make(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
        visible, place = placed(relight(material, rgb, hole) if relight else material, hole)
        opacity = placed(opaque, hole)[0][..., None] / 255
        result = rgb.copy()
        result[place] = (visible * opacity + result[place] * (1 - opacity)).round()
        return result

    def outline(hole: np.ndarray) -> np.ndarray:
        visible, place = placed(opaque, hole)
        covered = np.zeros_like(hole)
        covered[place] = visible > 0
        return covered

    options = {"right": right, "down": down, "scale": scale, "light": relight is not None}
    if alpha is None:
        return Material("picture", make, options=options)
    return Material("picture", make, options=options, outline=outline, remover=remover)
