"""Tensors and plain data in a file of PyTorch's: written atomically, and read as a stranger's."""

import warnings
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo, is_zipfile

import torch

from vision_core.files import atomic, ordinary
from vision_core.safety.messages import reason

DEEPEST, MOST_PARTS = 50, 200_000  # of what a file holds: lists and all


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write tensors and plain data atomically with `torch.save`; equal content gives equal bytes."""
    data = BytesIO()
    torch.save(state, data)  # into a full disk it would say something else than that it is full
    with atomic(path) as file:
        file.write(data.getvalue())


def load_state(path: str | Path, *names: str) -> dict[str, Any]:
    """Read what `save_state` wrote: a state with `names`.

    Raises:
        ValueError: the file holds code, is half a file, or lacks a name.
    """
    path = ordinary(path)
    try:
        if is_zipfile(path):
            with ZipFile(path) as archive:
                _check_members(archive.infolist(), path.stat().st_size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch has to say about a strange file, our refusal says
            data = torch.load(path, map_location="cpu", weights_only=True)
        _check_content(data, path.stat().st_size)
    except UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it holds something other than weights and plain data"
        ) from error
    except Exception as error:  # an unpickler can raise anything
        raise ValueError(f"{path} is not a complete PyTorch file: {reason(error)}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}; weights by name were expected")
    if missing := [name for name in names if name not in data]:
        raise ValueError(f"{path} lacks {missing[0]}: it is not the kind of file that was expected")
    return data


def _check_members(members: list[ZipInfo], size: int) -> None:
    """PyTorch packs nothing: few bytes could hide terabytes, and so could members that share their bytes."""
    if any(part.compress_type != ZIP_STORED for part in members):
        raise ValueError("it is compressed")
    if sum(part.file_size for part in members) > size:
        raise ValueError("its parts are larger than the whole")


def _check_content(data: Any, size: int) -> None:
    """Refuse what a file of `size` bytes cannot hold, and what nobody could go through.

    A tensor of stride 0 has any size, and a list that holds itself twice, thirty deep, has 2^30 parts.
    """
    waiting, parts, tensors = [(data, 0)], 0, dict[int, int]()
    while waiting:
        value, depth = waiting.pop()
        parts += 1
        if depth > DEEPEST or parts > MOST_PARTS:
            raise ValueError(f"it is nested too deeply, or has more than {MOST_PARTS:,} parts")
        match value:
            case torch.Tensor():
                if value.layout != torch.strided or value.device.type != "cpu":
                    raise ValueError("it holds a tensor that is no plain array")
                tensors[id(value)] = value.nelement() * value.element_size()
            case dict():
                waiting += [(part, depth + 1) for pair in value.items() for part in pair]
            case list() | tuple() | set():
                waiting += [(part, depth + 1) for part in value]
    if sum(tensors.values()) > 2 * size:  # twice: tied weights are stored once
        raise ValueError("its tensors are larger than the file")
