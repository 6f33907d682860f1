"""Writes TIFFs of 1, 8 or 16 bits, and joins them into one of several pages."""

import struct
import zlib
from collections.abc import Iterable
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vision_core.pictures.tiff_directories import (
    BITS,
    COMPRESSION,
    EXIF,
    EXTRA,
    FILL_ORDER,
    HEIGHT,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    ROWS_PER_STRIP,
    SAMPLES,
    STRIP_BYTES,
    STRIPS,
    TILE_BYTES,
    TILES,
    TYPES,
    WIDTH,
    directories,
    directory,
    segments,
)


def encode(pixels: Image.Image | np.ndarray, options: dict[str, Any]) -> bytes:
    """A TIFF of an image, or of uint16 (H, W, 1 to 4) with alpha the last of 2 or 4.

    Args:
        options: `dpi`, `icc_profile`, `xmp` and `exif` as Pillow's writers take them; its own for TIFF knows
            no inner directory of EXIF and no 16 bits.
    """
    tags, packed = _layout_of(pixels) if isinstance(pixels, Image.Image) else _layout_of_wide(pixels)
    if exif := options.get("exif"):
        block = BytesIO(exif.tobytes().removeprefix(b"Exif\0\0"))
        first = next(directories(block))
        tags |= {tag: first.written(tag) for tag in first.tags if tag != EXIF}
        if at := first.value(EXIF, 0):
            second = directory(block, first.order, first.big, at)[0]
            tags[EXIF] = (4, {tag: second.written(tag) for tag in second.tags})
    if dpi := options.get("dpi"):
        tags |= {
            tag: (5, [round(value * 10_000), 10_000]) for tag, value in zip((282, 283), dpi, strict=True)
        }
        tags[296] = (3, [2])
    for tag, kind, name in ((700, 1, "xmp"), (34675, 7, "icc_profile")):
        if options.get(name):
            tags[tag] = (kind, list(options[name]))
    return written(tags, packed)


def join(file: BinaryIO, parts: Iterable[bytes]) -> None:
    """Write TIFFs of one page, as `encode` makes them, as the pages of one.

    Raises:
        ValueError: more than the 4 GB that a TIFF holds.
    """
    file.write(b"II*\0" + bytes(4))
    link, end = 4, 8
    for part in parts:
        source = BytesIO(part)
        page = next(directories(source))
        tags: dict[int, Any] = {
            tag: page.written(tag) for tag in page.tags if tag not in (STRIPS, STRIP_BYTES)
        }
        if at := page.value(EXIF, 0):
            second = directory(source, page.order, page.big, at)[0]
            tags[EXIF] = (4, {tag: second.written(tag) for tag in second.tags})
        try:
            body, at = _placed(tags, segments(source, page, 0, len(page.values(STRIPS)), 1 << 40), end)
            file.seek(link)
            file.write(struct.pack("<I", at))
        except struct.error as error:
            raise ValueError("the pages need more than the 4 GB that a TIFF holds: make a PDF") from error
        file.seek(end)
        file.write(body)
        link, end = at + 2 + 12 * (len(tags) + 2), end + len(body) + len(body) % 2
        file.write(bytes(end - file.tell()))


def _layout_of(image: Image.Image) -> tuple[dict[int, Any], list[bytes]]:
    """Tags and strips of an image of 1 or 8 bits, compressed by libtiff."""
    file = BytesIO()
    image.save(file, "TIFF", compression="group4" if image.mode == "1" else "tiff_lzw")
    page = next(directories(file))
    kept = (
        WIDTH,
        HEIGHT,
        BITS,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        SAMPLES,
        ROWS_PER_STRIP,
        PLANAR,
        EXTRA,
        293,
    )
    packed = segments(file, page, 0, len(page.values(STRIPS)), 1 << 40)
    return {tag: page.written(tag) for tag in kept if tag in page.tags}, packed


def _layout_of_wide(values: np.ndarray) -> tuple[dict[int, Any], list[bytes]]:
    height, width, channels = values.shape
    rows = max(1, (1 << 18) // (width * channels * 2))
    tags: dict[int, Any] = {
        WIDTH: (4, [width]),
        HEIGHT: (4, [height]),
        BITS: (3, [16] * channels),
        COMPRESSION: (3, [8]),
        PHOTOMETRIC: (3, [2 if channels > 2 else 1]),
        SAMPLES: (3, [channels]),
        ROWS_PER_STRIP: (4, [rows]),
        PLANAR: (3, [1]),
        PREDICTOR: (3, [2]),
    }
    if channels in (2, 4):
        tags[EXTRA] = (3, [2])
    packed = []
    for top in range(0, height, rows):
        part = values[top : top + rows]
        packed.append(
            zlib.compress(np.diff(part, axis=1, prepend=part[:, :1] * 0).astype("<u2").tobytes(), 3)
        )
    return tags, packed


def written(tags: dict[int, Any], packed: list[bytes], tiled: bool = False) -> bytes:
    """A little-endian TIFF of one page with these strips or tiles, and tags of a type and numbers each."""
    body, at = _placed(tags, packed, 8, tiled)
    return b"".join([b"II*\0", struct.pack("<I", at), body])


def _placed(tags: dict[int, Any], packed: list[bytes], start: int, tiled: bool = False) -> tuple[bytes, int]:
    """A page to stand at the offset `start`, and the offset of its directory."""
    starts = np.cumsum([start] + [len(each) for each in packed]).tolist()
    tags = tags | {
        TILES if tiled else STRIPS: (4, starts[:-1]),
        TILE_BYTES if tiled else STRIP_BYTES: (4, [len(each) for each in packed]),
    }
    at = starts[-1] + starts[-1] % 2
    return b"".join([*packed, bytes(starts[-1] % 2), _entries(tags, at)]), at


def _entries(tags: dict[int, Any], at: int) -> bytes:
    """A directory at an offset, and behind it what its tags hold; a dictionary is one inside it."""
    entries, after = b"", b""
    outside = at + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        if isinstance(values, dict):
            place, count = struct.pack("<I", outside + len(after)), 1
            after += _entries(values, outside + len(after))
        else:
            code = {2: "B", 5: "I", 10: "i"}.get(kind) or TYPES.get(kind, "B")
            data, count = struct.pack(f"<{len(values)}{code}", *values), len(values)
            place = data.ljust(4, b"\0")
            if len(data) > 4:
                place, after = struct.pack("<I", outside + len(after)), after + data
        after += bytes(len(after) % 2)
        entries += struct.pack("<HHI", tag, kind, count // 2 if kind in (5, 10) else count) + place
    return struct.pack("<H", len(tags)) + entries + bytes(4) + after
