"""The recipe of a result, inside its PNG: enough to reproduce it, and nothing private.

The settings are a text chunk. The mask is a private chunk, since some programs cannot open pictures with text
chunks of megabytes. Reading decodes these two chunks only.
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from vision_core import __version__
from vision_core.editing import packed
from vision_core.files import atomic, ordinary, parse_json
from vision_core.pictures import images, pngs
from vision_core.pictures.images import Picture
from vision_core.safety.limits import RECIPE, SIDE
from vision_core.safety.messages import quote, reason

KEY = "vision-core-edit"
MASK = b"vcMK"  # ancillary, private, and dropped by programs that change the pixels
TEXT_BYTES = 1 << 20  # maximum size of the recipe without its mask; Pillow refuses larger text chunks
CHUNKS = 1_000_000  # maximum number of chunks; a PNG of 500 MB has 65,000 of the usual 8 kB
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LONGEST = {"task": 60, "backend": 300, "prompt": 10_000, "caption": 10_000, "negative": 10_000}
_NUMBERS = {
    "strength": 1,
    "padding": 16,
    "feather": 1000,
    "edge": 1000,
    "guidance": 100,
    "amount": 0.25,
    "scale": 10,
}  # each from 0
_COUNTS = {"steps": 1000, "anchors": 64, "max_window": 16, "version": 2}


@dataclass(frozen=True)
class Recipe:
    """The settings of one edit.

    Args:
        box: the edited region, (left, top, right, bottom) in pixels; None for a mask.
        mask: see `packed.pack_mask`; empty if the task derives it from the picture's size.
        options: options of the task and the painter, plain JSON values.
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
    """The versions of this package and of `packages`, for a recipe."""
    return {"vision-core": __version__, **{name: version(name) for name in packages}}


def encode(picture: Picture, recipe: Recipe) -> bytes:
    """The picture as a PNG that carries its recipe."""
    chunks = [pngs.text(KEY, json.dumps(asdict(replace(recipe, mask="")), allow_nan=False))]
    if recipe.mask:
        chunks.append((MASK, packed.to_bytes(recipe.mask)))
    return pngs.with_chunks(images.encode(picture, "PNG"), chunks)


def save(picture: Picture, recipe: Recipe, path: str | Path) -> None:
    """Write the PNG atomically; another suffix is a `ValueError`."""
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"a result with its recipe is saved as .png, not as {str(path)!r}")
    data = encode(picture, recipe)
    with atomic(path) as file:
        file.write(data)


def read(path: str | Path) -> Recipe:
    """Read the recipe in a PNG or from `to_json`; raises `ValueError` if there is no valid one."""
    path = ordinary(path)
    try:
        with open(path, "rb") as file:
            if file.read(8) == _SIGNATURE:
                return _of_png(file, str(path))
            if path.suffix.lower() != ".json":
                raise ValueError(
                    f"{path} holds no recipe of an edit: a result (.png) or its .json was expected"
                )
            RECIPE.check(path.stat().st_size, str(path))
            file.seek(0)
            text = file.read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {reason(error)}") from error
    return checked(parse_json(text, str(path)), str(path))


def to_json(recipe: Recipe) -> str:
    """The recipe as JSON, for a file of its own."""
    return json.dumps(asdict(recipe), indent=2, allow_nan=False) + "\n"


def _of_png(file: IO[bytes], name: str) -> Recipe:
    text = mask = None
    try:
        for kind, data in _chunks(file, (b"iTXt", MASK)):
            if kind == MASK:
                mask = data
            elif data.startswith(KEY.encode() + b"\0"):
                text = _inflated(data)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the recipe in {name} is damaged: {reason(error)}") from error
    if text is None:
        raise ValueError(f"{name} holds no recipe of an edit")
    parsed = checked(parse_json(text, f"the recipe in {name}"), name)
    return parsed if mask is None else replace(parsed, mask=packed.from_bytes(mask))


