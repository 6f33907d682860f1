"""Draws leaves, healthy and with scab, rot or rust, on varied grounds: a data set of any size from a seed.

They are not realistic, but enough to try out a training, and to test against a known ground truth.
"""

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter

from vision_core.events import Done, Event, Step
from vision_core.pictures import images
from vision_core.pictures.images import Picture

CLASSES = ("healthy", "rot", "rust", "scab")
SHAPES = ("ovate", "lance", "round", "lobed")
GROUNDS = ("paper", "soil", "wood", "meadow")
Points = np.ndarray  # (N, 2): x, y in units of the leaf's length, its base at (0, 0) and its tip at (0, 1)


def generate(
    out: str | Path, count: int = 400, seed: int = 0, size: int = 256, biased: bool = False
) -> Generator[Event]:
    """Write an ImageFolder of `count` leaves, the four classes in turn; `Done.result` is the number of each.

    Args:
        biased: each class has a background of its own, as in data that were photographed class by class: a
            classifier can then be right without looking at the leaf.

    Raises:
        ValueError: the folder is not empty, or a number makes no sense.
    """
    out = Path(out)
    if not 1 <= count <= 1_000_000 or not 32 <= size <= 2048:
        raise ValueError(f"{count} leaves of {size} pixels: 1 to 1,000,000 of 32 to 2048 were expected")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already: an empty or new folder was expected")
    started = not out.exists()
    try:
        for n in range(count):
            name = CLASSES[n % len(CLASSES)]
            ground = GROUNDS[n % len(CLASSES)] if biased else None
            images.save(
                Picture(leaf(name, (seed, n), size, ground)[0]), out / name / f"{n:06d}.jpg", quality=92
            )
            yield Step(n + 1, count, {}, 0.0)
    except BaseException:
        if started:
            shutil.rmtree(out, ignore_errors=True)
        raise
    yield Done({name: len(range(i, count, len(CLASSES))) for i, name in enumerate(CLASSES)})


