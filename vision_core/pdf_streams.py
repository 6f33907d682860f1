"""What a page of a PDF holds, looked at before it is drawn: how much that is, and whether scans are whole.

PDF readers draw what they can of damaged data and say nothing, and a few kilobytes of drawing instructions
can keep one busy for ever.
"""

import os
import re
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vision_core.messages import reason

MOST_CONTENT = 16 << 20  # bytes of instructions a page; a dense map has 5 MB, a scan 100 bytes
DEEPEST = 12  # forms inside of forms
_DRAWN = re.compile(rb"/([^\s/\[\]<>(){}%]+)\s+Do\b")


class Refused(ValueError):
    """A page that we do not open; reads on from its name."""


def images(container: Any) -> list[Any]:
    """The image streams that a page or form draws, through all forms inside of it, each once.

    Args:
        container: of pikepdf, a page or a form.

    Raises:
        Refused: more drawing instructions than `MOST_CONTENT`, counted as often as they are drawn; a stream
            that cannot be decompressed.
    """
    found: dict[tuple[int, int], Any] = {}
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
                found[inner.objgen] = inner
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
    return list(found.values())


def complaint(image: Any) -> str:
    """What its decoder complains about in an image stream that can still be shown; mostly nothing.

    Raises:
        Refused: its data, or those of its mask, end early or do not decompress.
    """
    said = _check(image)
    for name in ("/SMask", "/Mask"):
        if _is_stream(mask := image.get(name)):
            said = _check(mask) or said
    return said


def inherited(page: Any, key: str, default: Any = None) -> Any:
    """An entry of a page, or of what it is part of."""
    for _ in range(50):  # a damaged tree may be a ring
        if key in page or "/Parent" not in page:
            break
        page = page.Parent
    return page.get(key, default)


def size(image: Any) -> tuple[int, int]:
    """Width and height in pixels."""
    return int(image.get("/Width", 0)), int(image.get("/Height", 0))


def marks(page: Any) -> list[Any]:
    """The form fields and annotations that can be seen on a page."""
    unseen = ("/Link", "/Popup")
    return [
        mark
        for mark in page.get("/Annots", [])
        if mark.get("/Subtype") not in unseen and "/AP" in mark and not int(mark.get("/F", 0)) & 2
    ]


def bits(image: Any) -> int:
    """Bits of a channel; 8 where its own data say it (JPEG 2000)."""
    return 1 if image.get("/ImageMask") else int(image.get("/BitsPerComponent", 8))


def is_rounded(image: Any) -> bool:
    """Whether pdfium would round its values down: 16 bits, or a negative, outside of picture codecs."""
    kinds = {name for name, _ in _filters(image)}
    return not kinds - {"FlateDecode", "Fl"} and (
        bits(image) == 16 or (bits(image) == 8 and _is_negative(image))
    )


