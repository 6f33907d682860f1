"""Draws the example pages of the restoration app: generated pages, damaged on purpose.

python assets/restoration/build.py
"""

from pathlib import Path

from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import degrade, draw, pages

HERE = Path(__file__).parent
WIDTH, HEIGHT = 720, 960
EXAMPLES = {  # name: page, seed of the damage, kinds, severity
    "stained": (2, 3, ("stains", "yellow_tint"), 3),
    "faded": (7, 5, ("fading", "yellow_tint", "bleed_through"), 5),
    "shaded": (4, 9, ("uneven_light", "creases"), 4),
}


def main() -> None:
    for name, (number, seed, kinds, severity) in EXAMPLES.items():
        clean = images.to_tensor(pages.page(number, 0, WIDTH, HEIGHT).pixels.permute(1, 2, 0).numpy())
        damaged = images.from_tensor(degrade(clean, [draw(seed, kinds, severity)]))
        (HERE / f"{name}.jpg").write_bytes(images.encode(Picture(damaged, dpi=(150, 150)), "JPEG", 85))


if __name__ == "__main__":
    main()
