"""The one door for trained weights: weights, constructor arguments and metadata in one safe file."""

import json
import warnings
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar
from zipfile import ZIP_STORED, ZipFile, is_zipfile

import torch
from safetensors import safe_open
from safetensors.torch import save as to_safetensors
from torch import nn

from vision_core import devices
from vision_core.files import atomic

HEADER = "vision-core"
Network = TypeVar("Network", bound=nn.Module)


def save(path: str | Path, model: nn.Module, metadata: dict[str, Any]) -> None:
    """Write `model` atomically, as `.safetensors` or (by that suffix) `.pth`.

    The model tells its constructor arguments in `model.architecture`. `metadata` is anything JSON can hold:
    data, seed, epochs, metrics, licence; both formats give it back as JSON does. A `.pth` holds
    `{"model_state_dict", "model_architecture", "metadata"}`.

    Raises:
        ValueError: another suffix, or metadata that are not plain data; nothing is written.
    """
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    architecture = _plain({"model": type(model).__name__, **getattr(model, "architecture")})  # noqa: B009
    metadata = _plain(metadata)
    match Path(path).suffix.lower():
        case ".safetensors":
            header = json.dumps({"architecture": architecture, "metadata": metadata})
            data = to_safetensors(state, {HEADER: header})  # one key: several would come in a random order
            with atomic(path) as file:
                file.write(data)
        case ".pth":
            save_state(
                path, {"model_state_dict": state, "model_architecture": architecture, "metadata": metadata}
            )
        case suffix:
            raise ValueError(
                f"a model is saved as .safetensors or .pth, not as {suffix or 'a file without suffix'!r}"
            )


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """`data` as JSON gives it back: a NumPy number in a pickle would make the file unreadable."""
    try:
        return json.loads(json.dumps(data))
    except (TypeError, ValueError) as error:
        raise ValueError(f"only plain data can be stored with a model: {error}") from error


def load(path: str | Path, model_class: type[Network]) -> tuple[Network, dict[str, Any]]:
    """The model, in eval mode on the CPU, and its metadata.

    Raises:
        ValueError: no such file; not a checkpoint, cut off or not safe to open; another network (names both).
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no model file {path}")
    safe = path.suffix.lower() == ".safetensors"
    state, architecture, metadata = _read_safetensors(path) if safe else _read_pth(path)
    if not all(isinstance(part, dict) for part in (state, architecture, metadata)):
        raise ValueError(f"{path} has a broken header: it was not saved by this program")
    found = architecture.pop("model", "a network without name")
    if found != model_class.__name__:
        raise ValueError(f"{path} holds {found}, but {model_class.__name__} was expected")
    try:
        with torch.device("meta"):  # costs no memory, whatever sizes a strange file asks for
            expected = model_class(**architecture).state_dict()
        _compare(state, expected)
        with devices.seeded(0):
            model = model_class(**architecture)
        model.load_state_dict(state, strict=True)
    except Exception as error:  # the constructor sees whatever a strange file holds
        raise ValueError(f"{path} does not fit {model_class.__name__}: {_sentence(error)}") from error
    return model.eval(), metadata


def _compare(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Raise a `ValueError` that names the first tensor that is too many, missing, of another shape or NaN."""
    for name in [*expected, *state]:
        if name not in state or name not in expected:
            raise ValueError(f"{name} is {'missing' if name in expected else 'not a part of it'}")
        value = state[name]
        if not isinstance(value, torch.Tensor) or value.shape != expected[name].shape:
            found = list(getattr(value, "shape", ["no tensor"]))
            raise ValueError(f"{name} is {found}, not {list(expected[name].shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity")


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            state = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:
        raise ValueError(f"{path} is not a complete .safetensors file: {_sentence(error)}") from error
    try:
        parts = json.loads(header or "")
        return state, parts["architecture"], parts["metadata"]
    except Exception as error:
        raise ValueError(f"{path} has no vision-core header: it was not saved by this program") from error


def _read_pth(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    names = ("model_state_dict", "model_architecture", "metadata")
    data = load_state(path, *names)
    state, architecture, metadata = (data[name] for name in names)
    return state, architecture, metadata


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
    try:
        if is_zipfile(path):
            with ZipFile(path) as archive:
                if any(part.compress_type != ZIP_STORED for part in archive.infolist()):
                    raise ValueError("it is compressed")  # PyTorch never does: megabytes may hide terabytes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch has to say about a strange file, our refusal says
            data = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}") from error
    except UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it holds something other than weights and plain data"
        ) from error
    except Exception as error:  # an unpickler can raise anything
        raise ValueError(f"{path} is not a complete PyTorch file: {_sentence(error)}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}; weights by name were expected")
    if missing := [name for name in names if name not in data]:
        raise ValueError(f"{path} lacks {missing[0]}: it is not the kind of file that was expected")
    return data


def _sentence(error: Exception) -> str:
    """The first line of what a parser said, or the name of the error when it said nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
