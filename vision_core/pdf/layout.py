"""The visible content of a PDF page: scans, and whether there is text or drawing beside them."""

from collections.abc import Callable, Iterator, Mapping
from ctypes import c_int, c_uint
from dataclasses import dataclass
from typing import Any

import numpy as np

from vision_core.pdf import streams
from vision_core.pdf.streams import Refused

SLACK = 1.0  # tolerance in points between the edges of a scan and of its page
MOST_OBJECTS = 20_000  # maximum number of objects; a page with more is no scan

Size = tuple[int, int]  # across, down
Matrix = tuple[float, float, float, float, float, float]  # x, y -> a x + c y + e, b x + d y + f


@dataclass(frozen=True)
class Scan:
    """An image as it lies on a page, in points from the top left corner of the page as it is shown.

    Args:
        item: pdfium's object.
        size: pixels across and down on the page, those of its mask if this is finer.
        start, end: its top left and bottom right corner.
        scale: pixels a point, across and down.
        upright: whether its rows and columns run along the edges of the page.
    """

    item: Any
    size: tuple[int, int]
    start: tuple[float, float]
    end: tuple[float, float]
    scale: tuple[float, float]
    upright: bool


@dataclass(frozen=True)
class Layout:
    """The content of a page of `size` points: scans, and whether there is text or drawing (`drawn`)."""

    size: tuple[float, float]
    scans: list[Scan]
    drawn: bool


def of_page(page: Any, masks: Mapping[Size, Size]) -> Layout:
    """The visible content of a page, an object of pypdfium2.

    Args:
        masks: size in pixels of images with transparent parts -> size of the mask.
    """
    import pypdfium2.raw as raw

    size, shown = _display(page)
    if min(size) < 1:
        raise Refused(f"is {size[0]:.3g} x {size[1]:.3g} points small")
    scans, drawn = [], False
    for count, (item, kind, matrix) in enumerate(_objects(page, shown)):
        if count == MOST_OBJECTS:
            drawn = True
            break
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            pixels = _pixels(item)
            scan = _scan(item, matrix, masks.get(pixels, pixels))
            if scan is None:
                continue
            opaque = pixels not in masks and not raw.FPDFPageObj_HasTransparency(item)
            if opaque and scan.upright and _covers(scan, size):
                scans, drawn = [], False  # it hides everything drawn before
            scans.append(scan)
        else:
            drawn = drawn or _is_seen(item, kind)
    return Layout(size, scans, drawn)


def _display(page: Any) -> tuple[tuple[float, float], Matrix]:
    """The displayed size of a page in points, and the matrix from its coordinates, to y downwards."""
    import pypdfium2.raw as raw

    box = raw.FS_RECTF()
    raw.FPDF_GetPageBoundingBox(page, box)
    left, bottom, right, top = box.left, box.bottom, box.right, box.top
    size = (right - left, top - bottom)
    match page.get_rotation():
        case 90:
            return size[::-1], (0, 1, 1, 0, -bottom, -left)
        case 180:
            return size, (-1, 0, 0, 1, right, -bottom)
        case 270:
            return size[::-1], (0, -1, -1, 0, top, right)
    return size, (1, 0, 0, -1, -left, top)


def _objects(page: Any, shown: Matrix) -> Iterator[tuple[Any, int, Matrix]]:
    """All objects of a page, also inside forms, in drawing order: object, kind, matrix to the page."""
    import pypdfium2.raw as raw

    def inside(count: int, get: Callable[[int], Any], outer: Matrix, depth: int) -> Iterator[Any]:
        for index in range(count):
            item, transform = get(index), raw.FS_MATRIX()
            kind = raw.FPDFPageObj_GetType(item)
            raw.FPDFPageObj_GetMatrix(item, transform)
            matrix = _composed(
                (transform.a, transform.b, transform.c, transform.d, transform.e, transform.f), outer
            )
            if kind != raw.FPDF_PAGEOBJ_FORM:
                yield item, kind, matrix
            elif depth < streams.DEEPEST:
                count = raw.FPDFFormObj_CountObjects(item)
                yield from inside(
                    count, lambda at, item=item: raw.FPDFFormObj_GetObject(item, at), matrix, depth + 1
                )

    total = raw.FPDFPage_CountObjects(page)
    yield from inside(total, lambda at: raw.FPDFPage_GetObject(page, at), shown, 0)


def _composed(first: Matrix, second: Matrix) -> Matrix:
    """Compose two matrices: `first`, then `second`."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


def _pixels(item: Any) -> Size:
    import pypdfium2.raw as raw

    width, height = c_uint(), c_uint()
    raw.FPDFImageObj_GetImagePixelSize(item, width, height)
    return width.value, height.value


def _scan(item: Any, matrix: Matrix, pixels: Size) -> Scan | None:
    """The image with this matrix from the unit square to the page; None if its area is 0."""
    a, b, c, d, e, f = matrix
    across, down = float(np.hypot(a, b)), float(np.hypot(c, d))
    wide, tall = pixels
    if min(across, down, wide, tall) <= 0:
        return None
    turned = abs(b) > abs(a)
    if turned:
        wide, tall, across, down = tall, wide, down, across
    scale = (wide / across, tall / down)
    slant = max(abs(a), abs(d)) if turned else max(abs(b), abs(c))
    corners = [(e, f), (e + a, f + b), (e + c, f + d), (e + a + c, f + b + d)]
    start = (min(x for x, _ in corners), min(y for _, y in corners))
    end = (max(x for x, _ in corners), max(y for _, y in corners))
    return Scan(item, (wide, tall), start, end, scale, slant * max(scale) < 0.5)


def _covers(scan: Scan, size: tuple[float, float]) -> bool:
    return max(scan.start) <= SLACK and all(
        end >= most - SLACK for end, most in zip(scan.end, size, strict=True)
    )


def _is_seen(item: Any, kind: int) -> bool:
    import pypdfium2.raw as raw

    match kind:
        case raw.FPDF_PAGEOBJ_TEXT:
            hidden = (raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP)
            return raw.FPDFTextObj_GetTextRenderMode(item) not in hidden
        case raw.FPDF_PAGEOBJ_PATH:
            fill, stroke = c_int(), c_int()
            raw.FPDFPath_GetDrawMode(item, fill, stroke)
            return bool(fill.value or stroke.value)
    return True


def share(scan: Scan, size: tuple[float, float]) -> float:
    """Share of the page that a scan covers, 0 to 1."""
    sides = [
        max(0.0, min(end, most) - max(start, 0.0)) / most
        for start, end, most in zip(scan.start, scan.end, size, strict=True)
    ]
    return sides[0] * sides[1]
