"""MNIST: the 10,000 bundled digits, or the four idx files in a folder."""

import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core.files import bundled, ordinary
from vision_core.safety.limits import DIGITS
from vision_core.safety.messages import reason

SPLIT_SEED = 0  # the same split for all runs, so that runs with different seeds are comparable
SHOWN = 10  # test images per digit in an export
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Split:
    """Grey images uint8 (N, 1, 28, 28), white on black, and their labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Tensor:
        """The first `count` images of each digit, 0 to 9: (10, count, 28, 28)."""
        return torch.stack([self.images[self.labels == digit][:count, 0] for digit in range(10)])


@dataclass(frozen=True)
class Digits:
    """The training, validation and test splits. Test images are only reported, never used for a choice."""

    name: str
    train: Split
    val: Split
    test: Split


def load(folder: str | Path | None = None, download: bool = False) -> Digits:
    """Load the bundled digits (8,000 / 1,000 / 1,000), or MNIST from the idx files in `folder`.

    The idx files may be gzipped and may lie in `folder` or in `folder/MNIST/raw`, where torchvision puts
    them. One twelfth of the training images (5,000 of 60,000) is held out for validation, the same for all
    seeds.

    Args:
        download: download MNIST into `folder` with torchvision first.

    Raises:
        ValueError: a file is missing, damaged or does not match the others; or the download fails.
    """
    if folder is None:
        if download:
            raise ValueError("downloading MNIST requires a folder")
        return _embedded()
    if download:
        _download(Path(folder))
    train, test = (_read_pair(Path(folder), *names) for names in FILES.values())
    train, val = _shuffle(train, len(train) // 12)
    if not len(val):
        raise ValueError(f"{folder} holds {len(train)} training images; 12 or more were expected")
    if (fewest := int(test.labels.bincount(minlength=10).min())) < SHOWN:
        raise ValueError(f"{folder} holds {fewest} test images of a digit; {SHOWN} or more were expected")
    return Digits(f"MNIST idx files ({len(train) + len(val):,} + {len(test):,})", train, val, test)


def read_idx(path: Path, dims: int) -> np.ndarray:
    """Read an idx file of unsigned bytes with `dims` dimensions, gzipped or not.

    Source: the format description on the MNIST page: two zero bytes, type 8, `dims`, big-endian sizes, data.

    Raises:
        ValueError: damaged gzip, wrong magic number, truncated or trailing data, or more than DIGITS_MB.
    """
    magic, header = bytes([0, 0, 8, dims]), 4 + 4 * dims
    try:
        with open(ordinary(path), "rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            data = gzip.GzipFile(fileobj=file) if gzipped else file
            head = data.read(header)
            shape = [int.from_bytes(head[at : at + 4]) for at in range(4, len(head), 4)]
            expected = math.prod(shape)
            # a few bytes of gzip can expand to gigabytes: read no more than the header declares
            DIGITS.check(expected if head[:4] == magic else 0, str(path))
            values = data.read(expected + 1) if head[:4] == magic else b""
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is damaged or cannot be read: {reason(error)}") from error
    if head[:4] != magic:
        start = head[:4].hex() or "nothing"
        raise ValueError(f"{path} starts with {start}; an idx file of this kind starts with {magic.hex()}")
    if len(head) < header:
        raise ValueError(f"{path} ends within its header")
    if len(values) != expected:
        actual = f"more than {expected}" if len(values) > expected else len(values)
        sizes = " x ".join(map(str, shape))
        raise ValueError(f"{path} holds {actual} bytes of data, but its header declares {sizes} = {expected}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random affine augmentation: rotate by up to 10 degrees, scale and shear by 10 %, shift by 2 pixels.

    Args:
        images: (B, 1, 28, 28) with a black (0) background.
    """
    angle, scale, shear, *shift = (torch.rand(5, len(images), generator=generator) * 2 - 1).unbind()
    angle, scale = angle * math.radians(10), 1 + 0.1 * scale
    cos, sin = angle.cos() * scale, angle.sin() * scale
    x, y = (s * 2 / 14 for s in shift)  # grid coordinates: 14 pixels are 1
    theta = torch.stack([cos, 0.1 * shear - sin, x, sin, cos, y], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _embedded() -> Digits:
    with np.load(bundled("assets") / "digits" / "mnist10k.npz", allow_pickle=False) as file:
        everything = _split(file["images"], file["labels"])
    train, rest = _shuffle(everything, 2000)
    val, test = (Split(*pair) for pair in zip(rest.images.split(1000), rest.labels.split(1000), strict=True))
    return Digits("10,000 MNIST digits (embedded)", train, val, test)


def _read_pair(folder: Path, images_name: str, labels_name: str) -> Split:
    images_path, labels_path = _find(folder, images_name), _find(folder, labels_name)
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if images.shape[1:] != (28, 28):
        raise ValueError(
            f"{images_path} holds images of {images.shape[1]} x {images.shape[2]}; 28 x 28 were expected"
        )
    if len(images) != len(labels):
        raise ValueError(f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels")
    if len(labels) and labels.max() > 9:
        raise ValueError(f"{labels_path} holds the label {labels.max()}; digits 0 to 9 were expected")
    return _split(images, labels)


def _find(folder: Path, name: str) -> Path:
    candidates = (
        base / (name + suffix) for base in (folder, folder / "MNIST" / "raw") for suffix in ("", ".gz")
    )
    for path in candidates:
        if path.is_file():
            return path
    raise ValueError(f"{folder} holds no {name} (or {name}.gz); MNIST's four idx files were expected")


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    return Split(torch.tensor(images).unsqueeze(1), torch.tensor(labels, dtype=torch.long))


def _shuffle(split: Split, held_out: int) -> tuple[Split, Split]:
    """Shuffle with a fixed seed, then hold out the last `held_out` images."""
    # RandomState, not default_rng: its stream is frozen across NumPy versions
    order = np.random.RandomState(SPLIT_SEED).permutation(len(split))
    kept, rest = torch.tensor(order).split([len(split) - held_out, held_out])
    return Split(split.images[kept], split.labels[kept]), Split(split.images[rest], split.labels[rest])


def _download(folder: Path) -> None:
    from vision_core import torchvision_cpu

    torchvision_cpu.prepare()
    from torchvision.datasets import MNIST

    try:
        MNIST(str(folder), download=True)
    except (RuntimeError, OSError) as error:
        raise ValueError(f"MNIST could not be downloaded into {folder}: {error}") from error
