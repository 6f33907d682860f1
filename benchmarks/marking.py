"""Measures segmentation from clicks, boxes and words on photographs of COCO.

    python benchmarks/marking.py FOLDER [PART PARTS]

FOLDER contains `index.json` and `coco_captions_masks.zip` (photographs, their objects and masks). PART of
PARTS uses every PARTS-th photograph from PART on. Objects below a hundredth of the picture are ignored. Each
click is placed in the middle of the largest error, as usual for interactive segmentation.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from vision_core.editing import masks
from vision_core.editing.find import things
from vision_core.editing.find.answers import Prompt
from vision_core.editing.find.eyes import Eyes
from vision_core.editing.find.segment import Seen
from vision_core.pictures import images

LEAST = 0.01  # minimum area of an object, as a share of the picture
GOAL = 0.85  # IoU to reach with as few clicks as possible
MOST = 20  # maximum number of clicks
KINDS = (
    (0, 0),
    (1, 8),
    (9, 13),
    (14, 23),
    (24, 28),
    (29, 38),
    (39, 45),
    (46, 55),
    (56, 61),
    (62, 67),
    (68, 72),
    (73, 79),
)


@dataclass(frozen=True)
class Photo:
    """A photograph, its mask (H, W) of object numbers, and the numbers of each category."""

    rgb: np.ndarray
    mask: np.ndarray
    things: dict[str, list[int]]

    def one_by_one(self) -> Iterator[tuple[np.ndarray, tuple[int, int, int, int]]]:
        """Yield the mask and the box of every object that is large enough."""
        for number in (number for numbers in self.things.values() for number in numbers):
            truth = self.mask == number
            if truth.mean() >= LEAST:
                rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
                yield truth, (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def coco(folder: Path) -> list[Photo]:
    photos = []
    with ZipFile(folder / "coco_captions_masks.zip") as packed:
        for entry in json.loads((folder / "index.json").read_text()):
            rgb, mask = (images.read(packed.read(entry[name])).rgb for name in ("image", "mask"))
            things: dict[str, list[int]] = {}
            for thing in entry["objects"]:
                things.setdefault(thing["category"], []).append(thing["index"])
            photos.append(Photo(rgb, mask[..., 0], things))
    return photos


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def at_peak(heat: np.ndarray, truth: np.ndarray) -> bool:
    """The pointing game: True if the maximum lies on the object."""
    place = np.unravel_index(heat.argmax(), heat.shape)
    return bool(truth[tuple(int((p + 0.5) * t / h) for p, h, t in zip(place, heat.shape, truth.shape))])  # noqa: B905


def click(mask: np.ndarray, truth: np.ndarray) -> tuple[tuple[tuple[float, float], ...], bool]:
    """A click in the middle of the largest error."""
    missed, wrong = truth & ~mask, mask & ~truth
    adds = bool(masks.depth(missed).max() >= masks.depth(wrong).max())
    y, x = masks.deepest(missed if adds else wrong)
    return ((x + 0.5, y + 0.5),), adds


def off_middle(truth: np.ndarray, rng: np.random.Generator) -> tuple[tuple[tuple[float, float], ...], bool]:
    """A random click on the object, not at its edge."""
    inside = masks.depth(truth)
    rows, columns = np.nonzero(inside >= min(3.0, float(inside.max())))
    k = int(rng.integers(len(rows)))
    return ((float(columns[k]) + 0.5, float(rows[k]) + 0.5),), True


def pointing(eyes: Eyes, look: Seen, photo: Photo, rng: np.random.Generator) -> list[list[float]]:
    """IoU of a box, one, three and one off-centre click; clicks until `GOAL`; seconds per click."""
    rows = []
    for truth, box in photo.one_by_one():
        strokes, scores, spent = [click(np.zeros_like(truth), truth)], [], 0.0
        while len(scores) < MOST:
            began = time.process_time()
            mask = eyes.mark(photo.rgb, Prompt(tuple(strokes)), look)
            spent += time.process_time() - began
            scores.append(iou(mask, truth))
            if len(scores) >= 3 and max(scores) >= GOAL:
                break
            strokes.append(click(mask, truth))
        clicks = next((k for k, score in enumerate(scores, 1) if score >= GOAL), MOST)
        left, top, right, bottom = map(float, box)
        boxed = eyes.mark(photo.rgb, Prompt(box=(left, top, right, bottom)), look)
        beside = eyes.mark(photo.rgb, Prompt((off_middle(truth, rng),)), look)
        rows.append(
            [iou(boxed, truth), scores[0], scores[2], iou(beside, truth), clicks, spent / len(scores)]
        )
    return rows


def naming(eyes: Eyes, look: Seen, photo: Photo) -> list[tuple[float, ...]]:
    """(present, near, found, IoU) of each word; near: absent, but a related object is present."""
    rows = []
    present = {n: np.isin(photo.mask, numbers) for n, numbers in photo.things.items()}
    kinds = {
        next(k for k, (a, b) in enumerate(KINDS) if a <= things.NAMES.index(n) <= b)
        for n, mask in present.items()
        if mask.mean() >= LEAST
    }
    for number, name in enumerate(things.NAMES):
        truth = present.get(name)
        if truth is not None and truth.mean() < LEAST:
            continue
        selection = eyes.named(photo.rgb, name, look).mask
        near = truth is None and any(KINDS[k][0] <= number <= KINDS[k][1] for k in kinds)
        score = iou(selection, truth) if selection is not None and truth is not None else 0.0
        rows.append((truth is not None, near, selection is not None, score))
    return rows


def main() -> None:
    if len(sys.argv) not in (2, 4):
        raise SystemExit(__doc__)
    part, parts = map(int, sys.argv[2:] or (0, 1))
    eyes, pointed, words, salient, spent = Eyes(), [], [], [], 0.0
    for number, photo in enumerate(coco(Path(sys.argv[1]))[part::parts]):
        began = time.process_time()
        look = eyes.see(photo.rgb)
        spent += time.process_time() - began
        pointed += pointing(eyes, look, photo, np.random.default_rng(number))
        words += naming(eyes, look, photo)
        marked = np.isin(photo.mask, [n for numbers in photo.things.values() for n in numbers])
        salient.append(at_peak(eyes.look(photo.rgb, look).saliency, marked))
        box, first, three, beside, clicks, seconds = np.array(pointed).T
        present, near, hits, scores = np.array(words, float).T
        shown, absent, close = present > 0, present == 0, near > 0
        lines = (
            f"{number + 1} photographs, {len(pointed)} things",
            f"box {box.mean():.3f}, its median {np.median(box):.3f}",
            f"one click {first.mean():.3f}, three {three.mean():.3f}, NoC@85 {clicks.mean():.2f}",
            f"off the middle {beside.mean() / first.mean():.2f} of one click's",
            f"{shown.sum()} words present: found {hits[shown].mean():.3f}, IoU {scores[shown].mean():.3f}",
            f"refused: {1 - hits[absent].mean():.4f} of {absent.sum()} absent, "
            f"{1 - hits[close].mean():.3f} of {close.sum()} near ones",
            f"saliency's peak on a thing: {np.mean(salient):.2f}",
            f"processor time: {spent / (number + 1):.2f} s a look, {np.mean(seconds):.3f} s a click",
        )
        print("; ".join(lines), flush=True)


if __name__ == "__main__":
    main()
