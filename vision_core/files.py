"""Writing files so that a reader never sees half of one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO


@contextmanager
def atomic(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path`, complete, when the block ends; nothing appears when it fails.

    Written beside the target as `NAME.*.part`, synced, then renamed, so a full disk, an error or a kill
    leaves an older `path` as it was.

    Raises:
        ValueError: `path` is a folder, or its folder does not exist and cannot be made.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; the name of a file was expected")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"cannot write {path}: {path.parent} is not a folder") from error
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", suffix=".part", delete=False) as file:
        part = Path(file.name)
        try:
            yield file  # pyright: ignore[reportReturnType]
            file.flush()
            os.fsync(file.fileno())
            file.close()
            part.chmod(0o666 & ~_umask())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


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


def read_json(path: str | Path, max_bytes: int = 64 << 20) -> Any:
    """Read a JSON file; every fault of the file is a `ValueError` of one sentence."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.stat().st_size > max_bytes:
        raise ValueError(f"{path} is larger than {max_bytes >> 20} MB")
    try:
        return json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def bundled(name: str) -> Path:
    """The folder `assets` or `models` that comes with the package.

    Inside a wheel, beside it in a checkout.
    """
    package = Path(__file__).parent
    return package / name if (package / name).is_dir() else package.parent / name
