"""The one door for images: bytes or a path in, an upright sRGB `Picture`, a file out."""

import warnings
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vision_core.files import atomic

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
_KEPT_EXIF = (
    0x010E,
    0x010F,
    0x0110,
    0x0132,
    0x013B,
    0x8298,
)  # description, make, model, time, artist, copyright


@dataclass(frozen=True)
class Picture:
    """uint8 (H, W, 3) sRGB, upright, and what must survive a round trip.

    `alpha` is uint8 (H, W) or None when opaque; `bit_depth` is the file's (the pixels here have 8); `notes`
    are sentences about what reading changed.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: dict[int, str] = field(default_factory=dict)
    bit_depth: int = 8
    notes: tuple[str, ...] = ()

    def with_rgb(self, rgb: np.ndarray) -> "Picture":
        """The same picture, alpha and metadata with other colours of the same size."""
        if rgb.shape != self.rgb.shape or rgb.dtype != np.uint8:
            raise ValueError(f"expected uint8 {self.rgb.shape}, got {rgb.dtype} {rgb.shape}")
        return replace(self, rgb=rgb)


def read(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF image, whatever its suffix says.

    The size is checked from the header before anything is decoded. EXIF orientation is applied, an ICC
    profile converted to sRGB, CMYK, palette, grey and 16-bit images become 8-bit RGB, the first frame stands
    for an animation.

    Raises:
        ValueError: missing, empty, damaged, of another format, or of more than `max_pixels` pixels.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read_bytes(Path(source))
    if not data:
        raise ValueError(f"{name} is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} has more than {max_pixels / 1e6:g} megapixels, the most we open") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        kind = "is an SVG drawing" if b"<svg" in data[:4096].lower() else "is not an image we can read"
        raise ValueError(f"{name} {kind}; expected PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF") from error
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(
            f"{name} has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels; "
            f"the most we open is {max_pixels / 1e6:g}"
        )
    try:
        return _decode(image)
    except (OSError, SyntaxError, EOFError, IndexError, ValueError) as error:
        raise ValueError(f"{name} is damaged or cut off: {error}") from error


def encode(picture: Picture, format: str = "PNG", quality: int = 95) -> bytes:
    """The picture as a file in memory.

    Only JPEG loses anything (`quality`); it cannot hold transparency: `ValueError`.
    """
    image = Image.fromarray(picture.rgb)
    options: dict = {"icc_profile": picture.icc}
    if picture.dpi:
        options["dpi"] = picture.dpi
    if picture.exif and format != "BMP":
        exif = Image.Exif()
        exif.update(picture.exif)
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
            options |= {"compression": "tiff_lzw"}
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


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


def to_tensor(rgb: np.ndarray) -> "Tensor":
    """uint8 (H, W, 3) -> float32 (1, 3, H, W) in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255


def from_tensor(tensor: "Tensor") -> np.ndarray:
    """Float (1, 3, H, W) in [0, 1], clamped -> uint8 (H, W, 3)."""
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3):
        raise ValueError(f"expected (1, 3, H, W), got {tuple(tensor.shape)}")
    return (tensor[0].detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; the name of an image was expected")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _decode(image: Image.Image) -> Picture:
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        notes.append(f"the first of {frames} frames is used")
    bit_depth = 16 if image.mode.startswith("I") or "16" in str(getattr(image, "tile", "")) else 8
    profile, dpi, exif = image.info.get("icc_profile"), image.info.get("dpi"), image.getexif()
    kept = {tag: exif[tag] for tag in _KEPT_EXIF if isinstance(exif.get(tag), str)}
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(np.rint(wide / 257), 0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("it holds floating-point values, which have no fixed white")
    if bit_depth == 16:
        notes.append("16 bits per channel were rounded to 8")
    image, alpha = _split_alpha(image)
    image, managed = _to_srgb(image, profile, notes)
    if dpi is not None and not all(np.isfinite(float(d)) and d > 0 for d in dpi):
        dpi = None
    return Picture(
        rgb=np.array(image.convert("RGB")),
        alpha=alpha,
        icc=_srgb_profile() if managed else None,
        dpi=None if dpi is None else (float(dpi[0]), float(dpi[1])),
        exif=kept,
        bit_depth=bit_depth,
        notes=tuple(notes),
    )


def _split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    if not image.has_transparency_data:
        return image, None
    image = image.convert("RGBA")
    alpha = np.array(image.getchannel("A"))
    return image.convert("RGB"), None if alpha.min() == 255 else alpha


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> tuple[Image.Image, bool]:
    if image.mode == "P":
        image = image.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            target = ImageCms.ImageCmsProfile(BytesIO(_srgb_profile()))
            name = ImageCms.getProfileDescription(source).strip()
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            if "sRGB" not in name:
                notes.append(f"colours were converted from {name} to sRGB")
            return converted or image, True
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            notes.append("its colour profile is damaged and was ignored")
    if image.mode == "CMYK":
        notes.append("CMYK without a profile was converted by formula")
    return image, False


def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
