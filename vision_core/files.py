"""Writing files so that a reader never sees half of one."""

import json
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from vision_core.safety.limits import JSON, JSON_VALUES, Limit
from vision_core.safety.messages import reason

SWEEP_SECONDS = 60  # a folder of many files is searched for remains once in so long, not at each write


@contextmanager
def atomic(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path`, complete, when the block ends; nothing appears when it fails.

    Written beside the target as `NAME.*.part`, synced, then renamed, so a full disk, an error or a kill
    leaves an older `path` as it was, and its permissions stay. What killed writers left in that folder is
    removed within a minute of later writes.

    Raises:
        ValueError: `path` is a folder or a device, or its folder does not exist and cannot be made.
        OSError: the disk is full or the folder not writable; names `path`.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; the name of a file was expected")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not an ordinary file and will not be replaced")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"cannot write {path}: {path.parent} is not a folder") from error
    _sweep(path.parent, int(time.monotonic() / SWEEP_SECONDS))
    part = path.with_name(f"{path.name[:50]}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            with suppress(OSError):  # a file system without locks: nobody will sweep here
                lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if path.exists():
                shutil.copymode(path, part)
            os.utime(part)  # young again: nobody sweeps it between here and its new name
        os.replace(part, path)  # Windows renames closed files only
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(part)):
            error.filename, error.filename2 = str(path), None  # a write on a full disk names no file
        raise


def lock(file: BinaryIO) -> None:
    """Lock an open file until it is closed or its process ends; `OSError` where another process holds it.

    Windows has no such locks and needs none here: it never removes a file that a process has open.
    """
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@lru_cache(maxsize=256)
def _sweep(folder: Path, minute: int) -> None:
    sweep(folder, 10)


def sweep(folder: Path, seconds: float = 1) -> None:
    """Remove the `.part` files of a folder whose writers are dead: the system has given up their locks.

    Args:
        seconds: without a write; a younger one may belong to a writer who is about to lock or rename it.
    """

    def is_old(part: Path) -> bool:
        return time.time() - part.stat().st_mtime > seconds

    for part in folder.glob("*.part"):
        with suppress(OSError):
            if re.search(r"\.[0-9a-f]{8}\.part$", part.name) and is_old(part):
                with open(part, "r+b") as file:
                    lock(file)
                    orphaned = is_old(part)  # its writer may have finished while we came by the lock
                if orphaned:
                    part.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: str | Path, data: Any, indent: int | None = 2) -> None:
    """Write JSON atomically.

    NaN and infinity are refused with a `ValueError`, for no JSON reader takes them.
    """
    separators = None if indent else (",", ":")
    write_text(path, json.dumps(data, indent=indent, separators=separators, allow_nan=False) + "\n")


def ordinary(path: str | Path) -> Path:
    """`path`, where it is an ordinary file: opening a pipe or a device would wait for ever, or never end.

    Raises:
        ValueError: it is something else, or not there.
    """
    path = Path(path)
    try:
        if path.is_file():
            return path
        kind = "a folder" if path.is_dir() else "not an ordinary file" if path.exists() else ""
    except ValueError:  # a NUL in the name
        kind = ""
    raise ValueError(
        f"{path} is {kind}; the name of a file was expected" if kind else f"there is no file {path}"
    )


def read_json(path: str | Path, limit: Limit = JSON) -> Any:
    """Read a JSON file; every fault of the file is a `ValueError` of one sentence."""
    path = ordinary(path)
    try:
        limit.check(path.stat().st_size, str(path))
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def parse_json(text: str | bytes, name: str) -> Any:
    """JSON from anybody: its numbers are finite, whole ones fit in 64 bits, and it fits in memory.

    Raises:
        ValueError: anything else; starts with `name`.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        # each is an object of some 60 bytes, however few characters it takes
        JSON_VALUES.check(sum(map(text.count, ",[{")), name)
        return json.loads(text, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    except RecursionError as error:
        raise ValueError(f"{name} is not valid JSON: it is nested too deeply") from error
    except ValueError as error:  # also bytes that are no UTF-8
        said = reason(error)
        raise ValueError(said if said.startswith(name) else f"{name} is not valid JSON: {said}") from error


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**63:
        raise ValueError(f"{text[:20]}… is too large a number")
    return number


def without_nan(data: Any) -> Any:
    """Plain data in which None stands for NaN and infinity, which JSON cannot say."""
    match data:
        case float() if not math.isfinite(data):
            return None
        case dict():
            return {key: without_nan(value) for key, value in data.items()}
        case list() | tuple():
            return [without_nan(value) for value in data]
    return data


def bundled(name: str) -> Path:
    """The folder `assets` or `models` that comes with the package.

    Inside a wheel, beside it in a checkout.
    """
    package = Path(__file__).parent
    return package / name if (package / name).is_dir() else package.parent / name
