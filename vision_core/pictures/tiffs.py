"""TIFF files: their real pages, and the pixels of one in whatever layout it holds them.

Pillow reads the layouts that it knows and is wrong in some of these, so here it only decompresses: libtiff
takes each strip for a grey picture of bytes, and what the bytes mean is worked out below.
Source: TIFF 6.0 (Adobe, 1992), its Technical Notes, and the BigTIFF design.
"""

import os
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from vision_core.safety import limits

MAX_SAMPLES = 64
PREFIXES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, STRIPS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR = 266, 273, 277, 278, 279, 284
PREDICTOR, COLOR_MAP, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 317, 320, 322, 323, 324, 325
SUBFILE, OLD_SUBFILE, SUB_DIRECTORIES, INK_SET, EXTRA, FORMAT = 254, 255, 330, 332, 338, 339
DNG_VERSION, MAKE, EXIF = 50706, 271, 34665

_TYPES: dict[int, str] = dict(zip((1, 3, 4, 6, 8, 9, 11, 12, 13, 16, 17, 18), "BHIbhifdIQqQ", strict=True))
_SIZES = {2: 1, 5: 8, 7: 1, 10: 8} | {kind: struct.calcsize("=" + code) for kind, code in _TYPES.items()}
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
_PHOTOMETRICS = {
    0: "white-is-zero grey", 1: "grey", 2: "RGB", 3: "palette", 4: "transparency mask", 5: "CMYK", 6: "YCbCr",
    8: "CIELab", 9: "ICC Lab", 10: "ITU Lab", 32803: "sensor (CFA)", 32844: "LogL", 32845: "LogLuv",
    34892: "linear raw",
}  # fmt: skip
_COMPRESSIONS = {
    1: "no", 2: "CCITT", 3: "CCITT G3", 4: "CCITT G4", 5: "LZW", 6: "old-style JPEG", 7: "JPEG", 8: "Deflate",
    32773: "PackBits", 32946: "Deflate", 34661: "JBIG", 34712: "JPEG 2000", 33003: "JPEG 2000",
    33005: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 34933: "PNG", 34934: "JPEG XR", 50000: "Zstandard",
    50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL", 32809: "ThunderScan", 32908: "Pixar film",
    32909: "Pixar log", 34676: "SGI Log", 34677: "SGI Log",
}  # fmt: skip
_BYTES = (1, 5, 8, 32773, 32946, 34925, 50000)  # compressions of bytes, whatever these mean
_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_RAW_COMPRESSIONS = (32767, 32769, 32770, 34713, 34892, 65000, 65535)  # of ARW, NEF, SRW, DNG, DCR, PEF


class Unsupported(ValueError):
    """A page whose layout we do not read; reads on from the file's name."""


@dataclass(frozen=True)
class Directory:
    """The tags of one page; each is a type, a count and bytes in the file's order."""

    order: str
    big: bool
    tags: dict[int, tuple[int, int, bytes]]

    def values(self, tag: int) -> tuple:
        """The numbers of a tag, none where it is missing; rationals as floats, text as one str."""
        kind, count, data = self.tags.get(tag, (1, 0, b""))
        if kind == 2:
            text = data.split(b"\0")[0]
            with suppress(UnicodeDecodeError):
                return (text.decode(),)
            return (text.decode("latin-1"),)
        if kind in (5, 10):
            pairs = struct.unpack(f"{self.order}{count * 2}{'I' if kind == 5 else 'i'}", data)
            return tuple(a / b if b else 0.0 for a, b in zip(pairs[::2], pairs[1::2], strict=True))
        return struct.unpack(f"{self.order}{count}{_TYPES.get(kind, 'B')}", data)

    def value(self, tag: int, default: Any = None) -> Any:
        """The first number of a tag, or its text."""
        return next(iter(self.values(tag)), default)

    def bytes(self, tag: int) -> bytes | None:
        """A tag as it stands in the file, or None."""
        return self.tags[tag][2] if tag in self.tags else None

    def written(self, tag: int) -> tuple[int, list[int]]:
        """A tag for `_written`: its type, and its numbers or bytes; a rational is two numbers."""
        kind, count, data = self.tags[tag]
        if kind in (5, 10):
            return kind, list(struct.unpack(f"{self.order}{count * 2}{'I' if kind == 5 else 'i'}", data))
        return kind, list(data) if kind in (2, 7) else list(self.values(tag))

    @cached_property
    def is_reduced(self) -> bool:
        """Whether this is a thumbnail, a level of a pyramid or a mask, and no page."""
        flags = self.value(SUBFILE, 0)
        return bool(flags & 5) or self.value(OLD_SUBFILE) == 2 or self.value(PHOTOMETRIC) == 4

    @property
    def layout(self) -> str:
        """The layout in words, for a refusal."""
        bits = "/".join(map(str, sorted(set(self.values(BITS) or (1,)))))
        sort = _FORMATS.get(self.value(FORMAT, 1), "")
        kind = self.value(PHOTOMETRIC)
        packing = self.value(COMPRESSION, 1)
        planes = ", one plane a channel" if self.value(PLANAR) == 2 else ""
        words = f"{bits}-bit {sort} {_PHOTOMETRICS.get(kind, f'photometric {kind}')}".replace("  ", " ")
        return f"{words}{planes}, {_COMPRESSIONS.get(packing, f'unknown ({packing})')} compression"


