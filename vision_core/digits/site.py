"""Writes the explorer as a folder that any file server, or a free static Space, can show."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from vision_core.digits.export import export
from vision_core.files import bundled

NOT_SHOWN = ("package.json", "__pycache__")


def publish(out: str | Path, run: str | Path | None = None) -> Path:
    """Copy the page and its data to `out`; older files of the page there are replaced, others left alone.

    Everything is written to a temporary folder in `out` first and then moved, so an error or a full disk
    leaves an older page as it was.

    Args:
        run: show this training instead of the one that comes with the package.

    Raises:
        ValueError: `out` is where the page is copied from, or lies in it; `out` is a file; `run` cannot be
            exported.
        OSError: the disk is full or the folder not writable; names `out`.
    """
    page, out = (bundled("apps") / "digits_site").resolve(), Path(out)
    if page in (out.resolve(), *out.resolve().parents):
        raise ValueError(f"{out} is the page itself: choose another folder")
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
                out.rmdir()  # only if nothing came into it
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
