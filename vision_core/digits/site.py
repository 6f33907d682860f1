"""Writes the explorer as a folder that any file server, or a free static Space, can show."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from vision_core.digits.export import export
from vision_core.files import bundled

NOT_SHOWN = ("package.json", "__pycache__")


def publish(out: str | Path, run: str | Path | None = None) -> Path:
    """Copy the page and its data to `out`; older files of the page there are replaced, others left alone.

    Args:
        run: show this training instead of the one that comes with the package.

    Raises:
        ValueError: `out` is where the page is copied from, or lies in it; `run` cannot be exported.
    """
    page, out = (bundled("apps") / "digits_site").resolve(), Path(out)
    if page in (out.resolve(), *out.resolve().parents):
        raise ValueError(f"{out} is the page itself: choose another folder")
    with TemporaryDirectory() as scratch:  # a run that cannot be exported leaves an older page as it was
        files = [] if run is None else export(run, Path(scratch) / "digits.json")
        shutil.copytree(page, out, ignore=shutil.ignore_patterns(*NOT_SHOWN), dirs_exist_ok=True)
        for file in files:
            shutil.copy(file, out / "data" / file.name)
    return out