@dataclass(frozen=True)
class Pixels:
    """uint8 or uint16 (H, W, C) of a `kind`: grey, rgb, cmyk or lab; alpha of the same type, or None."""

    kind: str
    values: np.ndarray
    alpha: np.ndarray | None = None
    bit_depth: int = 8
    notes: tuple[str, ...] = ()


def is_tiff(head: bytes) -> bool:
    """Whether a file begins as a TIFF or BigTIFF."""
    return head[:4] in PREFIXES


def directories(file: BinaryIO) -> Iterator[Directory]:
    """All directories of the file's chain, lazily.

    Raises:
        ValueError: a directory outside the file, or a chain that comes back to itself.
    """
    file.seek(0)
    order, big, at = _header(file.read(16))
    seen = set()
    while at:
        if at in seen:
            raise ValueError("its directories form a loop")
        seen.add(at)
        found, at = directory(file, order, big, at)
        yield found


def directory(file: BinaryIO, order: str, big: bool, at: int) -> tuple[Directory, int]:
    """The directory at an offset, and the offset of the next. EXIF is written in the same way."""
    count_code, entry_code, room = ("Q", "HHQ8s", 8) if big else ("H", "HHI4s", 4)
    file.seek(at)
    (count,) = _unpack(order + count_code, file)
    if count > 4096:
        raise ValueError(f"a directory of {count:,} tags")
    entries = [_unpack(order + entry_code, file) for _ in range(count)]
    (after,) = _unpack(order + ("Q" if big else "I"), file, missing=0)
    size = file.seek(0, 2)
    tags = {}
    for tag, kind, number, inline in entries:
        length = _SIZES.get(kind, 0) * number
        if not length or length > size:
            continue  # a type that readers skip, or more than the file holds
        if length > room:
            file.seek(struct.unpack(order + ("Q" if big else "I"), inline)[0])
            inline = file.read(length)
        if len(inline) >= length:
            tags.setdefault(tag, (kind, number, inline[:length]))
    return Directory(order, big, tags), after


def pages(file: BinaryIO) -> tuple[list[Directory], Exception | None]:
    """The pages of a TIFF in order, and what is wrong after the last of them, if anything.

    No thumbnail, pyramid level or mask is a page.

    Raises:
        Unsupported: more pages than PAGES of `limits`, or a camera raw file.
        ValueError: no or a damaged first directory.
    """
    found, damage, most = [], None, limits.PAGES.value
    try:
        for each in islice(directories(file), most + 1):
            found.append(each)
    except (ValueError, struct.error) as error:
        damage = error
    if len(found) > most:
        raise Unsupported(f"has more pages than the {most:,} that are accepted ({limits.PAGES.variable})")
    refuse_raw(file, found)
    if not found:
        raise damage or ValueError("it holds no page")
    return [each for each in found if not each.is_reduced] or found[:1], damage


def first_page(file: BinaryIO) -> tuple[Directory, bool]:
    """The first page, and whether there are more; what `pages` would find, without a walk through all.

    Raises:
        ValueError: as `pages`, but for what is wrong after the first page.
    """
    found, real = [], []
    try:
        for each in islice(directories(file), limits.PAGES.value):
            found.append(each)
            real += [] if each.is_reduced else [each]
            if len(real) == 2:
                break
    except (ValueError, struct.error):
        if not found:
            raise
    refuse_raw(file, found)
    if not found:
        raise ValueError("it holds no page")
    return (real or found)[0], len(real) > 1


def refuse_raw(file: BinaryIO, found: list[Directory]) -> None:
    """Refuse what a camera wrote from its sensor: the picture in it is a preview.

    Raises:
        Unsupported: a camera raw file, by name.
    """
    from vision_core.pictures.kinds import RAW

    file.seek(0)
    head = file.read(16)
    name = "CR2" if head[8:10] == b"CR" else "IIQ" if head[8:12] == b"IIII" else ""
    for each in found[:8]:
        inner = [each]
        for at in each.values(SUB_DIRECTORIES)[:8]:
            try:
                inner.append(directory(file, each.order, each.big, at)[0])
            except (ValueError, struct.error, OSError):
                continue
        if DNG_VERSION in each.tags:
            name = name or "DNG"
        for one in inner:
            sensor = one.value(PHOTOMETRIC) in (32803, 34892) or one.value(COMPRESSION) in _RAW_COMPRESSIONS
            if sensor and not name:
                make = str(found[0].value(MAKE, "")).split(" ")[0].title()
                name = {"Nikon": "NEF", "Sony": "ARW", "Pentax": "PEF", "Samsung": "SRW"}.get(make, make)
                name = name or "unknown make"
    if name:
        raise Unsupported(f"is a {RAW.format(name)}")


