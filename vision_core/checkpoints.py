"""Checkpoints: weights, constructor arguments and metadata in one file that is safe to open."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelHubMixin, hf_hub_download
from safetensors import safe_open
from safetensors.torch import save as to_safetensors
from torch import nn

from vision_core import devices
from vision_core.files import atomic, ordinary, parse_json
from vision_core.safety import bounds
from vision_core.safety.limits import HEADER as HEADER_BYTES
from vision_core.safety.messages import PART, quote, reason, sentence
from vision_core.states import load_state, save_state
from vision_core.weights import WeightsMissing

HEADER = "vision-core"
HUB_FILE = "model.safetensors"
Network = TypeVar("Network", bound=nn.Module)


def save(path: str | Path, model: nn.Module, metadata: dict[str, Any], half: bool = False) -> None:
    """Write a checkpoint atomically, as `.safetensors` or `.pth` depending on the suffix.

    `model.architecture` holds the constructor arguments. `model.frozen`, if present, names submodules that
    were not trained; only their hashes are stored. A `.pth` file holds `{"model_state_dict",
    "model_architecture", "metadata"}`.

    Args:
        metadata: JSON-serialisable facts such as data, seed, epochs, metrics and licence.
        half: store float32 tensors as float16; `load` converts them back to float32.

    Raises:
        ValueError: another suffix, or metadata that is not JSON-serialisable; nothing is written.
    """
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in trained_state(model).items()
    }
    if half:
        state = {n: v.half() if v.dtype == torch.float32 else v for n, v in state.items()}
    architecture = _plain({"model": type(model).__name__, **getattr(model, "architecture")})  # noqa: B009
    if hashes := _frozen_hashes(model):
        architecture["frozen_sha256"] = hashes
    metadata = _plain(metadata)
    match Path(path).suffix.lower():
        case ".safetensors":
            header = json.dumps({"architecture": architecture, "metadata": metadata})
            data = to_safetensors(state, {HEADER: header})  # a single key: the order of several is random
            with atomic(path) as file:
                file.write(data)
        case ".pth":
            save_state(
                path, {"model_state_dict": state, "model_architecture": architecture, "metadata": metadata}
            )
        case suffix:
            raise ValueError(
                f"a model is saved as .safetensors or .pth, not as {suffix or 'a file without a suffix'!r}"
            )


class HubMixin(ModelHubMixin):
    """Adds `save_pretrained`, `from_pretrained` and `push_to_hub` to a network, based on `save` and `load`.

    The folder or repository holds our checkpoint as model.safetensors, next to the hub's config.json.
    """

    def _save_pretrained(self, save_directory: Path) -> None:
        assert isinstance(self, nn.Module)
        save(save_directory / HUB_FILE, self, {})

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **constructor: Any,  # from config.json; ignored, the checkpoint has its own arguments
    ) -> Any:
        path = Path(model_id, HUB_FILE)
        if not Path(model_id).is_dir():
            path = hf_hub_download(
                model_id,
                HUB_FILE,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        assert issubclass(cls, nn.Module)
        return load(path, cls)[0]


def trained_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict of `model` without its frozen submodules."""
    frozen = tuple(f"{name}." for name in getattr(model, "frozen", ()))
    return {name: value for name, value in model.state_dict().items() if not name.startswith(frozen)}


def load_trained(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load the output of `trained_state` into `model`; its frozen submodules are left unchanged.

    Raises:
        RuntimeError: names or shapes do not match.
    """
    trained = trained_state(model)
    model.load_state_dict({name: v for name, v in model.state_dict().items() if name not in trained} | state)


def _frozen_hashes(model: nn.Module) -> dict[str, str]:
    """SHA-256 of each frozen submodule: its tensors with their names, dtypes and shapes."""
    hashes = {}
    for part in getattr(model, "frozen", ()):
        digest = hashlib.sha256()
        for name, value in sorted(model.get_submodule(part).state_dict().items()):
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        hashes[part] = digest.hexdigest()
    return hashes


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Round-trip through JSON: a NumPy scalar in the pickle would make a `.pth` unreadable."""
    try:
        return json.loads(json.dumps(data))
    except (TypeError, ValueError) as error:
        raise ValueError(f"only plain data can be stored with a model: {error}") from error


def load(path: str | Path, *classes: type[Network]) -> tuple[Network, dict[str, Any]]:
    """Load a checkpoint; returns the model, in eval mode on the CPU, and its metadata.

    Args:
        classes: the accepted network classes.

    Raises:
        ValueError: there is no such file; it is not a checkpoint, is truncated or unsafe; it holds another
            network (the message names both), or one trained on top of other frozen weights.
        WeightsMissing: the frozen weights cannot be found.
    """
    path = ordinary(path)
    safe = path.suffix.lower() == ".safetensors"
    state, architecture, metadata = _read_safetensors(path) if safe else _read_pth(path)
    if not all(isinstance(part, dict) for part in (state, architecture, metadata)):
        raise ValueError(f"{path} has a broken header: it was not saved by vision-core")
    stored = architecture.pop("model", "an unnamed network")
    expected_classes = {kind.__name__: kind for kind in classes}
    if not isinstance(stored, str) or stored not in expected_classes:
        name = sentence(stored, PART) if isinstance(stored, str) else quote(stored)
        raise ValueError(f"{path} holds {name}, but {' or '.join(expected_classes)} was expected")
    model_class = expected_classes[stored]
    frozen = architecture.pop("frozen_sha256", {})
    try:
        if not isinstance(frozen, dict):
            raise ValueError(f"frozen_sha256 is {quote(frozen)}")
        bounds.check(architecture, getattr(model_class, "bounds"))  # noqa: B009
        with torch.device("meta"):  # allocates no memory
            expected = trained_state(model_class(**architecture))
        _compare(state, expected)
        with devices.seeded(0):
            model = model_class(**architecture)
        if frozen:
            getattr(model, "load_frozen")()  # noqa: B009
        load_trained(model, state)
        if _frozen_hashes(model) != frozen:
            base = sentence(", ".join(frozen), PART) if frozen else "network"
            raise ValueError(f"it was trained on another {base}")
    except WeightsMissing:
        raise
    except Exception as error:  # untrusted file: the constructor can raise anything
        raise ValueError(f"{path} does not fit {model_class.__name__}: {reason(error)}") from error
    return model.eval(), metadata


def _compare(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Raise a `ValueError` that names the first unexpected, missing, misshapen or non-finite tensor."""
    for name in [*expected, *state]:
        if name not in state or name not in expected:
            fault = "is missing" if name in expected else "is unexpected"
            raise ValueError(f"{sentence(name, PART)} {fault}")
        value = state[name]
        if not isinstance(value, torch.Tensor) or value.shape != expected[name].shape:
            shape = list(getattr(value, "shape", ["no tensor"]))
            raise ValueError(f"{name} is {quote(shape)}, not {list(expected[name].shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity")


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    try:
        with open(path, "rb") as file:  # parsing takes several times the memory of the header
            HEADER_BYTES.check(int.from_bytes(file.read(8), "little"), "its header")
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            state = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:
        raise ValueError(f"{path} is not a complete .safetensors file: {reason(error)}") from error
    try:
        parts = parse_json(header or "", "its header")
        return state, parts["architecture"], parts["metadata"]
    except Exception as error:
        raise ValueError(f"{path} has no vision-core header: it was not saved by vision-core") from error


def _read_pth(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    names = ("model_state_dict", "model_architecture", "metadata")
    data = load_state(path, *names)
    state, architecture, metadata = (data[name] for name in names)
    return state, architecture, metadata
