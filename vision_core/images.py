"""The one door for images: bytes or a path in, an upright sRGB `Picture`, a file out."""

import re
import struct
import warnings
import zlib
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageOps

from vision_core import icc
from vision_core.files import atomic
from vision_core.messages import reason

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 50_000_000
LONGEST_SIDE = 100_000  # each row costs Pillow memory of its own: 1 x 50,000,000 pixels would take 2 GB
MAX_SCANS = 100  # of a progressive JPEG; each is a pass over the whole picture, and encoders write 10 or so
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
MAX_BYTES = 512 << 20  # the largest file within MAX_PIXELS, 16-bit RGBA without compression, has 400 MB
WRITABLE_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
Kind = Literal["color", "grey", "binary"]
_KEPT_EXIF = (0x010E, 0x010F, 0x0110, 0x0132, 0x013B, 0x8298)  # what, make, model, time, artist, copyright


@dataclass(frozen=True)
class Picture:
    """uint8 (H, W, 3) sRGB, upright, and what must survive a round trip.

    `alpha` is uint8 (H, W) or None when opaque; `bit_depth` is the file's (the pixels here have 8); `notes`
    are sentences about what reading changed. `kind` is what the file stores: colours, grey, or black and
    white; `encode` stores the same wherever the pixels still allow it.

    Raises:
        ValueError: an array of another shape or type.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: dict[int, str] = field(default_factory=dict)
    bit_depth: int = 8
    notes: tuple[str, ...] = ()
    kind: Kind = "color"

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or not self.rgb.size:
            raise ValueError(f"expected uint8 (H, W, 3), got {self.rgb.dtype} {self.rgb.shape}")
        size = self.rgb.shape[:2]
        if self.alpha is not None and (self.alpha.dtype != np.uint8 or self.alpha.shape != size):
            raise ValueError(f"expected alpha uint8 {size}, got {self.alpha.dtype} {self.alpha.shape}")

    @property
    def visible(self) -> np.ndarray:
        """The colours that can be seen, uint8 (N, 3): of all pixels but the wholly transparent ones."""
        colors = self.rgb.reshape(-1, 3)
        seen = None if self.alpha is None else self.alpha.ravel() > 0
        return colors[seen] if seen is not None and seen.any() else colors

    def with_rgb(self, rgb: np.ndarray) -> "Picture":
        """The same picture, alpha and metadata with other colours of the same size."""
        if rgb.shape != self.rgb.shape or rgb.dtype != np.uint8:
            raise ValueError(f"expected uint8 {self.rgb.shape}, got {rgb.dtype} {rgb.shape}")
        return replace(self, rgb=rgb)


def read(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF image, whatever its suffix says.

    The size is checked from the header before anything is decoded. EXIF orientation is applied, an ICC
    profile converted to sRGB, CMYK, palette, grey and 16-bit images become 8-bit RGB, the first frame stands
    for an animation. Peak memory is about 20 bytes a pixel; `guarded.read` also bounds time and memory.

    Raises:
        ValueError: missing, empty, damaged, of another format, of more than `max_pixels` pixels, with a side
            longer than `LONGEST_SIDE`, or a JPEG of more than `MAX_SCANS` scans.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read_bytes(Path(source))
    if not data:
        raise ValueError(f"{name} is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's; what matters becomes an error or a note
            image = _open(data)
            _check_work(image, data, max_pixels)
            return _decode(image, data)
    except _Refused as error:
        raise ValueError(f"{name} {error}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} has more than {max_pixels / 1e6:g} megapixels, the most we open") from error
    except MemoryError as error:
        raise ValueError(f"{name} needs more memory than there is") from error
    except Exception as error:  # decoders raise nearly anything
        raise ValueError(f"{name} is damaged or cut off: {reason(error)}") from error


def encode(picture: Picture, format: str = "PNG", quality: int = 95) -> bytes:
    """The picture as a file in memory: PNG, JPEG, WEBP, TIFF or BMP.

    Only JPEG loses anything of the pixels (`quality`, 1 to 100). A grey picture takes 8 bits a pixel and a
    black-and-white one 1 where the format has such (WebP has neither, JPEG no 1 bit). WebP cannot hold a
    resolution, BMP neither EXIF nor a profile.

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
    image = _smallest(picture, format)
    options: dict = {"icc_profile": picture.icc if image.mode == "RGB" else None}  # it is one of RGB
    if picture.dpi:
        options["dpi"] = picture.dpi
    if picture.exif and format != "BMP":
        exif = Image.Exif()
        # Pillow writes a str as ASCII with question marks, and reads bytes back as Latin-1
        exif.update({tag: text.encode("latin-1", "replace") for tag, text in picture.exif.items()})
        options["exif"] = exif
    if picture.alpha is not None:
        if format in ("JPEG", "BMP"):
            raise ValueError(f"{format} cannot hold transparency: save as PNG, WebP or TIFF")
        image.putalpha(Image.fromarray(picture.alpha))
    match format:
        case "JPEG":
            options |= {"quality": quality, "subsampling": 0}
        case "WEBP":
            options |= {"lossless": True, "exact": True}
        case "PNG":
            options |= {"compress_level": 3}  # a fifth larger than the default and several times as fast
        case "TIFF":
            options |= {"compression": "group4" if image.mode == "1" else "tiff_lzw"}
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _smallest(picture: Picture, format: str) -> Image.Image:
    """The pixels without alpha in 1, 8 or 24 bits: what `picture.kind` asks for, or what holds them."""
    rgb = picture.rgb
    grey = rgb[..., 0]
    if picture.kind == "color" or format == "WEBP" or (rgb != grey[..., None]).any():
        return Image.fromarray(rgb)
    if picture.kind == "grey" or format == "JPEG" or picture.alpha is not None or (grey % 255).any():
        return Image.fromarray(np.ascontiguousarray(grey))
    return Image.fromarray(grey == 255)


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


