"""Work on many pictures: one that cannot be read ends nothing, and what is there need not be made again."""

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from vision_core.images import SUFFIXES
from vision_core.messages import reason

READABLE = (*SUFFIXES, ".gif", ".avif")

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


def pictures(paths: Iterable[Path]) -> list[Path]:
    """The files named, and in order the images in the folders named, each once.

    Raises:
        ValueError: a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        inside = (
            sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE) if path.is_dir() else [path]
        )
        if not inside:
            raise ValueError(f"there are no images in the folder {path}")
        found += inside
    return list(dict.fromkeys(found))


def below(folder: str | Path) -> list[Path]:
    """All images that can be written, too, in a folder and those in it, by name.

    Raises:
        ValueError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    return files


def targets(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where the result of each of these `pictures` goes: into the folder `out`, or for one to the file `out`.

    In a folder it keeps its name, with a number where two are called alike, and its suffix where we can write
    such files (else .png). The names depend on the sources alone, not on what is there.

    Raises:
        ValueError: several pictures for one file, a folder without any, or a result that would replace a
            source.
    """
    sources = pictures(paths)
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(sources) > 1 or paths[0].is_dir():
            raise ValueError(f"--out is one file, {out}: name a folder for several pictures")
        named = {source: out for source in sources}
    else:
        names = distinct(Path(source.name) for source in sources)
        named = {source: out / name for source, name in zip(sources, names, strict=True)}
    refuse_replacing(sources, named.values())
    return named


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
