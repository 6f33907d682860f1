"""Atomic writes, file locks and JSON."""

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

SWEEP_SECONDS = 60  # minimum time between two searches of a folder for left-over .part files


@contextmanager
def atomic(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file for writing that replaces `path` atomically when the block succeeds.

    The data is written to `NAME.*.part` in the same folder, synced and then renamed. After an error, a full
    disk or a kill, an existing `path` is unchanged; its permissions are always kept. Files left over from
    killed writers are removed by later writes to the folder.

    Raises:
        ValueError: `path` is a folder or a device, or its folder cannot be created.
        OSError: the disk is full or the folder is not writable; names `path`.
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
            with suppress(OSError):  # a file system without locks, where `sweep` removes nothing
                lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if path.exists():
                shutil.copymode(path, part)
            os.utime(part)  # fresh timestamp: protects it from `sweep` until it is renamed
        os.replace(part, path)  # on Windows, only closed files can be renamed
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(part)):
            error.filename, error.filename2 = (str(path), None)  # a full disk raises without a file name
        raise


def lock(file: BinaryIO) -> None:
    """Lock an open file until it is closed or the process ends.

    Does nothing on Windows, where a file that is open cannot be removed anyway.

    Raises:
        OSError: another process holds the lock.
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
    """Remove `.part` files whose writers are dead, i.e. that nobody locks any more.

    Args:
        seconds: minimum age; a writer may be about to lock or rename a younger file.
    """

    def is_old(part: Path) -> bool:
        return time.time() - part.stat().st_mtime > seconds

    for part in folder.glob("*.part"):
        with suppress(OSError):
            if re.search(r"\.[0-9a-f]{8}\.part$", part.name) and is_old(part):
                with open(part, "r+b") as file:
                    lock(file)
                    orphaned = is_old(part)  # checked again: the writer may have finished before we locked it
                if orphaned:
                    part.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: str | Path, data: Any, indent: int | None = 2) -> None:
    """Write JSON atomically. Raises `ValueError` for NaN and infinity, which JSON cannot represent."""
    separators = None if indent else (",", ":")
    write_text(path, json.dumps(data, indent=indent, separators=separators, allow_nan=False) + "\n")


def ordinary(path: str | Path) -> Path:
    """Return `path` if it is a regular file; opening a pipe or a device could block for ever.

    Raises:
        ValueError: it does not exist or is not a regular file.
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
    """Read a JSON file; raises `ValueError` with a one-sentence message if it cannot be read or parsed."""
    path = ordinary(path)
    try:
        limit.check(path.stat().st_size, str(path))
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def parse_json(text: str | bytes, name: str) -> Any:
    """Parse untrusted JSON.

    Raises:
        ValueError: invalid JSON, a number that is not finite, an integer of more than 64 bits, or too many
            values; the message starts with `name`.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        # each value takes some 60 bytes of memory, even if it has only one character
        JSON_VALUES.check(sum(map(text.count, ",[{")), name)
        return json.loads(text, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    except RecursionError as error:
        raise ValueError(f"{name} is not valid JSON: it is nested too deeply") from error
    except ValueError as error:  # includes UnicodeDecodeError
        message = reason(error)
        if not message.startswith(name):
            message = f"{name} is not valid JSON: {message}"
        raise ValueError(message) from error


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**63:
        raise ValueError(f"{text[:20]}… is too large")
    return number


def without_nan(data: Any) -> Any:
    """Replace NaN and infinity, which JSON cannot represent, by None."""
    match data:
        case float() if not math.isfinite(data):
            return None
        case dict():
            return {key: without_nan(value) for key, value in data.items()}
        case list() | tuple():
            return [without_nan(value) for value in data]
    return data


def bundled(name: str) -> Path:
    """The bundled folder `assets` or `models`: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).parent
    return package / name if (package / name).is_dir() else package.parent / name