def _chunks(file: IO[bytes], kinds: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of these kinds of a PNG, from the first chunk on; others are skipped."""
    for _ in range(CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        size, kind = int.from_bytes(head[:4]), head[4:]
        if kind not in kinds:
            file.seek(size + 4, 1)
            continue
        RECIPE.check(size, "a chunk")
        data, check = file.read(size), file.read(4)
        if zlib.crc32(kind + data).to_bytes(4) != check:
            raise ValueError("a chunk is cut off or was changed")
        yield kind, data
    raise ValueError(f"it has more than {CHUNKS:,} chunks")


def _inflated(data: bytes) -> bytes:
    """The text of our iTXt chunk, which follows keyword, compression and two language fields."""
    how, *parts = data[len(KEY) + 1 : len(KEY) + 3], *data[len(KEY) + 3 :].split(b"\0", 2)
    text = parts[-1]
    if how[:1] != b"\0":
        text = zlib.decompressobj().decompress(text, TEXT_BYTES + 1)
    if len(parts) < 3 or len(text) > TEXT_BYTES:
        raise ValueError(f"its text is cut off, or longer than {TEXT_BYTES >> 20} MB")
    return text


def checked(data: Any, name: str) -> Recipe:
    """A recipe from untrusted plain data: checks the type of every field and the range of every number.

    Raises:
        ValueError: anything else; names `name` and the field.
    """
    try:
        return _checked(data)
    except ValueError as error:
        raise ValueError(f"the recipe in {name} is damaged: {reason(error)}") from error


def _checked(data: Any) -> Recipe:
    if not isinstance(data, dict) or set(data) != set(Recipe.__dataclass_fields__):
        raise ValueError("its fields are not those of a recipe")
    for name in ("task", "prompt", "caption", "backend"):
        _check_text(name, data[name])
    if not isinstance(data["mask"], str):
        raise ValueError(f"mask is {quote(data['mask'])}")
    _check_whole("seed", data["seed"], 2**63 - 1)
    box = data["box"]
    if box is not None:
        left, top, right, bottom = _four("box", box)
        if not (left < right and top < bottom):
            raise ValueError(f"box is {quote(box)}, which is empty")
    for part in ("options", "versions"):
        if not isinstance(data[part], dict) or len(data[part]) > 60:
            raise ValueError(f"{part} is {quote(data[part])}")
    for name, value in data["options"].items():
        _check_option(name, value)
    for name, value in data["versions"].items():
        if not isinstance(value, str) or len(name) + len(value) > 300:
            raise ValueError(f"versions holds {quote(name)}: {quote(value)}")
    return Recipe(**{**data, "box": tuple(box) if box else None})


def _check_option(name: str, value: Any) -> None:
    match name:
        case "negative":
            _check_text(name, value)
        case "sides":
            _four(name, value)
        case "colors" | "poisson" | "light" | "shadow" if isinstance(value, bool):
            pass
        case "right" | "down" if type(value) in (int, float) and -2 <= value <= 2:
            pass
        case _ if name in _COUNTS:
            _check_whole(name, value, _COUNTS[name])
        case _ if name in _NUMBERS and type(value) in (int, float) and 0 <= value <= _NUMBERS[name]:
            pass
        case _ if name in _NUMBERS:
            raise ValueError(f"{name} is {quote(value)}; 0 to {_NUMBERS[name]} was expected")
        case _:
            raise ValueError(f"its option {quote(name)} is {quote(value)}, which is not known here")


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > _LONGEST[name]:
        raise ValueError(
            f"{name} is {quote(value)}; a text of up to {_LONGEST[name]:,} characters was expected"
        )


def _check_whole(name: str, value: Any, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{name} is {quote(value)}; a whole number from 0 to {most:,} was expected")


def _four(name: str, value: Any) -> tuple[int, int, int, int]:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise ValueError(f"{name} is {quote(value)}; four numbers were expected")
    for number in value:
        _check_whole(name, number, SIDE.value)
    left, top, right, bottom = value
    return left, top, right, bottom