def check_rows(image: Image.Image, data: bytes) -> None:
    """Refuse a PNG, decoded from `data`, that ends before its last row: Pillow leaves the rest black.

    Raises:
        ValueError: the compressed data hold fewer rows than the header says.
    """
    width, height, depth, kind, *_, interlaced = struct.unpack(">2I5B", data[16:29])
    if not interlaced and image.crop((0, height - 1, width, height)).getbbox(alpha_only=False):
        return  # the last row is there; the others spare us inflating everything once more
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    expected = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 < rows)
    inflate, size, at = zlib.decompressobj(), 0, 8
    while at < len(data) and size < expected:
        end = at + 8 + int.from_bytes(data[at : at + 4])
        packed = data[at + 8 : end] if data[at + 4 : at + 8] == b"IDAT" else b""
        while packed and size < expected:
            size += len(inflate.decompress(packed, 1 << 20))
            packed = inflate.unconsumed_tail
        at = end + 4
    if size + len(inflate.flush()) < expected:
        raise ValueError("its pixels end before the last row")


class _Refused(ValueError):
    """A whole file that we do not open; reads on from the file's name."""


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; the name of an image was expected")
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not an ordinary file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # ValueError: also a NUL in the name
        raise ValueError(f"{path} cannot be read: {reason(error)}") from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except (MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:
        kind = "is an SVG drawing" if b"<svg" in data[:4096].lower() else "is not an image we can read"
        raise _Refused(f"{kind}; expected PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF") from error


def _check_work(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Refuse from the header what would take too much memory or time to decode."""
    width, height = image.size
    if width * height > max_pixels:
        raise _Refused(
            f"has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels; "
            f"the most we open is {max_pixels / 1e6:g}"
        )
    if max(width, height) > LONGEST_SIDE:
        raise _Refused(f"has {width} x {height} pixels; a side may have at most {LONGEST_SIDE:,}")
    if image.format in ("JPEG", "MPO") and _scans(data) > MAX_SCANS:
        raise _Refused(f"is a progressive JPEG of more than {MAX_SCANS} scans, which no encoder writes")


def _scans(data: bytes) -> int:
    """The scans of a JPEG, counted from marker to marker; counting ends past `MAX_SCANS`."""
    count, at = 0, 0
    with_length = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # of a segment, or the end of the image
    while (marker := with_length.search(data, at)) and marker[1] != b"\xd9" and count <= MAX_SCANS:
        count += marker[1] == b"\xda"
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return count


def _decode(image: Image.Image, data: bytes) -> Picture:
    notes = []
    if getattr(image, "is_animated", False) and image.format != "MPO":  # n_frames walks through all of them
        notes.append("only the first of its frames is used")
    rawmodes = [str(tile.args) for tile in getattr(image, "tile", ())]
    bits = 12 if any("I;12" in mode for mode in rawmodes) else 16
    bit_depth = bits if image.mode.startswith("I;16") or any("16" in mode for mode in rawmodes) else 8
    kind = (
        "binary" if image.mode == "1" else "grey" if image.mode in ("L", "LA", "I;16", "I;16B") else "color"
    )
    image.load()
    if image.format == "PNG":
        check_rows(image, data)
    profile, dpi = image.info.get("icc_profile"), _resolution(image.info.get("dpi"))
    image, exif = _upright(image)
    if image.mode == "F":
        raise _Refused("cannot be used: it holds floating-point values, which have no fixed white")
    if image.mode == "I":
        raise _Refused("cannot be used: it holds 32-bit or signed values, which have no fixed white")
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        peak = 2**bits - 1
        image = Image.fromarray(((wide * 255 + peak // 2) // peak).astype(np.uint8))
    if bit_depth > 8:
        notes.append(f"{bit_depth} bits per channel were rounded to 8")
    image, alpha = _split_alpha(image)
    image, managed = icc.to_srgb(image, profile, notes)
    return Picture(
        rgb=np.array(image.convert("RGB")),
        alpha=alpha,
        icc=icc.srgb_profile() if managed else None,
        dpi=dpi,
        exif=exif,
        bit_depth=bit_depth,
        notes=tuple(notes),
        kind=kind,
    )


def _resolution(dpi: Any) -> tuple[float, float] | None:
    """Dots per inch as numbers that every format can write, or None."""
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (
        (across, down) if 1 < min(across, down) and max(across, down) < 65_536 else None
    )  # TIFF's 1 is none


def _upright(image: Image.Image) -> tuple[Image.Image, dict[int, str]]:
    """The image as the camera was held, and the EXIF texts to keep; damaged EXIF is no reason to refuse."""
    try:
        exif = image.getexif()
        kept = {tag: exif[tag] for tag in _KEPT_EXIF if isinstance(exif.get(tag), str)}
        return ImageOps.exif_transpose(image), kept
    except MemoryError:
        raise
    except Exception:
        return image, {}


def _split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    if not image.has_transparency_data:
        return image, None
    grey = image.mode == "LA"
    image = image.convert("RGBA")
    alpha = np.array(image.getchannel("A"))
    return image.convert("RGB").convert("L" if grey else "RGB"), None if alpha.min() == 255 else alpha
