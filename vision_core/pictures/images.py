"""The one door for images: bytes or a path in, an upright sRGB `Picture`, a file out."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from PIL import Image, PngImagePlugin

from vision_core.files import atomic
from vision_core.pictures import bitmaps, colorspaces, gifs, heif, icc, jpegs, kinds, metadata, pngs, tiffs
from vision_core.safety import limits
from vision_core.safety.messages import reason

if TYPE_CHECKING:
    from torch import Tensor

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
)  # fmt: skip; the endings of what `read` opens, which goes by content
OPAQUE = ("JPEG", "BMP")  # formats without transparency
WRITABLE_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
Kind = Literal["color", "grey", "binary"]
_TURNS = {
    number: Image.Transpose(turn) for number, turn in zip(range(2, 9), (0, 3, 1, 5, 4, 6, 2), strict=True)
}


@dataclass(frozen=True)
class Picture:
    """uint8 (H, W, 3) sRGB, upright, and what must survive a round trip.

    `alpha` is uint8 (H, W) or None when opaque. `wide` is uint16 (H, W, 3), or 4 with the alpha of 16 bits:
    what `rgb` and `alpha` round, of a file with more than 8 bits; None where there is no more than 8.
    `bit_depth` is the file's; `notes` are sentences about what reading changed. `kind` is what the file
    stores: colours, grey, or black and white; `encode` stores the same wherever the pixels still allow it.
    `exif` holds the texts and `xmp` the packet that `metadata` keeps.

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
    wide: np.ndarray | None = None
    xmp: bytes | None = None

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or not self.rgb.size:
            raise ValueError(f"expected uint8 (H, W, 3), got {self.rgb.dtype} {self.rgb.shape}")
        size = self.rgb.shape[:2]
        if self.alpha is not None and (self.alpha.dtype != np.uint8 or self.alpha.shape != size):
            raise ValueError(f"expected alpha uint8 {size}, got {self.alpha.dtype} {self.alpha.shape}")
        if self.wide is not None:
            channels = 3 if self.alpha is None else self.wide.shape[-1]
            if self.wide.dtype != np.uint16 or self.wide.shape != (*size, channels) or channels not in (3, 4):
                raise ValueError(
                    f"expected wide uint16 {(*size, 3)}, got {self.wide.dtype} {self.wide.shape}"
                )

    @property
    def visible(self) -> np.ndarray:
        """The colours that can be seen, uint8 (N, 3): of all pixels but the wholly transparent ones."""
        colors = self.rgb.reshape(-1, 3)
        seen = None if self.alpha is None else self.alpha.ravel() > 0
        return colors[seen] if seen is not None and seen.any() else colors

    @cached_property
    def seen(self) -> np.ndarray:
        """uint8 (H, W, 3), a wholly transparent pixel with the colour of the nearest one that can be seen.

        For all that looks at neighbours: the colours stored under transparency are nobody's. White where
        nothing can be seen.
        """
        if self.alpha is None or self.alpha.all():
            return self.rgb
        import cv2

        hidden = self.alpha == 0
        if hidden.all():
            return np.full_like(self.rgb, 255)
        kind = cv2.DIST_LABEL_PIXEL
        _, labels = cv2.distanceTransformWithLabels(hidden.astype(np.uint8), cv2.DIST_L2, 5, labelType=kind)
        nearest = np.zeros(labels.max() + 1, np.int64)
        nearest[labels[~hidden]] = np.flatnonzero(~hidden)
        rgb = self.rgb.copy()
        rgb[hidden] = self.rgb.reshape(-1, 3)[nearest[labels[hidden]]]
        return rgb

    def on_white(self) -> "Picture":
        """The picture laid on white, with a note that says so; an opaque one is as it is."""
        if self.alpha is None:
            return self
        share = self.alpha[..., None] / np.float32(255)
        rgb = np.rint(self.rgb * share + 255 * (1 - share)).astype(np.uint8)
        wide = None
        if self.wide is not None:
            alpha = self.wide[..., 3:] / np.float32(65535) if self.wide.shape[2] == 4 else share
            wide = np.rint(self.wide[..., :3] * alpha + 65535 * (1 - alpha)).astype(np.uint16)
        notes = (*self.notes, "what is transparent was laid on white")
        return replace(self, rgb=rgb, alpha=None, wide=wide, notes=notes)

    def with_rgb(self, rgb: np.ndarray) -> "Picture":
        """The same picture, alpha and metadata with other colours of the same size.

        Of a picture with 16 bits, each sample that stays the same keeps all of them.
        """
        if rgb.shape != self.rgb.shape or rgb.dtype != np.uint8:
            raise ValueError(f"expected uint8 {self.rgb.shape}, got {rgb.dtype} {rgb.shape}")
        wide = None if self.wide is None else self.wide.copy()
        if wide is not None:
            changed = rgb != self.rgb
            wide[..., :3][changed] = rgb[changed] * np.uint16(257)
        return replace(self, rgb=rgb, wide=wide)

    def mapped(self, function: Callable[[np.ndarray], np.ndarray]) -> "Picture":
        """The picture with its colours through a function of uint8 and uint16 (H, W, 3) to the same type."""
        if self.wide is None:
            return self.with_rgb(function(self.rgb))
        wide = self.wide.copy()
        wide[..., :3] = function(np.ascontiguousarray(self.wide[..., :3]))
        return replace(self, rgb=colorspaces.to_8_bits(wide[..., :3]), wide=wide)

    def in_8_bits(self) -> "Picture":
        """The picture without its `wide` pixels, and with a note that says so; for what works in 8 bits."""
        if self.wide is None:
            return self
        return replace(self, wide=None, notes=(*self.notes, _rounded(self.bit_depth)))


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
            raise _Refused("is empty")
        if tiffs.is_tiff(head):
            return _tiff(file, None, max_pixels)
        file.seek(0)
        return _image(file.read(), max_pixels)


