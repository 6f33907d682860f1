"""Reads the colour and crop boxes of AVIF and HEIC files, which the decoders do not report.

Source: ISO/IEC 14496-12 (boxes, `clap`) and 23008-12 (`colr`, `pixi`).
"""

import struct
from collections.abc import Iterator

MAX_BOXES = 10_000


def check_items(data: bytes) -> None:
    """Refuse kinds and names of items that are no text, on which pi_heif crashes.

    Raises:
        ValueError: such an item.
    """
    if data[4:8] != b"ftyp":
        return
    for kind, start, end in boxes_in(data, (b"meta", b"iinf")):
        if kind == b"infe" and start < end:
            data[start + (8 if data[start] < 3 else 10) : end].decode()


def colors(data: bytes) -> tuple[tuple[int, int] | None, int]:
    """H.273's primaries and transfer of the `colr` box, None without one, and the bits a channel."""
    named, bits = None, 8
    for kind, start, end in boxes_in(data, (b"meta", b"iprp", b"ipco")):
        if kind == b"colr" and data[start : start + 4] == b"nclx" and end - start >= 8 and named is None:
            named = struct.unpack_from(">HH", data, start + 4)
        elif kind == b"pixi" and end - start > 5:
            bits = max(bits, data[start + 5])
    return named, bits


def crop(data: bytes, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the visible part, from the `clap` box."""
    for kind, start, end in boxes_in(data, (b"meta", b"iprp", b"ipco")):
        if kind == b"clap" and end - start >= 32:
            terms = struct.unpack_from(">8i", data, start)
            if min(terms[1::2]) < 1:
                return None
            wide, tall, right, down = (a / b for a, b in zip(terms[::2], terms[1::2], strict=True))
            left, top = round((width - wide) / 2 + right), round((height - tall) / 2 + down)
            box = (left, top, left + round(wide), top + round(tall))
            whole = 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
            return box if whole else None
    return None


def boxes_in(data: bytes, path: tuple[bytes, ...]) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the boxes in the first box of each name of the path."""
    start, end = 0, len(data)
    for name in path:
        parent = next((box for box in _boxes(data, start, end) if box[0] == name), None)
        if parent is None:
            return
        _, start, end = parent
        if name in (b"meta", b"iinf"):
            start += 4  # version and flags
        if name == b"iinf":
            start += 4 if data[start - 4 : start - 3] > b"\0" else 2  # the number of items
    yield from _boxes(data, start, end)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each box."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 16 if size == 1 else 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
        size = size or end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size
