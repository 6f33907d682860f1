"""Renders a scene of the small world: sky, ground and things, with 4 x 4 supersampling."""

from functools import lru_cache, partial
from math import pi, sin
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vision_core.smallworld.pen import PAINTS, Colour, Pen, dark, light, mix
from vision_core.smallworld.things import PAINTERS

if TYPE_CHECKING:
    from vision_core.smallworld.world import Scene, Thing

FINER = 4  # supersampling factor
HORIZON = 0.56  # from the top, relative to the height
SKIES: dict[str, tuple[Colour, Colour, Colour]] = {  # colour at the top, at the horizon, and of the light
    "day": ((86, 156, 228), (206, 232, 246), (1.0, 1.0, 1.0)),
    "sunset": ((96, 70, 140), (255, 176, 104), (1.0, 0.84, 0.74)),
    "night": ((12, 18, 50), (48, 66, 118), (0.56, 0.6, 0.8)),
    "snow": ((172, 186, 204), (226, 232, 238), (0.92, 0.95, 1.0)),
}
GROUNDS: dict[str, tuple[Colour, Colour]] = {  # far and near
    "meadow": ((150, 196, 98), (78, 146, 62)),
    "desert": ((240, 208, 144), (216, 160, 92)),
    "sea": ((92, 174, 204), (34, 108, 160)),
    "hills": ((132, 178, 104), (92, 140, 66)),
    "mountains": ((148, 170, 118), (104, 128, 84)),
}
CLOUDS: dict[str, Colour] = {
    "day": (255, 255, 255),
    "sunset": (255, 150, 130),
    "night": (84, 98, 150),
    "snow": (214, 222, 230),
}
SNOW, SAND = (240, 244, 250), (236, 214, 164)
CENTRES = {"left": 0.21, "middle": 0.5, "right": 0.79}


def picture(scene: "Scene", size: int) -> NDArray[np.uint8]:
    """(size, size, 3) RGB."""
    side = _checked(size) * FINER
    image = _sky(scene, side)
    canvas = ImageDraw.Draw(image)
    whole = Pen(canvas, partial(_lit, scene.sky), (0.0, float(side)), float(side))
    random = Random(scene.seed)
    _heavens(scene, whole, random)
    _ground(scene, whole, random)
    for thing in _far_to_near(scene):
        _thing(scene, thing, canvas, side, whole.ink)
    return np.asarray(image.reduce(FINER))


def shares(scene: "Scene", size: int) -> NDArray[np.float32]:
    """The visible share per pixel of the background and of things with shadows: (1 + things, H, W)."""
    side = _checked(size) * FINER
    image = Image.new("L", (side, side))
    canvas = ImageDraw.Draw(image)
    for thing in _far_to_near(scene):
        number = 1 + scene.things.index(thing)
        _thing(scene, thing, canvas, side, lambda colour, shines, number=number: number)
    numbers = np.asarray(image)
    parts = [numbers == number for number in range(1 + len(scene.things))]
    fine = np.stack(parts).reshape(-1, size, FINER, size, FINER)
    return fine.mean((2, 4), dtype=np.float32)


def _checked(size: int) -> int:
    if not 16 <= size <= 1024:
        raise ValueError(f"size is {size}; 16 to 1024 pixels were expected")
    return size


@lru_cache(4096)
def _lit(sky: str, colour: Colour, shines: bool) -> tuple[int, int, int]:
    """A colour under the light of the sky; windows that emit light do so in the dark and are glass by day."""
    if shines:
        if sky in ("night", "sunset"):
            return int(colour[0]), int(colour[1]), int(colour[2])
        colour = (98, 122, 150)
    r, g, b = (min(255, int(value * share)) for value, share in zip(colour, SKIES[sky][2], strict=True))
    return r, g, b


def _far_to_near(scene: "Scene") -> list["Thing"]:
    return sorted(scene.things, key=lambda thing: (_foot(scene, thing), thing.place))


