"""The images of a PDF: their properties, and whether their data are complete.

PDF readers display as much as they can of damaged data, without a warning.
"""

import base64
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from vision_core.pdf.streams import Refused, filters, is_stream
from vision_core.pictures import jpegs
from vision_core.pictures.colorspaces import to_8_bits
from vision_core.safety.messages import reason

TEXTS = {"ASCII85Decode", "A85", "ASCIIHexDecode", "AHx"}  # filters that write bytes as text


def complaint(image: Any) -> str:
    """Complaints of the decoder about an image stream that can still be shown; usually none.

    Raises:
        Refused: its data, or those of its mask, end early or do not decompress.
    """
    warning = _check(image)
    for name in ("/SMask", "/Mask"):
        if is_stream(mask := image.get(name)):
            warning = _check(mask) or warning
    return warning


def size(image: Any) -> tuple[int, int]:
    """Width and height in pixels."""
    return int(image.get("/Width", 0)), int(image.get("/Height", 0))


def masks(images: list[Any]) -> dict[tuple[int, int], tuple[int, int]]:
    """Size of each image with transparent parts -> size of its mask, or its own where the mask is coarser."""
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for image in images:
        image_size, mask = size(image), image.get("/SMask", image.get("/Mask"))
        if mask is not None or image.get("/ImageMask"):
            finest = sizes.get(image_size, image_size)
            sizes[image_size] = max(finest, size(mask)) if is_stream(mask) else finest
    return sizes


def bits(image: Any) -> int:
    """Bits per channel; 8 if they are not stated, as in JPEG 2000."""
    return 1 if image.get("/ImageMask") else int(image.get("/BitsPerComponent", 8))


def is_rounded(image: Any) -> bool:
    """Whether pdfium would round its values down: 16 bits, or a negative, outside of picture codecs."""
    kinds = {name for name, _ in filters(image)}
    return not kinds - {"FlateDecode", "Fl"} and (
        bits(image) == 16 or (bits(image) == 8 and _is_negative(image))
    )