def tiff_pages(path: str | Path, max_pixels: int | None = None) -> list[Callable[[], Picture]]:
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
        return pngs.encode(values, options) if format == "PNG" else tiffs.encode(values, options)
    image = _smallest(picture, format)
    options = _metadata(picture, format, image.mode == "RGB")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    if format == "TIFF":
        return tiffs.encode(image, options)
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
    """What a file of this name cannot hold of the picture's bits, as a note; nothing for PNG and TIFF."""
    if picture.wide is None or SUFFIXES.get(Path(path).suffix.lower()) in ("PNG", "TIFF"):
        return []
    return [_rounded(picture.bit_depth)]


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
    """What is to be written beside the pixels, as options of Pillow; the profile is one of RGB."""
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
    """The picture as the format of `path` can hold it: laid on white where that has no transparency."""
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


class _Refused(ValueError):
    """A whole file that we do not open; reads on from the file's name."""


@contextmanager
def _one_sentence(name: str, max_pixels: int | None) -> Iterator[None]:
    """Whatever reading raises becomes a `ValueError` of one sentence that begins with the name."""
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
    except (_Refused, tiffs.Unsupported) as error:
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
            raise _Refused("is a folder; the name of an image was expected")
        if path.exists() and not path.is_file():
            raise _Refused("cannot be read: it is not an ordinary file")
        limits.FILE.check(path.stat().st_size, "it")
        file = open(path, "rb")
    except (FileNotFoundError, limits.NoLimit, _Refused):
        raise
    except (OSError, ValueError) as error:  # ValueError: also a NUL in the name
        raise _Refused(f"cannot be read: {reason(error)}") from error
    with file:
        yield file


@dataclass
class _Decoded:
    """What a decoder made of a file: `image` of 8 bits without alpha, `wide` as in `Picture`."""

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


