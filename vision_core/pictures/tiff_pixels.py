"""Decodes the pixels of a TIFF page, in any layout.

Pillow reads the layouts that it knows and is wrong in some of these, so here it only decompresses: libtiff
takes each strip for a grey picture of bytes, and what the bytes mean is worked out below.
Source: TIFF 6.0 (Adobe, 1992), and its Technical Notes.
"""

import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from vision_core.pictures import tiff_writing
from vision_core.pictures.tiff_directories import (
    BITS,
    COLOR_MAP,
    COMPRESSION,
    EXTRA,
    FILL_ORDER,
    FORMAT,
    FORMATS,
    HEIGHT,
    INK_SET,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    ROWS_PER_STRIP,
    SAMPLES,
    STRIPS,
    TILE_HEIGHT,
    TILE_WIDTH,
    TILES,
    WIDTH,
    Directory,
    Unsupported,
    segments,
    size,
)

MAX_SAMPLES = 64
_COLORS = {
    0: 1,
    1: 1,
    2: 3,
    3: 1,
    5: 4,
    6: 3,
    8: 3,
    9: 3,
}  # samples of a pixel, by photometric interpretation
_BYTES = (1, 5, 8, 32773, 32946, 34925, 50000)  # byte-oriented compressions


@dataclass(frozen=True)
class Pixels:
    """uint8 or uint16 (H, W, C) of a `kind`: grey, rgb, cmyk or lab; alpha of the same type, or None."""

    kind: str
    values: np.ndarray
    alpha: np.ndarray | None = None
    bit_depth: int = 8
    notes: tuple[str, ...] = ()


def decode(file: BinaryIO, page: Directory) -> Pixels | Image.Image:
    """Decode a page, whose size the caller has checked; a Pillow image if Pillow reads it correctly.

    Raises:
        Unsupported: a layout we do not read, by name.
        ValueError: damaged or cut off.
    """
    bits, samples, kind = _checked(page)
    packing = page.value(COMPRESSION, 1)
    if kind == 6 or (packing not in _BYTES and not (packing == 7 and page.value(PLANAR) == 2 and bits == 8)):
        return _by_pillow(file, page)
    values = _samples(file, page, bits, samples)
    return _interpreted(page, values, bits, kind)


def _checked(page: Directory) -> tuple[int, int, int]:
    """Bits a sample, samples a pixel and photometric interpretation of a layout that we read."""
    samples = page.value(SAMPLES, 1)
    bits, sorts = page.values(BITS) or (1,), page.values(FORMAT) or (1,)
    kind = page.value(PHOTOMETRIC, {1: 1, 3: 2, 4: 2}.get(samples))
    packing = page.value(COMPRESSION, 1)
    if unsupported := next((FORMATS[sort] for sort in sorts if sort in FORMATS), None):
        raise Unsupported(
            f"cannot be used: it holds {max(bits)}-bit {unsupported} values, which have no fixed white"
        )
    if max(bits) > 16:
        raise Unsupported(
            f"cannot be used: it holds {max(bits)}-bit values, which have no fixed white; export 8 or 16 bits"
        )
    readable = len(set(bits)) == 1 and bits[0] > 0 and _COLORS.get(kind, 99) <= samples <= MAX_SAMPLES
    readable &= kind != 5 or page.value(INK_SET, 1) == 1
    readable &= kind not in (8, 9) or bits[0] in (8, 16)
    readable &= kind != 6 or (bits[0] == 8 and page.value(PLANAR) != 2)
    if packing not in _BYTES:  # pixel-oriented compressions
        readable &= bits[0] == (1 if packing in (2, 3, 4) else 8) and packing in (2, 3, 4, 7)
    predictor = page.value(PREDICTOR, 1) if packing in (5, 8, 32946, 34925, 50000) else 1
    readable &= predictor == 1 or (predictor == 2 and bits[0] in (8, 16))
    if not readable:
        raise Unsupported(f"has a layout that we do not read ({page.layout}); export it as 8- or 16-bit RGB")
    return bits[0], samples, kind


