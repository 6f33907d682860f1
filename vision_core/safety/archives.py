"""Files out of a stranger's ZIP, and no more of them than asked for."""

from collections.abc import Collection
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from vision_core.folders import is_system
from vision_core.safety.limits import ARCHIVE, ARCHIVE_PAGES


def members(path: str | Path, suffixes: Collection[str]) -> list[tuple[str, bytes]]:
    """(name, content) of the files in a ZIP that have one of these suffixes, by name; nothing is written.

    Raises:
        ValueError: no ZIP, a damaged one, or more than ARCHIVE_PAGES files or ARCHIVE_MB of `limits` in
            all: a few bytes of a ZIP can hold gigabytes.
    """
    found, room = [], ARCHIVE.value
    try:
        with ZipFile(path) as archive:
            chosen = [one for one in archive.infolist() if _wanted(one, suffixes)]
            ARCHIVE_PAGES.check(len(chosen), "the ZIP")
            for member in sorted(chosen, key=lambda one: one.filename):
                with archive.open(member) as file:
                    content = file.read(room + 1)
                if len(content) > room:
                    most = f"{ARCHIVE.value / ARCHIVE.scale:g} MB, the most that is accepted"
                    raise ValueError(f"the ZIP holds more than {most} ({ARCHIVE.variable})")
                room -= len(content)
                found.append((member.filename, content))
    except ValueError:
        raise
    except Exception as error:  # zipfile's and its decompressors'
        raise ValueError("that is not a ZIP that we can read") from error
    return found


def _wanted(member: ZipInfo, suffixes: Collection[str]) -> bool:
    path = Path(member.filename)
    parts = [part for part in path.parts if part != ".."]  # leads nowhere: only the content is taken
    return path.suffix.lower() in suffixes and not member.is_dir() and not any(map(is_system, parts))
