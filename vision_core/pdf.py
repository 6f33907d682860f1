"""Pages of a PDF as pictures: a scan in its own pixels, anything else drawn at a stated resolution."""

from collections.abc import Callable, Iterator
from ctypes import c_int, c_uint
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from vision_core import limits, pdf_streams
from vision_core.images import LONGEST_SIDE, Kind, Picture
from vision_core.messages import reason
from vision_core.pdf_streams import Refused

DPI = 300  # of a page without scans
READABLE = 200  # the least dpi of a page on which more than scans can be seen
SHARE = 0.25  # of a page that scans must cover together to set its resolution
POINTS = 72  # of an inch
SLACK = 1.0  # points by which the edges of a scan and of its page may differ
MOST_OBJECTS = 20_000  # that are looked at; a page with more is no scan
MOST_SCANS = 200  # side by side that are drawn one by one
INSET = 0.01  # of a pixel, by which a scan is drawn smaller: rounding must not push it over a pixel's edge

Matrix = tuple[float, float, float, float, float, float]  # x, y -> a x + c y + e, b x + d y + f


@dataclass(frozen=True)
class Scan:
    """An image as it lies on a page, in points from the top left corner of the page as it is shown.

    Args:
        item: pdfium's object.
        size: pixels across and down on the page.
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
    """What a page of `size` points shows: scans, and whether text or drawings as well (`drawn`)."""

    size: tuple[float, float]
    scans: list[Scan]
    drawn: bool


@dataclass(frozen=True)
class Grid:
    """The pixels of the picture: `size` of them, `scale` a point, the first at the point `start`.

    `scan`: the one whose pixels they are, if any.
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    start: tuple[float, float] = (0.0, 0.0)
    scan: Scan | None = None


class Pages:
    """The pages of a PDF, read one by one.

    Raises:
        ValueError: no file, no PDF, locked by a password, or more pages than are opened.
    """

    def __init__(self, path: Path) -> None:
        import pikepdf
        import pypdfium2

        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        self.path = path
        try:
            self._streams = pikepdf.open(path)
            self._drawing = pypdfium2.PdfDocument(path)
            self._drawing.init_forms()
        except Exception as error:  # parsers let nearly anything out
            locked = "password" in str(error).lower()
            why = "is encrypted: save it without a password first" if locked else "is not a PDF we can read"
            raise ValueError(f"{path} {why}") from error
        self.count = len(self._drawing)
        limits.PAGES.check(self.count, str(path))
        if not self.count:
            raise ValueError(f"{path} has no pages")

    def close(self) -> None:
        self._drawing.close()
        self._streams.close()

    def read(
        self, number: int, max_pixels: int, allow: Callable[[float], None] = lambda pixels: None
    ) -> Picture:
        """Page `number`, from 1, upright.

        A page that is one scan, or scans side by side, gives their own pixels, also where it turns or mirrors
        them. Any other one is drawn, with its form fields and annotations, at the resolution of the scans on
        it, else at `DPI`; a note says so.

        Args:
            allow: called with the pixels that are to be worked on next, for limits of time and memory.

        Raises:
            ValueError: a damaged scan, more than `max_pixels` pixels, endless drawing instructions.
        """
        try:
            allow(0)
            source = self._streams.pages[number - 1].obj
            images = pdf_streams.images(source)
            sizes = [pdf_streams.size(image) for image in images]
            for size in sizes:
                _check_size(size, max_pixels)
            pixels = sum(width * height for width, height in sizes)
            allow(pixels)
            notes = [f"damaged in places: {said}" for said in map(pdf_streams.complaint, images) if said]
            depths = list(map(pdf_streams.bits, images))
            if max(depths, default=8) > 8:
                notes.append(f"{max(depths)} bits per channel were rounded to 8")
            drawing, page = self._loaded(number, images)
            layout = _layout(page)
            marks = pdf_streams.marks(source)
            layout = replace(layout, drawn=layout.drawn or bool(marks))
            unit = float(source.get("/UserUnit", 1))
            grid, said = _grid(layout, unit, max_pixels)
            allow(pixels + grid.size[0] * grid.size[1])
            rgb = _render(page, drawing.formenv, layout, grid)
            if marks:
                notes.append("form fields and annotations are part of the picture")
            return Picture(
                rgb,
                dpi=(grid.scale[0] * POINTS / unit, grid.scale[1] * POINTS / unit),
                bit_depth=max(depths, default=8) if max(depths, default=8) > 8 else 8,
                notes=(*notes, *said),
                kind=_kind(rgb, bool(depths) and max(depths) == 1 and not layout.drawn),
            )
        except Refused as error:
            raise ValueError(f"page {number} of {self.path} {error}") from error
        except Exception as error:  # parsers let nearly anything out, MemoryError too
            raise ValueError(f"page {number} of {self.path} cannot be read: {reason(error)}") from error

    def _loaded(self, number: int, images: list[Any]) -> tuple[Any, Any]:
        """The document of pdfium and the page; scans that pdfium would round are written anew before."""
        import pikepdf
        import pypdfium2

        if not any(map(pdf_streams.is_rounded, images)):
            return self._drawing, self._drawing[number - 1]
        buffer = BytesIO()
        with pikepdf.new() as copy:
            copy.pages.append(self._streams.pages[number - 1])
            for image in pdf_streams.images(copy.pages[0].obj):
                pdf_streams.write_exact(image)
            copy.save(buffer)
        drawing = pypdfium2.PdfDocument(buffer.getvalue())
        return drawing, drawing[0]


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise Refused(
            f"has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels; "
            f"the most we open is {max_pixels / 1e6:g}"
        )
    if max(size) > LONGEST_SIDE:
        raise Refused(f"has {width} x {height} pixels; a side may have at most {LONGEST_SIDE:,}")


