"""Inspects a PDF page before it is drawn: its images, and its number of instructions.

A few kilobytes of drawing instructions can keep a PDF reader busy forever.
"""

import re
import zlib
from collections import Counter
from typing import Any

MOST_CONTENT = 16 << 20  # bytes of instructions per page; a dense map has 5 MB, a scan 100 bytes
DEEPEST = 12  # nesting of forms
# annotations that pdfium draws if the file has no appearance stream for them
_DRAWN_BY_KIND = {f"/{kind}" for kind in ("Widget", "Circle", "Highlight", "Ink", "Square", "Text")}
_DRAWN_BY_KIND |= {"/Squiggly", "/StrikeOut", "/Underline"}
_DRAWN = re.compile(rb"/([^\s/\[\]<>(){}%]+)\s+Do\b")


class Refused(ValueError):
    """A page that we do not open; reads on from its name."""


def images(container: Any) -> list[Any]:
    """The image streams that a page or form draws, also inside nested forms, each once.

    Args:
        container: of pikepdf, a page or a form.

    Raises:
        Refused: more drawing instructions than `MOST_CONTENT`, counted as often as they are drawn; a stream
            that cannot be decompressed.
    """
    streams: dict[tuple[int, int], Any] = {}
    sizes: dict[tuple[int, int], int] = {}

    def measure(container: Any, depth: int) -> int:
        content = _content(container)
        total = len(content)
        drawn = _resources(container)
        for name, times in Counter(_DRAWN.findall(content)).items():
            inner = drawn.get(f"/{name.decode('latin-1')}")
            if inner is None or depth == DEEPEST:
                continue
            if inner.get("/Subtype") == "/Image":
                streams[inner.objgen] = inner
            elif inner.get("/Subtype") == "/Form":
                if inner.objgen not in sizes:
                    sizes[inner.objgen] = 0  # a form inside of itself is not drawn again
                    sizes[inner.objgen] = measure(inner, depth + 1)
                total += times * sizes[inner.objgen]
        if total > MOST_CONTENT:
            raise Refused(
                f"draws {total >> 20:,} MB of instructions; the most that is opened is {MOST_CONTENT >> 20}"
            )
        return total

    measure(container, 0)
    return list(streams.values())


def inherited(page: Any, key: str, default: Any = None) -> Any:
    """An entry of a page, perhaps inherited from its parents."""
    for _ in range(50):  # a damaged tree may be cyclic
        if key in page or "/Parent" not in page:
            break
        page = page.Parent
    return page.get(key, default)


def marks(page: Any) -> list[Any]:
    """The form fields and annotations that can be seen on a page."""
    return [mark for mark in page.get("/Annots", []) if _is_seen(mark)]


def _is_seen(mark: Any) -> bool:
    kind, hidden = str(mark.get("/Subtype")), int(mark.get("/F", 0)) & (2 | 32)  # hidden, not on a screen
    left, bottom, right, top = map(float, mark.get("/Rect", [0, 0, 0, 0]))  # of a signature often empty
    drawn = "/AP" in mark or kind in _DRAWN_BY_KIND
    return drawn and not hidden and kind not in ("/Link", "/Popup") and left != right and bottom != top


def _content(container: Any) -> bytes:
    """The instructions of a page or form."""
    if is_stream(container):
        return _decompressed(container, MOST_CONTENT)
    parts = container.get("/Contents", [])
    return b"\n".join(_decompressed(part, MOST_CONTENT) for part in ([parts] if is_stream(parts) else parts))


def _resources(container: Any) -> dict[str, Any]:
    """The XObjects that a page or form may draw, by name."""
    drawn = inherited(container, "/Resources", {}).get("/XObject", {})
    return {name: one for name, one in drawn.items() if is_stream(one)}


def is_stream(thing: Any) -> bool:
    import pikepdf

    return isinstance(thing, pikepdf.Stream)


def filters(stream: Any) -> list[tuple[str, Any]]:
    """Name and parameters of each filter of a stream."""
    import pikepdf

    def listed(value: Any) -> list[Any]:
        return list(value) if isinstance(value, pikepdf.Array) else [] if value is None else [value]

    names = [str(name)[1:] for name in listed(stream.get("/Filter"))]
    parameters = listed(stream.get("/DecodeParms"))
    parameters += [None] * (len(names) - len(parameters))
    return [
        (name, {} if parameter is None else parameter)
        for name, parameter in zip(names, parameters, strict=False)
    ]


def _decompressed(stream: Any, most: int) -> bytes:
    """Decompress a stream of instructions, to at most `most` bytes."""
    names = [name for name, _ in filters(stream)]
    if names not in ([], ["FlateDecode"], ["Fl"]):
        return stream.read_bytes()
    raw = stream.read_raw_bytes()
    if not names:
        return raw
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(raw, most + 1)
    except zlib.error:  # a reader shows what it can of these, qpdf too
        return stream.read_bytes()
    if len(data) > most:
        raise Refused(f"draws more than {most >> 20} MB of instructions, the most that is opened")
    return data
