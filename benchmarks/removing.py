"""Measures object removal on photographs with pasted objects, whose background is known.

    python benchmarks/removing.py fill DATA [HALF [COUNT]]     quality of each filling
    python benchmarks/removing.py extend DATA [HALF [COUNT]]   a picture extended to what it was
    python benchmarks/removing.py cut DATA [HALF [COUNT]]      things on a new ground, by their edges
    python benchmarks/removing.py shadow DATA [HALF [COUNT]]   recall of shadows, and the error that remains
    python benchmarks/removing.py scratches DATA [COUNT]       recall and false alarms of scratches
    python benchmarks/removing.py sheet DATA OUT.jpg           twelve edits, before and after

DATA contains ZIP files of photographs: coco_captions_masks (with `index.json`) provides the objects,
free_photos and kodak24 the backgrounds. HALF 0 is for choosing settings, 1 (the default) for measuring; they
share no photograph. `scratches` uses kodak24, which is not in the training data.
"""

import json
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from scipy.stats import wasserstein_distance

from vision_core import editing, torchvision_cpu
from vision_core.color import baselines
from vision_core.editing import compose, masks, tasks
from vision_core.editing.fill import lama, patches, push_pull
from vision_core.editing.fill.inpainting import Classical, Painter
from vision_core.editing.find import drawn_damage, scratches, shadow
from vision_core.editing.find.answers import Prompt
from vision_core.editing.find.eyes import Eyes
from vision_core.pictures import images
from vision_core.weights import IMAGENET_MEAN, IMAGENET_STD, find

LONGER = 768  # side of a background in pixels
LAYERS = (3, 6, 13, 17)  # blocks of MobileNetV2 whose features are compared
LEAST = 0.02  # minimum area of an object, as a share of its photograph


@dataclass(frozen=True)
class Scene:
    """A background and the same with an object, uint8 (H, W, 3); masks of object and shadow, bool (H, W)."""

    ground: np.ndarray
    rgb: np.ndarray
    mask: np.ndarray
    shadow: np.ndarray


def grounds(data: Path, half: int) -> list[np.ndarray]:
    pictures = []
    for folder in ("free_photos", "kodak24"):
        with ZipFile(data / folder / f"{folder}.zip") as packed:
            names = sorted(n for n in packed.namelist() if n.lower().endswith((".jpg", ".png")))
            pictures += [images.read(packed.read(name)).rgb for name in names[half::2]]
    return [images.shrink(rgb, LONGER) for rgb in pictures]


