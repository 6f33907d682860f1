"""Decodes the bytes of a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC to an upright sRGB `Picture`."""

from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image

from vision_core.pictures import (
    avif,
    bitmaps,
    colorspaces,
    gifs,
    heif,
    icc,
    jpegs,
    kinds,
    metadata,
    pngs,
    tiff_directories,
    tiff_pixels,
)
from vision_core.pictures.picture import Kind, Picture, resolution, rounded
from vision_core.safety import limits

FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "DIB",
    "GIF",
    "AVIF",
    "HEIF",
)  # Pillow reads these; TIFF has modules of its own
_TURNS = {
    number: Image.Transpose(turn) for number, turn in zip(range(2, 9), (0, 3, 1, 5, 4, 6, 2), strict=True)
}


class Refused(ValueError):
    """A file that is not opened; the message continues the file's name."""


@dataclass
class _Decoded:
    """A decoded file: `image` of 8 bits without alpha, `wide` as in `Picture`."""

    image: Image.Image
    alpha: np.ndarray | None = None
    wide: np.ndarray | None = None
    profile: bytes | None = None
    space: colorspaces.Space | str | None = None
    orientation: int = 1
    dpi: tuple[float, float] | None = None
    exif: dict[int, str] = field(default_factory=dict)
    xmp: bytes | None = None
    bit_depth: int = 8
    notes: list[str] = field(default_factory=list)
    kind: Kind = "color"


def image_of(data: bytes, max_pixels: int | None) -> Picture:
    """Any image but a TIFF."""
    if data.startswith(pngs.SIGNATURE):
        return _finished(_png(data, max_pixels))
    animated = False
    if gifs.is_gif(data):
        data, animated = gifs.first(data)
    elif data.startswith(b"\xff\xd8"):
        jpegs.check_segments(data)
    heif.check_items(data)
    image = _open(data)
    _check_size(*image.size, max_pixels)
    decoded = _Decoded(image)
    if image.format in ("JPEG", "MPO"):
        jpegs.check_scans(data, image.width * image.height)
        _, damage = jpegs.complaint(data)
        decoded.notes += [f"damaged in places: {damage}"] if damage else []
    if animated or (getattr(image, "is_animated", False) and image.format != "MPO"):
        decoded.notes.append("only the first of its frames is used")
    if bitmaps.is_run_length(image):
        image = decoded.image = bitmaps.decode(image, data)
    if image.format == "AVIF":
        avif.check_sizes(data, image.size)
    image.load()
    info, adobe = image.info, False
    if image.format == "AVIF" and (box := heif.crop(data, *image.size)):
        decoded.image = image.crop(box)  # as the HEIF decoder does by itself
    if image.format in ("AVIF", "HEIF"):
        named, decoded.bit_depth = heif.colors(data)
        decoded.space = colorspaces.named(*named) if named else None
    decoded.profile, decoded.dpi = info.get("icc_profile"), resolution(info.get("dpi"))
    if exif := info.get("exif"):
        decoded.exif, decoded.orientation, adobe = metadata.from_exif(exif)
    decoded.space = colorspaces.adobe_rgb() if adobe else decoded.space
    decoded.xmp = metadata.rights(info.get("xmp"), metadata.iptc_of(info.get("photoshop")))
    decoded.kind = _kind(image.mode)
    decoded.image, decoded.alpha = _split_alpha(decoded.image)
    return _finished(decoded)


def _png(data: bytes, max_pixels: int | None) -> _Decoded:
    bare = pngs.bare(data)
    image = _open(bare)
    _check_size(*image.size, max_pixels)
    pngs.check_work(data)
    decoded = _Decoded(image, profile=pngs.profile(data), dpi=resolution(image.info.get("dpi")))
    if pngs.first(data, b"acTL"):
        decoded.notes.append("only the first of its frames is used")
    if data[24] == 16:
        decoded.bit_depth = 16
        colors, alpha = pngs.wide(bare)
        decoded.kind = "grey" if colors.shape[2] == 1 else "color"
        _set_wide(decoded, colors, alpha)
    else:
        image.load()
        decoded.kind = _kind(image.mode)
        decoded.image, decoded.alpha = _split_alpha(image)
    pngs.check_rows(decoded.image, data)
    decoded.exif, decoded.orientation, _ = metadata.from_exif(pngs.first(data, b"eXIf") or b"")
    decoded.xmp = metadata.rights(pngs.xmp(data), None)
    code = pngs.first(data, b"cICP")
    if code and len(code) == 4:
        decoded.profile, decoded.space = None, colorspaces.named(code[0], code[1])
    elif not pngs.first(data, b"sRGB"):
        decoded.space = colorspaces.from_png(pngs.first(data, b"gAMA"), pngs.first(data, b"cHRM"))
    return decoded


def tiff_page(file: BinaryIO, page: tiff_directories.Directory | None, max_pixels: int | None) -> Picture:
    """A page of a TIFF, by default the first."""
    decoded = _Decoded(Image.new("L", (1, 1)))
    if page is None:
        page, more = tiff_directories.first_page(file)
        decoded.notes += ["only the first of its frames is used"] if more else []
    _check_size(*tiff_directories.size(page), max_pixels)
    pixels = tiff_pixels.decode(file, page)
    if isinstance(pixels, Image.Image):
        decoded.image, decoded.alpha = _split_alpha(pixels)
        decoded.kind = _kind(pixels.mode)
    else:
        decoded.bit_depth = pixels.bit_depth
        decoded.notes += pixels.notes
        _set_pixels(decoded, pixels)
        if page.value(tiff_directories.BITS, 1) == 1 and pixels.kind == "grey":
            decoded.kind = "binary"
    unit = {2: 1.0, 3: 2.54}.get(page.value(296, 2))
    decoded.dpi = resolution([unit * page.value(tag, 0) for tag in (282, 283)]) if unit else None
    decoded.exif, decoded.orientation, _ = metadata.from_directory(file, page)
    decoded.xmp = metadata.rights(page.bytes(700), page.bytes(33723) or metadata.iptc_of(page.bytes(34377)))
    decoded.profile = page.bytes(34675)
    return _finished(decoded)


