"""Draws each kind of thing: one function per kind, with height 1 above the ground at (0, 0)."""

from collections.abc import Callable
from itertools import pairwise
from math import cos, pi, sin
from random import Random

from vision_core.smallworld.pen import Colour, Pen, dark, light, mix

BARK, LEAF, WOOD, LAMP = (108, 76, 54), (84, 142, 66), (134, 94, 60), (255, 214, 120)
GLASS, SLATE = (70, 88, 112), (104, 82, 86)


def _crown(pen: Pen, random: Random, colour: Colour, x: float, y: float, rx: float, ry: float) -> None:
    """Foliage: dark all around, lighter towards the light at the upper left."""
    for tone, shift, reach, count, leaf in (
        (dark(colour, 0.3), 0.0, 0.66, 12, 0.4),
        (colour, 0.08, 0.56, 12, 0.3),
        (light(colour, 0.14), 0.16, 0.46, 9, 0.2),
        (light(colour, 0.3), 0.24, 0.38, 7, 0.12),
    ):
        if leaf > 0.25:
            pen.ellipse(tone, x - rx * shift, y + ry * shift, rx * reach, ry * reach)
        for k in range(count):
            angle, r = 2 * pi * (k + random.random() * 0.7) / count, reach * (0.7 + 0.45 * random.random())
            size = leaf * (0.8 + 0.4 * random.random())
            cx, cy = x + rx * (r * cos(angle) - shift), y + ry * (r * sin(angle) + shift)
            pen.ellipse(tone, cx, cy, rx * size, ry * size)


def _blossoms(
    pen: Pen,
    random: Random,
    colour: Colour,
    x: float,
    y: float,
    rx: float,
    ry: float,
    count: int,
    size: float,
) -> None:
    for k in range(count):
        angle, r = random.random() * 2 * pi, random.random() ** 0.5 * 1.02
        tone = (dark(colour, 0.14), colour, colour, light(colour, 0.4))[k % 4]
        px, py = x + rx * r * cos(angle), y + ry * r * sin(angle)
        pen.ellipse(tone, px, py, size * (0.8 + 0.5 * random.random()))


def _trunk(pen: Pen, random: Random, top: float, width: float = 0.06) -> None:
    lean = (random.random() - 0.5) * 0.08
    pen.polygon(BARK, (-width, 0), (width, 0), (lean + width * 0.55, top), (lean - width * 0.55, top))
    pen.polygon(light(BARK, 0.2), (-width, 0), (-width * 0.3, 0), (lean, top), (lean - width * 0.55, top))
    for side in (-1, 1):
        reach = side * (0.12 + 0.05 * random.random())
        pen.line(BARK, width * 0.6, (lean * 0.6, top * 0.72), (lean + reach, top * 1.12))


def tree(pen: Pen, random: Random, colour: Colour) -> None:
    rx, ry = 0.36 + 0.05 * random.random(), 0.31 + 0.03 * random.random()
    _trunk(pen, random, 0.5)
    _crown(pen, random, mix(colour, LEAF, 0.1), 0, 0.97 - ry, rx, ry)


def flowering_tree(pen: Pen, random: Random, colour: Colour) -> None:
    rx, ry = 0.38 + 0.05 * random.random(), 0.31 + 0.03 * random.random()
    _trunk(pen, random, 0.5)
    _crown(pen, random, mix(LEAF, colour, 0.12), 0, 0.97 - ry, rx, ry)
    _blossoms(pen, random, colour, 0, 0.97 - ry, rx, ry, 110, 0.036)


def bush(pen: Pen, random: Random, colour: Colour) -> None:
    _crown(pen, random, mix(LEAF, (40, 110, 60), 0.3), 0, 0.5, 0.72, 0.46)
    _blossoms(pen, random, colour, 0, 0.52, 0.7, 0.44, 60, 0.075)


def pine(pen: Pen, random: Random, colour: Colour) -> None:
    green, width = mix((38, 96, 74), colour, 0.15), 0.27 + 0.05 * random.random()
    pen.box(BARK, -0.04, 0, 0.04, 0.2)
    for k in range(4):
        low, high, half = 0.13 + 0.19 * k, 0.47 + 0.178 * k, width * (1 - 0.2 * k)
        pen.polygon(dark(green, 0.1 + 0.08 * (3 - k) / 3), (-half, low), (half, low), (0, high))
        left = ((-half, low), (-half * 0.1, low + 0.04), (0, high))
        pen.polygon(light(green, 0.14 + 0.04 * k), *left)


