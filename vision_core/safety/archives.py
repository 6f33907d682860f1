"""Files out of a stranger's ZIP, and no more of them than asked for."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from vision_core.folders import is_system
from vision_core.safety.limits import ARCHIVE, ARCHIVE_PAGES, Limit
from vision_core.safety.messages import quote, reason


def members(
    path: str | Path, suffixes: Collection[str], most: Limit = ARCHIVE_PAGES, size: Limit = ARCHIVE
) -> list[tuple[str, bytes]]:
    """(name, content) of the files in a ZIP that have one of these suffixes, by name; nothing is written.

    Raises:
        ValueError: no ZIP, a damaged one, or more than `most` files or `size` in all: a few bytes of a
            ZIP can hold gigabytes.
    """
    return list(each(path, suffixes, most, size))


def each(
    path: str | Path, suffixes: Collection[str], most: Limit, size: Limit
) -> Iterator[tuple[str, bytes]]:
    """Like `members`, one at a time."""
    room = size.value
    try:
        with ZipFile(path) as archive:
            chosen = [one for one in archive.infolist() if _wanted(one, suffixes)]
            most.check(len(chosen), "the ZIP")
            for member in sorted(chosen, key=lambda one: one.filename):
                with archive.open(member) as file:
                    content = file.read(room + 1)
                if len(content) > room:
                    accepted = f"{size.value / size.scale:g} MB, the most that is accepted"
                    raise ValueError(f"the ZIP holds more than {accepted} ({size.variable})")
                room -= len(content)
                yield member.filename, content
    except ValueError:
        raise
    except Exception as error:  # zipfile's and its decompressors'
        raise ValueError("that is not a ZIP that we can read") from error


def write(files: Iterable[tuple[str, bytes]], out: Path) -> None:
    """Write the members of a ZIP under their names into a folder.

    Raises:
        ValueError: a name leads out of the folder, or cannot be a file's name here.
    """
    for name, content in files:
        inside = PurePosixPath(name.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
            raise ValueError(f"the name {quote(name)} in the ZIP leads out of its folder")
        try:
            path = out / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except (OSError, ValueError) as error:
            raise ValueError(f"{quote(name)} of the ZIP cannot be written: {reason(error)}") from error


def _wanted(member: ZipInfo, suffixes: Collection[str]) -> bool:
    path = Path(member.filename)
    parts = [part for part in path.parts if part != ".."]  # leads nowhere: only the content is taken
    return path.suffix.lower() in suffixes and not member.is_dir() and not any(map(is_system, parts))
