"""Files out of a stranger's ZIP, and no more of them than asked for."""

from collections.abc import Collection
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from vision_core.folders import is_system


def members(
    path: str | Path, suffixes: Collection[str], most: int, most_bytes: int
) -> list[tuple[str, bytes]]:
    """(name, content) of the files in a ZIP that have one of these suffixes, by name; nothing is written.

    Args:
        most, most_bytes: of all of them together; a few bytes of a ZIP can hold gigabytes.

    Raises:
        ValueError: no ZIP, a damaged one, or too many files or bytes.
    """
    found, room = [], most_bytes
    try:
        with ZipFile(path) as archive:
            chosen = [one for one in archive.infolist() if _wanted(one, suffixes)]
            if len(chosen) > most:
                raise ValueError(f"the ZIP has {len(chosen):,} such files; the most is {most:,}")
            for member in sorted(chosen, key=lambda one: one.filename):
                with archive.open(member) as file:
                    content = file.read(room + 1)
                if len(content) > room:
                    raise ValueError(f"the ZIP holds more than {most_bytes >> 20} MB")
                room -= len(content)
                found.append((member.filename, content))
    except ValueError:
        raise
    except Exception as error:  # zipfile's and its decompressors'
        raise ValueError("that is not a ZIP that we can read") from error
    return found


def _wanted(member: ZipInfo, suffixes: Collection[str]) -> bool:
    path = Path(member.filename)
    return path.suffix.lower() in suffixes and not member.is_dir() and not any(map(is_system, path.parts))
