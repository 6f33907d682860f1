"""How a result was made, as text inside its PNG: enough to make it again, and nothing private."""

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from vision_core import __version__, images
from vision_core.files import atomic, read_json
from vision_core.images import Picture

KEY = "vision-core-edit"
MAX_BYTES = 8 << 20


@dataclass(frozen=True)
class Recipe:
    """The settings of one edit.

    Args:
        box: of the region found, (left, top, right, bottom) pixels; None where a mask was given.
        mask: the mask as run lengths, see `pack_mask`; empty where the task makes it from the picture's size.
        options: of the task and the painter, plain JSON values.
    """

    task: str
    prompt: str = ""
    caption: str = ""
    backend: str = "classical"
    seed: int = 0
    mask: str = ""
    box: tuple[int, int, int, int] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def versions(*packages: str) -> dict[str, str]:
    """Ours and those of `packages`, as stand in a recipe."""
    return {"vision-core": __version__, **{name: version(name) for name in packages}}


def encode(picture: Picture, recipe: Recipe) -> bytes:
    """The picture as a PNG that carries its recipe."""
    image = Image.open(BytesIO(images.encode(picture, "PNG")))
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, json.dumps(asdict(recipe), allow_nan=False), zip=True)
    buffer = BytesIO()
    extra: dict[str, Any] = {"dpi": picture.dpi} if picture.dpi else {}
    image.save(
        buffer, "PNG", pnginfo=info, icc_profile=picture.icc, exif=image.getexif(), compress_level=3, **extra
    )
    return buffer.getvalue()


def save(picture: Picture, recipe: Recipe, path: str | Path) -> None:
    """Write the PNG atomically; another suffix is a `ValueError`."""
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"a result with its recipe is saved as .png, not as {str(path)!r}")
    data = encode(picture, recipe)
    with atomic(path) as file:
        file.write(data)


def read(source: str | Path | bytes) -> Recipe:
    """The recipe inside a PNG, or one of `to_json`; a file without a sound one is a `ValueError`."""
    name = "the image" if isinstance(source, bytes) else str(source)
    if not isinstance(source, bytes) and Path(source).suffix.lower() == ".json":
        return _sound(read_json(source, MAX_BYTES), name)
    images.read(source)  # refuses what is no image, or too large
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as image:
            image.load()
            text = image.info.get(KEY, "")
        return _checked(json.loads(text)) if text else _none(name)
    except _NoRecipe:
        raise
    except Exception as error:  # a stranger's file: whatever its parsers raise
        raise ValueError(f"the recipe in {name} is damaged: {error}") from error


def to_json(recipe: Recipe) -> str:
    """The recipe as a file of its own."""
    return json.dumps(asdict(recipe), indent=2, allow_nan=False) + "\n"


def pack_mask(mask: np.ndarray) -> str:
    """A mask, bool (H, W), as text: `HxW:` and its run lengths row by row, the first of unmarked pixels."""
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], ends]))
    return f"{mask.shape[0]}x{mask.shape[1]}:" + ",".join(map(str, runs))


def unpack_mask(text: str) -> np.ndarray:
    """The mask of `pack_mask`; anything else is a `ValueError`."""
    try:
        size, _, runs = text.partition(":")
        height, width = map(int, size.split("x"))
        lengths = np.array([int(run) for run in runs.split(",")], np.int64)
        if min(height, width) < 1 or height * width > images.MAX_PIXELS or lengths.min() < 0:
            raise ValueError("sizes")
        if lengths.sum() != height * width:
            raise ValueError("lengths")
    except ValueError as error:
        raise ValueError("the mask of the recipe is damaged") from error
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)


class _NoRecipe(ValueError):
    pass


def _none(name: str) -> Recipe:
    raise _NoRecipe(f"{name} holds no recipe of an edit")


def _sound(data: Any, name: str) -> Recipe:
    try:
        return _checked(data)
    except ValueError as error:
        raise ValueError(f"the recipe in {name} is damaged: {error}") from error


def _checked(data: Any) -> Recipe:
    kinds = {
        "task": str, "prompt": str, "caption": str, "backend": str, "seed": int, "mask": str,
        "box": list | None, "options": dict, "versions": dict,
    }  # fmt: skip
    if not isinstance(data, dict) or set(data) != set(kinds):
        raise ValueError("its fields are not those of a recipe")
    for name, kind in kinds.items():
        if not isinstance(data[name], kind):
            raise ValueError(f"{name} is {data[name]!r}")
    box = data["box"]
    if box is not None and not (len(box) == 4 and all(type(side) is int for side in box)):
        raise ValueError(f"box is {box!r}")
    return Recipe(**{**data, "box": tuple(box) if box else None})