def palm(pen: Pen, random: Random, colour: Colour) -> None:
    bend = 0.1 + 0.1 * random.random()
    stem = [(bend * (t / 8) ** 2, 0.78 * t / 8) for t in range(9)]
    pen.line(dark(WOOD, 0.15), 0.075, *stem)
    pen.line(light(WOOD, 0.15), 0.03, *[(x - 0.015, y) for x, y in stem])
    green, top = mix((70, 150, 74), colour, 0.3), (bend, 0.78)
    for k, angle in enumerate((0.12, 0.88, 0.3, 0.7, -0.06, 1.06, 0.5)):
        a = (angle + (random.random() - 0.5) * 0.06) * pi
        x, y = top[0] + 0.22 * cos(a), top[1] + 0.2 * sin(a) + 0.06
        tip = (top[0] + 0.4 * cos(a), top[1] + 0.24 * sin(a) - 0.1)
        tone = (dark(green, 0.2), dark(green, 0.1), green, light(green, 0.12))[k % 4]
        pen.polygon(tone, top, (x, y), tip, (x, y - 0.075))
    for dx in (-0.03, 0.035):
        pen.ellipse(dark(WOOD, 0.35), top[0] + dx, top[1] - 0.025, 0.032)


def cactus(pen: Pen, random: Random, colour: Colour) -> None:
    green = mix((66, 128, 84), colour, 0.25)

    def column(x: float, low: float, high: float, half: float) -> None:
        for tone, shift, part in (
            (dark(green, 0.22), 0, 1),
            (green, -0.15, 0.72),
            (light(green, 0.22), -0.3, 0.3),
        ):
            pen.box(tone, x + half * (shift - part), low, x + half * (shift + part), high)
            pen.ellipse(tone, x + half * shift, high, half * part)
            pen.ellipse(tone, x + half * shift, low, half * part)

    for side in (-1, 1):
        low, reach = 0.32 + 0.14 * random.random(), 0.24 * side
        pen.line(dark(green, 0.12), 0.11, (0, low), (reach, low))
        column(reach, low, low + 0.16 + 0.12 * random.random(), 0.06)
    column(0, 0.08, 0.88, 0.105)


def rock(pen: Pen, random: Random, colour: Colour) -> None:
    turns = [pi * (1 - k / 7) for k in range(8)]
    rim = [
        (0.8 * cos(a), 0.06 + (0.72 + 0.22 * random.random()) * sin(a) ** 0.8 if 0 < k < 7 else 0.0)
        for k, a in enumerate(turns)
    ]
    centre = (-0.12 + 0.2 * random.random(), 0.42 + 0.1 * random.random())
    for k, (a, b) in enumerate(pairwise(rim)):
        tone = light(colour, 0.42 - 0.09 * k) if k < 4 else dark(colour, 0.1 * (k - 3))
        pen.polygon(tone, a, b, centre)
    pen.polygon(dark(colour, 0.22), rim[0], rim[-1], centre)
    pen.line(dark(colour, 0.35), 0.03, rim[2], centre)


def house(pen: Pen, random: Random, colour: Colour) -> None:
    wide = 0.52 + 0.08 * random.random()
    roof = (SLATE, (146, 74, 58), (90, 96, 112))[random.randrange(3)]
    pen.box(dark(roof, 0.2), wide * 0.45, 0.66, wide * 0.45 + 0.1, 1.0)
    pen.box(colour, -wide, 0, wide, 0.55)
    pen.box(dark(colour, 0.2), wide * 0.3, 0, wide, 0.55)
    pen.polygon(dark(colour, 0.2), (wide * 0.3, 0.55), (wide, 0.55), (wide * 0.65, 0.9))
    top = wide * 0.65
    pen.polygon(roof, (-wide - 0.06, 0.52), (wide * 0.27, 0.52), (top, 0.93), (-wide * 0.62, 0.93))
    pen.polygon(dark(roof, 0.3), (wide * 0.2, 0.52), (top, 0.93), (top, 1.0), (wide * 0.12, 0.52))
    pen.polygon(dark(roof, 0.3), (wide + 0.08, 0.52), (top, 0.93), (top, 1.0), (wide + 0.16, 0.52))
    pen.box(dark(WOOD, 0.3), wide * 0.55, 0, wide * 0.78, 0.27)
    for x in (-wide * 0.72, -wide * 0.2):
        pen.box((240, 236, 226), x - 0.095, 0.2, x + 0.095, 0.41)
        pen.box(LAMP, x - 0.072, 0.222, x + 0.072, 0.39, shines=True)
        pen.box((240, 236, 226), x - 0.01, 0.2, x + 0.01, 0.41)