def _foot(scene: "Scene", thing: "Thing") -> float:
    """The y of a thing's foot, relative to the height; the same for all kinds except boat and balloon."""
    share = Random(thing.seed).random()
    if thing.kind == "balloon":
        return 0.48 + 0.08 * share if thing.size == "large" else 0.3 + 0.16 * share
    if thing.kind == "boat":
        return 0.7 + 0.04 * share
    return 0.86 + 0.08 * share if thing.size == "large" else 0.8 + 0.08 * share


def _thing(scene: "Scene", thing: "Thing", canvas: ImageDraw.ImageDraw, side: int, ink) -> None:
    random = Random(thing.seed)
    foot = _foot(scene, thing) * side
    random.random()  # skips the number used by `_foot`
    painter, height, half = PAINTERS[thing.kind]
    height *= 1.0 if thing.size == "large" else 0.52
    unit = height * (0.94 + 0.12 * random.random()) * side
    x = (CENTRES[thing.place] + 0.05 * (random.random() - 0.5)) * side
    pen = Pen(canvas, ink, (x, foot), unit, random.random() < 0.5)
    if thing.kind not in ("balloon", "boat"):
        pen.ellipse(dark(_near(scene), 0.34), 0.06, 0, half * 0.95, 0.05)
    painter(pen, random, PAINTS[thing.colour])


def extent(scene: "Scene", thing: "Thing") -> tuple[float, float, float, float]:
    """The approximate box of a thing, relative to the picture: top, bottom, left, right."""
    _, height, half = PAINTERS[thing.kind]
    height *= 1.0 if thing.size == "large" else 0.52
    foot, middle = _foot(scene, thing), CENTRES[thing.place]
    return foot - 1.05 * height, foot + 0.05 * height, middle - height * half, middle + height * half


def _near(scene: "Scene") -> Colour:
    near = SAND if scene.ground == "sea" else GROUNDS[scene.ground][1]
    return mix(near, SNOW, 0.8) if scene.sky == "snow" else near