def leaf(
    name: str, seed: int | tuple[int, ...], size: int = 256, on: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A leaf of a class: uint8 (size, size, 3), and bool (size, size), true on the leaf.

    Raises:
        ValueError: another class or ground.
    """
    return sick_leaf(name, seed, size, on)[:2]


def sick_leaf(
    name: str, seed: int | tuple[int, ...], size: int = 256, on: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Like `leaf`, with the painted disease as bool (size, size)."""
    if name not in CLASSES or on not in (None, *GROUNDS):
        raise ValueError(f"there is no leaf {name!r} on {on!r}; there are {', '.join((*CLASSES, *GROUNDS))}")
    random = np.random.default_rng(seed)
    outline, veins = _shape(random)
    place = _placed(random, size)
    cover = _drawn([(place(outline), None)], size)
    rib = np.maximum(
        *(_drawn([(place(v), w * size) for v, w in part], size) for part in (veins[:1], veins[1:]))
    )
    rgb = _surface(random, cover, gaussian_filter(rib, 0.004 * size), size)
    green = rgb.copy()
    if name != "healthy":
        {"scab": _scab, "rot": _rot, "rust": _rust}[name](random, rgb, cover > 0.5)
    spots = (abs(rgb - green).max(-1) > 0.1) & (cover > 0.5)
    below = ground(random, on or str(random.choice(GROUNDS)), size)
    shade = gaussian_filter(np.roll(cover, (size // 40, size // 50), (0, 1)), 0.02 * size)[..., None]
    below = below * (1 - random.uniform(0.3, 0.6) * shade)
    rgb = below * (1 - cover[..., None]) + rgb * cover[..., None]
    rgb = rgb * random.uniform(0.85, 1.1) + 0.012 * random.standard_normal(rgb.shape, np.float32)
    return (rgb.clip(0, 1) * 255).round().astype(np.uint8), cover > 0.5, spots


def _shape(random: np.random.Generator) -> tuple[Points, list[tuple[Points, float]]]:
    """The outline, and the veins with their widths, the midrib first."""
    kind, along = str(random.choice(SHAPES)), np.linspace(0, 1, 160)
    if kind == "lobed":
        turn = np.linspace(-np.pi, np.pi, 320)
        lobes = np.abs(np.cos(2.5 * turn)) ** 0.8
        radius = (0.3 + 0.2 * lobes * (1 + 0.25 * np.cos(turn))) * (1 + 0.03 * _saw(turn * 9))
        radius *= 1 - 0.55 * np.exp(-(((np.abs(turn) - np.pi) / 0.25) ** 2))
        outline = np.stack([radius * np.sin(turn), 0.48 + radius * np.cos(turn)], 1)
        angles = (0, -1.26, 1.26, -2.3, 2.3)
        veins = [
            (_ray((0, 0.14), a, 0.42 if abs(a) < 2 else 0.26), 0.012 if a == 0 else 0.008) for a in angles
        ]
        side = [(_ray((0, 0.25 + 0.1 * n), s * 0.7, 0.16), 0.004) for n in range(4) for s in (-1, 1)]
        return outline, [(np.array([[0, -0.14], [0, 0.9]]), 0.013), *veins[1:], *side]
    width = {"ovate": 0.3, "lance": 0.16, "round": 0.4}[kind] * random.uniform(0.9, 1.1)
    half = width * np.sin(np.pi * along ** random.uniform(0.65, 0.9)) ** random.uniform(0.7, 0.95)
    half *= 1 + random.uniform(0, 0.06) * _saw(along * random.integers(12, 26))
    outline = np.concatenate([np.stack([half, along], 1), np.stack([-half, along], 1)[::-1]])
    veins = [(np.array([[0, -0.16], [0, 0.25], [0, 0.6], [0, 0.97]]), 0.012)]
    for start in np.linspace(0.08, 0.82, random.integers(6, 10)):
        reach = np.interp(min(start + 0.14, 0.98), along, half)
        way = np.linspace(0, 1, 12)
        for sign in (-1, 1):
            points = np.stack(
                [sign * reach * 0.93 * way, start + 0.16 * way**1.5 + random.normal(0, 0.004)], 1
            )
            veins.append((points, 0.005))
    return outline, veins


def _saw(x: np.ndarray) -> np.ndarray:
    return x % 1.0


def _ray(start: tuple[float, float], angle: float, length: float) -> Points:
    way = np.linspace(0, length, 8)[:, None]
    bend = angle * (1 - 0.25 * way / length)
    return np.array(start) + way * np.concatenate([np.sin(bend), np.cos(bend)], 1)


def _placed(random: np.random.Generator, size: int) -> Callable[[Points], Points]:
    """Bends, turns and shifts points of a leaf into the picture."""
    bend, turn, scale = (
        random.normal(0, 0.08),
        random.uniform(-np.pi, np.pi),
        size * random.uniform(0.72, 0.88),
    )
    shift = size * (0.5 + random.uniform(-0.05, 0.05, 2))
    cos, sin = np.cos(turn), np.sin(turn)

    def place(points: Points) -> Points:
        y = points[:, 1] - 0.45
        bent = np.stack([points[:, 0] + bend * (2 * y) ** 2, y], 1)
        return bent @ np.array([[cos, sin], [-sin, cos]]) * scale + shift

    return place


def _drawn(lines: list[tuple[Points, float | None]], size: int) -> np.ndarray:
    """Polygons (no width) and lines as float (size, size), smooth because drawn four times as large."""
    canvas = Image.new("L", (4 * size, 4 * size))
    draw = ImageDraw.Draw(canvas)
    for points, width in lines:
        flat = [tuple(point) for point in (points * 4).tolist()]
        if width is None:
            draw.polygon(flat, fill=255)
        else:
            draw.line(flat, fill=255, width=max(2, round(4 * width)), joint="curve")
    return np.asarray(canvas.reduce(4), np.float32) / 255


def _noise(random: np.random.Generator, size: int, cells: float) -> np.ndarray:
    """Smooth noise (size, size) of mean 0 and about unit spread: so many bumps a side, and finer ones."""
    total = np.zeros((size, size), np.float32)
    for octave in range(3):
        side = max(2, min(size, round(cells * 2**octave)))
        grid = Image.fromarray(random.standard_normal((side + 1, side + 1), np.float32))
        total += np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC)) / 2**octave
    return total


def _surface(random: np.random.Generator, cover: np.ndarray, rib: np.ndarray, size: int) -> np.ndarray:
    """A green leaf, lit from one side, its veins raised: float (size, size, 3)."""
    green = np.array(
        [random.uniform(0.2, 0.36), random.uniform(0.42, 0.58), random.uniform(0.12, 0.24)], np.float32
    )
    depth = np.asarray(distance_transform_edt(cover > 0.5), np.float32) / size
    height = np.sqrt(depth) * 0.7 - 0.05 * rib + 0.012 * _noise(random, size, 12)
    dy, dx = np.gradient(gaussian_filter(height, 0.006 * size) * size / 8)
    angle = random.uniform(0, 2 * np.pi)
    light = 1 + 0.3 * (np.cos(angle) * dx + np.sin(angle) * dy)
    mottle = 1 + 0.06 * _noise(random, size, 5) + 0.04 * _noise(random, size, 40)
    rgb = green * (light * mottle)[..., None]
    pale = np.array([0.62, 0.72, 0.4], np.float32)
    rgb = rgb + (pale - rgb) * (0.55 * rib)[..., None]
    yellow = np.clip(_noise(random, size, 2) * 0.12 + 0.03, 0, 0.3)[..., None]
    return rgb + (np.array([0.7, 0.65, 0.2], np.float32) - rgb) * yellow


def _spots(
    random: np.random.Generator, inside: np.ndarray, count: int, radius: tuple[float, float], rough: float
) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """For each spot on the leaf: a window, and in it the distance to the centre, 1 at the uneven edge."""
    size, uneven = len(inside), 1 + rough * _noise(random, len(inside), 14)
    ys, xs = np.nonzero(inside)
    for k in random.integers(0, len(ys), count) if len(ys) else ():
        r = size * random.uniform(*radius)
        tilt, flat = random.uniform(0, np.pi), random.uniform(0.75, 1)
        window = tuple(slice(max(0, int(c - 3 * r)), min(size, int(c + 3 * r) + 1)) for c in (ys[k], xs[k]))
        y, x = np.mgrid[window]
        dx, dy = x - xs[k], y - ys[k]
        a, b = np.cos(tilt) * dx + np.sin(tilt) * dy, (np.cos(tilt) * dy - np.sin(tilt) * dx) / flat
        yield window, np.hypot(a, b) / r * uneven[window]


def _paint(part: np.ndarray, color: tuple[float, float, float], alpha: np.ndarray) -> None:
    part += (np.array(color, np.float32) - part) * alpha[..., None]


def _edge(distance: np.ndarray, at: float, soft: float) -> np.ndarray:
    """1 up to the distance `at`, 0 beyond, with a soft edge."""
    return np.clip((at - distance) / soft + 0.5, 0, 1)


def _scab(random: np.random.Generator, rgb: np.ndarray, inside: np.ndarray) -> None:
    """Olive to black velvety blotches with feathered edges."""
    for window, d in _spots(random, inside, int(random.integers(6, 16)), (0.02, 0.06), 0.35):
        _paint(rgb[window], (0.36, 0.36, 0.14), 0.6 * _edge(d, 1.25, 0.7))
        _paint(rgb[window], (0.16, 0.15, 0.08), 0.85 * _edge(d, 0.85, 0.6))


def _rot(random: np.random.Generator, rgb: np.ndarray, inside: np.ndarray) -> None:
    """Round brown lesions: a purple rim, a tan middle with darker rings, a dark eye."""
    for window, d in _spots(random, inside, int(random.integers(3, 8)), (0.04, 0.1), 0.06):
        _paint(rgb[window], (0.32, 0.16, 0.16), 0.95 * _edge(d, 1.05, 0.15))
        _paint(rgb[window], (0.58, 0.42, 0.26), 0.95 * _edge(d, 0.85, 0.15))
        _paint(rgb[window], (0.4, 0.26, 0.16), 0.5 * _edge(d, 0.8, 0.1) * (np.sin(d * 18) > 0.3))
        _paint(rgb[window], (0.22, 0.14, 0.1), 0.8 * _edge(d, 0.2, 0.15))


def _rust(random: np.random.Generator, rgb: np.ndarray, inside: np.ndarray) -> None:
    """Bright orange spots in a yellow halo, with a red rim and dark dots in the middle."""
    for window, d in _spots(random, inside, int(random.integers(8, 22)), (0.014, 0.034), 0.1):
        _paint(rgb[window], (0.85, 0.75, 0.2), 0.7 * _edge(d, 1.5, 0.8))
        _paint(rgb[window], (0.72, 0.24, 0.08), 0.95 * _edge(d, 1.0, 0.2))
        _paint(rgb[window], (0.96, 0.56, 0.1), 0.95 * _edge(d, 0.75, 0.25))
        _paint(rgb[window], (0.35, 0.12, 0.06), 0.7 * _edge(d, 0.25, 0.2))


def ground(random: np.random.Generator, name: str, size: int) -> np.ndarray:
    """The background, float (size, size, 3)."""
    fine = _noise(random, size, size / 4)[..., None]
    match name:
        case "paper":
            tint = (random.uniform(0.55, 0.85) + random.normal(0, 0.02, 3)).astype(np.float32)
            return tint + 0.05 * _noise(random, size, 1)[..., None] + 0.01 * fine
        case "soil":
            clods = _noise(random, size, 18)[..., None]
            return np.array([0.36, 0.26, 0.18], np.float32) * (1 + 0.22 * clods + 0.12 * fine)
        case "wood":
            across = _noise(random, size, 3) * 1.5 + np.linspace(0, random.uniform(10, 24), size)[:, None]
            grain = np.sin(across * 2.2)[..., None] + 0.4 * fine
            return np.array([0.62, 0.45, 0.29], np.float32) * (1 + 0.13 * grain)
        case _:
            tone = gaussian_filter(_noise(random, size, 9), 0.015 * size)[..., None]
            tint = np.array([0.3, 0.44, 0.2], np.float32) + np.array([0.1, 0.14, 0.02], np.float32) * tone
            return np.clip(tint, 0.02, 0.95)
