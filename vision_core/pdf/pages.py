"""Pages of a PDF as pictures: a scan in its own pixels, anything else drawn at a stated resolution."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from vision_core.pdf import layout, scans, streams
from vision_core.pdf.layout import SLACK, Layout, Matrix, Scan, share
from vision_core.pdf.streams import Refused
from vision_core.pictures.picture import Kind, Picture, resolution
from vision_core.safety import limits
from vision_core.safety.messages import quote, reason

DPI = 300  # resolution of pages without scans
READABLE = 200  # minimum dpi of a page with text or drawing
SHARE = 0.25  # share of a page that scans must cover together to set its resolution
POINTS = 72  # per inch
MOST_SCANS = 200  # maximum number of scans that are drawn one by one
INSET = 0.01  # pixels by which a scan is drawn smaller, so that rounding never crosses a pixel's edge


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
        ValueError: no file, no PDF, locked by a password, too large, or more pages than are opened.
    """

    def __init__(self, path: Path) -> None:
        import pikepdf
        import pypdfium2

        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        limits.FILE.check(path.stat().st_size, str(path))
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

        A page that consists of one scan, or of scans side by side, is returned in their pixels, also if it
        turns or mirrors them. Any other page is drawn, with its form fields and annotations, at the
        resolution of the scans on it, else at `DPI`; a note says so.

        Args:
            allow: called with the number of pixels to be processed next, to set limits of time and memory.

        Raises:
            ValueError: a damaged scan, more than `max_pixels` pixels, endless drawing instructions.
        """
        try:
            allow(0)
            source = self._streams.pages[number - 1].obj
            images = streams.images(source)
            masks = scans.masks(images)
            sizes = [*map(scans.size, images), *masks.values()]
            for size in sizes:
                _check_size(size, max_pixels)
            pixels = sum(width * height for width, height in sizes)
            allow(pixels)
            notes = [f"damaged in places: {warning}" for warning in map(scans.complaint, images) if warning]
            marks = streams.marks(source)
            drawing, page = self._loaded(number, images, bool(marks))
            page_layout = layout.of_page(page, masks)
            page_layout = replace(page_layout, drawn=page_layout.drawn or bool(marks))
            unit, assumed = _unit(source)
            grid, drawing_notes = _grid(page_layout, unit, max_pixels)
            allow(pixels + grid.size[0] * grid.size[1])
            rgb = _render(page, drawing.formenv, page_layout, grid)
        except Refused as error:
            raise ValueError(f"page {number} of {self.path} {error}") from error
        except MemoryError as error:
            raise ValueError(f"page {number} of {self.path} needs more memory than there is") from error
        except Exception as error:  # parsers let nearly anything out
            raise ValueError(f"page {number} of {self.path} cannot be read: {reason(error)}") from error
        depth = max(map(scans.bits, images), default=8)
        notes += [f"{depth} bits per channel were rounded to 8"] if depth > 8 else []
        notes += ["form fields and annotations are part of the picture"] if marks else []
        dpi = resolution(round(scale * POINTS / unit, 3) for scale in grid.scale)
        kind = _kind(rgb, bool(images) and depth == 1 and not page_layout.drawn)
        return Picture(
            rgb, dpi=dpi, bit_depth=max(8, depth), notes=(*notes, *assumed, *drawing_notes), kind=kind
        )

    def _loaded(self, number: int, images: list[Any], marked: bool) -> tuple[Any, Any]:
        """The pdfium document and its page; scans that pdfium would round are rewritten first.

        Not on pages that are `marked`, whose form fields belong to the whole document.
        """
        import pikepdf
        import pypdfium2

        if marked or not any(map(scans.is_rounded, images)):
            return self._drawing, self._drawing[number - 1]
        buffer = BytesIO()
        with pikepdf.new() as copy, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about lost form fields, which are not visible here
            copy.pages.append(self._streams.pages[number - 1])
            for image in streams.images(copy.pages[0].obj):
                scans.write_exact(image)
            copy.save(buffer)
        drawing = pypdfium2.PdfDocument(buffer.getvalue())
        return drawing, drawing[0]


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if refused := limits.too_large(height, width, max_pixels):
        raise Refused(refused)


def _unit(page: Any) -> tuple[float, list[str]]:
    """The size of a point of the page in 1/72 inch, and a note if the page's value is invalid."""
    value = page.get("/UserUnit", 1)
    try:
        unit = float(value)
    except (TypeError, ValueError):
        unit = 0.0
    if 1e-3 <= unit <= 1e6:
        return unit, []
    return 1.0, [f"its UserUnit is {quote(str(value))}: points of 1/72 inch were assumed"]