def windmill(pen: Pen, random: Random, colour: Colour) -> None:
    pen.polygon(colour, (-0.2, 0), (0.2, 0), (0.115, 0.62), (-0.115, 0.62))
    pen.polygon(dark(colour, 0.22), (0.05, 0), (0.2, 0), (0.115, 0.62), (0.03, 0.62))
    pen.ellipse(SLATE, 0, 0.63, 0.125, 0.105)
    pen.box(dark(WOOD, 0.3), -0.065, 0, 0.03, 0.16)
    for y in (0.28, 0.45):
        pen.box(LAMP, -0.05, y, 0.0, y + 0.07, shines=True)
    turn, hub = random.random() * pi / 2, (0.0, 0.63)
    for k in range(4):
        a = turn + k * pi / 2
        along, across = (cos(a), sin(a)), (-sin(a), cos(a))

        def point(u: float, v: float, d: tuple = along, n: tuple = across) -> tuple[float, float]:
            return hub[0] + d[0] * u + n[0] * v, hub[1] + d[1] * u + n[1] * v

        pen.polygon((236, 226, 206), point(0.08, 0), point(0.37, 0), point(0.37, 0.09), point(0.08, 0.075))
        pen.line(dark(WOOD, 0.35), 0.025, hub, point(0.38, 0))
        pen.line(dark(WOOD, 0.2), 0.012, point(0.1, 0.04), point(0.37, 0.046))
    pen.ellipse(dark(WOOD, 0.4), *hub, 0.035)


def tent(pen: Pen, random: Random, colour: Colour) -> None:
    wide, top = 0.72 + 0.08 * random.random(), -0.12
    pen.polygon(dark(colour, 0.25), (top, 1), (wide + 0.1, 0.06), (0.3, 0), (top, 0.9))
    pen.polygon(light(colour, 0.06), (-wide, 0), (0.42, 0), (top, 1))
    pen.polygon((62, 44, 48), (-0.36, 0), (0.12, 0), (top, 0.72))
    pen.polygon(light(colour, 0.3), (-0.36, 0), (-0.24, 0), (top, 0.72))
    pen.line(dark(WOOD, 0.3), 0.025, (top, 0.95), (top, 1.06))


def car(pen: Pen, random: Random, colour: Colour) -> None:
    back = -0.5 - 0.12 * random.random()
    pen.polygon(dark(colour, 0.12), (back - 0.06, 0.52), (0.5, 0.52), (0.26, 0.97), (back + 0.16, 0.97))
    pen.polygon(GLASS, (back + 0.04, 0.54), (-0.14, 0.54), (-0.14, 0.88), (back + 0.2, 0.88))
    pen.polygon(light(GLASS, 0.25), (-0.07, 0.54), (0.4, 0.54), (0.22, 0.88), (-0.07, 0.88))
    pen.box(colour, -0.84, 0.2, 0.84, 0.56)
    pen.ellipse(colour, -0.82, 0.36, 0.14, 0.18)
    pen.ellipse(colour, 0.82, 0.36, 0.18, 0.19)
    pen.box(dark(colour, 0.28), -0.94, 0.18, 0.96, 0.27)
    pen.box(light(colour, 0.35), -0.84, 0.48, 0.8, 0.53)
    pen.ellipse(LAMP, 0.92, 0.4, 0.05, 0.07, shines=True)
    for x in (-0.5, 0.54):
        pen.ellipse((40, 38, 44), x, 0.19, 0.2)
        pen.ellipse((188, 188, 190), x, 0.19, 0.09)


def boat(pen: Pen, random: Random, colour: Colour) -> None:
    tilt = 0.03 * (random.random() - 0.5)
    for k in range(3):
        half, y = 0.4 - 0.09 * k, -0.035 - 0.05 * k
        pen.box(dark(mix(colour, (90, 140, 170), 0.6), 0.1), -half, y, half * 0.9, y + 0.014)
    pen.polygon(dark(WOOD, 0.15), (-0.42, 0.17), (0.46, 0.19), (0.3, 0), (-0.3, 0))
    pen.polygon(light(WOOD, 0.3), (-0.42, 0.17), (0.46, 0.19), (0.43, 0.14), (-0.39, 0.12))
    pen.line(dark(WOOD, 0.4), 0.025, (0, 0.16), (tilt, 1))
    pen.polygon(colour, (tilt + 0.025, 0.97), (0.03, 0.23), (0.42, 0.25))
    pen.polygon(dark(colour, 0.16), (tilt + 0.025, 0.97), (0.03, 0.23), (0.16, 0.235))
    pen.polygon(light(colour, 0.2), (tilt - 0.025, 0.9), (-0.02, 0.23), (-0.34, 0.24))