def _layout(page: Any) -> Layout:
    """What can be seen on a page, an object of pypdfium2."""
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
            scan = _scan(item, matrix)
            if scan is None:
                continue
            if scan.upright and _covers(scan, size) and not raw.FPDFPageObj_HasTransparency(item):
                scans, drawn = [], False  # what was drawn before cannot be seen
            scans.append(scan)
        else:
            drawn = drawn or _is_seen(item, kind)
    return Layout(size, scans, drawn)


def _display(page: Any) -> tuple[tuple[float, float], Matrix]:
    """The size of a page as it is shown, in points, and the matrix from its own space: y points down."""
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
    """Every object of a page but forms, in the order of drawing, with its kind and its whole matrix."""
    import pypdfium2.raw as raw

    def inside(count: int, get: Callable[[int], Any], outer: Matrix, depth: int) -> Iterator[Any]:
        for index in range(count):
            item, own = get(index), raw.FS_MATRIX()
            kind = raw.FPDFPageObj_GetType(item)
            raw.FPDFPageObj_GetMatrix(item, own)
            matrix = _times((own.a, own.b, own.c, own.d, own.e, own.f), outer)
            if kind != raw.FPDF_PAGEOBJ_FORM:
                yield item, kind, matrix
            elif depth < pdf_streams.DEEPEST:
                count = raw.FPDFFormObj_CountObjects(item)
                yield from inside(
                    count, lambda at, item=item: raw.FPDFFormObj_GetObject(item, at), matrix, depth + 1
                )

    total = raw.FPDFPage_CountObjects(page)
    yield from inside(total, lambda at: raw.FPDFPage_GetObject(page, at), shown, 0)


