"""Reads digits on synthetic photographs of paper: how many are right, refused and wrong on each ground.

    python benchmarks/digits_paper.py [--mnist DIR] [--pen FILE] [--count 200] [--seed 1] [--save DIR]

Digits are MNIST's test images, enlarged, or pen strokes (a JSON of `{"digit", "strokes"}` with points in
0..1000). Each lies on a ground of its own: papers, desks, shadows, pens, a screen. Of some grounds the right
answer is a refusal: empty sheets, two digits, one that the edge cuts, no paper. The tuning used seed 0 only.
"""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vision_core import digits
from vision_core.pictures import images

Rng = np.random.Generator
Ink = Callable[[int], np.ndarray]  # the longer side in pixels -> ink 0..1, cut to its box


def from_mnist(image: np.ndarray) -> Ink:
    rows, columns = np.flatnonzero(image.max(1) > 50), np.flatnonzero(image.max(0) > 50)
    image = np.pad(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)

    def ink(side: int) -> np.ndarray:
        scale = side / max(image.shape)
        size = [max(2, round(n * scale)) for n in image.shape[::-1]]
        large = cv2.resize(image.astype(np.float32) / 255, size, interpolation=cv2.INTER_CUBIC)
        return np.clip((large - 0.15) / 0.6, 0, 1)  # an edge as a pen leaves it, not MNIST's blur

    return ink


def from_strokes(strokes: list[list[list[float]]], width: float) -> Ink:
    """`width` of the pen is a share of the digit's longer side."""

    def ink(side: int) -> np.ndarray:
        points = [np.array(s, float) for s in strokes if s]
        low = np.concatenate(points).min(0)
        span = max(float(np.ptp(np.concatenate(points), 0).max()), 1)
        pen, scale = max(1.2, width * side), (side - width * side) * 4 / span
        high = np.ceil(np.ptp(np.concatenate(points), 0) * scale / 4 + pen + 2).astype(int)
        canvas = np.zeros((high[1] * 4, high[0] * 4), np.uint8)
        for line in points:
            at = np.round((line - low) * scale + (pen / 2 + 1) * 4).astype(np.int32)
            cv2.polylines(canvas, [at], False, 255, max(1, round(pen * 4)), cv2.LINE_AA)
            for end in (at[0], at[-1]):
                cv2.circle(canvas, end.tolist(), max(1, round(pen * 2)), 255, -1, cv2.LINE_AA)
        return cv2.resize(canvas, high.tolist(), interpolation=cv2.INTER_AREA) / np.float32(255)

    return ink


