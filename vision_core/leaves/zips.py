"""Uses a ZIP of class folders like a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import is_zipfile

from vision_core.pictures.images import READABLE
from vision_core.safety import archives
from vision_core.safety.limits import LEAVES, LEAVES_PICTURES


@contextmanager
def unpacked(source: str | Path) -> Iterator[Path]:
    """Yield a folder itself; for a ZIP, a temporary folder with its pictures, which is removed at the end.

    Raises:
        ValueError: not a ZIP, a damaged one, one without pictures or with more than LEAVES_PICTURES or
            LEAVES_MB of `limits`; a name in it leads out of it. An error inside the context names the ZIP.
    """
    source = Path(source)
    if source.is_dir() or (source.suffix.lower() != ".zip" and not source.is_file()):
        yield source
        return
    if source.suffix.lower() != ".zip" and not is_zipfile(source):
        raise ValueError(f"{source} is a file, and no ZIP: a folder or a ZIP of one was expected")
    if not source.is_file():
        raise ValueError(f"there is no file {source}")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary, source.stem)
        folder.mkdir()
        try:
            archives.write(archives.each(source, READABLE, LEAVES_PICTURES, LEAVES), folder)
            if not any(folder.iterdir()):
                raise ValueError("it holds no pictures")
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        try:
            yield folder
        except ValueError as error:
            raise ValueError(str(error).replace(str(folder), str(source))) from error
