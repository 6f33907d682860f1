"""Compares the size that an AVIF promises with what is coded in it: libavif scales without a word.

Source: ISO/IEC 14496-12 (`iloc`, `pitm`), 23008-12 (`ispe`) and AV1 Bitstream 1.0.0, 5.5 (sequence header).
"""

import struct
from collections.abc import Iterator

from vision_core.pictures.heif import boxes_in

MAX_ITEMS = 10_000


def check_sizes(data: bytes, size: tuple[int, int]) -> None:
    """Refuse a file whose coded pictures have other sizes than its boxes say.

    Args:
        size: (width, height) of the picture as the boxes give it.

    Raises:
        ValueError: the main picture, or a tile of it, would be scaled.
    """
    promised = {
        struct.unpack_from(">II", data, start + 4)
        for kind, start, end in boxes_in(data, (b"meta", b"iprp", b"ipco"))
        if kind == b"ispe" and end - start >= 12
    }
    boxes = {kind: (start, end) for kind, start, end in boxes_in(data, (b"meta",))}
    if b"pitm" not in boxes or b"iloc" not in boxes:
        return
    start, _ = boxes[b"pitm"]
    (main,) = struct.unpack_from(">I" if data[start] else ">H", data, start + 4)
    for item, place in _items(data, boxes[b"iloc"][0]):
        coded = _coded_size(data[place : place + 200])
        if coded and item == main and coded != size:
            raise ValueError(
                "its header promises {} x {} pixels, but {} x {} are coded".format(*size, *coded)
            )
        if coded and coded not in promised:
            raise ValueError(
                "a part of {} x {} pixels is in it, of which its header says nothing".format(*coded)
            )


def _coded_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of the sequence header with which AV1 data begin; None without one that can be told."""
    at = 0
    while at + 2 < len(data):
        kind, extended, sized = data[at] >> 3, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extended
        length, shift = 0, 0
        while sized and at < len(data):
            byte = data[at]
            length |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        if kind == 1:
            return _sequence_size(data[at:])
        if kind != 2:  # a temporal delimiter may come before
            return None
        at += length
    return None


def _sequence_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a sequence header; None for one with timing, which still pictures lack."""
    bits = int.from_bytes(data, "big")
    left = 8 * len(data)

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return bits >> left & ((1 << count) - 1) if left >= 0 else 0

    take(4)
    if take(1):  # the short header of a still picture
        take(5)
    else:
        if take(1):
            return None
        delayed = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if delayed and take(1):
                take(4)
    wide, tall = take(4) + 1, take(4) + 1
    width, height = take(wide) + 1, take(tall) + 1
    return (width, height) if left >= 0 else None


def _items(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Number and first byte of each item of an `iloc` box that lies in the file."""
    version = data[start]
    of_offset, of_length, of_base = data[start + 4] >> 4, data[start + 4] & 15, data[start + 5] >> 4
    of_index = data[start + 5] & 15 if version else 0
    at = start + 6

    def take(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at])

    wide = 4 if version > 1 else 2
    for _ in range(min(take(wide), MAX_ITEMS)):
        number, method = take(wide), take(2) & 15 if version else 0
        take(2)
        base, extents = take(of_base), take(2)
        take(of_index)
        first = base + take(of_offset)
        at += of_length + (extents - 1) * (of_index + of_offset + of_length)
        if at > len(data):
            return
        if extents and method == 0:
            yield number, first
