"""Measures editing: words, boxes and clicks on COCO, holes on Kodak, AnchorNet on drawn scenes.

    python benchmarks/editing.py words FOLDER      a hint from words, and what stands out
    python benchmarks/editing.py select FOLDER     a box drawn around a thing, a click on its middle
    python benchmarks/editing.py box FOLDER        fits `selection.WEIGHTS`, measures on photographs left out
    python benchmarks/editing.py holes FOLDER [N [WEIGHTS]]
        PSNR in the holes of the first N photographs (8), filled by the release's network or another file's

    python benchmarks/editing.py anchors N [STEPS [ANCHORS]]
        AnchorNet taught on half of N scenes of the small world, its regret on the other half

The first three take a folder with `index.json` and `coco_captions_masks.zip` (photographs, their objects and
masks); `holes` a folder of PNGs or zips of them.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import cv2
import numpy as np

from vision_core import checkpoints, editing, runs
from vision_core.editing import losses, train
from vision_core.editing.anchor_net import AnchorNet
from vision_core.editing.editor import pooled
from vision_core.editing.fill import filler, holes, inpainting
from vision_core.editing.fill.filler import Filler
from vision_core.editing.find import selection, words
from vision_core.editing.find.photo import FOUND, PhotoEyes, from_heat, from_point, heat_of
from vision_core.pictures import images
from vision_core.smallworld import evaluate, world

LEAST = 0.01  # share of the picture from which a thing counts


@dataclass(frozen=True)
class Photo:
    """A photograph, its mask (H, W) of object numbers, and the numbers of each category."""

    rgb: np.ndarray
    mask: np.ndarray
    things: dict[str, list[int]]

    def one_by_one(self) -> Iterator[tuple[np.ndarray, tuple[int, int, int, int]]]:
        """The mask and the box of every object that is large enough."""
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


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def at_peak(heat: np.ndarray, truth: np.ndarray) -> bool:
    """The pointing game: whether the hottest place lies on the thing."""
    place = np.unravel_index(heat.argmax(), heat.shape)
    return bool(truth[tuple(int((p + 0.5) * t / h) for p, h, t in zip(place, heat.shape, truth.shape))])  # noqa: B905


def by_words(photos: list[Photo]) -> None:
    eyes = PhotoEyes()
    known = {name: numbers for p in photos for name in p.things if (numbers := words.classes(name)[1])}
    rows, salient = [], []
    for number, photo in enumerate(photos):
        chances, saliency = eyes.chances(photo.rgb), eyes.look(photo.rgb).saliency
        things = np.isin(photo.mask, [n for numbers in photo.things.values() for n in numbers])
        salient.append((at_peak(saliency, things), things.mean()))
        for name, classes in known.items():
            truth, heat = np.isin(photo.mask, photo.things.get(name, [])), heat_of(chances, classes)
            if truth.mean() < LEAST and name in photo.things:
                continue
            there = name in photo.things
            overlap = iou(from_heat(photo.rgb, heat), truth) if there else 0.0
            hit = at_peak(heat, truth) if there else False
            rows.append((number % 2, there, truth.mean(), float(heat.max()), hit, overlap))
    half, there, area, score, hit, overlap = np.array(rows, float).T
    print(f"saliency: {np.mean([s[0] for s in salient]):.0%} of the peaks lie on a thing; things cover "
          f"{np.mean([s[1] for s in salient]):.0%}")  # fmt: skip
    for name, some in (("all", there > 0), ("over a tenth", (there > 0) & (area > 0.1))):
        found = some & (score >= FOUND)
        shares = found.sum() / some.sum(), hit[some].mean()
        print(f"{name}: {some.sum()} things, found {shares[0]:.0%}, pointing {shares[1]:.0%}, "
              f"IoU {overlap[some].mean():.3f}, of the found {overlap[found].mean():.3f}")  # fmt: skip
    for own in (0, 1):
        threshold = np.quantile(score[(half == own) & (there == 0)], 0.95)
        absent, present = (score[(half != own) & (there == t)] for t in (0, 1))
        large = score[(half != own) & (there > 0) & (area > 0.1)]
        print(f"threshold {threshold:.3f} from half {own}: on the other, absent words refused "
              f"{(absent < threshold).mean():.0%}, present found {(present >= threshold).mean():.0%}, large "
              f"{(large >= threshold).mean():.0%}")  # fmt: skip


def by_box(photos: list[Photo]) -> None:
    eyes, rows, spent = PhotoEyes(), [], 0.0
    for photo in photos:
        for truth, box in photo.one_by_one():
            plain = np.zeros_like(truth)
            plain[box[1] : box[3], box[0] : box[2]] = True
            began = time.process_time()
            found = eyes.from_box(photo.rgb, *box)
            spent += time.process_time() - began
            inside = cv2.distanceTransform(truth.astype(np.uint8), cv2.DIST_L2, 5)
            y, x = np.unravel_index(inside.argmax(), inside.shape)
            clicked = from_point(photo.rgb, float(x), float(y))
            rows.append([iou(plain, truth), iou(found, truth), iou(clicked, truth)])
    scores = np.array(rows)
    for name, column in zip(("the box itself", "box", "click"), scores.T, strict=True):
        print(f"{name}: mean IoU {column.mean():.3f}, median {np.median(column):.3f}")
    print(f"{len(rows)} things, {spent / len(rows):.2f} s of processor time a box")


def fit(photos: list[Photo]) -> None:
    from sklearn.linear_model import LogisticRegression

    eyes, found, truths, owner = PhotoEyes(), [], [], []
    cells = selection.CELLS // 2
    for number, photo in enumerate(photos):
        for truth, box in photo.one_by_one():
            seen, real = selection.around(photo.rgb, box)
            found.append(selection.evidence(eyes.layers(seen), real))
            inside = truth[box[1] : box[3], box[0] : box[2]].astype(np.float32)
            truths.append(cv2.resize(inside, (cells, cells), interpolation=cv2.INTER_AREA))
            owner.append(number % 4)
    x, y, fold = np.stack(found), np.stack(truths), np.array(owner)

    def weights(some: np.ndarray) -> list[float]:
        flat = x[some].transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
        mean, spread = flat.mean(0), flat.std(0) + 1e-6
        model = LogisticRegression(C=0.01, max_iter=300).fit((flat - mean) / spread, y[some].ravel() > 0.5)
        slopes = model.coef_[0] / spread
        return [float(model.intercept_[0] - (slopes * mean).sum()), *slopes.tolist()]

    scores = []
    for part in range(4):
        own = weights(fold != part)
        for maps, truth in zip(x[fold == part], y[fold == part], strict=True):
            scores.append(iou(selection.likely(maps, own) > selection.LIKELY, truth > 0.5))
    print(f"on photographs that were left out, before edges: mean IoU in the box {np.mean(scores):.3f}")
    print([round(weight, 3) for weight in weights(fold >= 0)])


def by_holes(folder: Path, count: int, network: Filler | None) -> None:
    packed = [ZipFile(path) for path in sorted(folder.glob("*.zip"))]
    pictures = [p.read_bytes() for p in sorted(folder.glob("*.png"))]
    pictures += [z.read(name) for z in packed for name in sorted(z.namelist()) if name.endswith(".png")]
    for kind in ("strokes of 7 px", "strokes of 15 px", "70 % of the pixels"):
        rows = []
        for number, data in enumerate(pictures[:count]):
            rgb = images.read(data).rgb
            top, left = rgb.shape[0] // 2 - 128, rgb.shape[1] // 2 - 192
            rgb = np.ascontiguousarray(rgb[top : top + 256, left : left + 384])
            rng = np.random.default_rng(number)
            if "70" in kind:
                hole = rng.random((256, 384)) < 0.7
            else:
                hole = holes.strokes(rng, 256, 384, int(kind.split()[2]))
            broken, began = np.where(hole[..., None], 0, rgb).astype(np.uint8), time.process_time()
            events = inpainting.Classical(network).paint(broken, hole)
            while True:
                try:
                    next(events)
                except StopIteration as end:
                    ours = end.value
                    break
            spent = time.process_time() - began
            ways = (cv2.INPAINT_TELEA, cv2.INPAINT_NS)
            others = [cv2.inpaint(broken, hole.astype(np.uint8), 3, way) for way in ways]
            errors = [((found[hole].astype(float) - rgb[hole]) ** 2).mean() for found in (ours, *others)]
            rows.append([*(10 * np.log10(255**2 / np.array(errors))), spent])
        here, telea, stokes, spent = np.mean(rows, axis=0)
        print(f"{kind}: here {here:.2f}, Telea {telea:.2f}, Navier-Stokes {stokes:.2f} dB; {spent:.1f} s of "
              "processor time", flush=True)  # fmt: skip


def by_anchors(count: int, steps: int = 8, anchors: int = 2) -> None:
    """Every box of every scene is painted and scored; one seed of the network a row."""
    eyes, clip = editing.load_saliency(None, "tiny"), editing.load_clip(None, "tiny")
    painter = editing.painter("tiny", steps=steps)
    tasks = [evaluate.task(Random(number), withheld=False) for number in range(count)]
    pictures = [images.Picture(world.render(old)) for old, _, _ in tasks]
    found = [editing.find_regions(picture, eyes, anchors) for picture in pictures]
    boxes = [pooled(one, 128, 128) for one in found]

    def score(number: int, anchor: int, size: int) -> float:
        old, new, index = tasks[number]
        rgb, text = pictures[number].rgb, evaluate.prompt(new.things[index])
        plan = editing.EditPlan(found[number].boxes[anchor][size].mask(128, 128), text)
        edited = train._finish(editing.paint(pictures[number], plan, painter))
        return float(losses.total(clip.terms(rgb, [edited.rgb], world.caption(old), text))[0])

    with TemporaryDirectory() as scratch:
        table = train.Table(Path(scratch) / "table.npy", (count, *boxes[0].shape[:2]), score)
        list(train._complete(table))
        half, values = count // 2, table.values
        for seed in range(3):
            run = runs.create(Path(scratch) / str(seed), "edit", settings := train.Settings(seed=seed))
            part = train.Table(Path(scratch) / f"{seed}.npy", values[:half].shape, score)
            part.values = values[:half].copy()
            list(train.optimize(run, boxes[:half], part, settings, {}))
            network, _ = checkpoints.load(run.folder / "last.safetensors", AnchorNet)
            told = train.measure(network.eval(), boxes[half:], values[half:])
            print(
                f"seed {seed}: regret {told['regret']:.3f}, of a random size {told['regret_of_random']:.3f}"
            )
        fixed = (values[half:] - values[half:].min(2, keepdims=True)).mean((0, 1))
        print("of each fixed size:", ", ".join(f"{value:.3f}" for value in fixed))


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] not in ("words", "select", "box", "holes", "anchors"):
        raise SystemExit(__doc__)
    if sys.argv[1] == "anchors":
        return by_anchors(*map(int, sys.argv[2:5]))
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == "holes":
        count = int(sys.argv[3]) if len(sys.argv) > 3 else 8
        by_holes(folder, count, filler.load(sys.argv[4])[0] if len(sys.argv) > 4 else None)
    else:
        {"words": by_words, "select": by_box, "box": fit}[kind](coco(folder))


if __name__ == "__main__":
    main()