def size(page: Directory) -> tuple[int, int]:
    """Width and height.

    Raises:
        ValueError: one of them is missing or no positive number.
    """
    width, height = page.value(WIDTH, 0), page.value(HEIGHT, 0)
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 < height):
        raise ValueError("it does not say how large it is")
    return width, height


def decode(file: BinaryIO, page: Directory) -> Pixels | Image.Image:
    """The pixels of a page, checked for size by the caller; an image where Pillow's own reading is right.

    Raises:
        Unsupported: a layout we do not read, by name.
        ValueError: damaged or cut off.
    """
    bits, samples, kind = _checked(page)
    packing = page.value(COMPRESSION, 1)
    if kind == 6 or (packing not in _BYTES and not (packing == 7 and page.value(PLANAR) == 2 and bits == 8)):
        return _by_pillow(file, page, bits)
    values = _samples(file, page, bits, samples)
    return _meaning(page, values, bits, kind)


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
    return _written(tags, packed)


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
            body, at = _placed(tags, _segments(source, page, 0, len(page.values(STRIPS)), 1 << 40), end)
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
    packed = _segments(file, page, 0, len(page.values(STRIPS)), 1 << 40)
    return {tag: page.written(tag) for tag in kept if tag in page.tags}, packed


def _layout_of_wide(values: np.ndarray) -> tuple[dict[int, Any], list[bytes]]:
    height, width, channels = values.shape
    rows = max(1, (1 << 18) // (width * channels * 2))
    tags: dict[int, Any] = {
        WIDTH: (4, [width]), HEIGHT: (4, [height]), BITS: (3, [16] * channels), COMPRESSION: (3, [8]),
        PHOTOMETRIC: (3, [2 if channels > 2 else 1]), SAMPLES: (3, [channels]), ROWS_PER_STRIP: (4, [rows]),
        PLANAR: (3, [1]), PREDICTOR: (3, [2]),
    }  # fmt: skip
    if channels in (2, 4):
        tags[EXTRA] = (3, [2])
    packed = []
    for top in range(0, height, rows):
        part = values[top : top + rows]
        packed.append(
            zlib.compress(np.diff(part, axis=1, prepend=part[:, :1] * 0).astype("<u2").tobytes(), 3)
        )
    return tags, packed


def _header(head: bytes) -> tuple[str, bool, int]:
    """Byte order, whether it is a BigTIFF, and where the first directory is."""
    order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
    if not is_tiff(head) or len(head) < (16 if big else 8):
        raise ValueError("it does not begin as a TIFF")
    return order, big, struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0]


def _unpack(code: str, file: BinaryIO, missing: int | None = None) -> tuple:
    data = file.read(length := struct.calcsize(code))
    if len(data) < length:
        if missing is not None:
            return (missing,)
        raise ValueError("a directory lies outside of the file")
    return struct.unpack(code, data)


def _checked(page: Directory) -> tuple[int, int, int]:
    """Bits a sample, samples a pixel and photometric interpretation of a layout that we read."""
    samples = page.value(SAMPLES, 1)
    bits, sorts = page.values(BITS) or (1,), page.values(FORMAT) or (1,)
    kind = page.value(PHOTOMETRIC, {1: 1, 3: 2, 4: 2}.get(samples))
    packing = page.value(COMPRESSION, 1)
    if found := next((_FORMATS[sort] for sort in sorts if sort in _FORMATS), None):
        raise Unsupported(
            f"cannot be used: it holds {max(bits)}-bit {found} values, which have no fixed white"
        )
    if max(bits) > 16:
        raise Unsupported(
            f"cannot be used: it holds {max(bits)}-bit values, which have no fixed white; export 8 or 16 bits"
        )
    readable = len(set(bits)) == 1 and bits[0] > 0 and _COLORS.get(kind, 99) <= samples <= MAX_SAMPLES
    readable &= kind != 5 or page.value(INK_SET, 1) == 1
    readable &= kind not in (8, 9) or bits[0] in (8, 16)
    readable &= kind != 6 or (bits[0] == 8 and page.value(PLANAR) != 2)
    if packing not in _BYTES:  # of pixels, not of bytes
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
        packed = _segments(file, page, first, grid[0] * grid[1], down * row_bytes)
        stored = _unpacked(page, packed, row_bytes, rows, down)
        values = _numbers(stored, across * in_plane, bits, page.order).reshape(rows, across, in_plane)
        if page.value(PREDICTOR, 1) == 2 and page.value(COMPRESSION) in (5, 8, 32946, 34925, 50000):
            values = np.cumsum(values, 1, values.dtype)  # wraps, as the differences did
        if tiled:
            values = values.reshape(*grid, down, across, in_plane).swapaxes(1, 2)
            values = values.reshape(grid[0] * down, grid[1] * across, in_plane)[:height, :width]
        planes.append(values)
    return np.concatenate(planes, 2) if planar else planes[0]


