"""Small PDFs as made by scanners and programs, with the expected pixels of their pages."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pikepdf
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image

WIDTH, HEIGHT = 110, 150  # pixels of the scan
POINT = 0.48  # of a pixel, at 150 dpi
_Y, _X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([_X * 2, _Y * 3 // 2, (_X * 7 + _Y * 3) % 256], 2).astype(np.uint8)
RGB[::17] //= 2
GREY = np.ascontiguousarray(RGB[..., 1])
BITS = (_X // 7 + _Y // 11) % 2 == 0

Draw = Callable[[pikepdf.Pdf], dict]


def grey3(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, 2)


def stream(pdf: pikepdf.Pdf, pixels: np.ndarray, space: object = Name.DeviceRGB, **keys: object) -> Stream:
    """An image of 8 bits, compressed by Flate."""
    pixels_stream = Stream(pdf, zlib.compress(np.ascontiguousarray(pixels).tobytes()))
    entries = {
        "Width": pixels.shape[1],
        "Height": pixels.shape[0],
        "BitsPerComponent": 8,
        "ColorSpace": space,
    }
    entries |= {"Type": Name.XObject, "Subtype": Name.Image, "Filter": Name.FlateDecode, **keys}
    for key, value in entries.items():
        if value is not None:
            pixels_stream[f"/{key}"] = value
    return pdf.make_indirect(pixels_stream)


def coded(
    pdf: pikepdf.Pdf, data: bytes, filter: Name, space: object = Name.DeviceRGB, **keys: object
) -> Stream:
    """An image in a codec of its own."""
    coded_stream = stream(pdf, RGB, space, Filter=filter, **keys)
    coded_stream.write(data, filter=filter, decode_parms=coded_stream.get("/DecodeParms"))
    return coded_stream


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def page(
    path: Path,
    draw: Draw,
    content: bytes | None = None,
    size: tuple[float, ...] = (0, 0, WIDTH * POINT, HEIGHT * POINT),
    **keys: object,
) -> Path:
    """A PDF of one page that draws the images that `draw` makes, by default /I over all of it."""
    with pikepdf.new() as pdf:
        images = draw(pdf)
        placed = b"q %f 0 0 %f %f %f cm /I Do Q" % (size[2] - size[0], size[3] - size[1], size[0], size[1])
        entries = Dictionary(Type=Name.Page, MediaBox=Array(size))
        entries.Resources = Dictionary(XObject=Dictionary(**images))
        entries.Contents = pdf.make_stream(placed if content is None else content)
        for key, value in keys.items():
            entries[f"/{key}"] = value
        pdf.pages.append(pikepdf.Page(pdf.make_indirect(entries)))
        pdf.save(path)
    return path


def scan(pixels: np.ndarray = RGB, space: object = Name.DeviceRGB, **keys: object) -> Draw:
    return lambda pdf: {"I": stream(pdf, pixels, space, **keys)}


def group4(bits: np.ndarray) -> bytes:
    """As libtiff packs them: 0 is white."""
    data = encoded(Image.fromarray(bits), "TIFF", compression="group4", tiffinfo={278: len(bits)})
    with Image.open(io.BytesIO(data)) as image:
        start, length = image.tag_v2[273][0], image.tag_v2[279][0]
    return data[start : start + length]


def form(pdf: pikepdf.Pdf) -> dict:
    """The scan inside of a form that is shown at half its size."""
    inner = Stream(pdf, b"q %f 0 0 %f 0 0 cm /I Do Q" % (2 * WIDTH * POINT, 2 * HEIGHT * POINT))
    inner.Type, inner.Subtype, inner.BBox = Name.XObject, Name.Form, Array([0, 0, 1000, 1000])
    inner.Matrix = Array([0.5, 0, 0, 0.5, 0, 0])
    inner.Resources = Dictionary(XObject=Dictionary(I=stream(pdf, RGB)))
    return {"F": pdf.make_indirect(inner)}


def make(path: Path, kind: str) -> np.ndarray:
    """Write the PDF of a kind; the pixels that its page must give, uint8 (H, W, 3)."""
    wide, tall = WIDTH * POINT, HEIGHT * POINT
    turned = (0, 0, tall, wide)
    packed, black_white = np.packbits(BITS, 1), grey3(np.where(BITS, 255, 0).astype(np.uint8))
    bits = {"BitsPerComponent": 1, "Width": WIDTH}
    match kind:
        case "colour":
            page(path, scan())
        case "grey":
            page(path, scan(GREY, Name.DeviceGray))
            return grey3(GREY)
        case "grey negative":
            page(path, scan(GREY, Name.DeviceGray, Decode=Array([1, 0])))
            return grey3(255 - GREY)
        case "colour negative":
            page(path, scan(Decode=Array([1, 0] * 3)))
            return 255 - RGB
        case "16 bits":
            page(
                path, scan((GREY.astype(np.uint32) * 257).astype(">u2"), Name.DeviceGray, BitsPerComponent=16)
            )
            return grey3(GREY)
        case "1 bit":
            page(path, scan(packed, Name.DeviceGray, **bits))
            return black_white
        case "1 bit negative":
            page(path, scan(packed, Name.DeviceGray, Decode=Array([1, 0]), **bits))
            return 255 - black_white
        case "stencil":
            page(path, scan(packed, None, ImageMask=True, **bits))
            return black_white
        case "Group 4":
            parameters = Dictionary(K=-1, Columns=WIDTH, Rows=HEIGHT)
            options = {"BitsPerComponent": 1, "DecodeParms": parameters}
            data = group4(BITS)
            page(path, lambda pdf: {"I": coded(pdf, data, Name.CCITTFaxDecode, Name.DeviceGray, **options)})
            return 255 - black_white
        case "JPEG" | "grey JPEG":
            source = Image.fromarray(RGB if kind == "JPEG" else GREY)
            data, space = encoded(source, "JPEG"), Name.DeviceRGB if kind == "JPEG" else Name.DeviceGray
            page(path, lambda pdf: {"I": coded(pdf, data, Name.DCTDecode, space)})
            return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        case "JPEG 2000":
            data = encoded(Image.fromarray(RGB), "JPEG2000")
            page(path, lambda pdf: {"I": coded(pdf, data, Name.JPXDecode, None, BitsPerComponent=None)})
        case "palette":
            image = Image.fromarray(RGB).quantize(200)
            colors = bytes(image.getpalette("RGB") or [])
            space = Array([Name.Indexed, Name.DeviceRGB, len(colors) // 3 - 1, pikepdf.String(colors)])
            page(path, scan(np.array(image), space))
            return np.array(image.convert("RGB"))
        case "opaque mask":
            page(
                path, lambda pdf: {"I": stream(pdf, RGB, SMask=stream(pdf, GREY * 0 + 255, Name.DeviceGray))}
            )
        case "turned by 90" | "turned by 180" | "turned by 270":
            page(path, scan(), Rotate=(angle := int(kind[10:])))
            return np.rot90(RGB, -angle // 90)
        case "a box below zero":
            page(path, scan(), size=(-100, -50, wide - 100, tall - 50))
        case "a smaller CropBox":
            box = [10 * POINT, (HEIGHT - 120) * POINT, 90 * POINT, (HEIGHT - 30) * POINT]
            page(path, scan(), CropBox=Array(box))
            return RGB[30:120, 10:90]
        case "mirrored":
            page(path, scan(), b"q -%f 0 0 %f %f 0 cm /I Do Q" % (wide, tall, wide))
            return RGB[:, ::-1]
        case "upside down by its matrix":
            page(path, scan(), b"q %f 0 0 -%f 0 %f cm /I Do Q" % (wide, tall, tall))
            return RGB[::-1]
        case "turned by its matrix":
            page(path, scan(), b"q 0 -%f %f 0 0 %f cm /I Do Q" % (wide, tall, wide), turned)
            return np.rot90(RGB, -1)
        case "turned there and back":
            content = b"q 0 -%f %f 0 0 %f cm /I Do Q" % (wide, tall, wide)
            page(path, scan(), content, turned, Rotate=270)
        case "in a form":
            page(path, form, b"/F Do")
        case "in a user unit of two":
            page(path, scan(), UserUnit=2)
        case "on white":
            content = b"1 g 0 0 %f %f re f q %f 0 0 %f 0 0 cm /I Do Q" % (wide, tall, wide, tall)
            page(path, scan(), content)
        case "over hidden text":
            content = b"BT /F1 9 Tf 9 9 Td (hidden) Tj ET q %f 0 0 %f 0 0 cm /I Do Q" % (wide, tall)
            page(path, scan(), content)
        case "a page of whole points":
            page(path, scan(), b"q %f 0 0 %f 0 0 cm /I Do Q" % (wide, tall), (0, 0, round(wide), round(tall)))
        case "with a margin":
            margin, edge = 20, 20 * POINT
            content = b"q %f 0 0 %f %f %f cm /I Do Q" % (wide, tall, edge, edge)
            page(path, scan(), content, (0, 0, wide + 2 * edge, tall + 2 * edge))
            return np.pad(RGB, ((margin, margin), (margin, margin), (0, 0)), constant_values=255)
        case "two side by side":
            left, right = 40 * POINT, (WIDTH - 40) * POINT
            content = b"q %f 0 0 %f 0 0 cm /L Do Q q %f 0 0 %f %f 0 cm /R Do Q"
            page(
                path,
                lambda pdf: {"L": stream(pdf, RGB[:, :40]), "R": stream(pdf, RGB[:, 40:])},
                content % (left, tall, right, tall, left),
            )
        case "stripes":
            high = 10 * POINT
            rows = range(0, HEIGHT, 10)
            page(
                path,
                lambda pdf: {f"S{row}": stream(pdf, RGB[row : row + 10]) for row in rows},
                b" ".join(
                    b"q %f 0 0 %f 0 %f cm /S%d Do Q" % (wide, high, tall - row * POINT - high, row)
                    for row in rows
                ),
            )
        case _:
            raise ValueError(kind)
    return RGB


KINDS = (
    "colour",
    "grey",
    "grey negative",
    "colour negative",
    "16 bits",
    "1 bit",
    "1 bit negative",
    "stencil",
    "Group 4",
    "JPEG",
    "grey JPEG",
    "JPEG 2000",
    "palette",
    "opaque mask",
    "turned by 90",
    "turned by 180",
    "turned by 270",
    "a box below zero",
    "a smaller CropBox",
    "mirrored",
    "upside down by its matrix",
    "turned by its matrix",
    "turned there and back",
    "in a form",
    "in a user unit of two",
    "on white",
    "over hidden text",
    "a page of whole points",
    "with a margin",
    "two side by side",
    "stripes",
)