def _times(first: Matrix, second: Matrix) -> Matrix:
    """The matrix that does `first`, then `second`."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


def _scan(item: Any, matrix: Matrix) -> Scan | None:
    """An image whose unit square the matrix puts on the page; None where nothing of it can be seen."""
    import pypdfium2.raw as raw

    width, height = c_uint(), c_uint()
    raw.FPDFImageObj_GetImagePixelSize(item, width, height)
    a, b, c, d, e, f = matrix
    across, down = float(np.hypot(a, b)), float(np.hypot(c, d))
    size = (width.value, height.value)
    if min(across, down, *size) <= 0:
        return None
    turned = abs(b) > abs(a)
    if turned:
        size, across, down = size[::-1], down, across
    scale = (size[0] / across, size[1] / down)
    slant = max(abs(a), abs(d)) if turned else max(abs(b), abs(c))
    corners = [(e, f), (e + a, f + b), (e + c, f + d), (e + a + c, f + b + d)]
    start = (min(x for x, _ in corners), min(y for _, y in corners))
    end = (max(x for x, _ in corners), max(y for _, y in corners))
    return Scan(item, size, start, end, scale, slant * max(scale) < 0.5)


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


def _grid(layout: Layout, unit: float, max_pixels: int) -> tuple[Grid, list[str]]:
    """The pixels in which a page is drawn, and what is to be said of them.

    Args:
        unit: of the page's points; 1 is 1/72 inch.
    """
    main = _main(layout)
    if main is None:
        grid = _even(layout.size, (DPI * unit / POINTS, DPI * unit / POINTS))
    elif not main.upright:
        grid = _even(layout.size, main.scale)
    else:
        grid = _own(layout.size, main)
        if not layout.drawn:
            _check_size(grid.size, max_pixels)
            return grid, []
    dpi = min(grid.scale) * POINTS / unit
    if dpi < READABLE and layout.drawn:
        larger = -(-READABLE // dpi)
        grid = _even(layout.size, (grid.scale[0] * larger, grid.scale[1] * larger))
    notes, (width, height) = [], grid.size
    most = min((max_pixels / (width * height)) ** 0.5, LONGEST_SIDE / max(width, height))
    if most < 1:
        wanted = _resolution(grid, unit)
        grid = _even(layout.size, (grid.scale[0] * most * 0.999, grid.scale[1] * most * 0.999))
        notes = [
            f"drawn at {_resolution(grid, unit)} instead of {wanted}, within {max_pixels / 1e6:g} megapixels"
        ]
    return grid, notes or [f"drawn at {_resolution(grid, unit)}"]


def _main(layout: Layout) -> Scan | None:
    """The scan that sets the resolution: of those that are finest and cover enough together, the largest."""
    together, finest = 0.0, []
    for scan in sorted(layout.scans, key=lambda scan: -scan.scale[0] * scan.scale[1]):
        finest.append(scan)
        together += _share(scan, layout.size)
        if together >= SHARE:
            return max(finest, key=lambda scan: _share(scan, layout.size))
    return None


def _share(scan: Scan, size: tuple[float, float]) -> float:
    """How much of the page a scan covers, 0 to 1."""
    sides = [
        max(0.0, min(end, most) - max(start, 0.0)) / most
        for start, end, most in zip(scan.start, scan.end, size, strict=True)
    ]
    return sides[0] * sides[1]


def _even(size: tuple[float, float], scale: tuple[float, float]) -> Grid:
    """The whole page at this scale."""
    pixels = (max(1, round(size[0] * scale[0])), max(1, round(size[1] * scale[1])))
    return Grid(pixels, (pixels[0] / size[0], pixels[1] / size[1]))


def _own(size: tuple[float, float], scan: Scan) -> Grid:
    """The pixels of a scan, continued or cut off where the page is larger or smaller than it."""
    pixels, starts = [], []
    for most, count, start, end, scale in zip(size, scan.size, scan.start, scan.end, scan.scale, strict=True):
        before = 0 if abs(start) <= SLACK else round(start * scale)
        after = 0 if abs(most - end) <= SLACK else round((most - end) * scale)
        pixels.append(max(1, before + count + after))
        starts.append(start - before / scale)
    return Grid((pixels[0], pixels[1]), scan.scale, (starts[0], starts[1]), scan)


def _resolution(grid: Grid, unit: float) -> str:
    across, down = (round(scale * POINTS / unit) for scale in grid.scale)
    return f"{across} dpi" if across == down else f"{across} x {down} dpi"


def _render(page: Any, forms: Any, layout: Layout, grid: Grid) -> np.ndarray:
    """uint8 (H, W, 3): the page on the grid."""
    import pypdfium2
    import pypdfium2.raw as raw

    width, height = grid.size
    bitmap = pypdfium2.PdfBitmap.new_native(width, height, raw.FPDFBitmap_BGRx)
    bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
    flags = raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER
    clip = raw.FS_RECTF(0, 0, width, height)
    parts = _side_by_side(layout, grid)
    for scan in parts or [grid.scan]:
        for other in parts:
            raw.FPDFPageObj_SetIsActive(other.item, other is scan)
        matrix = raw.FS_MATRIX(*_placed(grid, scan))
        raw.FPDF_RenderPageBitmapWithMatrix(bitmap, page, matrix, clip, flags)
    if forms:
        left, top = (round(-start * scale) for start, scale in zip(grid.start, grid.scale, strict=True))
        wide, tall = (round(size * scale) for size, scale in zip(layout.size, grid.scale, strict=True))
        raw.FPDF_FFLDraw(forms, bitmap, page, left, top, wide, tall, 0, flags)
    return bitmap.to_numpy()[..., :3].copy()


def _side_by_side(layout: Layout, grid: Grid) -> list[Scan]:
    """The scans of a page that consists of several on one grid: each is drawn for itself, to the pixel."""
    if grid.scan is None or layout.drawn or not 1 < len(layout.scans) <= MOST_SCANS:
        return []
    for scan in layout.scans:
        for start, scale, first, step in zip(scan.start, scan.scale, grid.start, grid.scale, strict=True):
            place = (start - first) * step
            if not scan.upright or abs(scale / step - 1) > 1e-3 or abs(place - round(place)) > 0.1:
                return []
    return layout.scans


def _placed(grid: Grid, scan: Scan | None) -> Matrix:
    """From the points of the page as it is shown to the grid; a scan fills whole pixels."""
    scales, moves = [], []
    for axis in (0, 1):
        scale, first = grid.scale[axis], grid.start[axis]
        move = -first * scale
        if scan is not None:
            place = round((scan.start[axis] - first) * scale)
            scale = (scan.size[axis] - 2 * INSET) / (scan.end[axis] - scan.start[axis])
            move = place + INSET - scan.start[axis] * scale
        scales.append(scale)
        moves.append(move)
    return (scales[0], 0, 0, scales[1], moves[0], moves[1])


def _kind(rgb: np.ndarray, bits: bool) -> Kind:
    """What of colour, grey and, if its scans are such `bits`, black and white a page needs."""
    grey = rgb[..., 0]
    if (rgb != grey[..., None]).any():
        return "color"
    return "binary" if bits and not (grey % 255).any() else "grey"
