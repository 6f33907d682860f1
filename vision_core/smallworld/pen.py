"""A pen that draws shapes on a Pillow canvas in the local coordinates of a thing, lit by its scene."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL.ImageDraw import ImageDraw

Colour = tuple[float, float, float]
Point = tuple[float, float]

PAINTS: dict[str, Colour] = {
    "red": (206, 54, 48),
    "orange": (238, 135, 44),
    "yellow": (246, 207, 72),
    "green": (84, 150, 70),
    "blue": (62, 112, 196),
    "purple": (134, 80, 176),
    "pink": (244, 142, 184),
    "white": (243, 241, 234),
    "black": (52, 50, 56),
    "brown": (140, 90, 55),
    "grey": (142, 140, 142),
}


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Blend a and b; `share` is the weight of b."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share


def dark(colour: Colour, by: float = 0.25) -> Colour:
    return mix(colour, (30, 22, 50), by)


def light(colour: Colour, by: float = 0.25) -> Colour:
    return mix(colour, (255, 250, 228), by)


@dataclass(frozen=True)
class Pen:
    """Draws in local coordinates with the origin at pixel `origin`, a scale of `unit` pixels, and y upwards.

    `ink` maps (colour, whether it emits light) to Pillow's fill value.
    """

    canvas: ImageDraw
    ink: Callable[[Colour, bool], tuple[int, int, int] | int]
    origin: Point
    unit: float
    mirrored: bool = False

    def _at(self, x: float, y: float) -> Point:
        x = -x if self.mirrored else x
        return self.origin[0] + x * self.unit, self.origin[1] - y * self.unit

    def polygon(self, colour: Colour, *points: Point, shines: bool = False) -> None:
        self.canvas.polygon([self._at(*point) for point in points], fill=self.ink(colour, shines))

    def box(
        self, colour: Colour, left: float, bottom: float, right: float, top: float, shines: bool = False
    ) -> None:
        (x0, y0), (x1, y1) = self._at(left, top), self._at(right, bottom)
        self.canvas.rectangle((min(x0, x1), y0, max(x0, x1), y1), fill=self.ink(colour, shines))

    def ellipse(
        self, colour: Colour, x: float, y: float, rx: float, ry: float | None = None, shines: bool = False
    ) -> None:
        cx, cy = self._at(x, y)
        rx, ry = rx * self.unit, (rx if ry is None else ry) * self.unit
        self.canvas.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=self.ink(colour, shines))

    def line(self, colour: Colour, width: float, *points: Point) -> None:
        """A line of `width` units with round joints."""
        fill, pixels = self.ink(colour, False), max(1, round(width * self.unit))
        self.canvas.line([self._at(*point) for point in points], fill=fill, width=pixels, joint="curve")
