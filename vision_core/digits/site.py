"""Writes the explorer as a static site for any file server or a static Space."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from vision_core.digits.export import export
from vision_core.files import bundled

NOT_SHOWN = ("package.json", "__pycache__")


def publish(out: str | Path, run: str | Path | None = None) -> Path:
    """Copy the page and its data to `out`; earlier versions are replaced, other files are left alone.

    Everything is written to a temporary folder in `out` and then moved, so that an error or a full disk
    leaves an earlier version intact.

    Args:
        run: show this training instead of the bundled one.

    Raises:
        ValueError: `out` is the source of the page, lies inside it or is a file; or `run` cannot be exported.
        OSError: the disk is full or the folder is not writable; names `out`.
    """
    page, out = (bundled("apps") / "digits_site").resolve(), Path(out)
    if page in (out.resolve(), *out.resolve().parents):
        raise ValueError(f"{out} is the source of the page: choose another folder")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; the name of a folder was expected")
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".page-") as stage:
            _write(page, run, Path(stage))
            _move(Path(stage), out)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(out)) from error
    finally:
        if is_new:
            with suppress(OSError):
                out.rmdir()  # only succeeds if it is empty
    return out


def _write(page: Path, run: str | Path | None, stage: Path) -> None:
    data = stage / "data"
    data.mkdir()
    if run is not None:
        export(run, data / "digits.json")
    for file in page.rglob("*"):
        name = file.relative_to(page)
        target = stage / name
        if file.is_file() and not target.exists() and not {*name.parts} & {*NOT_SHOWN}:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def _move(stage: Path, out: Path) -> None:
    for file in stage.rglob("*"):
        if file.is_file():
            target = out / file.relative_to(stage)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
