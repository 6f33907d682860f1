"""Where the numbers and lengths of a file stand, and the values that parsers trip over."""

import gzip
import json
import pickletools
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from zipfile import ZIP_STORED, ZipFile

import numpy as np

EXTREMES = (
    0,
    1,
    2,
    127,
    128,
    255,
    2**15 - 1,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    2**64 - 1,
)
TEXTS = (
    *("0", "-1", "1", "65535", "65536", "2147483647", "4294967295", "9999999999", "9223372036854775807"),
    *("18446744073709551616", "1e308", "1e999", "NaN", "-Infinity", "0.0000001", "9" * 400, "9" * 5000, ""),
)
Field = tuple[int, int, str]  # offset, bytes, byte order


def fields(data: bytes) -> list[Field]:
    """The numbers of a file's headers, by its format; [] where it has none that we know."""
    with suppress(IndexError):
        for start, walk in _WALKS.items():
            if data.startswith(start):
                return [field for field in walk(data) if field[0] + field[1] <= len(data)]
    return []


def extreme(data: bytes, rng: np.random.Generator) -> bytes | None:
    """The file with one or two numbers at their extremes, and its checksums made right again."""
    if data.startswith(b"\x1f\x8b"):
        inner = extreme(gzip.decompress(data), rng)
        return None if inner is None else gzip.compress(inner, 1)
    if data.startswith(b"PK") and rng.random() < 0.5:
        return _inside_zip(data, rng)
    places = fields(data)
    if not places or rng.random() < 0.1:
        return _in_text(data, rng)
    changed = bytearray(data)
    for _ in range(rng.integers(1, 3)):
        at, size, order = places[rng.integers(len(places))]
        value = EXTREMES[rng.integers(len(EXTREMES))] % 256**size
        changed[at : at + size] = value.to_bytes(size, "big" if order == "big" else "little")
    return _checked_png(bytes(changed), data) if data.startswith(b"\x89PNG") else bytes(changed)


def _in_text(data: bytes, rng: np.random.Generator) -> bytes | None:
    """One number of a text, such as JSON, .cube, PDF or the header of a .safetensors, or one of its lines."""
    size = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and size < len(data):
        text = _in_text(data[8 : 8 + size], rng)
        return None if text is None else len(text).to_bytes(8, "little") + text + data[8 + size :]
    numbers = list(re.finditer(rb"(?<![\w.])-?\d+(\.\d+)?(?![\w.])", data[:200_000]))
    if not numbers:
        return None
    found = numbers[rng.integers(len(numbers))]
    if rng.random() < 0.1:  # a line or word as often as one likes
        return data[: found.end()] + data[found.start() : found.end() + 1] * 10_000 + data[found.end() :]
    return data[: found.start()] + TEXTS[rng.integers(len(TEXTS))].encode() + data[found.end() :]


def _inside_zip(data: bytes, rng: np.random.Generator) -> bytes | None:
    buffer = BytesIO()
    with ZipFile(BytesIO(data)) as old, ZipFile(buffer, "w", ZIP_STORED) as new:
        members = old.infolist()
        chosen = members[rng.integers(len(members))].filename
        for member in members:
            content = old.read(member)
            if member.filename == chosen:
                content = (_in_pickle if chosen.endswith(".pkl") else extreme)(content, rng) or content
            new.writestr(member.filename, content)
    return buffer.getvalue()


def _in_pickle(data: bytes, rng: np.random.Generator) -> bytes:
    """One whole number of a pickle: the sizes, strides and offsets of its tensors are among them."""
    numbers = [(at, op.code) for op, _, at in pickletools.genops(data) if op.code in "KMJ" and at is not None]
    at, code = numbers[rng.integers(len(numbers))]
    value = int(rng.choice([-(2**31), -1, 0, 1, 10**6, 2**31 - 1]))
    return (
        data[:at]
        + b"J"
        + value.to_bytes(4, "little", signed=True)
        + data[at + {"K": 2, "M": 3, "J": 5}[code] :]
    )


