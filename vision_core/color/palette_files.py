"""Reads and writes palette files of other programs, in eight and six formats."""

import json
import struct
from pathlib import Path

import numpy as np

from vision_core.color import palette_parsers as parsers
from vision_core.color.palette import Palette
from vision_core.color.palette_parsers import Color
from vision_core.color.palette_parsers import from_hex as from_hex
from vision_core.files import atomic
from vision_core.safety.limits import PALETTE
from vision_core.safety.messages import quote, reason

MAX_COLORS = 256
PARSERS = {
    ".gpl": parsers.gpl,
    ".ase": parsers.ase,
    ".hex": parsers.hexes,
    ".txt": parsers.hexes,
    ".json": parsers.from_json,
    ".css": parsers.css,
    ".pal": parsers.riff,
    ".aco": parsers.aco,
}
HEADINGS = {b"GIMP Palette": parsers.gpl, b"JASC-PAL": parsers.jasc}  # take precedence over the suffix
READABLE = tuple(PARSERS)
WRITABLE = (".gpl", ".ase", ".hex", ".txt", ".json", ".css")
OTHERS = {
    ".kpl": "Krita's",
    ".act": "a Photoshop colour table",
    ".acb": "a Photoshop colour book",
    ".clr": "of macOS",
    ".soc": "of LibreOffice",
    ".xml": "of Scribus or CorelDRAW",
    ".sketchpalette": "Sketch's",
    ".afpalette": "Affinity's",
    ".swatches": "Procreate's",
    ".aseprite": "a drawing",
}


def read(path: str | Path) -> Palette:
    """Read a palette file.

    Colours keep the order of the file; a colour that is listed twice has twice the weight. JSON files, and
    the colour names in our own GPL and ASE files, store shares; otherwise all shares are equal.

    Raises:
        ValueError: the file is missing, too large, invalid (the message names the line or the colour), empty
            or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no palette file {path}")
    PALETTE.check(path.stat().st_size, path.name)
    try:
        return loads(path.read_bytes(), path.suffix)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name}: {reason(error, 240)}") from error


def write(path: str | Path, palette: Palette, name: str = "Palette") -> None:
    """Write a palette in the format given by the suffix. JSON, GPL and ASE store the shares."""
    data = dumps(palette, Path(path).suffix, name)
    with atomic(path) as file:
        file.write(data)


def loads(data: bytes, suffix: str) -> Palette:
    """Parse the content of a palette file; raises `ValueError` if it is invalid."""
    parse = next(
        (parser for heading, parser in HEADINGS.items() if heading in data[:20]), PARSERS.get(suffix.lower())
    )
    if parse is None:
        kind = f" ({OTHERS[suffix.lower()]})" if suffix.lower() in OTHERS else ""
        raise ValueError(
            f"cannot read a palette from {quote(suffix) if suffix else 'a file without a suffix'}{kind}, "
            f"expected {', '.join(READABLE)}; to use the palette of a picture, give it as TARGET"
        )
    try:
        entries = parse(data)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"the file is damaged: {reason(error)}") from error
    weights: dict[Color, float] = {}
    for color, weight in entries:
        weights[color] = weights.get(color, 0) + weight
    if not 1 <= len(weights) <= MAX_COLORS:
        raise ValueError(f"{len(weights)} visible colours, expected 1 to {MAX_COLORS}")
    shares = np.array(list(weights.values()), float)
    if shares.sum() == 0:
        raise ValueError("every share is 0")
    return Palette(np.array(list(weights), np.uint8), shares / shares.sum())


def dumps(palette: Palette, suffix: str, name: str = "Palette") -> bytes:
    """The content of a palette file in the format given by the suffix."""
    formats = {
        ".gpl": _gpl,
        ".ase": _ase,
        ".hex": _hex_list,
        ".txt": _text_list,
        ".json": _json,
        ".css": _css,
    }
    if suffix.lower() not in formats:
        raise ValueError(
            f"cannot write a palette as {quote(suffix or 'no suffix')}, expected {', '.join(WRITABLE)}"
        )
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "Palette"
    return formats[suffix.lower()](palette, name)


def to_hex(colors: np.ndarray) -> list[str]:
    """uint8 (N, 3) -> ["#rrggbb", ...]."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colors.tolist()]


def _rows(palette: Palette) -> list[tuple[str, list[int], str]]:
    """(hex, [r, g, b], percentage) of each colour."""
    percent = [f"{100 * share:.2f} %" for share in palette.shares]
    return list(zip(to_hex(palette.colors), palette.colors.tolist(), percent, strict=True))


def _gpl(palette: Palette, name: str) -> bytes:
    lines = [f"{r:3} {g:3} {b:3}\t{color} {share}" for color, (r, g, b), share in _rows(palette)]
    return "\n".join(["GIMP Palette", f"Name: {name}", "Columns: 0", "#", *lines, ""]).encode()


def _hex_list(palette: Palette, name: str) -> bytes:
    return "".join(f"{color[1:]}\n" for color, _, _ in _rows(palette)).encode()


def _text_list(palette: Palette, name: str) -> bytes:
    return "".join(
        f"{line}\n" for line in [f"; {name}", *(f"{c} ; {s}" for c, _, s in _rows(palette))]
    ).encode()


def _json(palette: Palette, name: str) -> bytes:
    colors = [
        {"hex": color, "rgb": rgb, "share": share}
        for (color, rgb, _), share in zip(_rows(palette), palette.shares.tolist(), strict=True)
    ]
    return (json.dumps({"name": name, "colors": colors}, indent=2, ensure_ascii=False) + "\n").encode()


def _css(palette: Palette, name: str) -> bytes:
    lines = [
        f"  --palette-{i}: {color}; /* {share} */" for i, (color, _, share) in enumerate(_rows(palette), 1)
    ]
    title = name.replace("*/", "* /")
    return "\n".join([f"/* {title} */", ":root {", *lines, "}", ""]).encode()


def _ase(palette: Palette, name: str) -> bytes:
    def block(kind: int, title: str = "", rest: bytes = b"") -> bytes:
        text = (title + "\0").encode("utf-16-be") if title else b""
        body = struct.pack(">H", len(text) // 2) + text + rest if title else b""
        return struct.pack(">HI", kind, len(body)) + body

    blocks = [block(0xC001, name[:200])]
    for color, rgb, share in _rows(palette):
        values = struct.pack(">4s3fH", b"RGB ", *(channel / 255 for channel in rgb), 2)  # 2: a process colour
        blocks.append(block(0x0001, f"{color} {share}", values))
    blocks.append(block(0xC002))
    return struct.pack(">4sHHI", b"ASEF", 1, 0, len(blocks)) + b"".join(blocks)
