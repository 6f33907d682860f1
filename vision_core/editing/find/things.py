"""Detects eighty everyday things in a photograph with NanoDet.

Sources: RangiLyu 2020, "NanoDet"; Li et al. 2020, "Generalized Focal Loss" (a side as a distribution);
the things are those of COCO, Lin et al. 2014.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from vision_core.editing.find.networks import Network
from vision_core.weights import find

SIDE = 416  # side of the detector's input in pixels
STRIDES = (8, 16, 32)
BINS = 11  # bins of the distance to each side, in strides
MEAN = np.array([103.53, 116.28, 123.675], np.float32)  # BGR
SPREAD = np.array([57.375, 57.12, 58.395], np.float32)
LEAST = 0.15  # candidates with a lower score are dropped
FOUND = 0.26  # minimum score of a detection; see `benchmarks/marking.py`
SAME = 0.6  # boxes with a higher IoU are the same object
SAME_NAME = 0.45  # the same for two of one name, if one of them is much less certain
LESS_CERTAIN = 0.8  # maximum score of that one, relative to the other's
_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop
sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack,
umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball
glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana,
apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""
NAMES = tuple(" ".join(name.split()) for name in _NAMES.split(","))


@dataclass(frozen=True)
class Thing:
    """A thing in a photograph: one of the `NAMES`, a score in [0, 1], left, top, right, bottom in pixels."""

    name: str
    score: float
    box: tuple[float, float, float, float]


@cache
def _network() -> Network:
    return Network(find("marking") / "detector.onnx")


def detect(rgb: np.ndarray) -> list[Thing]:
    """The things of uint8 (H, W, 3), the most certain first.

    A score is the mean over the picture and its mirror image, so detections in only one of them count half.
    Of several detections of one object, only the likeliest is kept.
    """
    width = rgb.shape[1]
    scores, boxes = _look(rgb)
    others, mirrored = _look(np.ascontiguousarray(rgb[:, ::-1]))
    mirrored[:, [0, 2]] = width - mirrored[:, [2, 0]]
    detections: list[tuple[np.ndarray, np.ndarray]] = []
    for score, box in zip(scores, boxes, strict=True):
        alike = overlap(box, mirrored)
        same = alike > SAME
        partner = others[same].max(0) if same.any() else np.zeros(len(NAMES))
        place = (box + mirrored[alike.argmax()]) / 2 if same.any() else box
        detections.append(((score + partner) / 2, place))
    for score, box in zip(others, mirrored, strict=True):  # detected in the mirror image only
        if not (overlap(box, boxes) > SAME).any():
            detections.append((score / 2, box))
    things: list[Thing] = []
    for score, box in sorted(detections, key=lambda one: -one[0].max()):
        if score.max() < FOUND:
            break
        left, top, right, bottom = map(float, box)
        new = Thing(NAMES[score.argmax()], float(score.max()), (left, top, right, bottom))
        if not any(_same(new, thing) for thing in things):
            things.append(new)
    return things


def _same(thing: Thing, better: Thing) -> bool:
    """Whether a detection is another one of the object of a better one."""
    doubtful = thing.name == better.name and thing.score < LESS_CERTAIN * better.score
    return bool(overlap(thing.box, np.array([better.box]))[0] >= (SAME_NAME if doubtful else SAME))


def overlap(box: Sequence[float] | np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with each of (N, 4)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = sides.clip(0).prod(1)
    areas = np.prod(np.subtract(box[2:], box[:2])) + (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / np.maximum(areas - shared, 1e-9)


def _look(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, 80) and boxes (N, 4), in pixels, of the places with a score above `LEAST`."""
    height, width = rgb.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    x = np.zeros((SIDE, SIDE, 3), np.float32)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x[top : top + size[1], left : left + size[0]] = small[..., ::-1]
    x = (x - MEAN) / SPREAD
    outputs = _network().run({"input_1": np.ascontiguousarray(x.transpose(2, 0, 1)[None])})
    scores = np.concatenate(outputs[:3], 1)[0]
    seen = scores.max(1) > LEAST
    levels = np.concatenate(outputs[3:], 1)[0][seen].reshape(-1, 4, BINS)
    chances = np.exp(levels - levels.max(2, keepdims=True))
    away = (chances / chances.sum(2, keepdims=True)) @ np.arange(BINS)
    x, y, step = _places()[seen].T
    left_of, above, right_of, below = (away * step[:, None]).T
    boxes = np.stack([x - left_of, y - above, x + right_of, y + below], 1) - [left, top, left, top]
    boxes /= np.array([size[0] / width, size[1] / height] * 2)
    return scores[seen], boxes.clip(0, [width, height, width, height])


@cache
def _places() -> np.ndarray:
    """Middle (x, y) of each place, in pixels of the detector's square, and its stride: (N, 3)."""
    parts = []
    for step in STRIDES:
        y, x = (np.mgrid[: SIDE // step, : SIDE // step] + 0.5) * step
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, step)], 1))
    return np.concatenate(parts)
