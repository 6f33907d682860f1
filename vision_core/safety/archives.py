"""Reads files from an untrusted ZIP, within limits."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from vision_core.folders import is_system
from vision_core.safety.limits import ARCHIVE, ARCHIVE_PAGES, Limit
from vision_core.safety.messages import quote, reason

ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz")


def members(
    path: str | Path, suffixes: Collection[str], most: Limit = ARCHIVE_PAGES, size: Limit = ARCHIVE
) -> list[tuple[str, bytes]]:
    """(name, content) of the files in a ZIP that have one of these suffixes, by name; nothing is written.

    Raises:
        ValueError: no ZIP, one that is damaged, encrypted or holds only other archives, or more than `most`
            files or `size` in all: a few bytes of a ZIP can hold gigabytes.
    """
    return list(each(path, suffixes, most, size))


def each(
    path: str | Path, suffixes: Collection[str], most: Limit, size: Limit
) -> Iterator[tuple[str, bytes]]:
    """Like `members`, one at a time."""
    room = size.value
    try:
        with ZipFile(path) as archive:
            members = {_name(one): one for one in archive.infolist()}
            chosen = sorted(name for name, one in members.items() if _wanted(name, suffixes))
            inner = [name for name in members if Path(name).suffix.lower() in ARCHIVES]
            if inner and not chosen:
                raise ValueError(f"the ZIP holds another archive, {quote(inner[0])}: unpack that first")
            most.check(len(chosen), "the ZIP")
            for name in chosen:
                content = _content(archive, members[name], name, room)
                if len(content) > room:
                    accepted = f"{size.value / size.scale:g} MB, the most that is accepted"
                    raise ValueError(f"the ZIP holds more than {accepted} ({size.variable})")
                room -= len(content)
                yield name, content
    except ValueError:
        raise
    except Exception as error:  # zipfile's own
        raise ValueError("that is not a ZIP that we can read") from error


def _name(member: ZipInfo) -> str:
    """The name as it was written: macOS packs UTF-8 without saying so."""
    if member.flag_bits & 0x800:
        return member.filename
    with suppress(UnicodeError):
        return member.filename.encode("cp437").decode()
    return member.filename


def _content(archive: ZipFile, member: ZipInfo, name: str, most: int) -> bytes:
    """What a member unpacks to, cut off after `most` bytes and one more."""
    if member.flag_bits & 1:
        raise ValueError("the ZIP is encrypted: pack it without a password")
    try:
        with archive.open(member) as file:
            return file.read(most + 1)
    except NotImplementedError as error:
        raise ValueError(f"{quote(name)} in the ZIP is compressed in an unusual way: use Deflate") from error
    except Exception as error:  # of every decompressor
        raise ValueError(f"{quote(name)} in the ZIP is damaged: {reason(error)}") from error


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


def _wanted(name: str, suffixes: Collection[str]) -> bool:
    path = Path(name)
    parts = [part for part in path.parts if part != ".."]  # leads nowhere: only the content is taken
    return path.suffix.lower() in suffixes and not name.endswith("/") and not any(map(is_system, parts))
