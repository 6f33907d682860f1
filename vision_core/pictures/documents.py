"""Pages in and out of files: single images, multi-page TIFF, PDF."""

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vision_core.files import atomic
from vision_core.pdf import pages as pdf
from vision_core.pdf import writing
from vision_core.pictures import images, tiff_writing
from vision_core.pictures.images import Picture
from vision_core.safety import limits

SUFFIXES = (*images.SUFFIXES, ".pdf")
READABLE = (*images.READABLE, ".pdf")

JOINING = writing.JOINING  # temporary folder next to the pages

Allow = Callable[[float], None]  # called with the number of pixels to be processed next


@dataclass(frozen=True)
class Document:
    """An open file: how many pages it has, and how to decode one, from 1.

    `read` raises a `ValueError` that says what is wrong with that page.
    """

    count: int
    read: Callable[[int, Allow], Picture]


@contextmanager
def opened(path: Path, max_pixels: int | None = None) -> Iterator[Document]:
    """An image, a TIFF or a PDF.

    Raises:
        ValueError: a file that cannot be opened, is encrypted or has too many pages.
    """
    match path.suffix.lower():
        case ".pdf":
            pages, most = pdf.Pages(path), max_pixels or limits.PIXELS.value
            try:
                yield Document(pages.count, lambda number, allow: pages.read(number, most, allow))
            finally:
                pages.close()
        case ".tif" | ".tiff":
            frames = images.tiff_pages(path, max_pixels)
            yield Document(len(frames), lambda number, allow: frames[number - 1]())
        case _:
            yield Document(1, lambda number, allow: images.read(path, max_pixels))


def count(path: Path) -> int:
    """The number of pages of an image, a TIFF or a PDF; see `opened` for what it raises."""
    with opened(path) as document:
        return document.count


def read(path: Path, number: int, max_pixels: int | None = None) -> Picture:
    """Page `number`, from 1, of an image, a TIFF or a PDF.

    Raises:
        ValueError: as `opened`, and for a page that is damaged or not there.
    """
    with opened(path, max_pixels) as document:
        return read_from(document, path, number)


def read_from(document: Document, path: Path, number: int, allow: Allow = lambda pixels: None) -> Picture:
    """Page `number` of the `document` that was opened at `path`; see `read`."""
    if not 1 <= number <= document.count:
        raise ValueError(f"{path} has no page {number}")
    return document.read(number, allow)


def is_document(path: Path) -> bool:
    """Whether the file type may hold several pages."""
    return path.suffix.lower() in (".pdf", ".tif", ".tiff")


def assumed(source: Path, part: Path, target: Path) -> list[str]:
    """Notes on defaults that are assumed when a page, a PNG file, is written to a PDF."""
    if not _is_pdf(target) or _is_pdf(source):
        return []
    with Image.open(part) as image:
        has_resolution = "dpi" in image.info
    return [] if has_resolution else [f"it names no resolution: {writing.ASSUMED_DPI} dpi were assumed"]


def lost(source: Path, target: Path) -> list[str]:
    """Notes on what a document loses in a `target` made from its pages."""
    return writing.lost(source, target) if _is_pdf(source) else []


def write(
    path: Path, parts: Mapping[int, Path], source: Path | None = None, unchanged: Container[int] = ()
) -> None:
    """Join page images, PNG files by page number, into one PDF or TIFF, atomically and without loss.

    The same pages give the same bytes. If source and result are PDFs, the pictures are put onto the pages of
    the source, except for the `unchanged` ones; see `writing.replace`.

    Raises:
        ValueError: another suffix, or no pages.
    """
    if not parts:
        raise ValueError(f"there are no pages to write to {path}")
    if path.suffix.lower() not in (".pdf", ".tif", ".tiff"):
        suffix = repr(path.suffix) if path.suffix else "a file without suffix"
        raise ValueError(f"pages are joined into .pdf or .tiff, not {suffix}")
    with atomic(path) as file:
        if not _is_pdf(path):
            tiff_writing.join(file, (images.encode(images.read(part), "TIFF") for part in parts.values()))
        elif source is not None and _is_pdf(source):
            changed = {number: part for number, part in parts.items() if number not in unchanged}
            writing.replace(source, changed, file)
        else:
            writing.write(list(parts.values()), file)


def keeps_pages(source: Path, target: Path) -> bool:
    """Whether unchanged pages of a document stay as they are when it is written; see `write`."""
    return _is_pdf(source) and _is_pdf(target)


def _is_pdf(path: Path) -> bool:
    return path.suffix.lower() == ".pdf"