def things(data: Path, half: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cutouts of complete objects: pictures (h, w, 3) and masks (h, w)."""
    folder, cutouts = data / "coco_captions_masks", []
    with ZipFile(folder / "coco_captions_masks.zip") as packed:
        for entry in json.loads((folder / "index.json").read_text())[half::2]:
            rgb, numbers = (images.read(packed.read(entry[name])).rgb for name in ("image", "mask"))
            for thing in entry["objects"]:
                mask = numbers[..., 0] == thing["index"]
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                if mask.mean() < LEAST or thing["category"] == "dining table":
                    continue
                part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
                inside = rows[0] > 2 and columns[0] > 2 and columns[-1] < mask.shape[1] - 3
                if inside and mask[part].mean() > 0.3:
                    cutouts.append((rgb[part], mask[part]))
    return cutouts


def scenes(data: Path, half: int, count: int, shadows: bool = False) -> Iterator[Scene]:
    cutouts, rng = things(data, half), np.random.default_rng(half)
    every = grounds(data, half)
    number = -1
    while count:
        number += 1
        ground = every[number % len(every)]
        thing, cut = cutouts[int(rng.integers(len(cutouts)))]
        height, width = ground.shape[:2]
        scale = rng.uniform(0.25, 0.6) * height / cut.shape[0]
        scale = min(scale, 0.5 * width / cut.shape[1])
        size = tuple(max(8, round(side * scale)) for side in cut.shape[::-1])
        small, alpha = (
            cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (thing, cut.astype(np.float32))
        )
        top = round(rng.uniform(0.75 if shadows else 0.6, 0.95) * height) - size[1]
        left, top = int(rng.integers(0, width - size[0])), max(0, top)
        rgb, cover = ground.copy(), np.zeros((height, width), np.float32)
        cover[top : top + size[1], left : left + size[0]] = alpha
        cast = drawn_shadow(cover, rng) if shadows else np.zeros_like(cover)
        light = (rgb.astype(np.float32) / 255) ** 2.2 * (1 - cast[..., None] * rng.uniform(0.45, 0.75))
        rgb = (light ** (1 / 2.2) * 255).round().astype(np.uint8)
        part = rgb[top : top + size[1], left : left + size[0]]
        part[:] = (small * alpha[..., None] + part * (1 - alpha[..., None])).round()
        shadow = (cast > 0.3) & (cover < 0.5)
        rim = np.zeros_like(shadow)
        rim[[0, -1]] = rim[:, [0, -1]] = True
        contrast = np.abs(rgb.astype(int) - ground)[shadow].mean() if shadow.any() else 0
        if shadows and (contrast < 15 or (shadow & rim).any()):
            continue  # on dark ground, or out of sight
        count -= 1
        yield Scene(ground, rgb, cover > 0.5, shadow)


def drawn_shadow(cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The shadow of an object on flat ground, float32 (H, W) in [0, 1]: its sheared outline."""
    rows = np.flatnonzero((cover > 0.5).any(1))
    foot, tall = float(rows[-1]), len(rows)
    lean, flat = rng.uniform(0.5, 1.3) * rng.choice([-1, 1]), rng.uniform(-0.25, 0.35)
    lay = np.float32([[1, -lean, lean * foot], [0, -flat, foot * (1 + flat)]])
    cast = cv2.warpAffine(cover, lay, cover.shape[::-1])
    return cv2.GaussianBlur(cast, (0, 0), 1 + 0.01 * tall)


class Measure:
    """Distances of a filling to the true background under the mask.

    features: mean squared difference of MobileNetV2's features, each of unit length, over four depths.
    gradient, colour: Wasserstein distances of the distributions of gradients, and of colours in CIE Lab.
    """

    def __init__(self) -> None:
        torchvision_cpu.prepare()
        from torchvision.models import mobilenet_v2

        self.blocks = mobilenet_v2(weights=None).features[: LAYERS[-1] + 1].eval().float()
        state = {key.removeprefix("features."): value for key, value in load_file(find("mobilenet")).items()}
        self.blocks.load_state_dict({key: state[key] for key in self.blocks.state_dict()})
        self.mean, self.std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
        )

    @torch.inference_mode()
    def layers(self, rgb: np.ndarray) -> list[np.ndarray]:
        """Features of four depths, each (C, h, w)."""
        x, features = (images.to_tensor(rgb) - self.mean) / self.std, []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in LAYERS:
                features.append(x[0].numpy())
        return features

    def __call__(self, filled: np.ndarray, scene: Scene, hole: np.ndarray) -> dict[str, float]:
        window = around(hole)
        pair, inside = (filled[window], scene.ground[window]), hole[window]
        maps = [
            self.layers(cv2.resize(picture, (352, 352), interpolation=cv2.INTER_AREA)) for picture in pair
        ]
        gaps = []
        for a, b in zip(*maps, strict=True):
            share = cv2.resize(inside.astype(np.float32), a.shape[:0:-1], interpolation=cv2.INTER_AREA)
            a, b = (x / np.maximum(np.linalg.norm(x, axis=0), 1e-6) for x in (a, b))
            gaps.append(float((((a - b) ** 2).sum(0) * share).sum() / share.sum()))
        labs = [cv2.cvtColor(x.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for x in pair]
        core = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
        slopes = [np.hypot(*np.gradient(lab[..., 0]))[core] for lab in labs]
        colour = np.mean([wasserstein_distance(*(lab[..., c][inside] for lab in labs)) for c in range(3)])
        return {
            "features": float(np.mean(gaps)),
            "gradient": float(wasserstein_distance(*slopes)),
            "colour": float(colour),
        }


def around(hole: np.ndarray, margin: float = 0.3) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    more = round(margin * max(len(rows), len(columns)))
    return (
        slice(max(0, rows[0] - more), rows[-1] + 1 + more),
        slice(max(0, columns[0] - more), columns[-1] + 1 + more),
    )


def grown(scene: Scene) -> np.ndarray:
    """The mask as enlarged by the task `remove`."""
    return masks.grow(scene.mask, tasks.around("remove", *scene.mask.shape))


def finish(events: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def by_fill(data: Path, half: int, count: int) -> None:
    """Compare smooth filling, each version of exemplar filling, and LaMa if it is installed."""
    ways: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"smooth": push_pull.fill}
    painters = {f"patches, version {k + 1}": Classical(version=k) for k in range(len(patches.VERSIONS))}
    if lama.fetched():
        painters["LaMa"] = lama.Lama()
    for name, painter in painters.items():
        ways[name] = partial(painted, painter)
    measure, rows = Measure(), {name: [] for name in ways}
    for scene in scenes(data, half, count):
        hole = grown(scene)
        for name, way in ways.items():
            began = time.process_time()
            filled = way(scene.rgb, hole)
            spent = time.process_time() - began
            rows[name].append([*measure(filled, scene, hole).values(), spent])
    print(f"{count} scenes: features, gradient, colour, seconds of processor time")
    for name, values in rows.items():
        print(f"{name:22}", "  ".join(f"{value:.3f}" for value in np.mean(values, axis=0)))


def painted(painter: Painter, rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    where = compose.window(hole, 1.0, square=painter.side is not None).slices
    result = rgb.copy()
    result[where] = finish(painter.paint(rgb[where], hole[where], ""))
    return result


def by_extend(data: Path, half: int, count: int) -> None:
    """Cut 9 % of the width off both sides, extend what is left, and compare with the whole picture."""
    measure, rows, true_seams = Measure(), [], []
    for ground in grounds(data, half)[:count]:
        height, width = ground.shape[:2]
        cut = round(0.09 * width)
        hole = np.ones((height, width), bool)
        hole[:, cut : width - cut] = False
        began = time.process_time()
        events = editing.perform(
            images.Picture(ground[:, cut : width - cut]), "extend", Classical(), sides=(cut, 0, cut, 0)
        )
        extended = list(events)[-1].result.picture.rgb
        spent = time.process_time() - began
        scene = Scene(ground, ground, hole, hole)
        rows.append([*measure(extended, scene, hole).values(), seam(extended, cut), spent])
        true_seams.append(seam(ground, cut))
    values = "  ".join(f"{value:.3f}" for value in np.mean(rows, axis=0))
    print(f"{len(rows)} photographs: features, gradient, colour, seam, seconds of processor time: {values}")
    print(f"seam of the true pictures: {np.mean(true_seams):.2f}")


def seam(rgb: np.ndarray, cut: int, beside: int = 16) -> float:
    """Colour steps across the two lines `cut` pixels from the sides, relative to those beside them."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    steps = np.linalg.norm(np.diff(lab, axis=1), axis=2).mean(0)
    ratios = []
    for at in (cut - 1, len(steps) - cut):
        near = np.concatenate([steps[at - beside : at], steps[at + 1 : at + 1 + beside]]).mean()
        ratios.append(steps[at] / max(near, 0.05))
    return float(np.mean(ratios))


def by_cut(data: Path, half: int, count: int) -> None:
    """Exchange the ground of soft objects that are selected inexactly: the error within 12 pixels of them."""
    cutouts, pictures, rng = things(data, half), grounds(data, half), np.random.default_rng(5 + half)
    rows: dict[str, list[float]] = {}
    for _ in range(count):
        thing, mask = cutouts[int(rng.integers(len(cutouts)))]
        old, new = (pictures[int(number)] for number in rng.choice(len(pictures), 2, replace=False))
        height, width = old.shape[:2]
        new = cv2.resize(new, (width, height), interpolation=cv2.INTER_AREA)
        scale = 0.7 * min(height / mask.shape[0], width / mask.shape[1])
        lay = np.float32([[scale, 0, 0.15 * width], [0, scale, 0.15 * height]])
        share = cv2.warpAffine(masks.grow(mask, -2).astype(np.float32), lay, (width, height))
        share = cv2.GaussianBlur(share, (0, 0), rng.uniform(0.6, 2.2))[..., None]
        colors = share * cv2.warpAffine(thing, lay, (width, height), flags=cv2.INTER_CUBIC)
        before, truth = (np.rint(colors + (1 - share) * rgb).astype(np.uint8) for rgb in (old, new))
        noise = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 8)
        marked = cv2.GaussianBlur(share, (0, 0), 2) + 0.18 * noise / noise.std() > 0.5
        marked &= cv2.GaussianBlur(share, (0, 0), 3) > 0.05
        near = masks.grow(share[..., 0] > 0.5, 12) & masks.grow(share[..., 0] <= 0.5, 12)
        results = {"along the selection": np.where(marked[..., None], before, new)}
        material = editing.painter(material=images.Picture(new))
        for task, where in (("background", marked), ("replace", ~marked)):
            edit = list(editing.perform(images.Picture(before), task, material, mask=where))[-1].result
            results[task] = edit.picture.rgb
        for name, rgb in results.items():
            rows.setdefault(name, []).append(np.abs(rgb.astype(int) - truth)[near].mean())
    for name, values in rows.items():
        print(f"{name:20} {np.mean(values):.2f} grey levels ({count} scenes)")


def by_shadow(data: Path, half: int, count: int) -> None:
    """Recall of the synthetic shadows, and the error to the background in their area."""
    rows, wrong = [], []
    for scene in scenes(data, half, count, shadows=True):
        cast, picture, errors = shadow.find(scene.rgb, scene.mask), images.Picture(scene.rgb), []
        for on in (False, True):
            events = editing.perform(picture, "remove", Classical(), mask=scene.mask, with_shadow=on)
            rgb = list(events)[-1].result.picture.rgb
            errors.append(np.abs(rgb.astype(int) - scene.ground)[scene.shadow].mean())
        hit = 0 if cast is None else (cast.mask & scene.shadow).sum()
        rows.append([hit / scene.shadow.sum(), *errors])
        plain = np.where(scene.shadow[..., None], scene.ground, scene.rgb)
        wrong.append(shadow.find(plain, scene.mask) is not None)
    recall, alone, both = np.array(rows).T
    print(f"{count} scenes: {(recall > 0.5).mean():.0%} of the shadows found, recall {recall.mean():.2f}")
    print(
        f"error in the shadow's area, grey levels: mask alone {alone.mean():.1f}, with it {both.mean():.1f}"
    )
    print(f"without a shadow something is marked in {np.mean(wrong):.0%} of the scenes")


def by_scratches(data: Path, count: int) -> None:
    """Precision, recall and false alarms at several thresholds."""
    network, rows = scratches.load(), []
    with ZipFile(data / "kodak24" / "kodak24.zip") as packed:
        names = sorted(name for name in packed.namelist() if name.endswith(".png"))[:count]
        for number, name in enumerate(names):
            rgb, rng = images.read(packed.read(name)).rgb, np.random.default_rng(number)
            worn, truth = drawn_damage.wear(rgb, rng)
            chance, clean = (scratches.chance(picture, network) for picture in (worn, rgb))
            for sure in (0.5, 0.7, 0.8, 0.9, 0.95):
                detected, wrong = (scratches.marks(likely, sure) for likely in (chance, clean))
                rows.append([sure, (detected & truth).sum(), truth.sum(), detected.sum(), wrong.mean()])
    table = np.array(rows)
    for sure in np.unique(table[:, 0]):
        hit, damaged, marked, clean = table[table[:, 0] == sure][:, 1:].T
        print(
            f"{sure:.1f}: recall {hit.sum() / damaged.sum():.2f}, precision {hit.sum() / marked.sum():.2f}, "
            f"clean photographs marked {clean.mean():.3%}"
        )


EDITS = (  # folder, photograph, task, box around the object, settings
    ("kodak24", "kodim12", "remove", (200, 55, 385, 400), {}),
    ("kodak24", "kodim21", "remove", (300, 35, 385, 312), {}),
    ("kodak24", "kodim06", "remove", (130, 60, 530, 400), {}),
    ("free_photos", "canyon-wren", "remove", (350, 75, 450, 250), {}),
    ("free_photos", "perched-osprey", "remove", (345, 80, 505, 400), {}),
    ("kodak24", "kodim20", "remove", (15, 60, 720, 375), {}),
    ("free_photos", "kitten-on-lawn", "background", (290, 150, 725, 575), {"material": "blur"}),
    ("free_photos", "giraffe", "background", (345, 20, 1023, 575), {"material": "northern_lights"}),
    ("free_photos", "roman-colosseum", "background", (0, 0, 700, 575), {"material": "white_clouds"}),
    ("free_photos", "serene", "extend", None, {"ratio": "16:9"}),
    ("free_photos", "extreme-desert-hike", "extend", None, {"ratio": "2:1"}),
    ("free_photos", "lighthouse", "extend", None, {"ratio": "1:1"}),
)


def by_sheet(data: Path, out: Path) -> None:
    """A sheet of edits as made by the command line, before above after, and the share of changed pixels."""

    def photograph(folder: str, name: str) -> np.ndarray:
        with ZipFile(data / folder / f"{folder}.zip") as packed:
            return images.read(packed.read(next(n for n in packed.namelist() if name in n))).rgb

    tiles, eyes = [], Eyes()
    for folder, name, task, box, options in EDITS:
        picture, mask, sides = images.Picture(photograph(folder, name)), None, (0, 0, 0, 0)
        if box is None:
            sides = compose.sides_for(*picture.rgb.shape[:2], options["ratio"])
        else:
            mask = eyes.mark(picture.rgb, Prompt(box=box))
        material = options.get("material")
        if material not in (None, "blur"):
            material = images.Picture(photograph("free_photos", material))
        events = editing.perform(
            picture,
            task,
            editing.painter(material=material, relight=baselines.surroundings),
            mask=mask,
            sides=sides,
            with_shadow=task == "remove",
            blending=editing.Blending(poisson=task == "extend"),
        )
        events_seen = list(events)[-1].result
        before = events_seen.source.rgb.copy()
        if mask is None:
            before[events_seen.mask] = 226
        line = events_seen.mask & ~masks.grow(events_seen.mask, -max(before.shape) / 250)
        before[line] = (255, 40, 40)
        tiles.append(np.vstack([_tile(before), _tile(events_seen.picture.rgb)]))
        print(f"{name}: {task}, {events_seen.mask.mean():.1%} may change", flush=True)
    sheet = np.vstack([np.hstack(tiles[at : at + 4]) for at in range(0, len(tiles), 4)])
    images.save(images.Picture(sheet), out)


def _tile(rgb: np.ndarray, side: int = 360) -> np.ndarray:
    """Pad the picture to a white square."""
    tile = np.full((side * 3 // 4, side, 3), 255, np.uint8)
    scale = min((side - 8) / rgb.shape[1], (len(tile) - 8) / len(rgb))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (len(tile) - len(small)) // 2, (side - small.shape[1]) // 2
    tile[top : top + len(small), left : left + small.shape[1]] = small
    return tile


def main() -> None:
    halves = {"fill": by_fill, "extend": by_extend, "cut": by_cut, "shadow": by_shadow}
    if len(sys.argv) < 3 or sys.argv[1] not in (*halves, "scratches", "sheet"):
        raise SystemExit(__doc__)
    if sys.argv[1] == "sheet":
        return by_sheet(Path(sys.argv[2]), Path(sys.argv[3]))
    data, numbers = Path(sys.argv[2]), [int(word) for word in sys.argv[3:]]
    if sys.argv[1] == "scratches":
        return by_scratches(data, *(numbers or [18]))
    half, count = (*numbers, *(1, 16)[len(numbers) :])
    halves[sys.argv[1]](data, half, count)


if __name__ == "__main__":
    main()
