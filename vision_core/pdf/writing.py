"""Writes pictures to a new PDF, or onto the pages of an existing one, which keeps text and metadata."""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from vision_core.pdf import streams

AT_ONCE = 16  # pictures in memory at the same time
ASSUMED_DPI = 96  # img2pdf's resolution for pictures without one
JOINING = "joining"  # temporary folder next to the pictures


def write(parts: Sequence[Path], file: BinaryIO) -> None:
    """One page for each picture, a PNG file, of its size at its resolution, else at `ASSUMED_DPI`."""
    import pikepdf

    with _as_pages(parts) as pages, pikepdf.new() as joined:
        joined.pages.extend(pages)
        joined.save(file, deterministic_id=True)


def replace(source: Path, parts: Mapping[int, Path], file: BinaryIO) -> None:
    """Write the PDF `source` with pictures, PNG files by page number from 1, instead of the visible content.

    Pages keep their size, and their text under the picture. Pages without a picture, bookmarks,
    title, author, language and attachments stay as they are.
    """
    import pikepdf

    with _as_pages(list(parts.values())) as pictures, pikepdf.open(source) as pdf:
        for number, picture in zip(parts, pictures, strict=True):
            image = next(iter(picture.Resources.XObject.values()))
            _draw_over(pdf, pdf.pages[number - 1], pdf.copy_foreign(image))
        pdf.remove_unreferenced_resources()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what was odd in the source already
            pdf.save(file, deterministic_id=True)


def lost(source: Path, target: Path) -> list[str]:
    """Notes on what a PDF loses in a `target` made from its pages."""
    import pikepdf

    with pikepdf.open(source) as pdf:
        form = pdf.Root.get("/AcroForm", {})
        if target.suffix.lower() == ".pdf":
            signed, locked = int(form.get("/SigFlags", 0)) & 1, pdf.is_encrypted
            losses = ["its digital signature does not hold for the result"] * signed
            return losses + ["the result is not encrypted as the source is"] * locked
        names = {
            "text": any("/Font" in streams.inherited(page.obj, "/Resources", {}) for page in pdf.pages),
            "bookmarks": "/Outlines" in pdf.Root,
            "title and author": "/Title" in pdf.docinfo or "/Author" in pdf.docinfo,
            "attachments": len(pdf.attachments) > 0,
        }
    parts = ", ".join(name for name, present in names.items() if present)
    return [f"not in a {target.suffix[1:].upper()}: {parts} of the PDF"] if parts else []


@contextmanager
def _as_pages(parts: Sequence[Path]) -> Iterator[list[Any]]:
    """A PDF page for each picture; their data stay on the disk."""
    import img2pdf
    import pikepdf

    logging.getLogger("img2pdf").setLevel(logging.ERROR)  # it warns of transparency, which it keeps
    with ExitStack() as stack:
        pages, folder = [], (parts[0].parent if parts else Path()) / JOINING
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for first in range(0, len(parts), AT_ONCE):
            folder.mkdir(exist_ok=True)
            path = folder / f"{first}.pdf"
            with path.open("wb") as file:
                names = [str(part) for part in parts[first : first + AT_ONCE]]
                img2pdf.convert(names, outputstream=file, nodate=True)
            pages += stack.enter_context(pikepdf.open(path)).pages
        yield pages


def _draw_over(pdf: Any, page: Any, image: Any) -> None:
    """Draw an image over the content of a page, and remove the images that the page drew before."""
    import pikepdf

    resources, content = _without_images(pdf, page.obj)
    page.obj.Resources = resources
    name = next(name for name in map("/Picture{}".format, count(1)) if name not in resources.XObject)
    resources.XObject[name] = image
    drawn = " ".join(f"{value:.5f}" for value in _matrix(page))
    over = f"\nQ\nq {drawn} cm {name} Do Q\n".encode()
    page.obj.Contents = pdf.make_stream(b"q\n" + content + over)
    drawn_in = {mark.objgen for mark in streams.marks(page.obj)}
    if drawn_in:
        page.obj.Annots = pikepdf.Array([m for m in page.obj.Annots if m.objgen not in drawn_in])
        if fields := pdf.Root.get("/AcroForm", {}).get("/Fields"):
            pdf.Root.AcroForm.Fields = pikepdf.Array([f for f in fields if f.objgen not in drawn_in])


def _matrix(page: Any) -> tuple[float, ...]:
    """The matrix from the unit square to the visible part of the page, upright on rotated pages, too."""
    left, bottom, right, top = (
        pick(float(box[index]) for box in (_ordered(page.mediabox), _ordered(page.cropbox)))
        for index, pick in enumerate((max, max, min, min))
    )
    width, height = right - left, top - bottom
    match int(streams.inherited(page.obj, "/Rotate", 0)) % 360:
        case 90:
            return (0, height, -width, 0, right, bottom)
        case 180:
            return (-width, 0, 0, -height, right, top)
        case 270:
            return (0, -height, width, 0, left, top)
    return (width, 0, 0, height, left, bottom)


def _ordered(box: Any) -> tuple[float, float, float, float]:
    x, y, other_x, other_y = map(float, box)
    return min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y)


def _without_images(pdf: Any, container: Any, depth: int = 0) -> tuple[Any, bytes]:
    """Resources and content of a page or form without its images, nested forms included."""
    import pikepdf

    resources = pikepdf.Dictionary(streams.inherited(container, "/Resources", {}))
    drawn = resources.get("/XObject", {})
    resources.XObject = pikepdf.Dictionary()
    kept = []
    for step in pikepdf.parse_content_stream(container):
        operator = str(step.operator)
        if operator == "INLINE IMAGE":
            continue
        inner = drawn.get(str(step.operands[0])) if operator == "Do" else None
        if inner is not None:
            if inner.get("/Subtype") == "/Image":
                continue
            if depth < streams.DEEPEST and streams.images(inner):
                inner = _form_without_images(pdf, inner, depth + 1)
            resources.XObject[str(step.operands[0])] = inner
        kept.append(step)
    return resources, pikepdf.unparse_content_stream(kept)


def _form_without_images(pdf: Any, form: Any, depth: int) -> Any:
    """A copy: other pages may draw the same form."""
    resources, content = _without_images(pdf, form, depth)
    copy = pdf.make_stream(content)
    for key, value in form.items():
        if key not in ("/Length", "/Filter", "/DecodeParms"):
            copy[key] = value
    copy.Resources = resources
    return copy