def _sky(scene: "Scene", side: int) -> Image.Image:
    """A gradient from the top to the horizon, brighter around sun or moon."""
    top, low, _ = SKIES[scene.sky]
    grain, high = 64, 48  # only the part above the lowest ground is visible
    y, x = np.mgrid[0:high, 0:grain] / grain
    down = np.clip(y / HORIZON, 0, 1)[..., None] ** 1.1
    colours = np.array(top) + (np.array(low) - top) * down
    sun = _sun(scene)
    glow = {"day": 60, "sunset": 90, "night": 50, "snow": 0}[scene.sky]
    halo = np.exp(-((x - sun[0]) ** 2 + (y - sun[1]) ** 2) / 0.03)[..., None]
    colours = colours + glow * halo * (1.0, 0.85, 0.6 if scene.sky != "night" else 1.0)
    small = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    image = Image.new("RGB", (side, side))
    image.paste(small.resize((side, side * high // grain), Image.Resampling.BILINEAR))
    return image


def _sun(scene: "Scene") -> tuple[float, float]:
    random = Random(scene.seed ^ 0x5A5A)
    return 0.1 + 0.8 * random.random(), 0.44 if scene.sky == "sunset" else 0.1 + 0.1 * random.random()


def _heavens(scene: "Scene", pen: Pen, random: Random) -> None:
    """Sun, moon and stars, clouds, falling snow."""
    x, y = _sun(scene)
    if scene.sky == "night":
        for _ in range(40):
            tone = mix((90, 104, 160), (255, 250, 230), random.random())
            at = random.random(), 1 - HORIZON * random.random()
            pen.ellipse(tone, *at, 0.0025 + 0.0025 * random.random(), shines=True)
        pen.ellipse((250, 244, 214), x, 1 - y, 0.05, shines=True)
        pen.ellipse((226, 216, 186), x + 0.012, 1 - y - 0.008, 0.012, shines=True)
        pen.ellipse((232, 224, 194), x - 0.018, 1 - y + 0.014, 0.008, shines=True)
    elif scene.sky == "sunset":
        pen.ellipse((255, 236, 170), x, 1 - y, 0.075, shines=True)
    elif scene.sky == "day":
        pen.ellipse((255, 246, 196), x, 1 - y, 0.05)
    for _ in range({"day": 3, "sunset": 3, "night": 1, "snow": 4}[scene.sky]):
        _cloud(scene, pen, random)
    if scene.sky == "snow":
        for _ in range(90):
            pen.ellipse(
                (252, 253, 255), random.random(), 0.3 + 0.7 * random.random(), 0.003 + 0.004 * random.random()
            )


def _cloud(scene: "Scene", pen: Pen, random: Random) -> None:
    x, y, size = random.random(), 0.68 + 0.26 * random.random(), 0.03 + 0.03 * random.random()
    tones = mix(CLOUDS[scene.sky], SKIES[scene.sky][1], 0.35), CLOUDS[scene.sky]
    puffs = [(random.random() * 2 - 1, random.random()) for _ in range(7)]
    ink = Pen(pen.canvas, lambda c, s: (int(c[0]), int(c[1]), int(c[2])), pen.origin, pen.unit)
    for tone, lift in zip(tones, (0.0, 0.25), strict=True):
        for px, py in puffs:
            r = size * (1.05 - 0.5 * abs(px)) * (1 - 0.2 * lift)
            ink.ellipse(tone, x + px * size * 2.2, y + (py * 0.5 + lift) * size, r * 1.25, r * 0.72)


def _ridge(
    random: Random, base: float, swing: float, waves: int, steps: int = 26
) -> list[tuple[float, float]]:
    """A smooth line across the picture as a polygon closed along the bottom."""
    parts = [(k, random.random() * 2 * pi, swing * random.random() / k**0.8) for k in range(1, waves + 1)]
    line = [
        (t / steps, base + sum(a * sin(k * 2 * pi * 0.7 * t / steps + p) for k, p, a in parts))
        for t in range(steps + 1)
    ]
    return [(0.0, 0.0), *line, (1.0, 0.0)]


def _ground(scene: "Scene", pen: Pen, random: Random) -> None:
    far, near = GROUNDS[scene.ground]
    haze = SKIES[scene.sky][1]
    level = 1 - HORIZON
    if scene.sky == "snow" and scene.ground != "sea":
        far, near = mix(far, SNOW, 0.86), mix(near, SNOW, 0.8)
    if scene.ground == "mountains":
        _peaks(pen, random, haze)
    elif scene.ground == "hills":
        for k in range(3):
            tone = mix(mix(far, (90, 130, 150), 0.5 - 0.15 * k), haze, 0.42 - 0.14 * k)
            pen.polygon(tone, *_ridge(random, level + 0.13 - 0.05 * k, 0.055, 3))
    elif scene.ground == "meadow":
        pen.polygon(mix((96, 140, 110), haze, 0.35), *_ridge(random, level + 0.035, 0.018, 6))
    elif scene.ground == "desert":
        pen.polygon(mix(far, haze, 0.4), *_ridge(random, level + 0.05, 0.05, 2))
    if scene.ground == "sea":
        _sea(scene, pen, random, far, near)
        return
    bands, swing = 6, {"meadow": 0.008, "desert": 0.03, "hills": 0.025, "mountains": 0.012}[scene.ground]
    for k in range(bands):
        tone = mix(far, near, k / (bands - 1))
        pen.polygon(tone, *_ridge(random, level * (1 - k / bands) ** 1.25, swing, 3))
    _details(scene, pen, random, near)


def _peaks(pen: Pen, random: Random, haze: Colour) -> None:
    for k, (count, height) in enumerate(((4, 0.3), (5, 0.17))):
        tone = mix((96, 104, 132), haze, 0.45 - 0.2 * k)
        for n in range(count):
            x = (n + 0.2 + 0.6 * random.random()) / count
            top = 1 - HORIZON + height * (0.65 + 0.45 * random.random())
            half = (top - 0.4) * (0.95 + 0.4 * random.random())
            pen.polygon(tone, (x - half, 0.4), (x + half, 0.4), (x, top))
            pen.polygon(dark(tone, 0.16), (x + half * 0.1, 0.4), (x + half, 0.4), (x, top))
            cap = 0.3 + 0.1 * random.random()
            down = top - (top - 0.4) * cap
            white, edge = mix(SNOW, haze, 0.2), half * cap
            pen.polygon(white, (x - edge, down), (x - edge * 0.35, down + 0.022), (x, down - 0.012), (x, top))
            pen.polygon(
                dark(white, 0.12),
                (x, down - 0.012),
                (x + edge * 0.5, down + 0.02),
                (x + edge, down),
                (x, top),
            )


def _sea(scene: "Scene", pen: Pen, random: Random, far: Colour, near: Colour) -> None:
    """Water with bands and glints, then the beach."""
    haze, level = SKIES[scene.sky][1], 1 - HORIZON
    far = mix(far, haze, 0.35)
    for k in range(8):
        low = level - (level - 0.2) * (k / 8) ** 1.3
        pen.box(mix(far, near, k / 7), 0, 0, 1, low)
    sun = _sun(scene)[0]
    for _ in range(70):
        depth = random.random()
        y, x = level - 0.02 - (level - 0.24) * depth, random.random()
        toward = scene.sky in ("sunset", "night") and abs(x - sun) < 0.13
        tone = light(mix(far, haze, 0.5), 0.6) if toward else light(mix(far, near, depth), 0.18)
        half = 0.008 + 0.022 * depth * random.random()
        pen.box(tone, x - half, y, x + half, y + 0.0035 + 0.002 * depth)
    sand = mix(SAND, SNOW, 0.7) if scene.sky == "snow" else SAND
    shore = _ridge(random, 0.225, 0.008, 3)
    pen.polygon((246, 250, 250), *[(x, y + 0.012 if y else 0.0) for x, y in shore])
    pen.polygon(dark(sand, 0.2), *shore)
    pen.polygon(sand, *[(x, y - 0.018 if y else 0.0) for x, y in shore])
    pen.polygon(light(sand, 0.25), *_ridge(random, 0.1, 0.012, 3))
    for _ in range(16):
        pen.ellipse(dark(sand, 0.16), random.random(), 0.18 * random.random(), 0.004, 0.0025)


def _details(scene: "Scene", pen: Pen, random: Random, near: Colour) -> None:
    """Tufts, flowers, stones and ripples, smaller in the distance."""
    level = 1 - HORIZON
    petals = ((250, 240, 240), (250, 214, 90), (232, 120, 130), (190, 150, 230))
    for k in range(56):
        depth = random.random()
        x, y, s = random.random(), level * (0.93 - 0.93 * depth), 0.006 + 0.012 * depth
        if scene.ground == "desert":
            if k % 3 == 0:
                pen.ellipse(dark(near, 0.16), x, y, s * 0.5, s * 0.3)
            else:
                pen.line(dark(near, 0.07), s * 0.2, (x - 2.2 * s, y), (x, y + 0.5 * s), (x + 2.2 * s, y))
        elif scene.ground == "mountains" and k % 2:
            pen.ellipse(dark(mix(near, (120, 120, 120), 0.6), 0.08), x, y, s * 0.8, s * 0.45)
        elif scene.ground == "meadow" and k % 2 and scene.sky != "snow":
            pen.ellipse(petals[k % 4], x, y, s * 0.38)
        else:
            tone = dark(near, 0.16) if k % 4 else light(near, 0.16)
            for lean in (-0.7, 0.0, 0.7):
                pen.line(tone, s * 0.16, (x + lean * s * 0.2, y), (x + lean * s * 0.7, y + s))