def _png(data: bytes) -> Iterator[Field]:
    for at, size, kind in _png_chunks(data):
        yield at, 4, "big"
        if kind == b"IHDR":
            yield from ((at + 8, 4, "big"), (at + 12, 4, "big"), *((at + 16 + n, 1, "big") for n in range(5)))
        elif kind not in (b"IDAT", b"iTXt"):
            yield from ((at + 8 + n, 4, "big") for n in range(0, min(size, 64), 4))


def _png_chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        yield at, size, data[at + 4 : at + 8]
        at += 12 + size


def _checked_png(changed: bytes, whole: bytes) -> bytes:
    """With the right checksum of each chunk, where the lengths are as they were."""
    result = bytearray(changed)
    for at, size, _ in _png_chunks(whole):
        result[at + 8 + size : at + 12 + size] = zlib.crc32(changed[at + 4 : at + 8 + size]).to_bytes(4)
    return bytes(result)


def _jpeg(data: bytes) -> Iterator[Field]:
    at = 2
    while data[at] == 0xFF and data[at + 1] != 0xD9:
        size = int.from_bytes(data[at + 2 : at + 4])
        yield at + 2, 2, "big"
        if data[at + 1] in (0xC0, 0xC1, 0xC2):
            yield from ((at + 4, 1, "big"), (at + 5, 2, "big"), (at + 7, 2, "big"), (at + 9, 1, "big"))
        yield from ((at + 4 + n, 1, "big") for n in range(min(size, 24)))
        if data[at + 1] == 0xDA:
            return
        at += 2 + size


def _tiff(data: bytes) -> Iterator[Field]:
    order = "little" if data[:1] == b"I" else "big"
    yield 4, 4, order
    directory = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[directory : directory + 2], order)
    yield directory, 2, order
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        yield from ((entry, 2, order), (entry + 2, 2, order), (entry + 4, 4, order), (entry + 8, 4, order))
    yield directory + 2 + 12 * count, 4, order


def _riff(data: bytes) -> Iterator[Field]:
    at = 12
    yield 4, 4, "little"
    while at + 8 <= len(data):
        yield at + 4, 4, "little"
        yield from ((at + 8 + n, 2, "little") for n in range(0, 16, 2))
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little") + 1 & ~1


def _zip(data: bytes) -> Iterator[Field]:
    numbers = {
        b"PK\1\2": ((8, 2), (20, 4), (24, 4), (28, 2), (42, 4)),
        b"PK\5\6": ((8, 2), (10, 2), (12, 4), (16, 4)),
    }
    numbers[b"PK\3\4"] = ((8, 2), (18, 4), (22, 4), (26, 2))
    for found in re.finditer(b"PK(\1\2|\3\4|\5\6)", data):
        yield from ((found.start() + at, size, "little") for at, size in numbers[found[0]])


def _steps(start: int, end: int, size: int, order: str) -> object:
    return lambda data: iter([(at, size, order) for at in range(start, end, size)])


_WALKS = {
    b"\x89PNG": _png,
    b"\xff\xd8": _jpeg,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"RIFF": _riff,
    b"PK": _zip,
    b"BM": _steps(2, 54, 4, "little"),
    b"GIF8": _steps(6, 60, 2, "little"),
    b"ASEF": _steps(4, 64, 2, "big"),
    b"\0\0\0": _steps(0, 400, 4, "big"),  # the boxes of an AVIF
    b"\0\0\b": _steps(4, 16, 4, "big"),  # an idx file
}


def deep(data: bytes, rng: np.random.Generator) -> bytes | None:
    """JSON in which one value is nested more deeply than any reader goes, or is a list that is too long."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not content:
        return None
    key = list(content)[rng.integers(len(content))]
    text = json.dumps({**content, key: "\0"})
    long = ("[" * 20_000 + "]" * 20_000, "[" + "0," * 200_000 + "0]", '{"a":' * 5000 + "0" + "}" * 5000)
    return text.replace('"\\u0000"', long[rng.integers(3)], 1).encode()
