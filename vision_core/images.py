"""The one door for images: bytes or a path in, an upright sRGB `Picture`, a file out."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from PIL import Image

from vision_core import bitmaps, icc, kinds, pngs, tiffs
from vision_core.files import atomic
from vision_core.messages import reason

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 50_000_000
LONGEST_SIDE = 100_000  # each row costs Pillow memory of its own: 1 x 50,000,000 pixels would take 2 GB
MAX_SCANS = 100  # of a progressive JPEG; each is a pass over the whole picture, and encoders write 10 or so
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "AVIF", "HEIF")  # Pillow's; TIFF is read by `tiffs`
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
Kind = Literal["color", "grey", "binary"]
_TURNS = {
    number: Image.Transpose(turn) for number, turn in zip(range(2, 9), (0, 3, 1, 5, 4, 6, 2), strict=True)
}
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
    """Read a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC image, whatever its suffix says.

    The size is checked from the header before anything is decoded. The orientation is applied, an ICC
    profile converted to sRGB, CMYK, palette, grey and 16-bit images become 8-bit RGB, the first frame stands
    for an animation, the first page for a TIFF. Peak memory is about 20 bytes a pixel; `guarded.read` also
    bounds time and memory.

    Raises:
        ValueError: missing, empty, damaged, of another format, of more than `max_pixels` pixels, with a side
            longer than `LONGEST_SIDE`, or a JPEG of more than `MAX_SCANS` scans.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    with _one_sentence(name, max_pixels), _opened(source) as file:
        head = file.read(16)
        if not head:
            raise _Refused("is empty")
        if tiffs.is_tiff(head):
            return _tiff(file, None, max_pixels)
        file.seek(0)
        return _image(file.read(), max_pixels)


def tiff_pages(path: str | Path, max_pixels: int = MAX_PIXELS) -> list[Callable[[], Picture]]:
    """The pages of a TIFF in order, each decoded when it is called; thumbnails and masks are none.

    Where the file is damaged after some pages, calling the last one says so.

    Raises:
        ValueError: no TIFF, or one without a readable page; when a page is decoded, as `read`.
    """
    with _one_sentence(str(path), max_pixels), _opened(path) as file:
        found, damage = tiffs.pages(file)

    def decode(number: int, page: tiffs.Directory) -> Picture:
        with _one_sentence(f"page {number} of {path}", max_pixels), _opened(path) as file:
            return _tiff(file, page, max_pixels)

    def refuse(damage: Exception) -> Picture:
        raise ValueError(
            f"{path} is damaged or cut off after page {len(found)}: {reason(damage)}"
        ) from damage

    pages = [partial(decode, number, page) for number, page in enumerate(found, 1)]
    return [*pages, partial(refuse, damage)] if damage else pages


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
    return _without_gap(buffer) if format == "TIFF" else buffer.getvalue()


def _without_gap(tiff: BytesIO) -> bytes:
    """The file with a zero for the byte of padding that libtiff leaves to chance before the directory."""
    data = bytearray(tiff.getvalue())
    with Image.open(tiff) as image:
        tags = image.tag_v2  # pyright: ignore
    end, directory = max(map(sum, zip(tags[273], tags[279], strict=True))), tags._offset
    data[end:directory] = bytes(directory - end)
    return bytes(data)


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


class _Refused(ValueError):
    """A whole file that we do not open; reads on from the file's name."""


