"""Converts pictures with colour profiles to sRGB."""

import struct
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from vision_core.pictures import colorspaces

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}  # mode of Pillow -> of a profile


def to_srgb(
    image: Image.Image, profile: bytes | None, notes: list[str], wide: np.ndarray | None = None
) -> tuple[Image.Image, bool, np.ndarray | None]:
    """Convert an image to sRGB by its profile; returns it, whether it is now known to be sRGB, and `wide`.

    Without a profile the image is returned unchanged, palettes and YCbCr as RGB. A sentence about the
    conversion is added to `notes`. A profile that equals sRGB changes no pixel.

    Args:
        wide: the same pixels of an RGB or grey image as uint16 (H, W, 3), converted likewise; None is
            returned if the profile needs LittleCMS, which Pillow supports for 8 bits only.
    """
    if image.mode in ("P", "1", "YCbCr"):
        image = image.convert("RGB")
    if image.mode == "LAB":
        profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    if profile and image.mode in ("RGB", "CMYK", "L", "LAB"):
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            if (space := profile[16:20].decode("latin-1").strip()) != _SPACES[image.mode]:
                notes.append(f"its colour profile is for {space} and was ignored")
                return image, False, wide
            target = ImageCms.ImageCmsProfile(BytesIO(srgb_profile()))
            # from Lab, the table that LittleCMS would work with is wrong by 18 of 255 near the edge of sRGB
            flags = ImageCms.Flags.NOOPTIMIZE if image.mode == "LAB" else ImageCms.Flags.NONE
            transform = ImageCms.buildTransform(source, target, image.mode, "RGB", flags=flags)
            if image.mode in ("RGB", "L") and _changes_nothing(transform, image.mode):
                return image, True, wide
            converted = ImageCms.applyTransform(image, transform) or image
            notes.append(f"colours were converted from {_description(source)} to sRGB")
            return converted, True, None if wide is None else _wide(wide, profile)
        except MemoryError:
            raise
        except Exception:  # a damaged profile is no reason to refuse the picture
            notes.append("its colour profile is damaged and was ignored")
    if image.mode == "CMYK":
        notes.append("CMYK without a profile was converted by formula")
    return image, False, wide


def _wide(values: np.ndarray, profile: bytes) -> np.ndarray | None:
    """uint16 (H, W, 3) by the profile's curves and matrix; None where it has tables, or unknown curves."""
    with suppress(ValueError, KeyError, IndexError, struct.error):
        if space := colorspaces.from_profile(profile):
            return colorspaces.convert(values, space)
    return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the profile is sRGB, whatever its name: converting would only move pixels by rounding."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "RGB":
        levels = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    probe = Image.fromarray(np.atleast_2d(levels) if mode == "L" else levels)
    mapped = ImageCms.applyTransform(probe, transform)
    return int(np.abs(np.asarray(mapped, int) - np.asarray(probe.convert("RGB"), int)).max()) <= 1


def _description(profile: ImageCms.ImageCmsProfile) -> str:
    return " ".join(ImageCms.getProfileDescription(profile).split())[:80] or "its profile"


def srgb_profile() -> bytes:
    """The sRGB profile; the same bytes every time, so that equal pictures are equal files."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data[:24] + bytes(12) + data[36:]  # without its creation time
