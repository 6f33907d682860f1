"""Locates numbers and lengths in files and replaces them by extreme values."""

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
import pikepdf

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
                places = [*walk(data), *_nested(data)]
                return [field for field in places if 0 <= field[0] <= len(data) - field[1]]
    return []


def extreme(data: bytes, rng: np.random.Generator) -> bytes | None:
    """The file with one or two numbers at their extremes, and its checksums made right again."""
    if data.startswith(b"\x1f\x8b"):
        inner = extreme(gzip.decompress(data), rng)
        return None if inner is None else gzip.compress(inner, 1)
    if data.startswith(b"PK") and rng.random() < 0.5:
        return _inside_zip(data, rng)
    if data.startswith(b"%PDF") and rng.random() < 0.7:
        return _in_pdf(data, rng)
    if data.startswith(b"\x08") and b"Mul" in data:
        return _in_onnx(data, rng)
    if data.startswith(b"file,"):
        return _in_table(data, rng)
    if data.startswith(b"\x89PNG") and rng.random() < 0.2 and (changed := _in_profile(data, rng)):
        return changed
    places = fields(data)
    if not places or rng.random() < 0.1:
        return _in_text(data, rng)
    changed = bytearray(data)
    for _ in range(rng.integers(1, 3)):
        _set(changed, places[rng.integers(len(places))], rng)
    return _checked_png(bytes(changed), data) if data.startswith(b"\x89PNG") else bytes(changed)


def _set(data: bytearray, field: Field, rng: np.random.Generator) -> None:
    at, size, order = field
    value = EXTREMES[rng.integers(len(EXTREMES))] % 256**size
    data[at : at + size] = value.to_bytes(size, "big" if order == "big" else "little")


def _in_text(data: bytes, rng: np.random.Generator) -> bytes | None:
    """One number of a text, such as JSON, .cube, PDF or the header of a .safetensors, or one of its lines."""
    size = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and size < len(data):
        if rng.random() < 0.1:
            return EXTREMES[rng.integers(len(EXTREMES))].to_bytes(8, "little") + data[8:]
        text = _in_text(data[8 : 8 + size], rng)
        return None if text is None else len(text).to_bytes(8, "little") + text + data[8 + size :]
    numbers = list(re.finditer(rb"(?<![\w.])-?\d+(\.\d+)?(?![\w.])", data[:200_000]))
    if not numbers:
        return None
    number = numbers[rng.integers(len(numbers))]
    if rng.random() < 0.1:  # a line or word as often as one likes
        return data[: number.end()] + data[number.start() : number.end() + 1] * 10_000 + data[number.end() :]
    return data[: number.start()] + TEXTS[rng.integers(len(TEXTS))].encode() + data[number.end() :]


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


def _in_pdf(data: bytes, rng: np.random.Generator) -> bytes:
    """Another number in a stream, or another value of an object, which may be a way back to any object."""
    buffer = BytesIO()
    with pikepdf.open(BytesIO(data)) as pdf:
        objects = [*pdf.objects]
        chosen = objects[rng.integers(len(objects))]
        values = (*(2**31 - 1, 2**62, -1, 0, 1e30), "x" * 5000, pikepdf.Name.Other, *objects)
        value = values[rng.integers(len(values))]
        if isinstance(chosen, pikepdf.Stream) and rng.random() < 0.5:
            with suppress(pikepdf.PdfError):
                content = chosen.read_bytes()
                chosen.write((_in_text(content, rng) if rng.random() < 0.5 else None) or content * 100)
        elif isinstance(chosen, pikepdf.Dictionary | pikepdf.Stream):
            keys = [key for key in chosen.keys() if key != "/Length"]  # which pikepdf keeps right
            chosen[keys[rng.integers(len(keys))] if keys else "/X"] = value
        elif isinstance(chosen, pikepdf.Array) and len(chosen):
            chosen[int(rng.integers(len(chosen)))] = value
        pdf.save(buffer)
    return buffer.getvalue()


def _in_onnx(data: bytes, rng: np.random.Generator) -> bytes:
    """One whole number or text of an ONNX file."""
    import onnx

    model = onnx.load_from_string(data)
    places, waiting = [], [model]
    while waiting:
        message = waiting.pop()
        for field, value in message.ListFields():
            many = [*value] if field.is_repeated else [value]
            if field.message_type:
                waiting += many
            elif isinstance(many[0], int | str):
                places += [(message, field, number) for number in range(len(many))]
    message, field, number = places[rng.integers(len(places))]
    of_text = field.cpp_type == field.CPPTYPE_STRING
    values = TEXTS if of_text else [value for value in (-(2**31), -1, *EXTREMES) if value < 2**31]
    if field.cpp_type == field.CPPTYPE_INT64:
        values += [2**31, 2**62, 2**63 - 1, -(2**63)]
    value = values[rng.integers(len(values))]
    if field.is_repeated:
        getattr(message, field.name)[number] = value
    else:
        setattr(message, field.name, value)
    return model.SerializeToString()


def _in_table(data: bytes, rng: np.random.Generator) -> bytes:
    """A CSV file with a quote that stays open, a long field, many columns, or other odd ones."""
    odd = (
        b'"',
        b'""' * 5000,
        b"x" * 200_000,
        b"," * 10_000,
        b"\0",
        b"\r",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b";",
    )
    at = int(rng.integers(len(data) + 1)) if rng.random() < 0.8 else 0
    return data[:at] + odd[rng.integers(len(odd))] + data[at:]


