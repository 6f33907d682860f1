"""What one visitor has on the server: a palette in hand, and a temporary folder with everything else."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import numpy as np
from PIL import Image

from apps.common import MAX_PIXELS
from vision_core import color, images, runs
from vision_core.color import feedback
from vision_core.color.palette_files import to_hex
from vision_core.images import Picture

LIFETIME = 6 * 3600  # seconds without a change after which a visitor's things are removed
PREFIX = "vision-core-visit-"
SHOWN = 24  # pictures kept of those the page was given; Gradio has its own copies
SOURCE, TARGET, MODEL, LUT = "source", "target", "model.safetensors", "lut.npy"
NOTHING = "There is no result yet: transfer the colours first."


@dataclass(frozen=True)
class Visit:
    """A visitor's palette and place.

    The folder is made at the first need. `locked` holds hex colours, `target` is the uploaded picture that
    the palette was taken from, none for a palette file.
    """

    folder: str = ""
    palette: color.Palette | None = None
    locked: tuple[str, ...] = ()
    chosen: int = 0
    target: str = ""

    def path(self, name: str) -> Path:
        """A file of this visitor's folder."""
        if not self.folder:
            raise ValueError(NOTHING)
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
    return replace(visit, folder=mkdtemp(prefix=PREFIX))


def forget(visit: Visit) -> None:
    """Remove all that a visitor left."""
    if visit.folder:
        shutil.rmtree(visit.folder, ignore_errors=True)


def sweep() -> None:
    """Remove what servers that were killed left of their visitors, a day ago or longer."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        if time.time() - _written(folder) > 4 * LIFETIME:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(visit: Visit) -> Iterator[None]:
    """For whoever changes a visitor's model: one at a time, the next is a `ValueError`."""
    mark = visit.path("busy")
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        raise ValueError("A training of yours is still going on: wait for its end, or stop it.") from None
    except FileNotFoundError:
        raise ValueError(NOTHING) from None
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def keep_pictures(visit: Visit, source: str) -> None:
    """Copy what the results are made of: what is uploaded later must not change them."""
    visit.path(TARGET).unlink(missing_ok=True)
    shutil.copyfile(source, visit.path(SOURCE))
    if visit.target:
        shutil.copyfile(visit.target, visit.path(TARGET))


def source(visit: Visit) -> Picture:
    """The picture that the results are made of."""
    return images.read(_made(visit, SOURCE).read_bytes(), MAX_PIXELS)


def target(visit: Visit) -> np.ndarray | None:
    """The picture that the palette was taken from, uint8 (H, W, 3), if there was one."""
    path = visit.path(TARGET)
    return images.read(path.read_bytes(), MAX_PIXELS).rgb if path.exists() else None


def keep_lut(visit: Visit, color_map: color.ColorMap) -> None:
    """Store the LUT of the visitor's model."""
    np.save(visit.path(LUT), color_map.lut())


def baked(visit: Visit) -> np.ndarray:
    """The LUT of the visitor's model, float32 (N, N, N, 3)."""
    return np.load(_made(visit, LUT), allow_pickle=False)


def model(visit: Visit) -> color.ColorMap:
    """The visitor's model."""
    return color.load(_made(visit, MODEL))


def shrunk(rgb: np.ndarray, longest: int) -> np.ndarray:
    """uint8 (H, W, 3), no side longer than `longest`; the picture itself when it is small enough."""
    height, width = rgb.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def shown(visit: Visit, rgb: np.ndarray) -> str:
    """The path of a PNG of `rgb`, uint8 (H, W, 3), for the page to show.

    Given an array, Gradio writes such a file again each time, in place: a browser that reads meanwhile gets
    half a picture. This one is named by its content and written once.
    """
    content = sha256(str(rgb.shape).encode() + rgb.tobytes()).hexdigest()
    path = visit.path(f"shown-{content[:24]}.png")
    try:
        os.utime(path)
    except FileNotFoundError:
        images.save(Picture(rgb), path)
        for old in sorted(Path(visit.folder).glob("shown-*"), key=_written)[:-SHOWN]:
            old.unlink(missing_ok=True)
    return str(path)


def seconds(visit: Visit) -> float:
    """How long the last training took, 0 for a model that was loaded."""
    times = [event["time"] for event in visit.run.events()]
    return times[-1] - times[0] if times else 0.0


def forget_model(visit: Visit) -> None:
    """Before another model comes: remove this one, its training and its ratings."""
    model = visit.path(MODEL)
    for path in (model, feedback.file_of(model), visit.path(LUT)):
        path.unlink(missing_ok=True)
    shutil.rmtree(visit.run.folder, ignore_errors=True)


def _written(path: Path) -> float:
    """When, in seconds since 1970; 0 for what another event has just removed."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _made(visit: Visit, name: str) -> Path:
    path = visit.path(name)
    if not path.exists():
        raise ValueError(NOTHING)
    return path
