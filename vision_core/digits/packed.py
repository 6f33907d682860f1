"""Reads packed exports, see docs/digits-format.md. Imports no torch."""

import base64
import hashlib
import math
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from vision_core.files import read_json
from vision_core.safety.messages import quote, reason

FORMAT, VERSION = "vision-core-digits", 2
DTYPES = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
SHAPES = {  # of DigitNet, in the order of the binary
    "conv1.weight": [4, 1, 3, 3],
    "conv1.bias": [4],
    "conv2.weight": [8, 4, 3, 3],
    "conv2.bias": [8],
    "fc1.weight": [128, 200],
    "fc1.bias": [128],
    "fc2.weight": [10, 128],
    "fc2.bias": [10],
}


@dataclass(frozen=True)
class Export:
    """An exported training: the index, and all weights as float32 (epochs, values per epoch)."""

    index: dict[str, Any]
    values: np.ndarray

    def weights(self, entry: int) -> dict[str, np.ndarray]:
        """The weights of one entry of `index["epochs"]`, by the names of PyTorch's state dict."""
        row = self.values[entry]
        return {
            t["name"]: row[t["offset"] : t["offset"] + math.prod(t["shape"])].reshape(t["shape"])
            for t in self.index["tensors"]
        }

    @property
    def samples(self) -> np.ndarray:
        """Ten test images of each digit: uint8 (10, 10, 28, 28)."""
        return decode_images(self.index["samples"]).reshape(10, 10, 28, 28)


def read_export(path: str | Path) -> Export:
    """Read `path` (the index) and the binary beside it.

    Raises:
        ValueError: a file is missing or truncated, the binary does not belong to the index, or the format,
            version or network is another one.
    """
    path = Path(path)
    index = read_json(path)
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        form = index.get("format") if isinstance(index, dict) else type(index).__name__
        raise ValueError(
            f"{path} is not a packed digit export: its format is {quote(form)}, expected {FORMAT!r}"
        )
    if index.get("version") != VERSION:
        raise ValueError(
            f"{path} has version {quote(index.get('version'))}, only version {VERSION} can be read"
        )
    try:
        binary, dtype = path.with_name(Path(index["binary"]).name), DTYPES[index["dtype"]]
        shape = (len(index["epochs"]), index["values_per_epoch"])
        tensors = {t["name"]: t["shape"] for t in index["tensors"]}
        offsets = [t["offset"] for t in index["tensors"]]
        decode_images(index["samples"]).reshape(10, 10, 28, 28)
        size = binary.stat().st_size if binary.is_file() else None  # OSError if the name is invalid
    except Exception as error:
        raise ValueError(f"{path} has a missing or invalid key: {reason(error)}") from error
    *starts, end = accumulate(map(math.prod, SHAPES.values()), initial=0)
    if tensors != SHAPES or offsets != starts:
        raise ValueError(f"{path} holds another network than DigitNet(channels=[4, 8], hidden=128)")
    if size is None:
        raise ValueError(f"{path} needs {binary.name} in the same folder")
    if shape[1] != end or size != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{binary} holds {size} bytes, which are not {shape[0]} epochs of {shape[1]} values")
    data = binary.read_bytes()
    if hashlib.sha256(data).hexdigest() != index.get("sha256"):
        raise ValueError(f"{binary} does not belong to {path.name}: its SHA-256 differs")
    return Export(index, np.frombuffer(data, dtype).reshape(shape).astype(np.float32))


def encode_images(images: np.ndarray) -> str:
    """uint8 (..., 28, 28) -> base64 of its bytes."""
    return base64.b64encode(np.ascontiguousarray(images, np.uint8).tobytes()).decode()


def decode_images(text: str) -> np.ndarray:
    """The output of `encode_images` -> uint8 (N, 28, 28)."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, 28, 28)