def _image(data: bytes, max_pixels: int | None) -> Picture:
    """Any image but a TIFF."""
    if data.startswith(pngs.SIGNATURE):
        return _finished(_png(data, max_pixels))
    animated = False
    if gifs.is_gif(data):
        data, animated = gifs.first(data)
    elif data.startswith(b"\xff\xd8"):
        jpegs.check_segments(data)
    image = _open(data)
    _check_size(*image.size, max_pixels)
    found = _Decoded(image)
    if image.format in ("JPEG", "MPO"):
        jpegs.check_scans(data, image.width * image.height)
        _, said = jpegs.complaint(data)
        found.notes += [f"damaged in places: {said}"] if said else []
    if animated or (getattr(image, "is_animated", False) and image.format != "MPO"):
        found.notes.append("only the first of its frames is used")
    if bitmaps.is_run_length(image):
        image = found.image = bitmaps.decode(image, data)
    image.load()
    info, adobe = image.info, False
    if image.format == "AVIF" and (box := heif.crop(data, *image.size)):
        found.image = image.crop(box)  # as the HEIF decoder does by itself
    if image.format in ("AVIF", "HEIF"):
        named, found.bit_depth = heif.colors(data)
        found.space = colorspaces.named(*named) if named else None
    found.profile, found.dpi = info.get("icc_profile"), _resolution(info.get("dpi"))
    if exif := info.get("exif"):
        found.exif, found.orientation, adobe = metadata.from_exif(exif)
    found.space = colorspaces.adobe_rgb() if adobe else found.space
    found.xmp = metadata.rights(info.get("xmp"), metadata.iptc_of(info.get("photoshop")))
    found.kind = _kind(image.mode)
    found.image, found.alpha = _split_alpha(found.image)
    return _finished(found)


def _png(data: bytes, max_pixels: int | None) -> _Decoded:
    bare = pngs.bare(data)
    image = _open(bare)
    _check_size(*image.size, max_pixels)
    pngs.check_work(data)
    found = _Decoded(image, profile=pngs.profile(data), dpi=_resolution(image.info.get("dpi")))
    if pngs.first(data, b"acTL"):
        found.notes.append("only the first of its frames is used")
    if data[24] == 16:
        found.bit_depth = 16
        colors, alpha = pngs.wide(bare)
        found.kind = "grey" if colors.shape[2] == 1 else "color"
        _set_wide(found, colors, alpha)
    else:
        image.load()
        found.kind = _kind(image.mode)
        found.image, found.alpha = _split_alpha(image)
    pngs.check_rows(found.image, data)
    found.exif, found.orientation, _ = metadata.from_exif(pngs.first(data, b"eXIf") or b"")
    found.xmp = metadata.rights(pngs.xmp(data), None)
    code = pngs.first(data, b"cICP")
    if code and len(code) == 4:
        found.profile, found.space = None, colorspaces.named(code[0], code[1])
    elif not pngs.first(data, b"sRGB"):
        found.space = colorspaces.from_png(pngs.first(data, b"gAMA"), pngs.first(data, b"cHRM"))
    return found


def _tiff(file: BinaryIO, page: tiffs.Directory | None, max_pixels: int | None) -> Picture:
    """A page of a TIFF, by default the first."""
    found = _Decoded(Image.new("L", (1, 1)))
    if page is None:
        page, more = tiffs.first_page(file)
        found.notes += ["only the first of its frames is used"] if more else []
    _check_size(*tiffs.size(page), max_pixels)
    pixels = tiffs.decode(file, page)
    if isinstance(pixels, Image.Image):
        found.image, found.alpha = _split_alpha(pixels)
        found.kind = _kind(pixels.mode)
    else:
        found.bit_depth = pixels.bit_depth
        found.notes += pixels.notes
        _set_pixels(found, pixels)
        if page.value(tiffs.BITS, 1) == 1 and pixels.kind == "grey":
            found.kind = "binary"
    unit = {2: 1.0, 3: 2.54}.get(page.value(296, 2))
    found.dpi = _resolution([unit * page.value(tag, 0) for tag in (282, 283)]) if unit else None
    found.exif, found.orientation, _ = metadata.from_directory(file, page)
    found.xmp = metadata.rights(page.bytes(700), page.bytes(33723) or metadata.iptc_of(page.bytes(34377)))
    found.profile = page.bytes(34675)
    return _finished(found)


