"""Writes the folder of a Hugging Face Space: one app with its card, packages, code and weights."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from apps.landing import legal
from vision_core import files, weights
from vision_core.files import bundled

APPS = Path(__file__).parent
NEVER = shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyi", "*.part", ".*", "package.json", "build.py")
LARGE = ("safetensors", "pth", "npz", "bin", "jpg", "png", "woff2")  # the hub accepts these only through LFS
START = '''"""What the Space runs: one app of vision-core at the top of its address."""

import sys

from apps import suite

if __name__ == "__main__":
    suite.main(["--only", "{app}", *sys.argv[1:]])
'''


@dataclass(frozen=True)
class Space:
    """One Space: `folder` in apps/ holds its card, README.md; all fields but `write` are for Python apps.

    Args:
        weights: names of `weights.WEIGHTS` that the app loads.
        assets: folders of assets/ that it reads.
        apps: files and folders of apps/ beside its own.
        write: writes a static page, which needs no Python.
    """

    folder: str
    weights: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    apps: tuple[str, ...] = ("digits_site/icon.svg",)
    write: Callable[[Path], object] | None = None


def _digits(out: Path) -> None:
    from vision_core import digits

    digits.publish(out)


def _leaves(out: Path) -> None:
    from vision_core.leaves.site import publish

    publish(out)


SPACES = {
    "color": Space("color_transfer", assets=("color",)),
    "edit": Space(
        "image_editing",
        ("editing-inpainting", "editing-clip", "editing-dino", "editing-filler", "editing-coarse", "marking"),
        ("color",),
    ),
    "restore": Space(
        "restoration", ("restoration", "restoration-gate", "restoration-verso"), ("restoration",)
    ),
    "dashboard": Space(
        "dashboard", ("digits", "leaves", "mobilenet"), ("digits", "leaves", "color"), ("digits_site",)
    ),
    "digits": Space("digits_site", write=_digits),
    "leaves": Space("leaves_site", write=_leaves),
}


def write(name: str, out: str | Path) -> Path:
    """Write the Space called `name` to `out`, a new or an empty folder; returns it, absolute.

    The folder starts by itself, away from this checkout: `git push` it to a Space, or run its `app_file`.

    Raises:
        ValueError: no such Space, `out` is a file or has something in it, or some weights are missing.
        OSError: the disk is full or the folder not writable.
    """
    if name not in SPACES:
        raise ValueError(f"there is no Space {name!r}; there are {', '.join(SPACES)}")
    out = Path(out).absolute()
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; the name of a folder was expected")
    if out.is_dir() and any(path.name != ".git" for path in out.iterdir()):
        raise ValueError(f"{out} is not empty; name a new folder, or remove what is in it")
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=out, prefix=".space-") as stage:
            _fill(SPACES[name], Path(stage))
            for path in sorted(Path(stage).iterdir()):
                os.replace(path, out / path.name)
    finally:
        if is_new:
            with suppress(OSError):
                out.rmdir()  # only if it is empty
    return out


def _fill(space: Space, stage: Path) -> None:
    if space.write is not None:
        space.write(stage)
        return
    app = APPS / space.folder
    shutil.copytree(Path(files.__file__).parent, stage / "vision_core", ignore=_code_alone)
    (stage / "apps").mkdir()
    for path in APPS.iterdir():
        if path.is_file() and path.suffix != ".pyc":
            shutil.copy(path, stage / "apps")
    for folder in (APPS / "shared", app):
        shutil.copytree(folder, stage / "apps" / folder.name, ignore=NEVER)
    for name in ("README.md", "requirements.txt", "Dockerfile"):
        if (moved := stage / "apps" / app.name / name).exists():
            moved.replace(stage / name)
    for name in space.apps:
        _copy(APPS / name, stage / "apps" / name)
    for name in space.assets:
        _copy(bundled("assets") / name, stage / "assets" / name)
    for name in space.weights:
        _copy_weights(name, stage / "models")
    for name in ("LICENSE", "NOTICE.md"):
        (stage / name).write_text(legal(name), "utf-8")
    (stage / "app.py").write_text(START.format(app=space.folder), "utf-8")
    by_lfs = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE)
    (stage / ".gitattributes").write_text(by_lfs, "utf-8")


def _code_alone(folder: str, names: list[str]) -> set[str]:
    """Skip assets and models, which a wheel keeps inside the package."""
    inside = {"assets", "models"} if Path(folder) == Path(files.__file__).parent else set()
    return {*NEVER(folder, names), *inside & {*names}}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=NEVER, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def _copy_weights(name: str, models: Path) -> None:
    """Copy the checked file or folder of one entry, and its model card."""
    entry = weights.WEIGHTS[name]
    source = weights.find(name)
    for part in entry.parts:
        _copy(source / part if part else source, models / entry.file / part if part else models / entry.file)
    system = Path(entry.file).parts[0]
    _copy(bundled("models") / system / "README.md", models / system / "README.md")