def _segments(file: BinaryIO, page: Directory, first: int, count: int, expected: int) -> list[bytes]:
    """The strips or tiles from number `first`, as compressed as they are in the file."""
    tiled = TILES in page.tags
    offsets = page.values(TILES if tiled else STRIPS)
    lengths = page.values(TILE_BYTES if tiled else STRIP_BYTES)
    if not lengths and len(offsets) == 1:
        lengths = (file.seek(0, 2) - offsets[0],)
    if len(offsets) < first + count or len(lengths) < first + count:
        raise ValueError("some of its strips or tiles are missing")
    plain, found = page.value(COMPRESSION, 1) == 1, []
    for at, length in list(zip(offsets, lengths, strict=False))[first : first + count]:
        file.seek(at)
        found.append(file.read(min(length, expected) if plain else length))
    return found


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
        WIDTH: (4, [row_bytes]), HEIGHT: (4, [rows]), BITS: (3, [8]), COMPRESSION: (3, [packing]),
        PHOTOMETRIC: (3, [1]), FILL_ORDER: (3, [2 if reverse else 1]), ROWS_PER_STRIP: (4, [down]),
    }  # fmt: skip
    if packing == 7 and (tables := page.bytes(347)):
        tags[347] = (7, list(tables))
    with _silence(), TiffImagePlugin.TiffImageFile(BytesIO(_written(tags, packed))) as image:
        return np.asarray(image)


def _numbers(stored: np.ndarray, count: int, bits: int, order: str) -> np.ndarray:
    """(rows, count) numbers of `bits` each out of rows of bytes."""
    if bits == 8:
        return stored
    if bits == 16:
        return np.ascontiguousarray(stored).view(f"{order}u2").astype(np.uint16)
    found = np.zeros((len(stored), count), np.uint8 if bits < 8 else np.uint16)
    step = max(1, (1 << 22) // (stored.shape[1] * 8))
    for top in range(0, len(stored), step):
        single = np.unpackbits(stored[top : top + step], axis=1)[:, : count * bits]
        single = single.reshape(len(single), count, bits)
        for bit in range(bits):
            found[top : top + step] |= single[..., bit].astype(found.dtype) << (bits - 1 - bit)
    return found


def _meaning(page: Directory, values: np.ndarray, bits: int, kind: int) -> Pixels:
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
        colors = _divided(colors, alpha)
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


def _divided(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were multiplied with alpha, as they were before; black where nothing is left of them."""
    most, found = np.iinfo(colors.dtype).max, np.empty_like(colors)
    for row, (color, cover) in enumerate(zip(colors, alpha.astype(np.uint64)[..., None], strict=True)):
        whole = (color.astype(np.uint64) * most + cover // 2) // np.maximum(cover, 1)
        found[row] = np.minimum(whole, most)
    return found


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


def _by_pillow(file: BinaryIO, page: Directory, bits: int) -> Image.Image:
    """The page alone as Pillow reads it: JPEG, fax and YCbCr are libtiff's to decode."""
    tiled = TILES in page.tags
    packing = page.value(COMPRESSION, 1)
    count = len(page.values(TILES if tiled else STRIPS))
    packed = _segments(file, page, 0, count, 1 << 40)
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
    image = TiffImagePlugin.TiffImageFile(BytesIO(_written(tags, packed, tiled)))
    with _silence():
        image.load()
    return image


_silent, _silent_now = threading.Lock(), [0, -1]  # how many are, and the stderr to come back to


def _divert() -> int:
    """Let stderr lead nowhere; the descriptor of where it led, -1 where there is none."""
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


def _written(tags: dict[int, Any], packed: list[bytes], tiled: bool = False) -> bytes:
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
            code = {2: "B", 5: "I", 10: "i"}.get(kind) or _TYPES.get(kind, "B")
            data, count = struct.pack(f"<{len(values)}{code}", *values), len(values)
            place = data.ljust(4, b"\0")
            if len(data) > 4:
                place, after = struct.pack("<I", outside + len(after)), after + data
        after += bytes(len(after) % 2)
        entries += struct.pack("<HHI", tag, kind, count // 2 if kind in (5, 10) else count) + place
    return struct.pack("<H", len(tags)) + entries + bytes(4) + after
