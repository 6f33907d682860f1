"""A picture in memory: its pixels, and the metadata that survives a round trip."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from vision_core.pictures import colorspaces

Kind = Literal["color", "grey", "binary"]


@dataclass(frozen=True)
class Picture:
    """An upright sRGB picture, uint8 (H, W, 3), and the metadata that survives a round trip.

    `alpha` is uint8 (H, W) or None when opaque. `wide` is uint16 (H, W, 3), or 4 with a 16-bit alpha, for
    files with more than 8 bits, of which `rgb` and `alpha` are rounded; else None. `bit_depth` is the file's;
    `notes` are sentences about changes by reading. `kind` is the file's: colour, grey, or black and white;
    `encode` stores the same kind if the pixels still allow it.
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
        """The colours, uint8 (N, 3), of all pixels that are not fully transparent."""
        colors = self.rgb.reshape(-1, 3)
        seen = None if self.alpha is None else self.alpha.ravel() > 0
        return colors[seen] if seen is not None and seen.any() else colors

    @cached_property
    def seen(self) -> np.ndarray:
        """uint8 (H, W, 3), in which a fully transparent pixel has the colour of the nearest visible one.

        For filters over neighbouring pixels: the colours stored under full transparency are arbitrary. White
        if the whole picture is transparent.
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
        """The picture on white, with a note; an opaque picture is returned unchanged."""
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
        """Apply a function to the colours, uint8 and uint16 (H, W, 3); it returns the same type."""
        if self.wide is None:
            return self.with_rgb(function(self.rgb))
        wide = self.wide.copy()
        wide[..., :3] = function(np.ascontiguousarray(self.wide[..., :3]))
        return replace(self, rgb=colorspaces.to_8_bits(wide[..., :3]), wide=wide)

    def in_8_bits(self) -> "Picture":
        """The picture without its `wide` pixels, with a note; for functions that work in 8 bits."""
        if self.wide is None:
            return self
        return replace(self, wide=None, notes=(*self.notes, rounded(self.bit_depth)))


def rounded(bits: int) -> str:
    return f"{bits} bits per channel were rounded to 8"


def resolution(dpi: Any) -> tuple[float, float] | None:
    """Dots per inch as numbers that every format can write, or None."""
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    fits = 1 < min(across, down) and max(across, down) < 65_536  # TIFF's 1 is none
    return (across, down) if fits else None
