"""The one door for trained weights: weights, constructor arguments and metadata in one safe file."""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import nn

from vision_core.files import atomic

HEADER = "vision-core"
Network = TypeVar("Network", bound=nn.Module)


def save(path: str | Path, model: nn.Module, metadata: dict[str, Any]) -> None:
    """Write `model` atomically, as `.safetensors` or (by that suffix) `.pth`.

    The model tells its constructor arguments in `model.architecture`. `metadata` is anything JSON can hold:
    data, seed, epochs, metrics, licence. A `.pth` holds `{"model_state_dict", "model_architecture",
    "metadata"}`.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    architecture = {"model": type(model).__name__, **getattr(model, "architecture")}  # noqa: B009
    match Path(path).suffix:
        case ".safetensors":
            header = json.dumps({"architecture": architecture, "metadata": metadata})
            data = to_safetensors(state, {HEADER: header})  # one key: several would come in a random order
            with atomic(path) as file:
                file.write(data)
        case ".pth":
            json.dumps(metadata)  # what is not plain data must not get into a pickle
            save_state(
                path, {"model_state_dict": state, "model_architecture": architecture, "metadata": metadata}
            )
        case suffix:
            raise ValueError(
                f"a model is saved as .safetensors or .pth, not as {suffix or 'a file without suffix'!r}"
            )


def load(path: str | Path, model_class: type[Network]) -> tuple[Network, dict[str, Any]]:
    """The model, in eval mode on the CPU, and its metadata.

    Raises:
        ValueError: no such file; not a checkpoint, cut off or not safe to open; another network (names both).
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no model file {path}")
    state, architecture, metadata = (
        _read_safetensors(path) if path.suffix == ".safetensors" else _read_pth(path)
    )
    found = architecture.pop("model", "a network without name")
    if found != model_class.__name__:
        raise ValueError(f"{path} holds {found}, but {model_class.__name__} was expected")
    try:
        model = model_class(**architecture)
        model.load_state_dict(state, strict=True)
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{path} does not fit {model_class.__name__}: {str(error).splitlines()[0]}"
        ) from error
    return model.eval(), metadata


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            state = {name: file.get_tensor(name) for name in file.keys()}
        return state, header["architecture"], header["metadata"]
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a complete .safetensors file: {error}") from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} has no vision-core header: it was not saved by this program") from error


def _read_pth(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    data = load_state(path)
    try:
        return data["model_state_dict"], dict(data["model_architecture"]), data["metadata"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks model_state_dict, model_architecture or metadata") from error


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write tensors and plain data atomically with `torch.save`; equal content gives equal bytes."""
    with atomic(path) as file:
        torch.save(state, file)


def load_state(path: str | Path) -> dict[str, Any]:
    """Read what `save_state` wrote; a file that holds code, or half a file, is a `ValueError`."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}") from error
    except UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it holds something other than weights and plain data"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a complete PyTorch file: {str(error).splitlines()[0]}") from error
