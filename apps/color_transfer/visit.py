"""What one visitor has on the server: a palette in hand, and a temporary folder with everything else."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from PIL import Image

from apps.common import MAX_PIXELS
from vision_core import color, images, runs
from vision_core.color.palette_files import to_hex
from vision_core.images import Picture

LIFETIME = 6 * 3600  # seconds without a change after which a visitor's things are removed


@dataclass(frozen=True)
class Visit:
    """A visitor's palette and place. The folder is made at the first need; `locked` holds hex colours."""

    folder: str = ""
    palette: color.Palette | None = None
    locked: tuple[str, ...] = ()
    chosen: int = 0

    def path(self, name: str) -> Path:
        """A file of this visitor's folder."""
        if not self.folder:
            raise ValueError("There is no result yet: transfer the colours first.")
        return Path(self.folder) / name

    @property
    def run(self) -> runs.Run:
        """The training in progress, or the last one."""
        return runs.Run(self.path("run"))

    def with_palette(self, palette: color.Palette, chosen: int = 0) -> "Visit":
        """With another palette; locks of colours that are gone go too."""
        kept = set(to_hex(palette.colors))
        locked = tuple(text for text in self.locked if text in kept)
        return replace(self, palette=palette, locked=locked, chosen=min(chosen, len(kept) - 1))


def opened(visit: Visit) -> Visit:
    """With a folder."""
    if visit.folder and Path(visit.folder).is_dir():
        return visit
    return replace(visit, folder=mkdtemp(prefix="vision-core-"))


def forget(visit: Visit) -> None:
    """Remove all that a visitor left."""
    if visit.folder:
        shutil.rmtree(visit.folder, ignore_errors=True)


def keep_source(visit: Visit, path: str) -> None:
    """Copy the picture that results are made of: what is uploaded later must not change them."""
    shutil.copyfile(path, visit.path("source"))


def source(visit: Visit) -> Picture:
    """The picture that the results are made of."""
    path = visit.path("source")
    if not path.exists():
        raise ValueError("There is no result yet: transfer the colours first.")
    return images.read(path.read_bytes(), MAX_PIXELS)


def keep_model(visit: Visit, color_map: color.ColorMap) -> None:
    """Store the model and its LUT."""
    color.save(color_map, visit.path("model.safetensors"))
    np.save(visit.path("lut.npy"), color_map.lut())


def model(visit: Visit) -> color.ColorMap:
    """The visitor's model."""
    path = visit.path("model.safetensors")
    if not path.exists():
        raise ValueError("There is no model yet: transfer the colours first.")
    return color.load(path)


def shrunk(rgb: np.ndarray, longest: int) -> np.ndarray:
    """uint8 (H, W, 3), no side longer than `longest`; the picture itself when it is small enough."""
    height, width = rgb.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def baked(visit: Visit) -> np.ndarray:
    """The LUT of the visitor's model."""
    path = visit.path("lut.npy")
    if not path.exists():
        raise ValueError("There is no model yet: transfer the colours first.")
    return np.load(path, allow_pickle=False)
