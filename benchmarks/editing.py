"""Measures filling of holes on Kodak photographs, and AnchorNet on generated scenes.

    python benchmarks/editing.py holes FOLDER [N [WEIGHTS]]
        PSNR in the holes of the first N photographs (8), filled by the release's network or another file's

    python benchmarks/editing.py anchors N [STEPS [ANCHORS]]
        AnchorNet taught on half of N scenes of the small world, its regret on the other half

`holes` takes a folder of PNGs or zips of them.
"""

import sys
import time
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
from vision_core.pictures import images
from vision_core.smallworld import evaluate, world


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
            errors = [((filled[hole].astype(float) - rgb[hole]) ** 2).mean() for filled in (ours, *others)]
            rows.append([*(10 * np.log10(255**2 / np.array(errors))), spent])
        own, telea, stokes, spent = np.mean(rows, axis=0)
        print(
            f"{kind}: here {own:.2f}, Telea {telea:.2f}, Navier-Stokes {stokes:.2f} dB; {spent:.1f} s of "
            "processor time",
            flush=True,
        )


def by_anchors(count: int, steps: int = 8, anchors: int = 2) -> None:
    """Paint and score every box of every scene; one line per seed of the network."""
    eyes, clip = editing.load_saliency(None, "tiny"), editing.load_clip(None, "tiny")
    painter = editing.painter("tiny", steps=steps)
    tasks = [evaluate.task(Random(number), withheld=False) for number in range(count)]
    pictures = [images.Picture(world.render(old)) for old, _, _ in tasks]
    proposals = [editing.find_regions(picture, eyes, anchors) for picture in pictures]
    boxes = [pooled(each, 128, 128) for each in proposals]

    def score(number: int, anchor: int, size: int) -> float:
        old, new, index = tasks[number]
        rgb, text = pictures[number].rgb, evaluate.prompt(new.things[index])
        plan = editing.EditPlan(proposals[number].boxes[anchor][size].mask(128, 128), text)
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
            test = train.measure(network.eval(), boxes[half:], values[half:])
            print(
                f"seed {seed}: regret {test['regret']:.3f}, of a random size {test['regret_of_random']:.3f}"
            )
        fixed = (values[half:] - values[half:].min(2, keepdims=True)).mean((0, 1))
        print("of each fixed size:", ", ".join(f"{value:.3f}" for value in fixed))


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] not in ("holes", "anchors"):
        raise SystemExit(__doc__)
    if sys.argv[1] == "anchors":
        return by_anchors(*map(int, sys.argv[2:5]))
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    by_holes(Path(sys.argv[2]), count, filler.load(sys.argv[4])[0] if len(sys.argv) > 4 else None)


if __name__ == "__main__":
    main()
