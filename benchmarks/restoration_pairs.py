"""Draws twelve pages before and after restoring, including the worst ones.

    python benchmarks/restoration_pairs.py docs/img/restoration-pairs.jpg

The first three are the examples of the package; the others are parts of generated pages, damaged by mixtures:
the three with the largest, median and smallest gain of 30.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from vision_core.files import bundled
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import Restored, degrade, draw_mixture, load, metrics, pages, restore

SIDE = 400
EXAMPLES = ("stained", "shaded", "faded")


def main(out: Path) -> None:
    network, _ = load()
    pairs = []
    for name in EXAMPLES:
        picture = images.read(bundled("assets") / "restoration" / f"{name}.jpg")
        pairs.append((_middle(picture.rgb), _middle(restore(picture, network).picture.rgb)))
    restorations: list[tuple[float, np.ndarray, Restored]] = []
    for number in range(30):
        clean = pages.crop(1000 + number, SIDE)[None]
        damaged = images.from_tensor(degrade(clean, [draw_mixture(number)]))
        restored = restore(Picture(damaged), network)
        before, after = (
            metrics.psnr(images.to_tensor(rgb), clean).item() for rgb in (damaged, restored.picture.rgb)
        )
        restorations.append((after - before, damaged, restored))
    restorations.sort(key=lambda entry: -entry[0])
    for gain, damaged, restored in [*restorations[:3], *restorations[14:17], *restorations[-3:]]:
        print(f"{gain:+.1f} dB: {restored.verdict.reason}")
        pairs.append((damaged, restored.picture.rgb))
    both = [np.hstack([before, after, np.full((SIDE, 16, 3), 255, np.uint8)]) for before, after in pairs]
    rows = [np.hstack(both[first : first + 3]) for first in range(0, 12, 3)]
    sheet = np.vstack([np.vstack([row, np.full((16, row.shape[1], 3), 255, np.uint8)]) for row in rows])
    small = Image.fromarray(sheet).resize((sheet.shape[1] // 2 + 200, (sheet.shape[0] // 2) + 133))
    images.save(Picture(np.array(small)), out)


def _middle(rgb: np.ndarray) -> np.ndarray:
    top, left = (max(0, (length - SIDE) // 2) for length in rgb.shape[:2])
    part = rgb[top : top + SIDE, left : left + SIDE]
    return np.pad(part, ((0, SIDE - part.shape[0]), (0, SIDE - part.shape[1]), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
