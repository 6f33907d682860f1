"""Writes the example photographs from those that come with scikit-image and scikit-learn."""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

LONGEST, QUALITY = 640, 90


def main() -> None:
    photographs = {
        "astronaut": data.astronaut(),
        "cat": data.chelsea(),
        "coffee": data.coffee(),
        "galaxies": data.hubble_deep_field(),
        "rocket": data.rocket(),
        "flower": load_sample_image("flower.jpg"),
        "palace": load_sample_image("china.jpg"),
    }
    for name, rgb in photographs.items():
        picture = Image.fromarray(np.asarray(rgb))
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        picture.save(Path(__file__).with_name(f"{name}.jpg"), quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