def _samples(file: BinaryIO, page: Directory, bits: int, samples: int) -> np.ndarray:
    """(H, W, samples) as stored: uint8, or uint16 for more than 8 bits."""
    (width, height), planar = size(page), page.value(PLANAR, 1) == 2 and samples > 1
    in_plane = 1 if planar else samples
    if tiled := TILES in page.tags:
        across, down = page.value(TILE_WIDTH, 0), page.value(TILE_HEIGHT, 0)
        if min(across, down) < 1 or across * down > 4 * max(width * height, 1 << 20):
            raise ValueError(f"its tiles have {across} x {down} pixels")
        grid = -(-height // down), -(-width // across)
    else:
        across, down = width, min(page.value(ROWS_PER_STRIP, height) or height, height)
        grid = -(-height // down), 1
    row_bytes = -(-across * in_plane * bits // 8)
    rows = grid[0] * grid[1] * down if tiled else height
    planes = []
    for plane in range(samples if planar else 1):
        first = plane * grid[0] * grid[1]
        packed = segments(file, page, first, grid[0] * grid[1], down * row_bytes)
        stored = _unpacked(page, packed, row_bytes, rows, down)
        values = _numbers(stored, across * in_plane, bits, page.order).reshape(rows, across, in_plane)
        if page.value(PREDICTOR, 1) == 2 and page.value(COMPRESSION) in (5, 8, 32946, 34925, 50000):
            values = np.cumsum(values, 1, values.dtype)  # wraps, as the differences did
        if tiled:
            values = values.reshape(*grid, down, across, in_plane).swapaxes(1, 2)
            values = values.reshape(grid[0] * down, grid[1] * across, in_plane)[:height, :width]
        planes.append(values)
    return np.concatenate(planes, 2) if planar else planes[0]


def _unpacked(page: Directory, packed: list[bytes], row_bytes: int, rows: int, down: int) -> np.ndarray:
    """uint8 (rows, row_bytes) of strips or tiles of `down` rows."""
    packing, reverse = page.value(COMPRESSION, 1), page.value(FILL_ORDER, 1) == 2
    if packing == 1:
        data = np.frombuffer(b"".join(packed), np.uint8)
        if any(len(each) < down * row_bytes for each in packed[:-1]) or data.size < rows * row_bytes:
            raise ValueError("its pixels end before the last row")
        data = data[: rows * row_bytes].reshape(rows, row_bytes)
        return _reversed()[data] if reverse else data
    tags = {
        WIDTH: (4, [row_bytes]),
        HEIGHT: (4, [rows]),
        BITS: (3, [8]),
        COMPRESSION: (3, [packing]),
        PHOTOMETRIC: (3, [1]),
        FILL_ORDER: (3, [2 if reverse else 1]),
        ROWS_PER_STRIP: (4, [down]),
    }
    if packing == 7 and (tables := page.bytes(347)):
        tags[347] = (7, list(tables))
    with _silence(), TiffImagePlugin.TiffImageFile(BytesIO(tiff_writing.written(tags, packed))) as image:
        return np.asarray(image)


def _numbers(stored: np.ndarray, count: int, bits: int, order: str) -> np.ndarray:
    """(rows, count) numbers of `bits` each out of rows of bytes."""
    if bits == 8:
        return stored
    if bits == 16:
        return np.ascontiguousarray(stored).view(f"{order}u2").astype(np.uint16)
    numbers = np.zeros((len(stored), count), np.uint8 if bits < 8 else np.uint16)
    step = max(1, (1 << 22) // (stored.shape[1] * 8))
    for top in range(0, len(stored), step):
        single = np.unpackbits(stored[top : top + step], axis=1)[:, : count * bits]
        single = single.reshape(len(single), count, bits)
        for bit in range(bits):
            numbers[top : top + step] |= single[..., bit].astype(numbers.dtype) << (bits - 1 - bit)
    return numbers


def _interpreted(page: Directory, values: np.ndarray, bits: int, kind: int) -> Pixels:
    """Colours and alpha of full-range samples, 8 bits where the file has no more, else 16."""
    colors, notes = values[..., : _COLORS[kind]], []
    if kind == 3:
        colors = _palette(page, bits)[colors[..., 0]]
    else:
        colors = _scaled(colors, bits)
    if kind == 0:
        colors = ~colors
    alpha, extra = None, page.values(EXTRA)
    if values.shape[2] > _COLORS[kind]:
        if (extra[:1] or (2,)) != (0,):  # without the tag the fourth channel is taken for alpha, as elsewhere
            alpha = _scaled(values[..., _COLORS[kind]], bits)
        if values.shape[2] - _COLORS[kind] > (alpha is not None):
            notes.append("channels beside colour and transparency were left out")
    if alpha is not None and extra[:1] == (1,) and kind in (1, 2):
        colors = _unpremultiplied(colors, alpha)
    if kind == 8 or kind == 9:
        return Pixels("lab", _lab8(colors, kind), alpha, bits, tuple(notes))
    names = {0: "grey", 1: "grey", 2: "rgb", 3: "rgb", 5: "cmyk"}
    depth = 8 if kind == 3 else max(bits, 8)
    return Pixels(names[kind], colors, alpha, depth, tuple(notes))


def _scaled(values: np.ndarray, bits: int) -> np.ndarray:
    """The values of `bits` stretched to the whole range of their type."""
    full = 8 * values.dtype.itemsize
    if bits == full:
        return values
    most = 2**bits - 1
    table = (np.arange(most + 1, dtype=np.uint64) * (2**full - 1) + most // 2) // most
    return table.astype(values.dtype)[values]


def _unpremultiplied(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Undo a premultiplied alpha; black where the alpha is 0."""
    most, divided = np.iinfo(colors.dtype).max, np.empty_like(colors)
    for row, (color, cover) in enumerate(zip(colors, alpha.astype(np.uint64)[..., None], strict=True)):
        whole = (color.astype(np.uint64) * most + cover // 2) // np.maximum(cover, 1)
        divided[row] = np.minimum(whole, most)
    return divided


def _palette(page: Directory, bits: int) -> np.ndarray:
    """uint8 (2**bits, 3) of a colour map of 16 bits, or of one that was written in 8."""
    entries = np.array(page.values(COLOR_MAP))
    if entries.size != 3 * 2**bits:
        raise ValueError("its palette is missing or too short")
    return (entries >> 8 if entries.max() > 255 else entries).reshape(3, -1).T.astype(np.uint8)


def _lab8(values: np.ndarray, kind: int) -> np.ndarray:
    """uint8 Lab as CIELab has it, a and b signed, from either kind of Lab and depth."""
    if values.dtype == np.uint16:
        light = (values[..., :1].astype(np.uint32) * 255 + 32767) // 65535
        signed = values[..., 1:].astype(np.int32) - 32768 if kind == 9 else values[..., 1:].view(np.int16)
        ab = np.clip(signed.astype(np.int32) + 128 >> 8, -128, 127)
        return np.concatenate([light, ab], -1).astype(np.uint8)
    return values if kind == 8 else np.concatenate([values[..., :1], values[..., 1:] ^ 128], -1)


def _reversed() -> np.ndarray:
    """uint8 (256,): each byte with its bits in the other order."""
    return np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1)[:, 0]


def _by_pillow(file: BinaryIO, page: Directory) -> Image.Image:
    """Read the page with Pillow: JPEG, fax and YCbCr are decoded by libtiff."""
    tiled = TILES in page.tags
    packing = page.value(COMPRESSION, 1)
    count = len(page.values(TILES if tiled else STRIPS))
    packed = segments(file, page, 0, count, 1 << 40)
    kept = (
        WIDTH,
        HEIGHT,
        BITS,
        PHOTOMETRIC,
        FILL_ORDER,
        SAMPLES,
        ROWS_PER_STRIP,
        PLANAR,
        PREDICTOR,
        COLOR_MAP,
    )
    kept += (TILE_WIDTH, TILE_HEIGHT, 292, 293, EXTRA, 347, 529, 530, 531, 532)  # fax, JPEG tables, YCbCr
    tags: dict[int, Any] = {tag: page.written(tag) for tag in kept if tag in page.tags}
    if packing == 1:  # Pillow would not ask libtiff, which alone knows about subsampled colour
        packing, packed = 8, [zlib.compress(each, 0) for each in packed]
    tags[COMPRESSION] = (3, [packing])
    image = TiffImagePlugin.TiffImageFile(BytesIO(tiff_writing.written(tags, packed, tiled)))
    with _silence():
        image.load()
    return image


_silent, _silent_now = threading.Lock(), [0, -1]  # number of silenced callers, and the saved stderr


def _divert() -> int:
    """Redirect stderr to nowhere; returns a descriptor of the old one, or -1."""
    kept = -1
    with suppress(OSError):
        kept = os.dup(2)
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
        except PermissionError:  # a confined process opens nothing for writing
            nowhere = os.memfd_create("nowhere")
        os.dup2(nowhere, 2)
        os.close(nowhere)
    return kept


@contextmanager
def _silence() -> Iterator[None]:
    """libtiff writes its errors into the process's stderr by itself; what is wrong is raised, too."""
    with _silent:
        if not _silent_now[0]:
            _silent_now[1] = _divert()
        _silent_now[0] += 1
    try:
        yield
    finally:
        with _silent:
            _silent_now[0] -= 1
            if not _silent_now[0] and _silent_now[1] >= 0:
                os.dup2(_silent_now[1], 2)
                os.close(_silent_now[1])
