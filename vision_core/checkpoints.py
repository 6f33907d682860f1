"""The one door for trained weights: weights, constructor arguments and metadata in one safe file."""

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
    """Write `model` atomically, as `.safetensors` or (by that suffix) `.pth`.

    The model tells its constructor arguments in `model.architecture`, and in `model.frozen`, where it has
    it, the names of the parts that were not trained: of these only a hash is stored. `metadata` is anything
    JSON can hold: data, seed, epochs, metrics, licence; both formats give it back as JSON does. A `.pth`
    holds `{"model_state_dict", "model_architecture", "metadata"}`.

    Args:
        half: store float32 tensors as float16; `load` gives float32 back.

    Raises:
        ValueError: another suffix, or metadata that are not plain data; nothing is written.
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


class HubMixin(ModelHubMixin):
    """Gives a network `save_pretrained`, `from_pretrained` and `push_to_hub`, which use `save` and `load`.

    A folder or repository then holds a checkpoint of ours, model.safetensors, and the hub's config.json.
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
        **constructor: Any,  # from config.json; the checkpoint has its own
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
    """The state of `model` without its frozen parts."""
    frozen = tuple(f"{name}." for name in getattr(model, "frozen", ()))
    return {name: value for name, value in model.state_dict().items() if not name.startswith(frozen)}


def load_trained(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Give `model` the state of `trained_state`; its frozen parts stay as they are.

    Raises:
        RuntimeError: other names or shapes.
    """
    own = trained_state(model)
    model.load_state_dict({name: v for name, v in model.state_dict().items() if name not in own} | state)


def _frozen_hashes(model: nn.Module) -> dict[str, str]:
    """The SHA-256 of each frozen part's tensors, with their names, types and shapes."""
    hashes = {}
    for part in getattr(model, "frozen", ()):
        digest = hashlib.sha256()
        for name, value in sorted(model.get_submodule(part).state_dict().items()):
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        hashes[part] = digest.hexdigest()
    return hashes


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """`data` as JSON gives it back: a NumPy number in a pickle would make the file unreadable."""
    try:
        return json.loads(json.dumps(data))
    except (TypeError, ValueError) as error:
        raise ValueError(f"only plain data can be stored with a model: {error}") from error


def load(path: str | Path, *classes: type[Network]) -> tuple[Network, dict[str, Any]]:
    """The model, in eval mode on the CPU, and its metadata.

    Args:
        classes: the networks that the file may hold; it names one of them.

    Raises:
        ValueError: no such file; not a checkpoint, cut off or not safe to open; another network (names both),
            or one whose frozen parts were others.
        WeightsMissing: the frozen parts are nowhere to be had.
    """
    path = ordinary(path)
    safe = path.suffix.lower() == ".safetensors"
    state, architecture, metadata = _read_safetensors(path) if safe else _read_pth(path)
    if not all(isinstance(part, dict) for part in (state, architecture, metadata)):
        raise ValueError(f"{path} has a broken header: it was not saved by this program")
    found = architecture.pop("model", "a network without name")
    known = {kind.__name__: kind for kind in classes}
    if not isinstance(found, str) or found not in known:
        named = sentence(found, PART) if isinstance(found, str) else quote(found)
        raise ValueError(f"{path} holds {named}, but {' or '.join(known)} was expected")
    model_class = known[found]
    frozen = architecture.pop("frozen_sha256", {})
    try:
        if not isinstance(frozen, dict):
            raise ValueError(f"frozen_sha256 is {quote(frozen)}")
        bounds.check(architecture, getattr(model_class, "bounds"))  # noqa: B009
        with torch.device("meta"):  # costs no memory
            expected = trained_state(model_class(**architecture))
        _compare(state, expected)
        with devices.seeded(0):
            model = model_class(**architecture)
        if frozen:
            getattr(model, "load_frozen")()  # noqa: B009
        load_trained(model, state)
        if _frozen_hashes(model) != frozen:
            raise ValueError(
                f"it was trained on another {sentence(', '.join(frozen), PART) if frozen else 'network'}"
            )
    except WeightsMissing:
        raise
    except Exception as error:  # the constructor sees whatever a strange file holds
        raise ValueError(f"{path} does not fit {model_class.__name__}: {reason(error)}") from error
    return model.eval(), metadata


def _compare(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Raise a `ValueError` that names the first tensor that is too many, missing, of another shape or NaN."""
    for name in [*expected, *state]:
        if name not in state or name not in expected:
            raise ValueError(
                f"{sentence(name, PART)} is {'missing' if name in expected else 'not a part of it'}"
            )
        value = state[name]
        if not isinstance(value, torch.Tensor) or value.shape != expected[name].shape:
            found = list(getattr(value, "shape", ["no tensor"]))
            raise ValueError(f"{name} is {quote(found)}, not {list(expected[name].shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity")


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    try:
        with open(path, "rb") as file:  # its parser needs a multiple of the header
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
        raise ValueError(f"{path} has no vision-core header: it was not saved by this program") from error


def _read_pth(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    names = ("model_state_dict", "model_architecture", "metadata")
    data = load_state(path, *names)
    state, architecture, metadata = (data[name] for name in names)
    return state, architecture, metadata