def _in_profile(data: bytes, rng: np.random.Generator) -> bytes | None:
    """A PNG whose packed colour profile has an extreme number."""
    for at, size, kind in _png_chunks(data):
        if kind == b"iCCP":
            name, _, packed = data[at + 8 : at + 8 + size].partition(b"\0")
            profile = bytearray(zlib.decompress(packed[1:]))
            _set(profile, [*_nested(profile)][rng.integers(40)], rng)
            content = kind + name + b"\0\0" + zlib.compress(profile)
            checksum = zlib.crc32(content).to_bytes(4)
            return data[:at] + (len(content) - 4).to_bytes(4) + content + checksum + data[at + 12 + size :]
    return None


def _nested(data: bytes | bytearray) -> Iterator[Field]:
    """The numbers of colour profiles and of EXIF, wherever they are in a file."""
    for match in re.finditer(b"acsp", data):
        start = match.start() - 36
        tags = int.from_bytes(data[start + 128 : start + 132])
        yield from ((start + at, 4, "big") for at in (0, 8, 12, 16, 20, 64, 128))
        for entry in range(start + 132, start + 132 + 12 * min(tags, 50), 12):
            yield from ((entry + at, 4, "big") for at in (0, 4, 8))
            tag = start + int.from_bytes(data[entry + 4 : entry + 8])
            yield from ((tag + at, 4, "big") for at in (0, 8, 12))
    for match in re.finditer(rb"Exif\0\0|eXIf|EXIF....", data):
        block = data[match.end() :]
        if block[:4] in (b"II*\0", b"MM\0*"):
            yield from ((match.end() + at, size, order) for at, size, order in _tiff(block))


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
    """Numbers of all directories, including EXIF, and the first of their external values."""
    order = "little" if data[:1] == b"I" else "big"
    number = lambda at, size: int.from_bytes(data[at : at + size], order)  # noqa: E731
    yield 4, 4, order
    waiting, seen = [number(4, 4)], {0}
    while waiting:
        directory = waiting.pop()
        if directory in seen:
            continue
        seen.add(directory)
        yield directory, 2, order
        end = directory + 2 + 12 * number(directory, 2)
        for entry in range(directory + 2, end, 12):
            yield from (
                (entry, 2, order),
                (entry + 2, 2, order),
                (entry + 4, 4, order),
                (entry + 8, 4, order),
            )
            tag, sort, count = number(entry, 2), number(entry + 2, 2), number(entry + 4, 4)
            if tag in (330, 34665, 34853):
                waiting.append(number(entry + 8, 4))
            elif sort in (3, 4) and count * (size := 2 * sort - 4) > 4:
                yield from ((number(entry + 8, 4) + n * size, size, order) for n in range(min(count, 8)))
        yield end, 4, order
        waiting.append(number(end, 4))


def _riff(data: bytes) -> Iterator[Field]:
    at = 12
    yield 4, 4, "little"
    while at + 8 <= len(data):
        yield at + 4, 4, "little"
        yield from ((at + 8 + n, 2, "little") for n in range(0, 16, 2))
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little") + 1 & ~1


def _zip(data: bytes) -> Iterator[Field]:
    numbers = {
        b"PK\1\2": ((8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4)),
        b"PK\5\6": ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    }
    numbers[b"PK\3\4"] = ((6, 2), (8, 2), (18, 4), (22, 4), (26, 2), (28, 2))
    for match in re.finditer(b"PK(\1\2|\3\4|\5\6)", data):
        yield from ((match.start() + at, size, "little") for at, size in numbers[match[0]])


def _gif(data: bytes) -> Iterator[Field]:
    """Numbers of the screen descriptor, frames, extensions and data blocks."""
    yield from ((6, 2, "little"), (8, 2, "little"), (10, 1, "little"), (11, 1, "little"))
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0)
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            yield from ((at + n, 2, "little") for n in (1, 3, 5, 7))
            yield at + 9, 1, "little"
            at += 10 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 128 else 0)
            yield at, 1, "little"  # bits of a code
            at += 1
        else:
            yield at + 1, 1, "little"
            at += 2
        while data[at]:
            yield from ((at, 1, "little"), (at + 1, 1, "little"), (at + 2, 2, "little"))
            at += 1 + data[at]
        at += 1


def _boxes(data: bytes, start: int = 0, end: int = 0) -> Iterator[Field]:
    """The boxes of an AVIF or HEIC, with the beginnings of their contents."""
    inner = {b"meta": 12, b"iprp": 8, b"ipco": 8, b"iinf": 14, b"iref": 12, b"dinf": 8, b"moov": 8}
    while start + 8 <= (end or len(data)):
        size, kind = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        yield start, 4, "big"
        yield from ((start + at, 2, "big") for at in range(8, min(size, 40), 2))
        if kind in inner:
            yield from _boxes(data, start + inner[kind], start + size)
        start += max(size, 8)


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
    b"GIF8": _gif,
    b"\0\1\0": _steps(0, 40, 2, "big"),  # Photoshop's swatches
    b"\0\2\0": _steps(0, 40, 2, "big"),
    b"ASEF": _steps(4, 64, 2, "big"),
    b"\0\0\0": _boxes,
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