def balloon(pen: Pen, random: Random, colour: Colour) -> None:
    other = light(colour, 0.5) if sum(colour) < 640 else mix(colour, (196, 206, 220), 0.55)
    for k, half in enumerate((0.345, 0.235, 0.1)):
        tone = (colour, other, colour)[k]
        pen.ellipse(tone, 0, 0.655, half, 0.345)
        pen.polygon(
            tone, (-half * 0.86, 0.48), (half * 0.86, 0.48), (half * 0.3, 0.225), (-half * 0.3, 0.225)
        )
    for k in range(9):  # the side facing away from the light
        a = -pi / 2 + k * 0.22
        pen.ellipse(dark(colour, 0.16), 0.3 * cos(a * 0.9), 0.655 + 0.3 * sin(a), 0.035, 0.05)
    for x in (-0.08, 0.08):
        pen.line(dark(WOOD, 0.3), 0.012, (x, 0.23), (x * 0.8, 0.11))
    pen.box(WOOD, -0.085, 0.0, 0.085, 0.12)
    pen.box(light(WOOD, 0.25), -0.085, 0.09, 0.085, 0.12)


def horse(pen: Pen, random: Random, colour: Colour) -> None:
    mane, step = dark(colour, 0.5), 0.05 * random.random()
    for x, tone in ((-0.3, 0.28), (0.3, 0.28), (-0.42, 0.1), (0.2, 0.1)):
        pen.polygon(
            dark(colour, tone), (x, 0.5), (x + 0.13, 0.5), (x + 0.07 + step, 0), (x + 0.005 + step, 0)
        )
    pen.polygon(mane, (-0.46, 0.68), (-0.56, 0.6), (-0.62, 0.24), (-0.52, 0.3))
    pen.ellipse(colour, -0.05, 0.56, 0.45, 0.185)
    pen.ellipse(light(colour, 0.14), -0.1, 0.63, 0.3, 0.08)
    pen.polygon(colour, (0.14, 0.64), (0.4, 0.52), (0.6, 0.9), (0.42, 0.98))
    pen.polygon(mane, (0.1, 0.68), (0.2, 0.7), (0.44, 1.02), (0.36, 0.98))
    pen.polygon(colour, (0.42, 0.98), (0.55, 0.96), (0.82, 0.74), (0.74, 0.66), (0.5, 0.78))
    pen.polygon(dark(colour, 0.2), (0.46, 0.95), (0.53, 0.95), (0.51, 1.06))
    pen.ellipse((20, 18, 22), 0.58, 0.87, 0.022)


def sheep(pen: Pen, random: Random, colour: Colour) -> None:
    face = (62, 56, 60) if sum(colour) > 400 else (176, 160, 148)
    for x in (-0.4, -0.18, 0.2, 0.4):
        pen.box(dark(face, 0.2), x - 0.05, 0, x + 0.05, 0.35)
    fluff = [
        (-0.5, 0.5),
        (0.5, 0.52),
        (-0.3, 0.36),
        (0.3, 0.36),
        (0, 0.34),
        (-0.34, 0.7),
        (0.02, 0.76),
        (0.36, 0.7),
    ]
    for tone, shift, size in ((dark(colour, 0.17), 0, 0.27), (colour, 0.035, 0.23)):
        pen.ellipse(tone, 0, 0.54 + shift, 0.56, 0.28)
        for x, y in fluff:
            pen.ellipse(tone, x - shift, y + shift, size * (0.9 + 0.2 * random.random()))
    pen.ellipse(face, 0.74, 0.66, 0.17, 0.22)
    pen.ellipse(dark(face, 0.3), 0.58, 0.72, 0.1, 0.055)
    pen.ellipse(colour, 0.68, 0.88, 0.16, 0.1)
    pen.ellipse((250, 250, 250), 0.8, 0.72, 0.03)


PAINTERS: dict[str, tuple[Callable[[Pen, Random, Colour], None], float, float]] = {
    # kind: (painter, height of a large one in pictures, half width in heights)
    "tree": (tree, 0.52, 0.4),
    "flowering tree": (flowering_tree, 0.52, 0.42),
    "bush": (bush, 0.21, 0.8),
    "pine": (pine, 0.52, 0.3),
    "palm": (palm, 0.52, 0.3),
    "cactus": (cactus, 0.42, 0.3),
    "rock": (rock, 0.22, 0.8),
    "house": (house, 0.36, 0.65),
    "windmill": (windmill, 0.54, 0.35),
    "tent": (tent, 0.27, 0.8),
    "car": (car, 0.2, 0.95),
    "boat": (boat, 0.42, 0.4),
    "balloon": (balloon, 0.42, 0.35),
    "horse": (horse, 0.29, 0.65),
    "sheep": (sheep, 0.23, 0.75),
}
