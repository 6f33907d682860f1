"""The one table of trained weights, and where they are found: a path, `models/`, the hub's cache, the hub."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from vision_core.files import bundled


@dataclass(frozen=True)
class Weights:
    """One file: under `models/`, or in `repo` (at `revision`) of the model hub."""

    file: str
    sha256: str
    licence: str
    source: str
    repo: str | None = None
    revision: str | None = None


WEIGHTS: dict[str, Weights] = {
    "color": Weights(
        "color/astronaut-coffee.safetensors",
        "00e806c2537274d96a89c0a21d6bb294979efd514edd8d24d0322e5759c76e3f",
        "Apache-2.0",
        "vision-core color train assets/color/astronaut.jpg assets/color/coffee.jpg",
    ),
    "digits": Weights(
        "digits/final_model_weights.pth",
        "3ab8540dc3eb01eaf7742415e969c3227ed2693033c9e347604322fb11bce509",
        "Apache-2.0",
        "vision-core digits train --lr 0.003 --cosine --augment",
    ),
}


class WeightsMissing(RuntimeError):
    """The weights are not on this machine and could not be fetched; the message tells what to do."""


def find(name: str, path: str | Path | None = None, table: dict[str, Weights] = WEIGHTS) -> Path:
    """The file of the weights `name`; `path`, when given, wins over the table.

    Looked for in `models/`, then in the local cache of the model hub, then on the hub unless HF_HUB_OFFLINE
    is set.

    Raises:
        ValueError: no such name, no file at `path`, or a file whose SHA-256 is not the table's.
        WeightsMissing: they are nowhere to be had.
    """
    if path is not None:
        if not Path(path).is_file():
            raise ValueError(f"there is no weights file {path}")
        return Path(path)
    if name not in table:
        raise ValueError(f"no weights are called {name!r}; there are {', '.join(table) or 'none'}")
    entry = table[name]
    found = locate(entry) or _from_hub(name, entry)
    with open(found, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry.sha256:
        raise ValueError(
            f"{found} is not the {name!r} of this release (SHA-256 {digest[:12]}, not {entry.sha256[:12]}): "
            + ("delete it to fetch it again" if entry.repo else "restore it, or name your own file")
        )
    return found


def locate(entry: Weights) -> Path | None:
    """The file of `entry` if it is on this machine already; asks no network."""
    bundle = bundled("models") / entry.file
    if bundle.is_file():
        return bundle
    if entry.repo is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(entry.repo, entry.file, revision=entry.revision)
    return Path(cached) if isinstance(cached, str) else None


def _from_hub(name: str, entry: Weights) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    if entry.repo is None:
        raise WeightsMissing(
            f"the weights {name!r} belong in models/{entry.file}: restore that file, or train them"
        )
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
    try:
        if not offline:
            return Path(hf_hub_download(entry.repo, entry.file, revision=entry.revision))
        reason = "HF_HUB_OFFLINE is set"
    except (HTTPError, OSError) as error:  # OSError: also the hub's own errors, and a full disk
        reason = (str(error) or type(error).__name__).splitlines()[0]
    raise WeightsMissing(
        f"the weights {name!r} are not on this machine and could not be fetched ({reason}): "
        f"connect once, or put {entry.file} of {entry.repo} into models/"
    )
