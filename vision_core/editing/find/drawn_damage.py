"""Draws scratches, dust and folds on photographs, and thin objects that only look like damage."""

import cv2
import numpy as np


def wear(rgb: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A photograph, uint8 (H, W, 3), with damage drawn on it, and where, bool (H, W), not empty."""
    result, mark = rgb.astype(np.float32), np.zeros(rgb.shape[:2], bool)
    while not mark.any():
        for kind in rng.integers(0, 3, int(rng.integers(1, 4))):
            cover = (_scratches, _dust, _fold)[kind](rng, *rgb.shape[:2])
            if rng.random() < 0.5:
                cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.3, 0.8))
            light = rng.uniform(190, 255) if rng.random() < 0.65 else rng.uniform(0, 60)
            tone = np.clip(light + rng.normal(0, 12 if rng.random() < 0.85 else 50, 3), 0, 255)
            shown = cover * _gaps(rng, cover.shape) * rng.uniform(0.6, 1)
            change = (tone - result) * shown[..., None]
            result += change
            visible = (np.abs(change).mean(2) > 10).astype(np.uint8)  # white on white is no damage
            mark |= (shown > 0.3) & (cv2.dilate(visible, np.ones((5, 5))) > 0)
    return result.round().clip(0, 255).astype(np.uint8), mark


def thinness(rgb: np.ndarray) -> float:
    """The share of pixels of a photograph, uint8 (H, W, 3), that lie on thin lines, by its top hats."""
    grey, around = np.ascontiguousarray(rgb[..., 1]), np.ones((5, 5), np.uint8)
    lines = [cv2.morphologyEx(grey, way, around) for way in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    return float(np.mean(np.maximum(*lines) > 24))


def scenery(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photograph, uint8 (H, W, 3), with thin objects in its own colours, as soft as through a lens."""
    height, width = rgb.shape[:2]
    cover = (_wires, _railing, _branches, _letters)[int(rng.integers(4))](rng, height, width)
    cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.45, 1.1)) * rng.uniform(0.7, 1)
    tone = rgb[int(rng.integers(height)), int(rng.integers(width))].astype(np.float32)
    tone = tone * rng.uniform(0.1, 0.6) if rng.random() < 0.65 else 255 - (255 - tone) * rng.uniform(0.1, 0.6)
    light = cv2.resize(rng.uniform(0.75, 1.25, (3, 3)).astype(np.float32), (width, height))[..., None]
    return (rgb + (tone * light - rgb) * cover[..., None]).round().clip(0, 255).astype(np.uint8)


