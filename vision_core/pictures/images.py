"""Reads and writes image files: bytes or a path in, an upright sRGB `Picture`, a file out."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from vision_core.files import atomic
from vision_core.pictures import decoding, metadata, pngs, tiff_directories, tiff_writing
from vision_core.pictures.decoding import Refused
from vision_core.pictures.picture import Kind as Kind
from vision_core.pictures.picture import Picture as Picture
from vision_core.pictures.picture import rounded
from vision_core.safety import limits
from vision_core.safety.messages import reason

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
READABLE = (
    *SUFFIXES,
    ".jpe",
    ".jfif",
    ".jif",
    ".mpo",
    ".dib",
    ".apng",
    ".gif",
    ".avif",
    ".heic",
    ".heif",
    ".hif",
)  # the endings of what `read` opens, which goes by content
OPAQUE = ("JPEG", "BMP")  # formats without transparency
WRITABLE_SIDE = {"JPEG": 65_500, "WEBP": 16_383}


def read(source: str | Path | bytes, max_pixels: int | None = None) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC image, whatever its suffix says.

    The size is checked from the header before anything is decoded. The orientation is applied, an ICC
    profile converted to sRGB, CMYK, palette, grey and 16-bit images become 8-bit RGB, the first frame stands
    for an animation, the first page for a TIFF. Peak memory is about 20 bytes a pixel; `guarded.read` also
    bounds time and memory.

    Raises:
        ValueError: missing, empty, damaged, of another format, of more than `max_pixels` pixels (None is
            PIXELS of `limits`), with a side longer than SIDE, or a JPEG made to keep its decoder busy.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    with _one_sentence(name, max_pixels), _opened(source) as file:
        head = file.read(16)
        if not head:
            raise Refused("is empty")
        if tiff_directories.is_tiff(head):
            return decoding.tiff_page(file, None, max_pixels)
        file.seek(0)
        return decoding.image_of(file.read(), max_pixels)


def tiff_pages(path: str | Path, max_pixels: int | None = None) -> list[Callable[[], Picture]]:
    """The pages of a TIFF in order, without thumbnails and masks; calling one decodes it.

    If the file is damaged after some pages, calling the last item raises the error.

    Raises:
        ValueError: no TIFF, or one without a readable page; when a page is decoded, as `read`.
    """
    with _one_sentence(str(path), max_pixels), _opened(path) as file:
        directories, damage = tiff_directories.pages(file)

    def decode(number: int, page: tiff_directories.Directory) -> Picture:
        with _one_sentence(f"page {number} of {path}", max_pixels), _opened(path) as file:
            return decoding.tiff_page(file, page, max_pixels)

    def refuse(damage: Exception) -> Picture:
        raise ValueError(
            f"{path} is damaged or cut off after page {len(directories)}: {reason(damage)}"
        ) from damage

    pages = [partial(decode, number, page) for number, page in enumerate(directories, 1)]
    return [*pages, partial(refuse, damage)] if damage else pages


def encode(picture: Picture, format: str = "PNG", quality: int = 95) -> bytes:
    """The picture as a file in memory: PNG, JPEG, WEBP, TIFF or BMP.

    Only JPEG loses anything of the pixels of 8 bits (`quality`, 1 to 100); see `loss` for those of 16. A grey
    picture takes one channel and a black-and-white one 1 bit where the format has such (WebP has neither,
    JPEG no 1 bit). WebP cannot hold a resolution, BMP no metadata and no profile.

    Raises:
        ValueError: another format or quality, transparency in JPEG or BMP, a side too long for the format.
    """
    if format not in SUFFIXES.values():
        raise ValueError(f"cannot save as {format!r}; use {', '.join(dict.fromkeys(SUFFIXES.values()))}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}; 1 to 100 was expected")
    if (longest := max(picture.rgb.shape)) > (most := WRITABLE_SIDE.get(format, longest)):
        raise ValueError(
            f"{format} holds at most {most:,} pixels a side, not {longest:,}: save as PNG or TIFF"
        )
    if picture.alpha is not None and format in OPAQUE:
        raise ValueError(f"{format} cannot hold transparency: save as PNG, WebP or TIFF")
    if picture.wide is not None and format in ("PNG", "TIFF"):
        values = _wide_samples(picture, picture.wide)
        options = _metadata(picture, format, values.shape[2] > 2)
        return pngs.encode(values, options) if format == "PNG" else tiff_writing.encode(values, options)
    image = _smallest(picture, format)
    options = _metadata(picture, format, image.mode == "RGB")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    if format == "TIFF":
        return tiff_writing.encode(image, options)
    match format:
        case "JPEG":
            options |= {"quality": quality, "subsampling": 0}
        case "WEBP":
            options |= {"lossless": True, "exact": True}
        case "PNG":
            options |= {"compress_level": 3}  # a fifth larger than the default and several times as fast
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def loss(picture: Picture, path: str | Path) -> list[str]:
    """A note if a file of this name cannot hold the picture's bit depth; none for PNG and TIFF."""
    if picture.wide is None or SUFFIXES.get(Path(path).suffix.lower()) in ("PNG", "TIFF"):
        return []
    return [rounded(picture.bit_depth)]