def write_exact(image: Any) -> None:
    """Write an image that `is_rounded` with 8 bits, rounded to the nearest, and as a positive."""
    if not is_rounded(image):
        return
    depth, negative = bits(image), _is_negative(image)
    values = np.frombuffer(image.read_bytes(), ">u2" if depth == 16 else np.uint8)
    rows = np.array_split(values, -(-values.size // (1 << 20)) or 1)  # in parts, for large scans
    values = np.concatenate([to_8_bits(row[None])[0] for row in rows])
    image.write((255 - values if negative else values).tobytes())
    image.BitsPerComponent = 8
    if negative:
        del image.Decode


def _is_negative(image: Any) -> bool:
    decode = [float(value) for value in image.get("/Decode", [])]
    return bool(decode) and decode == [1, 0] * (len(decode) // 2)


def _check(image: Any) -> str:
    data = image.read_raw_bytes()
    applied = filters(image)
    for _, parameters in applied[-1:]:
        _check_rows(image, parameters)
    for name, parameters in applied:
        match name:
            case "FlateDecode" | "Fl" if name != applied[-1][0]:
                data = zlib.decompressobj().decompress(data, 2 * len(data) + (1 << 20))  # packed twice
            case "FlateDecode" | "Fl":
                _check_inflated(data, _expected_bytes(image, int(parameters.get("/Predictor", 1)) >= 10))
            case name if name in TEXTS:
                data = _text(data, name)
            case "DCTDecode" | "DCT":
                return _jpeg(data)
            case "JPXDecode":
                return _jpeg_2000(data)
            case "CCITTFaxDecode" | "CCF":
                return _fax(data, parameters, size(image)[1])
            case "JBIG2Decode":
                _check_jbig2(data)
            case _:  # LZW and run lengths, which qpdf decodes
                _check_length(image, _expected_bytes(image))
    if not {name for name, _ in applied} - TEXTS:
        _check_length(image, _expected_bytes(image))
    _check_palette(image)
    return ""


def _check_rows(image: Any, parameters: Any) -> None:
    """Check that a predictor is for rows of the image's length: pdfium shows nothing of others."""
    if int(parameters.get("/Predictor", 1)) < 2 or not (channels := _channels(image)):
        return
    samples = int(parameters.get("/Columns", 1)) * int(parameters.get("/Colors", 1))
    packed = -(-samples * int(parameters.get("/BitsPerComponent", 8)) // 8)
    expected = -(-size(image)[0] * bits(image) * channels // 8)
    if packed != expected:
        raise Refused(f"is damaged: its scan is packed in rows of {packed:,} bytes, not {expected:,}")


def _check_palette(image: Any) -> None:
    """Check that the colours of a palette are no palette again: pdfium shows nothing of such."""
    import pikepdf

    space = image.get("/ColorSpace")
    if not isinstance(space, pikepdf.Array) or str(space[0]) not in ("/Indexed", "/I"):
        return
    base = space[1][0] if isinstance(space[1], pikepdf.Array) else space[1]
    if str(base) in ("/Indexed", "/I", "/Pattern"):
        raise Refused(f"is damaged: the palette of its scan is of {str(base)[1:]} colours")


def _expected_bytes(image: Any, filtered: bool = False) -> int:
    """The number of bytes of the uncompressed pixels, with a filter byte per row if `filtered`."""
    width, height = size(image)
    return height * (-(-width * bits(image) * (_channels(image) or 0) // 8) + filtered)


def _channels(image: Any) -> int | None:
    """Channels per pixel; None if unknown."""
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
            return int(space[1].get("/N", 3))
        case "DeviceN":
            return len(space[1])
    return None


def _check_inflated(data: bytes, least: int) -> None:
    """Check that compressed pixels inflate to `least` bytes, and their checksum."""
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


def _check_length(image: Any, least: int) -> None:
    import pikepdf

    try:
        length = len(image.read_bytes())
    except pikepdf.PdfError as error:
        raise Refused(f"is damaged: its scan cannot be decoded ({reason(error)})") from error
    if length < least:
        raise Refused(f"is damaged: the data of its scan end early ({length:,} of {least:,} bytes)")


def _check_jbig2(data: bytes) -> None:
    """Check that every segment is present; the content of a segment has no checksum.

    Source: ITU-T T.88, 7.2.
    """
    at, shown = 0, False
    while at < len(data):
        number, flags, referred = struct.unpack(">IBB", data[at : at + 6].ljust(6, b"\0"))
        many, width = referred >> 5, 1 if number <= 256 else 2 if number <= 65536 else 4
        shown = shown or flags & 0x3F in (6, 7, 22, 23, 38, 39, 42, 43)  # regions of the page
        at += 6
        if many == 7:  # more than four: their number in 29 bits, and a bit for each and for this one
            many = int.from_bytes(data[at - 1 : at + 3]) & 0x1FFFFFFF
            at += 3 + -(-(many + 1) // 8)
        at += many * width + (4 if flags & 0x40 else 1)
        length = int.from_bytes(data[at : at + 4].ljust(4, b"\xff"))
        if length == 0xFFFFFFFF and flags & 0x3F == 38 and at + 4 <= len(data):
            return  # a region that says at its end how long it is
        at += 4 + length
    if at > len(data) or not shown:
        raise Refused("is damaged: the JBIG2 data of its scan end early")


def _text(data: bytes, name: str) -> bytes:
    """Decode binary data written as ASCII."""
    try:
        if name in ("ASCIIHexDecode", "AHx"):
            return bytes.fromhex(data.partition(b">")[0].decode("ascii"))
        return base64.a85decode(data.strip().removeprefix(b"<~").partition(b"~")[0])
    except ValueError as error:
        raise Refused(f"is damaged: its scan cannot be decoded ({reason(error)})") from error


def _jpeg(data: bytes) -> str:
    shown, warning = jpegs.complaint(data)
    if "JPEG file" in warning:  # "Premature end of"
        raise Refused("is damaged: the JPEG of its scan ends early")
    if not shown:  # OpenCV knows fewer kinds than Pillow
        _decoded(data, "JPEG", "JPEG")
    return warning


def _jpeg_2000(data: bytes) -> str:
    _decoded(data, "JPEG 2000", "JPEG2000")
    return ""


def _decoded(data: bytes, name: str, format: str) -> None:
    try:
        with Image.open(BytesIO(data), formats=(format,)) as image:
            image.load()
    except Exception as error:  # Pillow's decoders let nearly anything out
        raise Refused(f"is damaged: the {name} of its scan cannot be decoded ({reason(error)})") from error


def _fax(data: bytes, parameters: Any, height: int) -> str:
    """Check Group 4 data with libtiff, which reports wrong codes; other kinds are not checked."""
    if int(parameters.get("/K", 0)) >= 0 or parameters.get("/EncodedByteAlign"):
        return ""
    columns = int(parameters.get("/Columns", 1728))
    tags = {256: columns, 257: height, 258: 1, 259: 4, 262: 0, 273: 122, 277: 1, 278: height, 279: len(data)}
    header = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = BytesIO(struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + header + bytes(4) + data)

    def decode() -> None:
        with Image.open(file, formats=("TIFF",)) as image:
            image.load()

    try:
        _, warning = jpegs.listened(decode)
    except Exception as error:
        raise Refused(f"is damaged: its scan cannot be decoded ({reason(error)})") from error
    return warning.partition(": ")[2]