def copied(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate a scanned file: sometimes grey or sepia, blurred, noisy, compressed."""
    if rng.random() < 0.35:
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
        sepia = rng.uniform(0, 25) * np.array([1, 0.3, -1])
        rgb = np.clip(grey + sepia, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.3, 1))
    if rng.random() < 0.4:
        grain = rng.normal(0, rng.uniform(1, 9), (*rgb.shape[:2], 1))
        rgb = np.clip(rgb + grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
        decoded = cv2.imdecode(cv2.imencode(".jpg", rgb, quality)[1], cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded
    return rgb


def _gaps(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray | float:
    """How whole a mark is along its way, (H, W) in [0, 1]: some are broken."""
    if rng.random() < 0.6:
        return 1.0
    coarse = rng.random((max(2, shape[0] // 12), max(2, shape[1] // 12)), np.float32)
    return np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) * 2, 0, 1)


def _line(cover: np.ndarray, points: np.ndarray, thick: float) -> None:
    """A line through points (x, y), as wide as `thick` pixels, which may be less than one."""
    canvas = np.zeros(cover.shape, np.uint8)
    at = [np.round(points * 16).astype(np.int32)]
    cv2.polylines(canvas, at, False, 255, max(1, round(thick)), cv2.LINE_AA, 4)
    np.maximum(cover, canvas / np.float32(255) * min(1.0, thick), out=cover)


def _scratches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cover, side = np.zeros((height, width), np.float32), max(height, width)
    for _ in range(rng.integers(1, 7)):
        upright, bend = rng.random() < 0.3, rng.choice([0, 0.02, 0.15, 0.5])
        angle = np.pi / 2 + rng.normal(0, 0.03) if upright else rng.uniform(0, 2 * np.pi)
        length = side * (rng.uniform(0.6, 1.6) if upright else rng.uniform(0.05, 1.2))
        turns = angle + np.cumsum(rng.normal(0, bend / 3, 12))
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * length / 12
        start = rng.random(2) * (width, height)
        points = np.concatenate([[start], start + np.cumsum(steps, 0)])
        _line(cover, points - steps.sum(0) / 2, rng.choice([0.7, 1, 1, 2, 2, 3, 4, 5]))
    return cover


def _dust(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cover, largest = np.zeros((height, width), np.float32), rng.uniform(1.2, 6)
    for _ in range(rng.integers(2, 25)):
        middle = rng.random(2) * (width, height)
        if rng.random() < 0.25:  # a hair
            turns = rng.uniform(0, 6.3) + np.cumsum(rng.normal(0, 0.5, 8))
            steps = np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(1, 6)
            _line(cover, middle + np.cumsum(steps, 0), rng.choice([0.8, 1, 2]))
            continue
        around = np.linspace(0, 2 * np.pi, 9)[:-1]
        reach = rng.uniform(0.7, largest) * rng.uniform(0.6, 1.3, 8)
        spot = middle + reach[:, None] * np.stack([np.cos(around), rng.uniform(0.5, 1) * np.sin(around)], 1)
        canvas = np.zeros(cover.shape, np.uint8)
        cv2.fillPoly(canvas, [np.round(spot * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        np.maximum(cover, canvas / np.float32(255), out=cover)
    return cover


def _fold(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A crease from edge to edge, uneven, with flakes broken off along it."""
    cover, angle = np.zeros((height, width), np.float32), rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    way = np.array([np.cos(angle), np.sin(angle)])
    along = np.linspace(-1, 1, 40)[:, None] * max(height, width) * 1.5
    middle = rng.uniform(0.1, 0.9, 2) * (width, height)
    wobble = np.cumsum(rng.normal(0, 0.4, 40))[:, None] * way[::-1] * (-1, 1)
    points, thick = middle + along * way + wobble, rng.uniform(1, 6)
    for start in range(0, 38, 2):
        _line(cover, points[start : start + 4], max(0.8, thick * rng.uniform(0.5, 1.4)))
    for _ in range(rng.integers(0, 12)):
        at = points[int(rng.integers(40))] + rng.normal(0, thick, 2)
        radius = int(rng.integers(1, 2 + round(thick)))
        canvas = np.zeros(cover.shape, np.uint8)
        cv2.circle(canvas, np.round(at).astype(int).tolist(), radius, 255, -1, cv2.LINE_AA)
        np.maximum(cover, canvas / np.float32(255), out=cover)
    return cover


def _wires(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Cables that sag side by side, from edge to edge."""
    cover, along = np.zeros((height, width), np.float32), np.linspace(-0.7, 0.7, 24)[:, None]
    angle, side, apart = rng.uniform(0, np.pi), 1.5 * max(height, width), rng.uniform(4, 24)
    way = np.array([np.cos(angle), np.sin(angle)])
    bend, middle = rng.uniform(-0.15, 0.15), rng.random(2) * (width, height)
    thick = rng.choice([0.8, 1, 1, 2, 3])
    for number in range(rng.integers(1, 6)):
        sag = (along**2 * bend * side + number * apart) * way[::-1] * (-1, 1)
        _line(cover, middle + along * way * side + sag, thick)
    return cover


def _railing(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Bars at equal distances between two rails."""
    cover, count = np.zeros((height, width), np.float32), int(rng.integers(4, 20))
    apart, tall = rng.uniform(4, 18), rng.uniform(0.15, 1) * height
    way = np.array([1, rng.normal(0, 0.2)])
    up, start = np.array([rng.normal(0, 0.1), -1]) * tall, rng.random(2) * (0.6 * width, height)
    thick = rng.choice([1, 1, 2, 3])
    feet = start + np.arange(count)[:, None] * apart * way
    for foot in feet:
        _line(cover, np.stack([foot, foot + up]), thick)
    for rail in (feet, feet + up):
        _line(cover, rail, thick + 1)
    return cover


def _branches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Twigs or hair: bent lines from one root that get thinner."""
    cover, root = np.zeros((height, width), np.float32), rng.random(2) * (width, height)
    angle, spread, thick = rng.uniform(0, 6.3), rng.choice([0.1, 0.4, 0.8]), rng.uniform(1, 4)
    for _ in range(rng.integers(4, 24)):
        turns = angle + rng.normal(0, spread) + np.cumsum(rng.normal(0, 0.12, 10))
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(0.02, 0.09) * max(height, width)
        points = root + rng.normal(0, 3, 2) + np.cumsum(steps, 0)
        for part, share in ((slice(0, 4), 1), (slice(3, 7), 0.6), (slice(6, 10), 0.3)):
            _line(cover, points[part], max(0.6, thick * share))
    return cover


def _letters(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A line or two of print, as on a sign."""
    canvas, size = np.zeros((height, width), np.uint8), rng.uniform(0.3, 1.6)
    for row in range(rng.integers(1, 4)):
        text = "".join(map(chr, rng.integers(48, 123, int(rng.integers(3, 12)))))
        at = (int(rng.integers(-10, width // 2)), int(rng.integers(10, height)) + round(30 * size * row))
        cv2.putText(canvas, text, at, int(rng.integers(8)), size, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    return canvas / np.float32(255)
