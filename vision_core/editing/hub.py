"""Large models of the hub: which are on this machine, the size of a download, and resumable downloads."""

import hashlib
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Any

from vision_core import extras
from vision_core.events import Step
from vision_core.files import read_json
from vision_core.safety import messages
from vision_core.safety.messages import quote
from vision_core.weights import WeightsMissing, is_offline

# what loading reads: never a pickle, and of several formats of one tensor only one
PATTERNS = ["*.json", "*.txt", "*.safetensors", "*.model"]
IGNORED = ["*.fp16.safetensors", "*.non_ema.safetensors", "*openvino*", "*onnx*", "*flax*", "*.ckpt", "*.bin"]

# what a network's configuration asks for one by one, as a number or as a list, and any other size
COUNTED, LISTED = re.compile("layers|blocks|heads|depth|stages"), re.compile("layer|block|depth|stage")
MOST_PARTS, MOST_WIDE = 1_000, 1 << 24


def prepare() -> None:
    """Call before an import of diffusers, open_clip or transformers.

    Raises:
        ExtraMissing: they are not installed; the message has the line that installs them.
    """
    from vision_core import torchvision_cpu

    extras.need("editing", "edits by text", "diffusers", "open_clip", "transformers")
    torchvision_cpu.prepare()


def folder(source: str | Path, needed: str) -> Path:
    """The folder of a model: `source` itself, or the copy of that repository in the hub's cache.

    Args:
        needed: a file that must be in it.

    Raises:
        ValueError: a folder without `needed`, or no name of a repository.
        WeightsMissing: the repository has not been fetched; the message says how to.
    """
    if Path(source).is_dir():
        if not (Path(source) / needed).is_file():
            raise ValueError(f"the folder {source} holds no {needed}")
        return _checked(Path(source))
    name = _name(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    part = f"{name} was fetched only in part: vision-core edit fetch {name} goes on"
    try:
        snapshot = Path(
            snapshot_download(name, local_files_only=True, allow_patterns=PATTERNS, ignore_patterns=IGNORED)
        )
    except IncompleteSnapshotError as error:
        raise WeightsMissing(part) from error
    except LocalEntryNotFoundError as error:
        if _unfinished(name).exists():
            raise WeightsMissing(part) from error
        raise WeightsMissing(f"{name} is not on this machine: vision-core edit fetch {name}") from error
    if not (snapshot / needed).is_file() or _unfinished(name).exists():
        raise WeightsMissing(part)
    return _checked(snapshot)


def _checked(folder: Path) -> Path:
    """The folder, after checking that its configurations ask for networks of a sane size.

    Raises:
        ValueError: with the file, the entry and its value.
    """
    for path in sorted([*folder.glob("*config.json"), *folder.glob("*/*config.json")]):
        if path.name != "tokenizer_config.json":  # its lengths may be 1e30, and build nothing
            _check_sizes(read_json(path), path)
    return folder


def _check_sizes(config: Any, path: Path, key: str = "") -> None:
    match config:
        case dict():
            for name, value in config.items():
                _check_sizes(value, path, str(name))
        case list():
            if LISTED.search(key) and len(config) > MOST_PARTS:
                raise ValueError(f"{path}: {quote(key)} has {len(config):,} entries, {MOST_PARTS:,} at most")
            for value in config:
                _check_sizes(value, path, key)
        case int() if config > (most := MOST_PARTS if COUNTED.search(key) else MOST_WIDE):
            raise ValueError(f"{path}: {quote(key)} is {config:,}, {most:,} at most can be built")


def missing(repo: str, only: str | None = None) -> dict[str, int]:
    """The files that loading `repo` needs and this machine lacks, with their sizes in bytes, smallest first.

    Args:
        only: the only file that is needed, if the repository is not a whole model.

    Raises:
        ValueError: no such repository, or no name of one.
        WeightsMissing: the hub cannot be asked.
    """
    from huggingface_hub import model_info, snapshot_download

    with _hub_errors(repo):
        model_info(_name(repo))  # a dry run does not tell a wrong name from a broken line
        plan = snapshot_download(_name(repo), dry_run=True, **_needed(only))
    sizes = {file.filename: int(file.file_size or 0) for file in plan if file.will_download}
    return dict(sorted(sizes.items(), key=lambda item: (item[1], item[0])))  # the client's order is by chance


def fetch(repo: str, only: str | None = None) -> Generator[Step, None, Path]:
    """Download what is missing of `repo`, file by file, and return its folder; progress is in bytes.

    Closing the generator cancels. Finished files are kept, and the next call continues with the file that was
    interrupted, which the hub's client downloads again from its start. Each file is checked against the size
    and hash the hub gives.

    Raises:
        ValueError, WeightsMissing: as `missing`; also when the connection ends.
    """
    from huggingface_hub import hf_hub_download, snapshot_download

    sizes = missing(repo, only)
    total, done, began = max(1, sum(sizes.values())), 0, monotonic()
    mark = _unfinished(_name(repo))
    resumed = mark.exists()
    if sizes:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        _sweep(mark.parent)
    for file, size in sizes.items():

        def work(bar: type, file: str = file) -> None:
            _verify(Path(hf_hub_download(_name(repo), file, tqdm_class=bar)))

        with _hub_errors(repo):
            yield from _while_waiting(work, done, size, total, began)
        done += size
        yield _step(done, total, began)
    with _hub_errors(repo):
        folder = Path(snapshot_download(_name(repo), **_needed(only)))
        if resumed:  # cancelled between a file's last byte and the look at its hash
            for file in folder.rglob("*"):
                if file.is_file():
                    _verify(file)
    mark.unlink(missing_ok=True)
    return folder


def _needed(only: str | None) -> dict[str, Any]:
    """The files of a repository that the hub's client should fetch."""
    return {"allow_patterns": [only]} if only else {"allow_patterns": PATTERNS, "ignore_patterns": IGNORED}


def _unfinished(name: str) -> Path:
    """The marker file in the hub's cache that exists while a download is incomplete."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "unfinished"


def _verify(file: Path) -> None:
    """Compare a file of the hub's cache with its hash; a file that differs is deleted and raises `OSError`.

    The hub's client compares sizes only. A large file is named by its SHA-256, a small one by git's SHA-1.
    """
    blob = file.resolve()
    if len(blob.name) not in (40, 64):  # no cache of links: the name says nothing
        return
    with open(blob, "rb") as data:
        if len(blob.name) == 64:
            digest = hashlib.file_digest(data, "sha256")
        else:
            head = f"blob {blob.stat().st_size}\0".encode()
            digest = hashlib.file_digest(data, lambda: hashlib.sha1(head, usedforsecurity=False))
    if digest.hexdigest() != blob.name:
        file.unlink()
        blob.unlink(missing_ok=True)
        raise OSError(f"{file.name} came with another hash than the hub names")


@contextmanager
def reading(source: str | Path) -> Iterator[None]:
    """Turn whatever a model's loader raises into a `ValueError` of one sentence: its files are untrusted."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{source} cannot be loaded as such a model: {messages.reason(error)}") from error


class _Cancelled(Exception):
    """Ends a download from within when nobody waits for it any more."""


def _while_waiting(
    work: Callable[[type], object], done: int, size: int, total: int, began: float
) -> Generator[Step]:
    """Run the download of one file beside, so that closing the generator returns at once and ends it.

    `work` gets the class of the progress bar that the hub's client calls for every 10 MB it has received.
    """
    from tqdm import tqdm

    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    stop, received = Flag(), 0

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            nonlocal received
            if stop.is_set():
                raise _Cancelled
            received += int(n or 0)

    def run() -> None:
        try:
            work(Bar)
            ended.put(None)
        except BaseException as error:
            ended.put(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            try:
                error = ended.get(timeout=1)
            except Empty:
                yield _step(done + min(received, size), total, began)
                continue
            if error is not None:
                raise error
            return
    finally:
        stop.set()
        thread.join(timeout=2)  # on a fast line it ends now and removes its half of a file; else later


def _step(done: int, total: int, began: float) -> Step:
    return Step(done, total, {}, (monotonic() - began) / max(1, done) * (total - done))


def _sweep(folder: Path) -> None:
    """Remove the partial files of killed downloads from a repository in the hub's cache.

    Whoever still writes one holds the client's lock of that file.
    """
    from filelock import FileLock, Timeout

    for half in (folder / "blobs").glob("*.incomplete"):
        lock = folder.parent / ".locks" / folder.name / f"{half.name.split('.')[0]}.lock"
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            half.unlink(missing_ok=True)


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Turn errors of the hub's client into one-sentence messages."""
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError

    try:
        yield
    except RepositoryNotFoundError as error:
        raise ValueError(f"the model hub has no repository {repo} that you may read") from error
    except (HTTPError, OSError) as error:
        reason = "HF_HUB_OFFLINE is set" if is_offline() else messages.reason(error)
        raise WeightsMissing(
            f"{repo} could not be fetched ({reason}): connect and try again, what was fetched is kept"
        ) from error


def _name(source: str | Path) -> str:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(str(source))
    except HFValidationError as error:
        raise ValueError(f"{str(source)!r} is neither a folder nor the name of a repository") from error
    return str(source)
