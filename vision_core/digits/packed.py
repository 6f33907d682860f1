"""Reads the packed export of docs/digits-format.md; needs no torch."""

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

FORMAT, VERSION = "vision-core-digits", 1
DTYPES = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
SHAPES = {
    "conv1.weight": [4, 1, 3, 3],
    "conv1.bias": [4],
    "conv2.weight": [8, 4, 3, 3],
    "conv2.bias": [8],
    "fc1.weight": [128, 200],
    "fc1.bias": [128],
    "fc2.weight": [10, 128],
    "fc2.bias": [10],
}  # of DigitNet, in the order of the binary


@dataclass(frozen=True)
class Export:
    """A training run as the site sees it: the index, and all weights float32 (epochs, values per epoch)."""

    index: dict[str, Any]
    values: np.ndarray

    def weights(self, entry: int) -> dict[str, np.ndarray]:
        """The tensors of one entry of `index["epochs"]` by PyTorch's names."""
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
        ValueError: a missing or cut-off file, another format, version or network, a foreign binary.
    """
    path = Path(path)
    index = read_json(path)
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        found = index.get("format") if isinstance(index, dict) else type(index).__name__
        raise ValueError(
            f"{path} is not a packed digit export: its format is {quote(found)}, expected {FORMAT!r}"
        )
    if index.get("version") != VERSION:
        raise ValueError(
            f"{path} has version {quote(index.get('version'))}; this program reads version {VERSION}"
        )
    try:
        binary, dtype = path.with_name(Path(index["binary"]).name), DTYPES[index["dtype"]]
        shape = (len(index["epochs"]), index["values_per_epoch"])
        tensors = {t["name"]: t["shape"] for t in index["tensors"]}
        offsets = [t["offset"] for t in index["tensors"]]
        decode_images(index["samples"]).reshape(10, 10, 28, 28)
        size = binary.stat().st_size if binary.is_file() else None  # an OSError for an impossible name
    except Exception as error:
        raise ValueError(f"{path} lacks or garbles a key of the packed form: {reason(error)}") from error
    *starts, end = accumulate(map(math.prod, SHAPES.values()), initial=0)
    if tensors != SHAPES or offsets != starts:
        raise ValueError(f"{path} holds another network than DigitNet(channels=[4, 8], hidden=128)")
    if size is None:
        raise ValueError(f"{path} needs {binary.name} beside it")
    if shape[1] != end or size != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{binary} holds {size} bytes, which are not {shape[0]} epochs of {shape[1]} values")
    data = binary.read_bytes()
    if hashlib.sha256(data).hexdigest() != index.get("sha256"):
        raise ValueError(f"{binary} is not the file that {path.name} describes: its SHA-256 differs")
    return Export(index, np.frombuffer(data, dtype).reshape(shape).astype(np.float32))


def encode_images(images: np.ndarray) -> str:
    """uint8 (..., 28, 28) -> base64 of its bytes."""
    return base64.b64encode(np.ascontiguousarray(images, np.uint8).tobytes()).decode()


def decode_images(text: str) -> np.ndarray:
    """What `encode_images` wrote -> uint8 (N, 28, 28)."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, 28, 28)
