"""Folders of pictures: what in them is one, and where results go; one that cannot be read ends nothing."""

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from vision_core.pictures.images import READABLE, SUFFIXES
from vision_core.safety.messages import reason, sentence

_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "#recycle",
           "system volume information", "lost+found"}  # fmt: skip

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: its result, or the sentence that says why there is none."""

    item: Item
    result: Result | None = None
    error: str = ""


def each(items: Iterable[Item], act: Callable[[Item], Result]) -> Iterator[Outcome[Item, Result]]:
    """Call `act` with every item; a `ValueError` or `OSError` is that item's outcome, and the next follows.

    Raises:
        OSError: the disk is full, which no other item would mend.
    """
    for item in items:
        try:
            yield Outcome(item, act(item))
        except ValueError as error:
            yield Outcome(item, error=str(error))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            yield Outcome(item, error=f"{error.filename or item}: {reason(error)}")


@dataclass(frozen=True)
class Found:
    """Files to work on, each with the name that its result gets, and the others in their folders."""

    files: list[tuple[Path, Path]]
    passed: list[Path]

    @property
    def notes(self) -> list[str]:
        """What was passed over, counted and named, as a sentence; none where that is nothing."""
        if not self.passed:
            return []
        names = ", ".join(str(path.name) for path in self.passed[:3])
        more = f" and {len(self.passed) - 3} more" if len(self.passed) > 3 else ""
        number = "1 file was" if len(self.passed) == 1 else f"{len(self.passed)} files were"
        return [sentence(f"{number} passed over, no picture by the ending: {names}{more}")]


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is hidden or an operating system's own."""
    return name.startswith(".") or name.lower() in _SYSTEM


def find(paths: Iterable[Path], endings: Collection[str] = READABLE, out: Path | None = None) -> Found:
    """The files named, and in order those with these endings in the folders named and below, each once.

    What operating systems write beside pictures is not even counted, links to folders are not followed, and
    results that lie in a folder `out` below are no sources.

    Raises:
        ValueError: a folder without such files.
    """
    files: dict[Path, Path] = {}
    passed: list[Path] = []
    made = None if out is None else out.resolve()
    for path in paths:
        if not path.is_dir():
            files.setdefault(path, Path(path.name))
            continue
        before = len(files)
        for folder, inner, names in os.walk(path):
            inner[:] = sorted(n for n in inner if not is_system(n) and Path(folder, n).resolve() != made)
            for name in sorted(name for name in names if not is_system(name)):
                file = Path(folder, name)
                if file.suffix.lower() in endings:
                    files.setdefault(file, file.relative_to(path))
                else:
                    passed.append(file)
        if len(files) == before and not any(path in file.parents for file in files):
            raise ValueError(f"there are no images in the folder {path}")
    return Found(list(files.items()), passed)


def below(folder: str | Path) -> list[Path]:
    """All images in a folder and those in it, by name.

    Raises:
        ValueError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    return [path for path, _ in find([folder]).files]


def targets(paths: Sequence[Path], out: Path) -> tuple[dict[Path, Path], list[str]]:
    """Where the result of each picture goes: into the folder `out`, or for one to the file `out`; and notes.

    In a folder it keeps its name and the folders it lies in, with a number where two are called alike, and
    its suffix where we can write such files (else .png). The names depend on the sources alone, not on what
    is there.

    Raises:
        ValueError: several pictures for one file, a folder without any, or a result that would replace a
            source.
    """
    found = find(paths, out=out)
    sources = [source for source, _ in found.files]
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(sources) > 1 or paths[0].is_dir():
            raise ValueError(f"--out is one file, {out}: name a folder for several pictures")
        named = {source: out for source in sources}
    else:
        names = distinct(name for _, name in found.files)
        named = {source: out / name for source, name in zip(sources, names, strict=True)}
    refuse_replacing(sources, named.values())
    return named, found.notes


def distinct(names: Iterable[Path], writable: Collection[str] = tuple(SUFFIXES)) -> Iterator[Path]:
    """The names for results, no two alike even but for upper and lower case: a second one gets a number.

    A suffix that is not `writable` becomes .png.
    """
    taken: set[str] = set()
    for name in names:
        suffix = name.suffix.lower() if name.suffix.lower() in writable else ".png"
        free, number = name.with_name(f"{name.stem}{suffix}"), 1
        while str(free).lower() in taken:
            number += 1
            free = name.with_name(f"{name.stem}-{number}{suffix}")
        taken.add(str(free).lower())
        yield free


def refuse_replacing(sources: Iterable[Path], results: Iterable[Path]) -> None:
    """Refuse with a `ValueError` a result that is one of the sources, by whatever name."""
    originals = {_identity(source) for source in sources} - {None}
    for result in results:
        if _identity(result) in originals:
            raise ValueError(f"{result} would replace one of the pictures to be read: choose another --out")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file whatever its name; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