def _grid(layout: Layout, unit: float, max_pixels: int) -> tuple[Grid, list[str]]:
    """The grid of pixels in which a page is drawn, and notes about it.

    Args:
        unit: of the page's points; 1 is 1/72 inch.
    """
    main = _main_scan(layout)
    if main is None:
        grid = _page_grid(layout.size, (DPI * unit / POINTS, DPI * unit / POINTS))
    elif not main.upright:
        grid = _page_grid(layout.size, main.scale)
    else:
        grid = _scan_grid(layout.size, main)
        if not layout.drawn:
            _check_size(grid.size, max_pixels)
            return grid, []
    dpi = min(grid.scale) * POINTS / unit
    if dpi < READABLE and layout.drawn:
        larger = -(-READABLE // dpi)
        grid = _page_grid(layout.size, (grid.scale[0] * larger, grid.scale[1] * larger))
    notes, (width, height) = [], grid.size
    most = min((max_pixels / (width * height)) ** 0.5, limits.SIDE.value / max(width, height))
    if most < 1:
        target = _resolution(grid, unit)
        grid = _page_grid(layout.size, (grid.scale[0] * most * 0.999, grid.scale[1] * most * 0.999))
        notes = [
            f"drawn at {_resolution(grid, unit)} instead of {target}, within {max_pixels / 1e6:g} megapixels"
        ]
    return grid, notes or [f"drawn at {_resolution(grid, unit)}"]


def _main_scan(layout: Layout) -> Scan | None:
    """The scan that sets the resolution: the largest of the finest ones that cover enough together."""
    together, finest = 0.0, []
    for scan in sorted(layout.scans, key=lambda scan: -scan.scale[0] * scan.scale[1]):
        finest.append(scan)
        together += share(scan, layout.size)
        if together >= SHARE:
            return max(finest, key=lambda scan: share(scan, layout.size))
    return None


def _page_grid(size: tuple[float, float], scale: tuple[float, float]) -> Grid:
    """The whole page at this scale."""
    pixels = (max(1, round(size[0] * scale[0])), max(1, round(size[1] * scale[1])))
    return Grid(pixels, (pixels[0] / size[0], pixels[1] / size[1]))


def _scan_grid(size: tuple[float, float], scan: Scan) -> Grid:
    """The grid of a scan, extended or cropped to the page."""
    pixels, starts = [], []
    for most, count, start, end, scale in zip(size, scan.size, scan.start, scan.end, scan.scale, strict=True):
        before = 0 if abs(start) <= SLACK else round(start * scale)
        after = 0 if abs(most - end) <= SLACK else round((most - end) * scale)
        pixels.append(max(1, before + count + after))
        starts.append(start - before / scale)
    return Grid((pixels[0], pixels[1]), scan.scale, (starts[0], starts[1]), scan)


def _resolution(grid: Grid, unit: float) -> str:
    across, down = (
        f"{dpi:.0f}" if (dpi := scale * POINTS / unit) >= 10 else f"{dpi:.2g}" for scale in grid.scale
    )
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
        matrix = raw.FS_MATRIX(*_matrix(grid, scan))
        raw.FPDF_RenderPageBitmapWithMatrix(bitmap, page, matrix, clip, flags)
    if forms:
        left, top = (round(-start * scale) for start, scale in zip(grid.start, grid.scale, strict=True))
        wide, tall = (round(size * scale) for size, scale in zip(layout.size, grid.scale, strict=True))
        raw.FPDF_FFLDraw(forms, bitmap, page, left, top, wide, tall, 0, flags)
    return bitmap.to_numpy()[..., :3].copy()


def _side_by_side(layout: Layout, grid: Grid) -> list[Scan]:
    """The scans of a page that consists of several on one pixel grid; each is drawn separately, exactly."""
    if grid.scan is None or layout.drawn or not 1 < len(layout.scans) <= MOST_SCANS:
        return []
    for scan in layout.scans:
        for start, scale, first, step in zip(scan.start, scan.scale, grid.start, grid.scale, strict=True):
            place = (start - first) * step
            if not scan.upright or abs(scale / step - 1) > 1e-3 or abs(place - round(place)) > 0.1:
                return []
    return layout.scans


def _matrix(grid: Grid, scan: Scan | None) -> Matrix:
    """The matrix from points of the displayed page to the grid; a scan fills whole pixels."""
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
    """The kind of a page: colour, grey or, if its scans are bilevel (`bits`), black and white."""
    grey = rgb[..., 0]
    if (rgb != grey[..., None]).any():
        return "color"
    return "binary" if bits and not (grey % 255).any() else "grey"
