"""Writes MNIST's idx format, byte by byte."""

import gzip
import struct
from pathlib import Path

from vision_core.digits.data import FILES, Split


def write_idx(path: Path, dims: tuple[int, ...], data: bytes, zipped: bool = False) -> None:
    content = struct.pack(">BBBB", 0, 0, 8, len(dims)) + struct.pack(f">{len(dims)}I", *dims) + data
    path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)


def write_mnist(folder: Path, train: Split, test: Split) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for (images, labels), split in zip(FILES.values(), (train, test), strict=True):
        write_idx(folder / f"{images}.gz", (len(split), 28, 28), split.images.numpy().tobytes(), zipped=True)
        write_idx(folder / labels, (len(split),), split.labels.byte().numpy().tobytes())
    return folder
