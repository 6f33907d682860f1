"""PyTorch files of tensors and plain data: written atomically and read as untrusted input."""

import pickletools
import warnings
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo, is_zipfile

import torch

from vision_core.files import atomic, ordinary
from vision_core.safety.messages import reason

MAX_DEPTH, MAX_OBJECTS = 50, 200_000  # of the nested containers in a file
MAX_OPCODES = 5 * MAX_OBJECTS  # of the pickle that describes them
LEGACY_PICKLES = 5  # before the tensors of files written before PyTorch 1.6


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write tensors and plain data atomically with `torch.save`; equal content produces equal bytes."""
    data = BytesIO()
    torch.save(state, data)  # in memory first: torch hides the OSError of a full disk
    with atomic(path) as file:
        file.write(data.getvalue())


def load_state(path: str | Path, *names: str) -> dict[str, Any]:
    """Read a file written by `save_state`.

    Args:
        names: required keys.

    Raises:
        ValueError: the file is truncated, contains pickled code or lacks a key.
    """
    path = ordinary(path)
    try:
        if is_zipfile(path):
            with ZipFile(path) as archive:
                _check_members(archive.infolist(), path.stat().st_size)
                for part in archive.infolist():
                    if part.filename.endswith(".pkl"):
                        with archive.open(part) as pickled:
                            _check_pickles(pickled, part.file_size)
        else:
            with path.open("rb") as pickled:
                _check_pickles(pickled, path.stat().st_size, LEGACY_PICKLES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the ValueError below reports what is wrong
            data = torch.load(path, map_location="cpu", weights_only=True)
        _check_content(data, path.stat().st_size)
    except UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it holds something other than weights and plain data"
        ) from error
    except Exception as error:  # the unpickler can raise anything
        raise ValueError(f"{path} is not a complete PyTorch file: {reason(error)}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}; weights by name were expected")
    if missing := [name for name in names if name not in data]:
        raise ValueError(f"{path} lacks {missing[0]}: it is not the kind of file that was expected")
    return data


def _check_members(members: list[ZipInfo], size: int) -> None:
    """Reject zip bombs. PyTorch stores its members uncompressed, and they never overlap."""
    if any(part.compress_type != ZIP_STORED for part in members):
        raise ValueError("its members are compressed")
    if sum(part.file_size for part in members) > size:
        raise ValueError("its members are larger than the file")


def _check_pickles(file: IO[bytes], size: int, count: int = 1) -> None:
    """Reject up to `count` pickles in `size` bytes that would make millions of objects."""
    for _ in range(count):
        if file.tell() == size:
            return
        for number, _ in enumerate(pickletools.genops(file)):
            if number > MAX_OPCODES:
                raise ValueError(f"its description has more than {MAX_OPCODES:,} parts")


def _check_content(data: Any, size: int) -> None:
    """Reject content that does not fit into `size` bytes or takes too long to traverse.

    A tensor of stride 0 can have any size, and a list that contains the next one twice, 30 levels deep,
    expands to 2^30 items.
    """
    waiting, parts, tensors = [(data, 0)], 0, dict[int, int]()
    while waiting:
        value, depth = waiting.pop()
        parts += 1
        if depth > MAX_DEPTH or parts > MAX_OBJECTS:
            raise ValueError(f"it is nested too deeply or holds more than {MAX_OBJECTS:,} objects")
        match value:
            case torch.Tensor():
                if value.layout != torch.strided or value.device.type != "cpu":
                    raise ValueError("it holds a tensor that is not a dense CPU tensor")
                tensors[id(value)] = value.nelement() * value.element_size()
            case dict():
                waiting += [(part, depth + 1) for pair in value.items() for part in pair]
            case list() | tuple() | set():
                waiting += [(part, depth + 1) for part in value]
    if sum(tensors.values()) > 2 * size:  # twice: tied weights are stored once
        raise ValueError("its tensors are larger than the file")
