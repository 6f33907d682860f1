"""The directories of a TIFF: which of them are pages, and what their tags say.

Source: TIFF 6.0 (Adobe, 1992), its Technical Notes, and the BigTIFF design.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, BinaryIO

from vision_core.pictures.kinds import RAW
from vision_core.safety import limits

PREFIXES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, STRIPS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR = 266, 273, 277, 278, 279, 284
PREDICTOR, COLOR_MAP, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 317, 320, 322, 323, 324, 325
SUBFILE, OLD_SUBFILE, SUB_DIRECTORIES, INK_SET, EXTRA, FORMAT = 254, 255, 330, 332, 338, 339
DNG_VERSION, MAKE, EXIF = 50706, 271, 34665
TYPES: dict[int, str] = dict(zip((1, 3, 4, 6, 8, 9, 11, 12, 13, 16, 17, 18), "BHIbhifdIQqQ", strict=True))
_SIZES = {2: 1, 5: 8, 7: 1, 10: 8} | {kind: struct.calcsize("=" + code) for kind, code in TYPES.items()}
_PHOTOMETRICS = {
    0: "white-is-zero grey",
    1: "grey",
    2: "RGB",
    3: "palette",
    4: "transparency mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    9: "ICC Lab",
    10: "ITU Lab",
    32803: "sensor (CFA)",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
_COMPRESSIONS = {
    1: "no",
    2: "CCITT",
    3: "CCITT G3",
    4: "CCITT G4",
    5: "LZW",
    6: "old-style JPEG",
    7: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    34661: "JBIG",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
    32809: "ThunderScan",
    32908: "Pixar film",
    32909: "Pixar log",
    34676: "SGI Log",
    34677: "SGI Log",
}
FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
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
        """The numbers of a tag, () if it is missing; rationals as floats, text as one str."""
        kind, count, data = self.tags.get(tag, (1, 0, b""))
        if kind == 2:
            text = data.split(b"\0")[0]
            with suppress(UnicodeDecodeError):
                return (text.decode(),)
            return (text.decode("latin-1"),)
        if kind in (5, 10):
            pairs = struct.unpack(f"{self.order}{count * 2}{'I' if kind == 5 else 'i'}", data)
            return tuple(a / b if b else 0.0 for a, b in zip(pairs[::2], pairs[1::2], strict=True))
        return struct.unpack(f"{self.order}{count}{TYPES.get(kind, 'B')}", data)

    def value(self, tag: int, default: Any = None) -> Any:
        """The first number of a tag, or its text."""
        return next(iter(self.values(tag)), default)

    def bytes(self, tag: int) -> bytes | None:
        """The raw bytes of a tag, or None."""
        return self.tags[tag][2] if tag in self.tags else None

    def written(self, tag: int) -> tuple[int, list[int]]:
        """A tag for `_written`: its type, and its numbers or bytes; a rational is two numbers."""
        kind, count, data = self.tags[tag]
        if kind in (5, 10):
            return kind, list(struct.unpack(f"{self.order}{count * 2}{'I' if kind == 5 else 'i'}", data))
        return kind, list(data) if kind in (2, 7) else list(self.values(tag))

    @cached_property
    def is_reduced(self) -> bool:
        """Whether this is a thumbnail, pyramid level or mask instead of a page."""
        flags = self.value(SUBFILE, 0)
        return bool(flags & 5) or self.value(OLD_SUBFILE) == 2 or self.value(PHOTOMETRIC) == 4

    @property
    def layout(self) -> str:
        """The layout in words, for a refusal."""
        bits = "/".join(map(str, sorted(set(self.values(BITS) or (1,)))))
        sort = FORMATS.get(self.value(FORMAT, 1), "")
        kind = self.value(PHOTOMETRIC)
        packing = self.value(COMPRESSION, 1)
        planes = ", one plane a channel" if self.value(PLANAR) == 2 else ""
        words = f"{bits}-bit {sort} {_PHOTOMETRICS.get(kind, f'photometric {kind}')}".replace("  ", " ")
        return f"{words}{planes}, {_COMPRESSIONS.get(packing, f'unknown ({packing})')} compression"


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
        page, at = directory(file, order, big, at)
        yield page


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
    """The pages of a TIFF in order, and the error after the last readable one, if any.

    No thumbnail, pyramid level or mask is a page.

    Raises:
        Unsupported: more pages than PAGES of `limits`, or a camera raw file.
        ValueError: no or a damaged first directory.
    """
    chain, damage, most = [], None, limits.PAGES.value
    try:
        for each in islice(directories(file), most + 1):
            chain.append(each)
    except (ValueError, struct.error) as error:
        damage = error
    if len(chain) > most:
        raise Unsupported(f"has more pages than the {most:,} that are accepted ({limits.PAGES.variable})")
    refuse_raw(file, chain)
    if not chain:
        raise damage or ValueError("it holds no page")
    return [each for each in chain if not each.is_reduced] or chain[:1], damage


def first_page(file: BinaryIO) -> tuple[Directory, bool]:
    """The first page, and whether there are more; faster than `pages`.

    Raises:
        ValueError: as `pages`, but for what is wrong after the first page.
    """
    chain, real = [], []
    try:
        for each in islice(directories(file), limits.PAGES.value):
            chain.append(each)
            real += [] if each.is_reduced else [each]
            if len(real) == 2:
                break
    except (ValueError, struct.error):
        if not chain:
            raise
    refuse_raw(file, chain)
    if not chain:
        raise ValueError("it holds no page")
    return (real or chain)[0], len(real) > 1


def refuse_raw(file: BinaryIO, chain: list[Directory]) -> None:
    """Refuse camera raw files: their picture is only a preview.

    Raises:
        Unsupported: a camera raw file, by name.
    """
    file.seek(0)
    head = file.read(16)
    name = "CR2" if head[8:10] == b"CR" else "IIQ" if head[8:12] == b"IIII" else ""
    for each in chain[:8]:
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
                make = str(chain[0].value(MAKE, "")).split(" ")[0].title()
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


def segments(file: BinaryIO, page: Directory, first: int, count: int, expected: int) -> list[bytes]:
    """The strips or tiles from number `first`, as compressed as they are in the file."""
    tiled = TILES in page.tags
    offsets = page.values(TILES if tiled else STRIPS)
    lengths = page.values(TILE_BYTES if tiled else STRIP_BYTES)
    if not lengths and len(offsets) == 1:
        lengths = (file.seek(0, 2) - offsets[0],)
    if len(offsets) < first + count or len(lengths) < first + count:
        raise ValueError("some of its strips or tiles are missing")
    plain, chunks = page.value(COMPRESSION, 1) == 1, []
    for at, length in list(zip(offsets, lengths, strict=False))[first : first + count]:
        file.seek(at)
        chunks.append(file.read(min(length, expected) if plain else length))
    return chunks


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