@contextmanager
def _one_sentence(name: str, max_pixels: int) -> Iterator[None]:
    """Whatever reading raises becomes a `ValueError` of one sentence that begins with the name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's; what matters becomes an error or a note
            yield
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {name}") from error
    except (_Refused, tiffs.Unsupported) as error:
        raise ValueError(f"{name} {error}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} has more than {max_pixels / 1e6:g} megapixels, the most we open") from error
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
            raise _Refused("is a folder; the name of an image was expected")
        if path.exists() and not path.is_file():
            raise _Refused("cannot be read: it is not an ordinary file")
        if path.stat().st_size > MAX_BYTES:
            raise _Refused(f"cannot be read: it is larger than {MAX_BYTES >> 20} MB")
        file = open(path, "rb")
    except (FileNotFoundError, _Refused):
        raise
    except (OSError, ValueError) as error:  # ValueError: also a NUL in the name
        raise _Refused(f"cannot be read: {reason(error)}") from error
    with file:
        yield file


def _image(data: bytes, max_pixels: int) -> Picture:
    """Any image but a TIFF."""
    png = data.startswith(pngs.SIGNATURE)
    image = _open(pngs.bare(data) if png else data)
    _check_work(image, data, max_pixels)
    notes = []
    animated = pngs.first(data, b"acTL") if png else getattr(image, "is_animated", False)
    if animated and image.format != "MPO":
        notes.append("only the first of its frames is used")
    bit_depth = data[24] if png and data[24] == 16 else 8
    if png:
        pngs.check_work(data)
    if bitmaps.is_run_length(image):
        image = bitmaps.decode(image, data)
    image.load()
    if png:
        pngs.check_rows(image, data)
    profile = pngs.profile(data) if png else image.info.get("icc_profile")
    dpi = _resolution(image.info.get("dpi"))
    orientation, exif = _exif(image)
    kind = _kind(image.mode)
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_rounded(np.asarray(image)))
    image, alpha = _split_alpha(image)
    return _finished(image, alpha, profile, orientation, dpi, exif, bit_depth, notes, kind)


def _tiff(file: BinaryIO, page: tiffs.Directory | None, max_pixels: int) -> Picture:
    """A page of a TIFF, by default the first."""
    notes = []
    if page is None:
        page, more = tiffs.first_page(file)
        if more:
            notes.append("only the first of its frames is used")
    _check_size(*tiffs.size(page), max_pixels)
    found = tiffs.decode(file, page)
    if isinstance(found, Image.Image):
        image, alpha = _split_alpha(found)
        bit_depth, kind = 8, _kind(found.mode)
    else:
        bit_depth, notes = found.bit_depth, [*notes, *found.notes]
        values, alpha = _rounded(found.values), None
        if found.alpha is not None and found.alpha.min() < np.iinfo(found.alpha.dtype).max:
            alpha = _rounded(found.alpha)
        mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "lab": "LAB"}[found.kind]
        image = Image.frombytes(mode, values.shape[1::-1], np.ascontiguousarray(values))
        kind = "binary" if page.value(tiffs.BITS, 1) == 1 and mode == "L" else _kind(mode)
    unit = {2: 1.0, 3: 2.54}.get(page.value(296, 2))
    dpi = _resolution([unit * page.value(tag, 0) for tag in (282, 283)]) if unit else None
    exif = {tag: page.value(tag) for tag in _KEPT_EXIF if isinstance(page.value(tag), str)}
    profile, orientation = page.bytes(34675), page.value(274, 1)
    return _finished(image, alpha, profile, orientation, dpi, exif, bit_depth, notes, kind)


def _finished(
    image: Image.Image,
    alpha: np.ndarray | None,
    profile: bytes | None,
    orientation: int,
    dpi: tuple[float, float] | None,
    exif: dict[int, str],
    bit_depth: int,
    notes: list[str],
    kind: Kind,
) -> Picture:
    """The picture of decoded 8-bit pixels: upright, in sRGB."""
    if bit_depth > 8:
        notes.append(f"{bit_depth} bits per channel were rounded to 8")
    if (turn := _TURNS.get(orientation)) is not None:
        image = image.transpose(turn)
        alpha = None if alpha is None else np.array(Image.fromarray(alpha).transpose(turn))
        if orientation > 4 and dpi:
            dpi = dpi[1], dpi[0]
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


def _kind(mode: str) -> Kind:
    """What a Pillow mode stores."""
    return "binary" if mode == "1" else "grey" if mode in ("L", "LA", "I;16", "I;16B") else "color"


def _open(data: bytes) -> Image.Image:
    _register_heif()
    if kinds.is_camera_raw(data):
        raise _Refused(kinds.refusal(data))
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except (MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:
        raise _Refused(kinds.refusal(data)) from error


def _register_heif() -> None:
    """Make Pillow know HEIC where the decoder is there; it is not in Pillow itself."""
    if "HEIF" not in Image.OPEN:
        with suppress(ImportError):
            from pi_heif import register_heif_opener

            register_heif_opener(thumbnails=False)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse from the header what would take too much memory to decode."""
    if width * height > max_pixels:
        raise _Refused(
            f"has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels; "
            f"the most we open is {max_pixels / 1e6:g}"
        )
    if max(width, height) > LONGEST_SIDE:
        raise _Refused(f"has {width} x {height} pixels; a side may have at most {LONGEST_SIDE:,}")


def _check_work(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Refuse from the header what would take too much memory or time to decode."""
    _check_size(*image.size, max_pixels)
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


def _rounded(values: np.ndarray) -> np.ndarray:
    """uint8 of uint16 of the whole range, rounded row by row; what is uint8 stays."""
    if values.dtype == np.uint8:
        return values
    found = np.empty(values.shape, np.uint8)
    for row, wide in enumerate(values):
        found[row] = (wide.astype(np.uint32) * 255 + 32895) >> 16
    return found


def _resolution(dpi: Any) -> tuple[float, float] | None:
    """Dots per inch as numbers that every format can write, or None."""
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    fits = 1 < min(across, down) and max(across, down) < 65_536  # TIFF's 1 is none
    return (across, down) if fits else None


def _exif(image: Image.Image) -> tuple[int, dict[int, str]]:
    """The orientation, and the EXIF texts to keep; damaged EXIF is no reason to refuse."""
    try:
        exif = image.getexif()
        return exif.get(274, 1), {tag: exif[tag] for tag in _KEPT_EXIF if isinstance(exif.get(tag), str)}
    except MemoryError:
        raise
    except Exception:
        return 1, {}


def _split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    if not image.has_transparency_data:
        return image, None
    grey = image.mode == "LA"
    image = image.convert("RGBA")
    alpha = np.array(image.getchannel("A"))
    return image.convert("RGB").convert("L" if grey else "RGB"), None if alpha.min() == 255 else alpha