def write_exact(image: Any) -> None:
    """Write an image that `is_rounded` with 8 bits, rounded to the nearest, and as a positive."""
    if not is_rounded(image):
        return
    depth, negative = bits(image), _is_negative(image)
    values = np.frombuffer(image.read_bytes(), ">u2" if depth == 16 else np.uint8).astype(np.uint32)
    peak = 2**depth - 1
    values = (values * 255 + peak // 2) // peak
    image.write((255 - values if negative else values).astype(np.uint8).tobytes())
    image.BitsPerComponent = 8
    if negative:
        del image.Decode


def _is_negative(image: Any) -> bool:
    decode = [float(value) for value in image.get("/Decode", [])]
    return bool(decode) and decode == [1, 0] * (len(decode) // 2)


def _content(container: Any) -> bytes:
    """The instructions of a page or form."""
    if _is_stream(container):
        return _decompressed(container, MOST_CONTENT)
    parts = container.get("/Contents", [])
    return b"\n".join(_decompressed(part, MOST_CONTENT) for part in ([parts] if _is_stream(parts) else parts))


def _resources(container: Any) -> dict[str, Any]:
    """The XObjects that a page or form may draw, by name."""
    drawn = inherited(container, "/Resources", {}).get("/XObject", {})
    return {name: one for name, one in drawn.items() if _is_stream(one)}


def _is_stream(thing: Any) -> bool:
    import pikepdf

    return isinstance(thing, pikepdf.Stream)


def _filters(stream: Any) -> list[tuple[str, Any]]:
    """Name and parameters of each filter of a stream."""
    import pikepdf

    def listed(value: Any) -> list[Any]:
        return list(value) if isinstance(value, pikepdf.Array) else [] if value is None else [value]

    names = [str(name)[1:] for name in listed(stream.get("/Filter"))]
    parameters = listed(stream.get("/DecodeParms"))
    parameters += [None] * (len(names) - len(parameters))
    return [(name, {} if given is None else given) for name, given in zip(names, parameters, strict=False)]


def _decompressed(stream: Any, most: int) -> bytes:
    """A stream of instructions without its filters; no more than `most` bytes are ever made."""
    filters = _filters(stream)
    if [name for name, _ in filters] not in ([], ["FlateDecode"], ["Fl"]):
        return stream.read_bytes()
    raw = stream.read_raw_bytes()
    if not filters:
        return raw
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(raw, most + 1)
    except zlib.error:  # a reader shows what it can of these, qpdf too
        return stream.read_bytes()
    if len(data) > most:
        raise Refused(f"draws more than {most >> 20} MB of instructions, the most that is opened")
    return data


def _check(image: Any) -> str:
    width, height = size(image)
    data = image.read_raw_bytes()
    filters = _filters(image)
    for name, given in filters:
        match name:
            case "FlateDecode" | "Fl" if name != filters[-1][0]:
                data = zlib.decompressobj().decompress(data, 2 * len(data) + (1 << 20))  # packed twice
            case "FlateDecode" | "Fl":
                row = -(-width * bits(image) * (_channels(image) or 0) // 8)
                _check_inflated(data, height * (row + (int(given.get("/Predictor", 1)) >= 10)))
            case "ASCII85Decode" | "A85" | "ASCIIHexDecode" | "AHx":
                data = _text(data, name)
            case "DCTDecode" | "DCT":
                return _jpeg(data)
            case "JPXDecode":
                return _jpeg_2000(data)
            case "CCITTFaxDecode" | "CCF":
                return _fax(data, given, height)
            case _:  # JBIG2, LZW, run lengths: no check sums, and no second decoder
                return ""
    return ""


def _channels(image: Any) -> int | None:
    """Numbers for a pixel; None where that cannot be told."""
    import pikepdf

    if image.get("/ImageMask"):
        return 1
    space = image.get("/ColorSpace")
    kind = str(space[0] if isinstance(space, pikepdf.Array) else space)[1:]
    match kind:
        case "DeviceGray" | "CalGray" | "G" | "Indexed" | "I" | "Separation":
            return 1
        case "DeviceRGB" | "CalRGB" | "RGB" | "Lab":
            return 3
        case "DeviceCMYK" | "CMYK":
            return 4
        case "ICCBased":
            return int(space[1].get("/N", 3))  # pyright: ignore
        case "DeviceN":
            return len(space[1])  # pyright: ignore
    return None


def _check_inflated(data: bytes, least: int) -> None:
    """Compressed pixels must give `least` bytes, and what their check sum says."""
    inflate, size = zlib.decompressobj(), 0
    try:
        while data and not inflate.eof:
            size += len(inflate.decompress(data, 1 << 20))
            data = inflate.unconsumed_tail
            if size > least + (1 << 20):  # more than is shown
                return
    except zlib.error as error:
        raise Refused(f"is damaged: its scan cannot be decompressed ({reason(error)})") from error
    if size < least:
        raise Refused(f"is damaged: the data of its scan end early ({size:,} of {least:,} bytes)")


def _text(data: bytes, name: str) -> bytes:
    """Binary data that were written as letters."""
    import base64

    try:
        if name in ("ASCIIHexDecode", "AHx"):
            return bytes.fromhex(data.partition(b">")[0].decode("ascii"))
        return base64.a85decode(data.strip().removeprefix(b"<~").partition(b"~")[0])
    except ValueError as error:
        raise Refused(f"is damaged: its scan cannot be decoded ({reason(error)})") from error


def _jpeg(data: bytes) -> str:
    import cv2

    def decode() -> bool:
        small = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        return small is not None

    shown, said = _listened(decode)
    if "JPEG file" in said:  # "Premature end of"
        raise Refused("is damaged: the JPEG of its scan ends early")
    if not shown:  # OpenCV knows fewer kinds than Pillow
        _decoded(data, "JPEG", "JPEG")
    stray = re.search(r"(\d+) extraneous bytes", said)
    return "" if stray and int(stray[1]) < 4 else said.partition(": ")[2]  # scanners pad to even lengths


def _jpeg_2000(data: bytes) -> str:
    _decoded(data, "JPEG 2000", "JPEG2000")
    return ""


def _decoded(data: bytes, name: str, format: str) -> None:
    try:
        with Image.open(BytesIO(data), formats=(format,)) as image:
            image.load()
    except Exception as error:  # Pillow's decoders let nearly anything out
        raise Refused(f"is damaged: the {name} of its scan cannot be decoded ({reason(error)})") from error


def _fax(data: bytes, given: Any, height: int) -> str:
    """Group 4, by libtiff, which says where a code is wrong; other kinds are not checked."""
    if int(given.get("/K", 0)) >= 0 or given.get("/EncodedByteAlign"):
        return ""
    columns = int(given.get("/Columns", 1728))
    tags = {256: columns, 257: height, 258: 1, 259: 4, 262: 0, 273: 122, 277: 1, 278: height, 279: len(data)}
    header = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = BytesIO(struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + header + bytes(4) + data)

    def decode() -> None:
        with Image.open(file, formats=("TIFF",)) as image:
            image.load()

    try:
        _, said = _listened(decode)
    except Exception as error:
        raise Refused(f"is damaged: its scan cannot be decoded ({reason(error)})") from error
    return said.partition(": ")[2]


def _listened(act: Callable[[], Any]) -> tuple[Any, str]:
    """What `act` returns, and the first line that a C library wrote to standard error meanwhile."""
    with _memory() as file, _standard_error(file.fileno()):
        found = act()
        file.seek(0)
        lines = file.read(4096).decode("utf-8", "replace").splitlines()
    return found, reason(ValueError(lines[0])) if lines else ""


def _memory() -> BinaryIO:
    """A file that a process may have that may not write to the disk, where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("said"), "w+b")
    return tempfile.TemporaryFile()  # pyright: ignore


@contextmanager
def _standard_error(target: int) -> Iterator[None]:
    kept = os.dup(2)
    os.dup2(target, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