def _set_pixels(found: _Decoded, pixels: tiffs.Pixels) -> None:
    """Take over what `tiffs` decoded; ink and Lab go on in 8 bits, for so does their conversion."""
    if pixels.values.dtype == np.uint16 and pixels.kind in ("grey", "rgb"):
        _set_wide(found, pixels.values, pixels.alpha)
    else:
        values = np.ascontiguousarray(colorspaces.to_8_bits(pixels.values))
        mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "lab": "LAB"}[pixels.kind]
        found.image = Image.frombytes(mode, values.shape[1::-1], values)
        alpha = None if pixels.alpha is None else colorspaces.to_8_bits(pixels.alpha)
        found.alpha = None if alpha is None or alpha.min() == 255 else alpha
    found.kind = "grey" if pixels.kind == "grey" else "color"


def _set_wide(found: _Decoded, colors: np.ndarray, alpha: np.ndarray | None) -> None:
    """uint16 (H, W, 1 or 3) and (H, W), as wide pixels and as those of 8 bits."""
    if alpha is not None and alpha.min() == 65535:
        alpha = None
    narrow = colorspaces.to_8_bits(colors)
    found.image = Image.fromarray(narrow[..., 0] if narrow.shape[2] == 1 else narrow)
    found.wide = np.empty((*colors.shape[:2], 3 if alpha is None else 4), np.uint16)
    found.wide[..., :3] = colors
    if alpha is not None:
        found.wide[..., 3], found.alpha = alpha, colorspaces.to_8_bits(alpha)


def _finished(found: _Decoded) -> Picture:
    """The picture of decoded pixels: upright, in sRGB."""
    image, alpha, wide, dpi, notes = found.image, found.alpha, found.wide, found.dpi, found.notes
    if (turn := _TURNS.get(found.orientation)) is not None:
        image = image.transpose(turn)
        alpha = None if alpha is None else np.array(Image.fromarray(alpha).transpose(turn))
        wide = None if wide is None else _turned(wide, found.orientation)
        if found.orientation > 4 and dpi:
            dpi = dpi[1], dpi[0]
    colors = None if wide is None else wide[..., :3]
    image, managed, colors = icc.to_srgb(image, found.profile, notes, colors)
    if isinstance(found.space, str) and not managed:
        notes.append(found.space)
    elif isinstance(found.space, colorspaces.Space) and not managed and image.mode in ("L", "RGB"):
        notes.append(found.space.note)
        values = np.asarray(image.convert("RGB")) if colors is None else colors
        values = colorspaces.convert(values, found.space)
        image = Image.fromarray(colorspaces.to_8_bits(values))
        colors = None if colors is None else values
    if colors is None:
        wide = None
    elif wide is not None and colors.base is not wide:
        wide[..., :3] = colors
        image = Image.fromarray(colorspaces.to_8_bits(colors))
    if found.bit_depth > 8 and wide is None:
        notes.append(_rounded(found.bit_depth))
    return Picture(
        rgb=np.array(image.convert("RGB")),
        alpha=alpha,
        icc=icc.srgb_profile() if managed else None,
        dpi=dpi,
        exif=found.exif,
        bit_depth=found.bit_depth,
        notes=tuple(notes),
        kind=found.kind,
        wide=wide,
        xmp=found.xmp,
    )


def _rounded(bits: int) -> str:
    return f"{bits} bits per channel were rounded to 8"


def _turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """An array as the camera was held; the same as Pillow's `_TURNS` of an image."""
    if orientation > 4:
        values = values.swapaxes(0, 1)
    down, across = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(
        orientation, (1, 1)
    )
    return np.ascontiguousarray(values[::down, ::across])


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


def _check_size(width: int, height: int, max_pixels: int | None) -> None:
    """Refuse from the header what would take too much memory to decode."""
    if refused := limits.too_large(height, width, max_pixels):
        raise _Refused(refused)


def _resolution(dpi: Any) -> tuple[float, float] | None:
    """Dots per inch as numbers that every format can write, or None."""
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    fits = 1 < min(across, down) and max(across, down) < 65_536  # TIFF's 1 is none
    return (across, down) if fits else None


def _split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    if not image.has_transparency_data:
        return image, None
    grey = image.mode == "LA"
    image = image.convert("RGBA")
    alpha = np.array(image.getchannel("A"))
    return image.convert("RGB").convert("L" if grey else "RGB"), None if alpha.min() == 255 else alpha
