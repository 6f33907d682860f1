"""Pages in and out of files: single images, multi-page TIFF, PDF."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

from vision_core import images
from vision_core.files import atomic
from vision_core.images import Picture

SUFFIXES = (*images.SUFFIXES, ".pdf")
MAX_PAGES = 5000
PDF_DPI = 200  # where a page shows no scan whose resolution could be taken
POINTS = 72  # of an inch

Pages = Iterator[Callable[[], Picture]]  # each is decoded when it is called, so that done ones can be skipped


def pages(path: Path) -> Pages:
    """The pages of an image, a TIFF or a PDF, in order.

    Raises:
        ValueError: at the first page, a file that cannot be opened, is encrypted or has too many pages; when
            a page is decoded, what is wrong with that page.
    """
    match path.suffix.lower():
        case ".pdf":
            yield from _pdf_pages(path, images.MAX_PIXELS)
        case ".tif" | ".tiff":
            yield from _tiff_pages(path, images.MAX_PIXELS)
        case _:
            yield lambda: images.read(path)


def count(path: Path) -> int:
    """The number of pages of an image, a TIFF or a PDF; see `pages` for what it raises."""
    return sum(1 for _ in pages(path))


def read(path: Path, number: int, max_pixels: int = images.MAX_PIXELS) -> Picture:
    """Page `number`, from 1, of an image, a TIFF or a PDF.

    Raises:
        ValueError: as `pages`, and for a page that is not there.
    """
    match path.suffix.lower():
        case ".pdf":
            found = _pdf_pages(path, max_pixels)
        case ".tif" | ".tiff":
            found = _tiff_pages(path, max_pixels)
        case _:
            found = iter([lambda: images.read(path, max_pixels)])
    for index, decode in enumerate(found, 1):
        if index == number:
            return decode()
    raise ValueError(f"{path} has no page {number}")


def is_document(path: Path) -> bool:
    """Whether a file of this name may hold several pages."""
    return path.suffix.lower() in (".pdf", ".tif", ".tiff")


def write(path: Path, parts: Sequence[Path]) -> None:
    """Join page images, PNG files, into one PDF or TIFF, atomically and without loss.

    Raises:
        ValueError: another suffix, or no pages.
    """
    if not parts:
        raise ValueError(f"there are no pages to write to {path}")
    match path.suffix.lower():
        case ".pdf":
            import img2pdf

            with atomic(path) as file:
                img2pdf.convert([str(part) for part in parts], outputstream=file)
        case ".tif" | ".tiff":
            with atomic(path) as file, TiffImagePlugin.AppendingTiffWriter(file.name, new=True) as joined:
                for part in parts:  # one at a time: a thousand do not fit
                    with Image.open(part) as image:
                        options = {
                            key: image.info[key] for key in ("dpi", "icc_profile") if key in image.info
                        }
                        image.save(joined, "TIFF", compression="tiff_lzw", **options)
                    joined.newFrame()
        case suffix:
            raise ValueError(
                f"pages are joined into .pdf or .tiff, not {suffix or 'a file without suffix'!r}"
            )


def _tiff_pages(path: Path, max_pixels: int) -> Pages:
    if not path.is_file():
        images.read(path)  # says what is wrong
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=("TIFF",))
    except Exception:  # no TIFF at all, or a broken one
        yield lambda: images.read(path, max_pixels)
        return
    with image:
        number = 0
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # what is wrong becomes an error
                    image.seek(number)
            except EOFError:
                return
            except Exception as error:  # Pillow's parser lets nearly anything out
                raise ValueError(f"{path} is damaged after page {number}: {error}") from error
            if number == MAX_PAGES:
                raise ValueError(f"{path} has more than {MAX_PAGES:,} pages")
            number += 1
            yield lambda number=number: _frame(image, f"page {number} of {path}", max_pixels)


def _frame(image: Image.Image, name: str, max_pixels: int) -> Picture:
    """The frame at which a TIFF stands, through the one door for images."""
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(
            f"{name} has {width} x {height} pixels; the most we open is {max_pixels / 1e6:g} megapixels"
        )
    buffer = BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(buffer, "TIFF", compression="raw")
    except Exception as error:  # Pillow's decoders let nearly anything out
        raise ValueError(f"{name} is damaged: {error}") from error
    return images.read(buffer.getvalue(), max_pixels)


def _pdf_pages(path: Path, max_pixels: int) -> Pages:
    import pypdfium2

    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        why = "is encrypted: save it without a password first" if locked else "is not a PDF we can read"
        raise ValueError(f"{path} {why}") from error
    try:
        if len(document) > MAX_PAGES:
            raise ValueError(f"{path} has {len(document):,} pages; the most we open is {MAX_PAGES:,}")
        for number in range(len(document)):
            yield lambda number=number: _pdf_page(
                document, number, f"page {number + 1} of {path}", max_pixels
            )
    finally:
        document.close()


def _pdf_page(document: Any, number: int, name: str, max_pixels: int) -> Picture:
    """One page as a picture, at the resolution of its largest scan."""
    import pypdfium2

    try:
        page = document[number]
        width, height = page.get_size()
        dpi = min(_scan_dpi(page) or PDF_DPI, (max_pixels * POINTS**2 / (width * height)) ** 0.5)
        rgb = page.render(scale=dpi / POINTS, rev_byteorder=True).to_numpy()[..., :3]
    except (pypdfium2.PdfiumError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    return Picture(rgb.copy(), dpi=(dpi, dpi))


def _scan_dpi(page: Any) -> float | None:
    """Pixels an inch of the image that has most of them, 72 to 600; None where a page has no images."""
    import pypdfium2.raw as raw

    found = []
    for item in page.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,), max_depth=3):
        left, _, right, _ = item.get_bounds()
        pixels, _ = item.get_px_size()
        if right > left and pixels > 0:
            found.append((pixels, pixels * POINTS / (right - left)))
    return min(600.0, max(72.0, max(found)[1])) if found else None
