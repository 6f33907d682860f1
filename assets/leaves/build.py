"""Draws the example leaves: ten of each class, as `vision-core leaves generate` draws them."""

from pathlib import Path

from vision_core.leaves.generate import CLASSES, leaf
from vision_core.pictures import images
from vision_core.pictures.images import Picture

COUNT, SIDE, SEED = 10, 160, 2026


def main() -> None:
    for name in CLASSES:
        for n in range(COUNT):
            path = Path(__file__).parent / name / f"{n}.jpg"
            images.save(Picture(leaf(name, (SEED, n), SIDE)[0]), path, quality=85)


if __name__ == "__main__":
    main()