def _set_pixels(decoded: _Decoded, pixels: tiff_pixels.Pixels) -> None:
    """Copy the pixels that `tiff_pixels` decoded; CMYK and Lab in 8 bits, like their conversion."""
    if pixels.values.dtype == np.uint16 and pixels.kind in ("grey", "rgb"):
        _set_wide(decoded, pixels.values, pixels.alpha)
    else:
        values = np.ascontiguousarray(colorspaces.to_8_bits(pixels.values))
        mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "lab": "LAB"}[pixels.kind]
        decoded.image = Image.frombytes(mode, values.shape[1::-1], values)
        alpha = None if pixels.alpha is None else colorspaces.to_8_bits(pixels.alpha)
        decoded.alpha = None if alpha is None or alpha.min() == 255 else alpha
    decoded.kind = "grey" if pixels.kind == "grey" else "color"


def _set_wide(decoded: _Decoded, colors: np.ndarray, alpha: np.ndarray | None) -> None:
    """uint16 (H, W, 1 or 3) and (H, W), as wide pixels and as those of 8 bits."""
    if alpha is not None and alpha.min() == 65535:
        alpha = None
    narrow = colorspaces.to_8_bits(colors)
    decoded.image = Image.fromarray(narrow[..., 0] if narrow.shape[2] == 1 else narrow)
    decoded.wide = np.empty((*colors.shape[:2], 3 if alpha is None else 4), np.uint16)
    decoded.wide[..., :3] = colors
    if alpha is not None:
        decoded.wide[..., 3], decoded.alpha = alpha, colorspaces.to_8_bits(alpha)


def _finished(decoded: _Decoded) -> Picture:
    """The picture of decoded pixels: upright, in sRGB."""
    image, alpha, wide, dpi, notes = decoded.image, decoded.alpha, decoded.wide, decoded.dpi, decoded.notes
    if (turn := _TURNS.get(decoded.orientation)) is not None:
        image = image.transpose(turn)
        alpha = None if alpha is None else np.array(Image.fromarray(alpha).transpose(turn))
        wide = None if wide is None else _turned(wide, decoded.orientation)
        if decoded.orientation > 4 and dpi:
            dpi = dpi[1], dpi[0]
    colors = None if wide is None else wide[..., :3]
    image, managed, colors = icc.to_srgb(image, decoded.profile, notes, colors)
    if isinstance(decoded.space, str) and not managed:
        notes.append(decoded.space)
    elif isinstance(decoded.space, colorspaces.Space) and not managed and image.mode in ("L", "RGB"):
        notes.append(decoded.space.note)
        values = np.asarray(image.convert("RGB")) if colors is None else colors
        values = colorspaces.convert(values, decoded.space)
        image = Image.fromarray(colorspaces.to_8_bits(values))
        colors = None if colors is None else values
    if colors is None:
        wide = None
    elif wide is not None and colors.base is not wide:
        wide[..., :3] = colors
        image = Image.fromarray(colorspaces.to_8_bits(colors))
    if decoded.bit_depth > 8 and wide is None:
        notes.append(rounded(decoded.bit_depth))
    return Picture(
        rgb=np.array(image.convert("RGB")),
        alpha=alpha,
        icc=icc.srgb_profile() if managed else None,
        dpi=dpi,
        exif=decoded.exif,
        bit_depth=decoded.bit_depth,
        notes=tuple(notes),
        kind=decoded.kind,
        wide=wide,
        xmp=decoded.xmp,
    )


def _turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an array upright, like Pillow's `_TURNS` for an image."""
    if orientation > 4:
        values = values.swapaxes(0, 1)
    down, across = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(
        orientation, (1, 1)
    )
    return np.ascontiguousarray(values[::down, ::across])


def _kind(mode: str) -> Kind:
    """The samples that a Pillow mode stores."""
    return "binary" if mode == "1" else "grey" if mode in ("L", "LA", "I;16", "I;16B") else "color"


def _open(data: bytes) -> Image.Image:
    _register_heif()
    if kinds.is_camera_raw(data):
        raise Refused(kinds.refusal(data))
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except (MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:
        raise Refused(kinds.refusal(data)) from error


def _register_heif() -> None:
    """Register the HEIC decoder with Pillow, if it is installed."""
    if "HEIF" not in Image.OPEN:
        with suppress(ImportError):
            from pi_heif import register_heif_opener

            register_heif_opener(thumbnails=False)


def _check_size(width: int, height: int, max_pixels: int | None) -> None:
    """Refuse pictures whose header promises too many pixels."""
    if refused := limits.too_large(height, width, max_pixels):
        raise Refused(refused)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    if not image.has_transparency_data:
        return image, None
    grey = image.mode == "LA"
    image = image.convert("RGBA")
    alpha = np.array(image.getchannel("A"))
    return image.convert("RGB").convert("L" if grey else "RGB"), None if alpha.min() == 255 else alpha
