"""Batches of pictures: find them in folders, name their results, and go on after a bad one."""

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from vision_core.pictures.images import READABLE, SUFFIXES
from vision_core.safety.messages import reason, sentence

_SYSTEM = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),  # Windows
    *("__macosx", "@eadir", "#recycle", "lost+found"),
}

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """The result for one item, or the error message if it failed."""

    item: Item
    result: Result | None = None
    error: str = ""


def each(items: Iterable[Item], act: Callable[[Item], Result]) -> Iterator[Outcome[Item, Result]]:
    """Call `act` with every item; a `ValueError` or `OSError` becomes the outcome of that item.

    Raises:
        OSError: the disk is full, so all other items would fail, too.
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
class Listing:
    """Files to process, each with the relative name of its result, and the other files in the folders."""

    files: list[tuple[Path, Path]]
    passed: list[Path]

    @property
    def notes(self) -> list[str]:
        """A sentence about the files that were skipped; empty if there are none."""
        if not self.passed:
            return []
        names = ", ".join(str(path.name) for path in self.passed[:3])
        more = f" and {len(self.passed) - 3} more" if len(self.passed) > 3 else ""
        number = "1 file was" if len(self.passed) == 1 else f"{len(self.passed)} files were"
        return [sentence(f"{number} skipped, not a picture format: {names}{more}")]


def is_system(name: str) -> bool:
    """Whether a file or folder is hidden or belongs to the operating system, judged by its name."""
    return name.startswith(".") or name.lower() in _SYSTEM


def find(paths: Iterable[Path], endings: Collection[str] = READABLE, out: Path | None = None) -> Listing:
    """Collect the given files, and all files with these endings in the given folders and their subfolders.

    Hidden files and those of operating systems are skipped, links to folders are not followed, and the
    results of an earlier batch in the folder `out` are not taken as sources. Each file is listed once.

    Raises:
        ValueError: a folder contains no such files.
    """
    files: dict[Path, Path] = {}
    passed: list[Path] = []
    results = None if out is None else out.resolve()
    for path in paths:
        if not path.is_dir():
            files.setdefault(path, Path(path.name))
            continue
        before = len(files)
        for folder, inner, names in os.walk(path):
            inner[:] = sorted(n for n in inner if not is_system(n) and Path(folder, n).resolve() != results)
            for name in sorted(name for name in names if not is_system(name)):
                file = Path(folder, name)
                if file.suffix.lower() in endings:
                    files.setdefault(file, file.relative_to(path))
                else:
                    passed.append(file)
        if len(files) == before and not any(path in file.parents for file in files):
            raise ValueError(f"there are no images in the folder {path}")
    return Listing(list(files.items()), passed)


def below(folder: str | Path) -> list[Path]:
    """All images in a folder and its subfolders, sorted by name.

    Raises:
        ValueError: there is no such folder, or it contains no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    return [path for path, _ in find([folder]).files]


def targets(paths: Sequence[Path], out: Path) -> tuple[dict[Path, Path], list[str]]:
    """Map each picture to the path of its result; also returns notes about skipped files.

    `out` is a folder or, for a single picture, a file. In a folder, results keep their relative path, with a
    number if two would collide, and their suffix if we can write that format, else .png. The names depend
    only on the sources, not on existing files.

    Raises:
        ValueError: several pictures for one file, a folder without pictures, or a result that would replace
            a source.
    """
    pictures = find(paths, out=out)
    sources = [source for source, _ in pictures.files]
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(sources) > 1 or paths[0].is_dir():
            raise ValueError(f"--out is a single file, {out}: give a folder for several pictures")
        named = {source: out for source in sources}
    else:
        names = distinct(name for _, name in pictures.files)
        named = {source: out / name for source, name in zip(sources, names, strict=True)}
    refuse_replacing(sources, named.values())
    return named, pictures.notes


def distinct(names: Iterable[Path], writable: Collection[str] = tuple(SUFFIXES)) -> Iterator[Path]:
    """Make names unique, ignoring case, by appending numbers; a suffix that is not writable becomes .png."""
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
    """Raise `ValueError` if a result is the same file as one of the sources, even by another name."""
    originals = {_identity(source) for source in sources} - {None}
    for result in results:
        if _identity(result) in originals:
            raise ValueError(f"{result} would replace one of the input pictures: choose another --out")


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if it does not exist."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