def save(picture: Picture, path: str | Path, quality: int = 95) -> None:
    """Write atomically in the format that the suffix names; an unknown suffix is a `ValueError`."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"cannot save an image as {suffix or 'a file without suffix'!r}; use {', '.join(SUFFIXES)}"
        )
    data = encode(picture, SUFFIXES[suffix], quality)
    with atomic(path) as file:
        file.write(data)


def suited(picture: Picture, path: str | Path) -> Picture:
    """The picture as the format of `path` can hold it: on white if the format has no transparency."""
    return picture.on_white() if SUFFIXES.get(Path(path).suffix.lower()) in OPAQUE else picture


def shrink(rgb: np.ndarray, side: int) -> np.ndarray:
    """uint8 (H, W, 3), no side longer than `side` pixels; the array itself when it is small enough."""
    height, width = rgb.shape[:2]
    if (scale := side / max(height, width)) >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS, reducing_gap=3))


def to_tensor(rgb: np.ndarray) -> "Tensor":
    """uint8 (H, W, 3) -> float32 (1, 3, H, W) in [0, 1]."""
    import torch

    return torch.from_numpy(np.array(rgb, order="C")).permute(2, 0, 1)[None].float() / 255


def from_tensor(tensor: "Tensor") -> np.ndarray:
    """Float (1, 3, H, W) in [0, 1], clamped -> uint8 (H, W, 3)."""
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3):
        raise ValueError(f"expected (1, 3, H, W), got {tuple(tensor.shape)}")
    return (tensor[0].detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _wide_samples(picture: Picture, wide: np.ndarray) -> np.ndarray:
    """uint16 (H, W, 1 to 4) to write, alpha the last of 2 or 4."""
    colors = wide[..., :3]
    if picture.kind == "grey" and (colors == colors[..., :1]).all():
        colors = colors[..., :1]
    if picture.alpha is None:
        return colors
    alpha = wide[..., 3:] if wide.shape[2] == 4 else picture.alpha[..., None] * np.uint16(257)
    return np.concatenate([colors, alpha], 2)


def _metadata(picture: Picture, format: str, in_color: bool) -> dict[str, Any]:
    """Pillow options for what is written beside the pixels; the profile is one of RGB."""
    options: dict[str, Any] = {"icc_profile": picture.icc if in_color else None}
    if picture.dpi:
        options["dpi"] = picture.dpi
    exif = Image.Exif()
    for tag, text in picture.exif.items():
        if tag in metadata.SECOND:
            exif.get_ifd(metadata.EXIF_DIRECTORY)[tag] = text
        else:  # Pillow writes a str as ASCII with question marks; UTF-8 is what readers expect today
            exif[tag] = text.encode()
    match format if picture.xmp else "":
        case "PNG":
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", (picture.xmp or b"").decode())
        case "JPEG" | "WEBP" | "TIFF":
            options["xmp"] = picture.xmp
    if len(exif) and format != "BMP":
        options["exif"] = exif
    return options


def _smallest(picture: Picture, format: str) -> Image.Image:
    """The pixels without alpha in 1, 8 or 24 bits: what `picture.kind` asks for, or what holds them."""
    rgb = picture.rgb
    grey = rgb[..., 0]
    if picture.kind == "color" or format == "WEBP" or (rgb != grey[..., None]).any():
        return Image.fromarray(rgb)
    if picture.kind == "grey" or format == "JPEG" or picture.alpha is not None or (grey % 255).any():
        return Image.fromarray(np.ascontiguousarray(grey))
    return Image.fromarray(grey == 255)


@contextmanager
def _one_sentence(name: str, max_pixels: int | None) -> Iterator[None]:
    """Turn any error of reading into a one-sentence `ValueError` that begins with the name."""
    try:
        if Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit must not be below ours
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels or limits.PIXELS.value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's; what matters becomes an error or a note
            yield
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {name}") from error
    except limits.NoLimit:
        raise
    except (Refused, tiff_directories.Unsupported) as error:
        raise ValueError(f"{name} {error}") from error
    except Image.DecompressionBombError as error:
        most = limits.megapixels_at_most(max_pixels)
        raise ValueError(f"{name} has far too many megapixels; at most {most}") from error
    except MemoryError as error:
        raise ValueError(f"{name} needs more memory than there is") from error
    except Exception as error:  # decoders raise nearly anything
        raise ValueError(f"{name} is damaged or cut off: {reason(error)}") from error


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[BinaryIO]:
    """The file, if it can be read and is not too large."""
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    path = Path(source)
    try:
        if path.is_dir():
            raise Refused("is a folder; the name of an image was expected")
        if path.exists() and not path.is_file():
            raise Refused("cannot be read: it is not an ordinary file")
        limits.FILE.check(path.stat().st_size, "it")
        file = open(path, "rb")
    except (FileNotFoundError, limits.NoLimit, Refused):
        raise
    except (OSError, ValueError) as error:  # ValueError: also a NUL in the name
        raise Refused(f"cannot be read: {reason(error)}") from error
    with file:
        yield file
