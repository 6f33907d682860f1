"""Painters that need no model: another picture, a colour, or a blur in the place of what was there."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from vision_core.editing import compose
from vision_core.events import Event


@dataclass(frozen=True, eq=False)
class Material:
    """A `Painter` to which the prompt means nothing.

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
        """As `Painter.paint`; `strength` mixes with what is there."""
        yield from ()
        return cv2.addWeighted(self.make(rgb, hole), strength, rgb, 1 - strength, 0)


def color(value: str) -> Material:
    """One colour, `#rrggbb`; anything else is a `ValueError`."""
    digits = value.removeprefix("#")
    if len(digits) != 6 or set(digits.lower()) - set("0123456789abcdef"):
        raise ValueError(f"{value!r} is no colour; #rrggbb was expected")
    channels = np.array([int(digits[at : at + 2], 16) for at in (0, 2, 4)], np.uint8)
    return Material("color", lambda rgb, hole: np.broadcast_to(channels, rgb.shape).copy())


def blur(radius: float = 0.02) -> Material:
    """The hole out of focus, by a standard deviation of `radius` times the longer side.

    What is sharp beside the hole does not bleed in: only the hole's own pixels are averaged, as light.
    """
    if not 0 < radius <= 1:
        raise ValueError(f"the blur is {radius:g}; a share of the picture above 0 and up to 1 was expected")

    def make(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
        sigma, weight = max(0.5, radius * max(hole.shape)), hole.astype(np.float32)
        light = (rgb.astype(np.float32) / 255) ** 2.2 * weight[..., None]
        total, spread = (
            cv2.GaussianBlur(x, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for x in (weight, light)
        )
        mean = spread / np.maximum(total, 1e-4)[..., None]
        return (mean.clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)

    return Material("blur", make)


def picture(material: np.ndarray, alpha: np.ndarray | None = None, fit: bool = False) -> Material:
    """Another picture, uint8 (h, w, 3), centred on the hole's bounding box.

    Args:
        alpha: uint8 (h, w), where it is opaque; None everywhere.
        fit: the picture stays whole inside the bounding box; otherwise it covers the box.
    """
    opaque = np.full(material.shape[:2], 255, np.uint8) if alpha is None else alpha

    def make(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
        box = compose.window(hole, 0)
        spans = ((box.top, box.bottom - box.top), (box.left, box.right - box.left))
        ratios = [extent / own for (_, extent), own in zip(spans, material.shape, strict=False)]
        scale = min(ratios) if fit else max(ratios)
        height, width = (max(1, round(side * scale)) for side in material.shape[:2])
        scaled = compose.resize(material, height, width)
        share = cv2.resize(opaque, (width, height), interpolation=cv2.INTER_AREA)[..., None] / 255
        (top, first_row), (left, first_column) = (
            _center(*span, own) for span, own in zip(spans, (height, width), strict=True)
        )
        place, part = (top, left), (first_row, first_column)
        result = rgb.copy()
        mixed = scaled[part] * share[part] + result[place] * (1 - share[part])
        result[place] = mixed.round().astype(np.uint8)
        return result

    return Material("picture", make)


def _center(start: int, extent: int, own: int) -> tuple[slice, slice]:
    """Where `own` pixels go, centred in `extent` from `start` on, and which of them are seen."""
    shown = min(extent, own)
    at, first = start + (extent - shown) // 2, (own - shown) // 2
    return slice(at, at + shown), slice(first, first + shown)
