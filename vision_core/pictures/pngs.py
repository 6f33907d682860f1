"""PNG files: the chunks that matter, their compressed data within bounds, and 16 bits a channel."""

import re
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
MAX_CHUNKS = 1_000_000
MAX_TEXT = 16 << 20  # maximum bytes of a decompressed text or profile
STEP = 1 << 16  # compressed bytes inflated at once
SLACK = 1 << 16  # tolerated surplus bytes after the last row
XMP = b"XML:com.adobe.xmp"


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the data of each chunk, up to IEND or a chunk past the end of the file.

    Raises:
        ValueError: more than `MAX_CHUNKS` chunks.
    """
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        start = at + 8
        end = start + int.from_bytes(data[at : at + 4])
        name = data[at + 4 : start]
        if end > len(data) or name == b"IEND":
            return
        yield name, start, end
        at = end + 4
    raise ValueError(f"it has more than {MAX_CHUNKS:,} chunks")


def first(data: bytes, kind: bytes) -> bytes | None:
    """The data of the first chunk of this name, or None if there is no intact one."""
    for name, start, end in chunks(data):
        if name == kind and _intact(data, start, end):
            return data[start:end]
    return None


def bare(data: bytes) -> bytes:
    """The file reduced to pixels, resolution and EXIF, so that damaged text or profiles do no harm."""
    kept, at = [data[:8]], 8
    for name, start, end in chunks(data):
        needed = name in (b"IHDR", b"PLTE", b"IDAT", b"tRNS")
        if needed or (name in (b"pHYs", b"eXIf") and _intact(data, start, end)):
            kept.append(data[start - 8 : end + 4])
        at = end + 4
    kept.append(data[at:])  # IEND, or what is left of a file that was cut off
    return b"".join(kept)


def profile(data: bytes) -> bytes | None:
    """The ICC profile, or None; a damaged one is empty bytes."""
    packed = first(data, b"iCCP")
    if packed is None:
        return None
    inflated = _inflated(packed[packed.find(b"\0") + 2 :])
    return inflated if inflated is not None else b""


def xmp(data: bytes) -> bytes | None:
    """The XMP packet, or None."""
    for name, start, end in chunks(data):
        if name == b"iTXt" and data.startswith(XMP + b"\0", start) and _intact(data, start, end):
            flag = data[start + len(XMP) + 1]
            text = re.split(rb"\0", data[start + len(XMP) + 3 : end], maxsplit=2)[-1]
            return _inflated(text) if flag else text
    return None


def check_work(data: bytes) -> None:
    """Refuse a file that would inflate to far more than the header promises, before it is decoded.

    Raises:
        ValueError: more compressed data than the pixels can take.
    """
    if data[12:16] != b"IHDR":
        raise ValueError("it does not begin with its header")
    expected = _declared_bytes(data)
    packed = sum(end - start for name, start, end in chunks(data) if name == b"IDAT")
    if packed > SLACK + 2 * expected or (
        expected < 1 << 20 and _size(data, expected + SLACK) > expected + SLACK
    ):
        raise ValueError("its compressed data hold far more than the pixels that its header promises")


def check_rows(image: Image.Image, data: bytes) -> None:
    """Refuse a PNG, decoded from `data`, that ends before its last row: Pillow leaves the rest black.

    Raises:
        ValueError: the compressed data hold fewer rows than the header says.
    """
    width, height = image.size
    interlaced = data[28]
    if not interlaced and image.crop((0, height - 1, width, height)).getbbox(alpha_only=False):
        return  # the last row is there; the others spare us inflating everything once more
    if _size(data, expected := _declared_bytes(data)) < expected:
        raise ValueError("its pixels end before the last row")


def wide(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """The pixels of a PNG of 16 bits a channel: uint16 (H, W, 1 or 3), and alpha (H, W) or None.

    Pillow drops the low byte of each sample, so it is handed the same rows under another name.
    """
    kind = data[25]
    if kind == 0:
        values = np.asarray(_opened(data)).astype(np.uint16)[..., None]
    elif kind == 4:  # four bytes a pixel, as RGBA of 8 bits has
        header = data[12:24] + bytes([8, 6]) + data[26:29]
        again = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
        values = np.asarray(_opened(again)).view(">u2").astype(np.uint16)
    else:
        mode, image = "RGB" if kind == 2 else "RGBA", _opened(data)
        halves = np.empty((image.height, image.width, len(mode), 2), np.uint8)
        for half, order in enumerate("LB"):
            image = _opened(data)
            image.tile = [image.tile[0]._replace(args=f"{mode};16{order}")]
            halves[..., half] = np.asarray(image)
        values = halves.view("<u2")[..., 0].astype(np.uint16, copy=False)
    if kind > 3:
        return values[..., :-1], values[..., -1]
    key = first(data, b"tRNS")
    if key is None or len(key) < 2 * values.shape[2]:
        return values, None
    transparent = (values == np.frombuffer(key[: 2 * values.shape[2]], ">u2")).all(-1)
    return values, np.where(transparent, 0, 65535).astype(np.uint16)


def encode(values: np.ndarray, options: dict[str, Any]) -> bytes:
    """A PNG of uint16 (H, W, 1 to 4), alpha the last of 2 or 4, and what Pillow writes for these options."""
    height, width, channels = values.shape
    header = struct.pack(">2I5B", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts, packer = [SIGNATURE, _chunk(b"IHDR", header)], zlib.compressobj(3)
    Image.new("L", (1, 1)).save(beside := BytesIO(), "PNG", **options)
    data = beside.getvalue()
    parts += [data[a - 8 : b + 4] for name, a, b in chunks(data) if name not in (b"IHDR", b"IDAT")]
    above = np.zeros((1, width * channels * 2), np.uint8)
    step = max(1, (1 << 22) // above.size)
    for top in range(0, height, step):
        rows = np.ascontiguousarray(values[top : top + step]).astype(">u2").reshape(-1, width * channels)
        rows = rows.view(np.uint8)
        filtered = np.full((len(rows), above.size + 1), 2, np.uint8)  # filter 2: less the row above
        filtered[:, 1:] = rows - np.concatenate([above, rows[:-1]])
        above = rows[-1:]
        parts.append(_chunk(b"IDAT", packer.compress(filtered.tobytes())))
    parts += [_chunk(b"IDAT", packer.flush()), _chunk(b"IEND", b"")]
    return b"".join(parts)


def with_chunks(data: bytes, added: list[tuple[bytes, bytes]]) -> bytes:
    """Insert chunks, each a name and its data, before the pixels of a PNG."""
    at = next((start for name, start, _ in chunks(data) if name == b"IDAT"), len(data)) - 8
    return b"".join([data[:at], *(_chunk(name, body) for name, body in added), data[at:]])


def text(key: str, value: str) -> tuple[bytes, bytes]:
    """A compressed text chunk in UTF-8."""
    return b"iTXt", key.encode("latin-1") + b"\0\1\0\0\0" + zlib.compress(value.encode())


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _opened(data: bytes) -> Any:
    """The PNG, not yet decoded; a transparent colour is handled later, in 16 bits."""
    image = Image.open(BytesIO(data), formats=("PNG",))
    image.info.pop("transparency", None)
    return image


def _intact(data: bytes, start: int, end: int) -> bool:
    return zlib.crc32(data[start - 4 : end]) == int.from_bytes(data[end : end + 4])


def _inflated(packed: bytes) -> bytes | None:
    """The data decompressed; None when damaged or longer than `MAX_TEXT`."""
    inflate = zlib.decompressobj()
    try:
        inflated = inflate.decompress(packed, MAX_TEXT)
    except zlib.error:
        return None
    return inflated if inflate.eof else None


def _declared_bytes(data: bytes) -> int:
    """The number of bytes of all rows, filter bytes included, according to the header."""
    width, height, depth, kind, *_, interlaced = struct.unpack(">2I5B", data[16:29])
    bits = depth * CHANNELS[kind]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 < rows)


def _size(data: bytes, most: int) -> int:
    """Number of bytes that the compressed rows inflate to; counting stops beyond `most`."""
    inflate, size = zlib.decompressobj(), 0
    for name, start, end in chunks(data):
        for at in range(start, end if name == b"IDAT" else start, STEP):
            packed = data[at : min(at + STEP, end)]
            while packed and size <= most:
                size += len(inflate.decompress(packed, 1 << 20))
                packed = inflate.unconsumed_tail
            if size > most:
                return size
    return size + len(inflate.decompress(b"", 1024))  # what zlib had decoded and not yet handed over