def smooth(rng: Rng, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Soft random hills of about one, `cells` along a side."""
    small = rng.normal(0, 1, (cells + 3, cells + 3)).astype(np.float32)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)


def wood(rng: Rng, shape: tuple[int, int]) -> np.ndarray:
    """A desk (H, W, 3) in 0..1, from nearly black to light."""
    y = np.linspace(0, rng.uniform(8, 30), shape[0], dtype=np.float32)[:, None]
    grain = np.sin(y * 2 + 1.5 * smooth(rng, shape, 4)) * 0.5 + 0.3 * smooth(rng, shape, 40)
    tint = np.array([[0.20, 0.20, 0.21], [0.36, 0.26, 0.17], [0.52, 0.40, 0.28], [0.30, 0.33, 0.38]])
    color = tint[rng.integers(4)] * rng.uniform(0.7, 1.15)
    return np.clip(color * (1 + rng.uniform(0.02, 0.16) * grain[..., None]), 0.02, 1).astype(np.float32)


def rules(rng: Rng, shape: tuple[int, int], squared: bool, digit: int) -> np.ndarray:
    """Lines of ruled or squared paper, (H, W) in 0..1, a little turned."""
    gap = digit / rng.uniform(3, 8) if squared else digit * rng.uniform(0.35, 1.1)
    angle, thick = np.deg2rad(rng.uniform(-4, 4)), max(1.0, digit * rng.uniform(0.004, 0.014))
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    away = []
    for a in (angle, angle + np.pi / 2)[: 2 if squared else 1]:
        along = (y * np.cos(a) - x * np.sin(a) + rng.uniform(0, gap)) / gap
        away.append(np.abs(along - np.round(along)) * gap)
    return np.clip(thick / 2 + 0.5 - np.min(away, 0), 0, 1)


class Scene:
    """A photograph being rendered: the light of the surface, (H, W, 3), and the position of its sheet."""

    def __init__(self, rng: Rng, side: int | None = None) -> None:
        self.rng = rng
        self.shape = tuple(int(side or rng.integers(260, 480)) for _ in range(2))
        self.digit = int(min(self.shape) * rng.uniform(0.35, 0.62))
        self.paper = np.array([1, 0.99, 0.97]) * rng.uniform(0.82, 0.98) * (1 - rng.uniform(0, 0.05, 3))
        self.rgb = np.ones((*self.shape, 3), np.float32) * self.paper.astype(np.float32)
        self.pen = np.array([0.12, 0.12, 0.14]) * rng.uniform(0.5, 1.6)
        self.light = np.ones(self.shape, np.float32)
        self.density, self.blur, self.noise = 1.0, rng.uniform(0.3, 0.9), rng.uniform(0.002, 0.012)

    def draw(self, share: np.ndarray, color: np.ndarray, density: float = 1.0) -> None:
        """Cover the surface with a colour by the opacity `share`, (H, W)."""
        share = (share * density)[..., None]
        self.rgb = self.rgb * (1 - share) + np.asarray(color, np.float32) * share

    def write(self, ink: Ink, at: tuple[float, float] | None = None, digit: int | None = None) -> None:
        """Draw the digit near the centre of the picture, or at a share of its height and width."""
        marks = ink(digit or self.digit)
        rng, (h, w) = self.rng, marks.shape
        y, x = at or (0.5 + rng.uniform(-0.12, 0.12), 0.5 + rng.uniform(-0.12, 0.12))
        top, left = round(y * self.shape[0] - h / 2), round(x * self.shape[1] - w / 2)
        if at is None:
            top = int(np.clip(top, 0.06 * self.shape[0], 0.94 * self.shape[0] - h))
            left = int(np.clip(left, 0.06 * self.shape[1], 0.94 * self.shape[1] - w))
        share = np.zeros(self.shape, np.float32)
        rows = slice(max(0, top), min(self.shape[0], top + h))
        columns = slice(max(0, left), min(self.shape[1], left + w))
        share[rows, columns] = marks[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        if self.density < 1:  # a pencil's grain
            share = share * np.clip(1 + 0.25 * rng.normal(0, 1, self.shape), 0.3, 1.4)
        self.draw(np.clip(share, 0, 1), self.pen, self.density)

    def photograph(self) -> np.ndarray:
        lit = self.rgb * self.light[..., None] * (1 + 0.03 * smooth(self.rng, self.shape, 2)[..., None])
        lit = cv2.GaussianBlur(lit, (0, 0), self.blur) + self.rng.normal(0, self.noise, lit.shape)
        buffer = BytesIO()
        Image.fromarray((np.clip(lit, 0, 1) * 255).astype(np.uint8)).save(
            buffer, "JPEG", quality=int(self.rng.integers(70, 96))
        )
        return images.read(buffer.getvalue()).rgb


def plain(scene: Scene) -> None:
    pass


def desk(scene: Scene) -> None:
    """Rotate the sheet a little on a desk; one side may lie outside the picture."""
    rng, (h, w) = scene.rng, scene.shape
    table, paper = wood(rng, scene.shape), scene.rgb
    edges = rng.uniform(0.03, 0.17, 4)
    if rng.random() < 0.3:
        edges[rng.integers(4)] = -0.1
    corners = np.array(
        [
            [edges[0] * w, edges[1] * h],
            [w - edges[2] * w, edges[1] * h],
            [w - edges[2] * w, h - edges[3] * h],
            [edges[0] * w, h - edges[3] * h],
        ]
    )
    corners += rng.normal(0, 0.012 * min(h, w), (4, 2))
    inside = np.zeros(scene.shape, np.uint8)
    cv2.fillPoly(inside, [np.round(corners).astype(np.int32)], 1)
    scene.rgb = np.where(inside[..., None] > 0, paper, table)
    scene.digit = int(scene.digit * 0.8)


def shadow(scene: Scene) -> None:
    rng, (h, w) = scene.rng, scene.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across = (y / h - 0.5) * np.sin(angle) + (x / w - 0.5) * np.cos(angle) + rng.uniform(-0.2, 0.2)
    soft = np.clip(across / rng.uniform(0.03, 0.5) + 0.5, 0, 1)
    scene.light = 1 - rng.uniform(0.3, 0.65) * soft


def hand_shadow(scene: Scene) -> None:
    """A palm and fingers between the lamp and the sheet."""
    rng, (h, w) = scene.rng, scene.shape
    mask = np.zeros(scene.shape, np.uint8)
    side, base = min(h, w), np.array([rng.uniform(0.1, 0.9) * w, rng.uniform(0.75, 1.1) * h])
    cv2.circle(mask, np.round(base).astype(int).tolist(), int(side * rng.uniform(0.18, 0.3)), 255, -1)
    for angle in np.linspace(-0.9, 0.9, 5) + rng.uniform(-0.5, 0.5) - np.pi / 2:
        tip = base + side * rng.uniform(0.45, 0.7) * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(
            mask,
            np.round(base).astype(int).tolist(),
            np.round(tip).astype(int).tolist(),
            255,
            int(side * rng.uniform(0.07, 0.12)),
        )
    turned = np.rot90(mask, rng.integers(4))
    mask = cv2.resize(np.ascontiguousarray(turned), (w, h))
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), side * rng.uniform(0.012, 0.05))
    scene.light = 1 - rng.uniform(0.3, 0.6) * soft


def squared(scene: Scene) -> None:
    color = np.array([[0.55, 0.62, 0.78], [0.6, 0.6, 0.6], [0.45, 0.5, 0.7]])[scene.rng.integers(3)]
    scene.draw(rules(scene.rng, scene.shape, True, scene.digit), color, scene.rng.uniform(0.35, 0.95))


def ruled(scene: Scene) -> None:
    color = np.array([[0.5, 0.6, 0.8], [0.55, 0.55, 0.55], [0.4, 0.45, 0.7]])[scene.rng.integers(3)]
    scene.draw(rules(scene.rng, scene.shape, False, scene.digit), color, scene.rng.uniform(0.35, 0.95))
    if scene.rng.random() < 0.3:  # the margin
        line = np.zeros(scene.shape, np.float32)
        at = int(scene.shape[1] * scene.rng.uniform(0.05, 0.12))
        line[:, at : at + max(1, scene.digit // 90)] = 1
        scene.draw(line, np.array([0.85, 0.4, 0.4]), 0.8)


def printed_box(scene: Scene) -> None:
    rng, (h, w) = scene.rng, scene.shape
    scene.digit = int(scene.digit * 0.8)
    half, color = scene.digit * rng.uniform(0.62, 0.8), rng.choice([0.1, 0.35, 0.55])
    line, thick = np.zeros(scene.shape, np.uint8), max(1, int(scene.digit * rng.uniform(0.008, 0.03)))
    box = cv2.boxPoints(((w / 2, h / 2), (2 * half, 2 * half * rng.uniform(1, 1.2)), rng.uniform(-3, 3)))
    cv2.polylines(line, [np.round(box).astype(np.int32)], True, 255, thick, cv2.LINE_AA)
    scene.draw(line / np.float32(255), np.full(3, color))


def pencil(scene: Scene) -> None:
    scene.pen, scene.density = np.full(3, 0.35), scene.rng.uniform(0.45, 0.75)


def marker(scene: Scene) -> None:
    scene.pen = np.full(3, 0.05)


def chalk(scene: Scene) -> None:
    scene.rgb = (
        np.ones_like(scene.rgb) * np.array([[0.1, 0.12, 0.11], [0.12, 0.2, 0.16]])[scene.rng.integers(2)]
    )
    scene.rgb *= 1 + 0.12 * smooth(scene.rng, scene.shape, 6)[..., None]
    scene.pen, scene.density = np.array([0.92, 0.92, 0.9]), scene.rng.uniform(0.6, 0.9)


def colored(scene: Scene) -> None:
    inks = [
        [0.1, 0.2, 0.7],
        [0.8, 0.1, 0.1],
        [0.1, 0.5, 0.2],
        [0.9, 0.45, 0.05],
        [0.5, 0.1, 0.5],
        [0.2, 0.6, 0.9],
    ]
    scene.pen = np.array(inks[scene.rng.integers(6)])


def colored_paper(scene: Scene) -> None:
    papers = [[0.98, 0.9, 0.45], [0.95, 0.7, 0.75], [0.65, 0.85, 0.7], [0.6, 0.75, 0.92], [0.7, 0.55, 0.38]]
    scene.rgb = np.ones_like(scene.rgb) * np.array(papers[scene.rng.integers(5)], np.float32)


def small(scene: Scene) -> None:
    scene.digit = int(scene.rng.integers(40, 100))


def screen(scene: Scene) -> None:
    """A white window photographed from a screen: a dark frame, the pattern of its pixels, a glow."""
    rng, (h, w) = scene.rng, scene.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    wave = np.sin(2 * np.pi * (x * rng.uniform(0.05, 0.25) + y * rng.uniform(-0.12, 0.12)))
    scene.light = (1 + 0.04 * wave) * (1 - 0.25 * ((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2))
    edge, frame = int(min(h, w) * rng.uniform(0.03, 0.08)), np.ones(scene.shape, np.float32)
    frame[edge : h - edge, edge : w - edge] = 0
    scene.draw(frame, np.full(3, 0.04))
    scene.paper *= np.array([0.93, 0.97, 1.0])
    scene.digit = int(scene.digit * 0.9)


def no_paper(scene: Scene) -> None:
    """Wood, cloth or leaves, and nothing written on them."""
    rng = scene.rng
    if rng.random() < 0.5:
        scene.rgb = wood(rng, scene.shape)
        return
    hills = sum(smooth(rng, scene.shape, n)[..., None] / n**0.3 for n in (5, 12, 30))
    scene.rgb = np.clip(rng.uniform(0.2, 0.6, 3) * (1 + 0.35 * hills), 0, 1).astype(np.float32)


WRITTEN = {
    ground.__name__: ground
    for ground in (
        *(plain, desk, shadow, hand_shadow, squared, ruled, printed_box),
        *(pencil, marker, chalk, colored, colored_paper, small, screen),
    )
}
EMPTY = {
    "empty": plain,
    "empty ruled": ruled,
    "empty squared": squared,
    "empty shaded": shadow,
    "empty desk": desk,
    "empty box": printed_box,
    "empty screen": screen,
    "no paper": no_paper,
}


def pictures(name: str, inks: list[Ink], rng: Rng) -> list[np.ndarray]:
    """One photograph for each digit on a ground of `grounds()`."""
    drawings = []
    for number, ink in enumerate(inks):
        scene = Scene(rng, int(rng.integers(1000, 1600)) if name == "small" else None)
        if name in EMPTY:
            EMPTY[name](scene)
        elif name == "two digits":
            scene.digit = int(min(scene.shape) * rng.uniform(0.25, 0.4))
            at = rng.uniform(0.24, 0.3)
            scene.write(ink, (rng.uniform(0.4, 0.6), at))
            scene.write(inks[number - 1], (rng.uniform(0.4, 0.6), 1 - at))
        elif name == "cut":
            far = float(rng.choice([0.0, 1.0]))
            away = abs(far - 0.25 * scene.digit / scene.shape[0])
            scene.write(
                ink,
                (away, 0.5) if rng.random() < 0.5 else (0.5, abs(far - 0.12 * scene.digit / scene.shape[1])),
            )
        else:
            WRITTEN[name](scene)
            scene.write(ink, (0.5, 0.5) if name == "printed_box" else None)
        drawings.append(scene.photograph())
    return drawings


def grounds() -> list[str]:
    return [*WRITTEN, "two digits", "cut", *EMPTY]


def load_mnist(folder: Path | None, count: int) -> list[tuple[int, np.ndarray]]:
    """Test images, as many of each digit."""
    test = digits.load(folder).test
    each, rows = -(-count // 10), [test.images[test.labels == digit, 0] for digit in range(10)]
    return [(d, rows[d][i].numpy()) for i in range(each) for d in range(10) if i < len(rows[d])][:count]


def load_pen(path: Path, count: int, seed: int) -> list[tuple[int, list]]:
    entries = json.loads(gzip.decompress(path.read_bytes()))
    rows = np.random.default_rng(seed).permutation(len(entries))[:count]
    return [(int(entries[i]["digit"]), entries[i]["strokes"]) for i in rows]


def inks_of(name: str, source: list, rng: Rng) -> list[Ink]:
    if not source or isinstance(source[0][1], np.ndarray):
        return [from_mnist(image) for _, image in source]
    low, high = {"pencil": (0.012, 0.03), "marker": (0.14, 0.22)}.get(name, (0.03, 0.12))
    return [from_strokes(strokes, rng.uniform(low, high)) for _, strokes in source]


def judge(rgb: np.ndarray) -> tuple[int | None, str]:
    """The answer, or None and the reason."""
    try:
        prediction = digits.classify(images.Picture(rgb))
    except ValueError as error:
        return None, str(error)
    answer = digits.answer(prediction)
    return answer, "not sure" if answer is None else f"{prediction.max():.2f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--pen", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--save", type=Path, help="folder for the pictures that are not read right")
    options = parser.parse_args()
    pen = options.pen
    source = load_pen(pen, options.count, options.seed) if pen else load_mnist(options.mnist, options.count)
    print("| ground | right | refused | wrong | refused as |\n|---|---|---|---|---|")
    for name in options.only or grounds():
        print(line(name, source, options.seed, options.save), flush=True)


def line(name: str, source: list, seed: int, save: Path | None) -> str:
    """The row of a ground."""
    rng = np.random.default_rng([seed, grounds().index(name)])
    tally, reasons = Counter[str](), Counter[str]()
    for number, rgb in enumerate(pictures(name, inks_of(name, source, rng), rng)):
        label, why = judge(rgb)
        right = label == source[number][0] if name in WRITTEN else label is None
        kind = "right" if right else "refused" if label is None else "wrong"
        tally[kind] += 1
        reasons[why.split(":")[0]] += label is None
        if save and kind != "right":
            save.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb).save(save / f"{name}-{number}-{kind}-is{source[number][0]}-read{label}.png")
    shares = " | ".join(f"{tally[kind] / len(source):.3f}" for kind in ("right", "refused", "wrong"))
    reasons_text = ", ".join(f"{why} {count}" for why, count in (+reasons).most_common(3))
    return f"| {name.replace('_', ' ')} | {shares} | {reasons_text} |"


if __name__ == "__main__":
    main()
