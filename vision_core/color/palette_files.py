"""Palette files: GIMP (.gpl), Adobe Swatch Exchange (.ase), hex lists (.hex, .txt), JSON; CSS to write only.

Sources: developer.gimp.org/core/standards/gpl; Adobe publishes no description of ASE, what is known of it:
big-endian blocks of 0x0001 (colour), 0xC001 and 0xC002 (a group opens, closes), names in UTF-16 with a NUL.
"""

import json
import re
import struct
from pathlib import Path

import numpy as np

from vision_core.color.palette import Palette
from vision_core.color.spaces import lab_to_srgb
from vision_core.files import atomic
from vision_core.messages import reason

MAX_BYTES = 1 << 20
MAX_COLORS = 256
READABLE = (".gpl", ".ase", ".hex", ".txt", ".json")
WRITABLE = (*READABLE, ".css")

Color = tuple[int, int, int]
Entries = list[tuple[Color, float]]  # each with its weight


def read(path: str | Path) -> Palette:
    """Read a palette file by its suffix.

    Colours keep the order of the file and one that is listed twice counts twice. JSON carries shares, and
    so do the names in our own GPL and ASE files; the colours of all others share equally.

    Raises:
        ValueError: missing, too large, of another format, broken (with the line or the colour), no colours.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no palette file {path}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.name} is larger than 1 MB, which no palette file is")
    try:
        return loads(path.read_bytes(), path.suffix)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name}: {reason(error)}") from error


def write(path: str | Path, palette: Palette, name: str = "Palette") -> None:
    """Write a palette in the format of the path's suffix. JSON, GPL and ASE keep the shares."""
    data = dumps(palette, Path(path).suffix, name)
    with atomic(path) as file:
        file.write(data)


def loads(data: bytes, suffix: str) -> Palette:
    """The palette in the bytes of a file with that suffix; every fault of theirs is a `ValueError`."""
    parsers = {
        ".gpl": _parse_gpl,
        ".ase": _parse_ase,
        ".hex": _parse_hex,
        ".txt": _parse_hex,
        ".json": _parse_json,
    }
    if suffix.lower() not in parsers:
        raise ValueError(
            f"cannot read a palette from {suffix or 'no suffix'!r}, expected {', '.join(READABLE)}"
        )
    try:
        entries = parsers[suffix.lower()](data)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"the file is damaged: {reason(error)}") from error
    weights: dict[Color, float] = {}
    for color, weight in entries:
        weights[color] = weights.get(color, 0) + weight
    if not 1 <= len(weights) <= MAX_COLORS:
        raise ValueError(f"{len(weights)} colours, expected 1 to {MAX_COLORS}")
    shares = np.array(list(weights.values()), float)
    if shares.sum() == 0:
        raise ValueError("every share is 0")
    return Palette(np.array(list(weights), np.uint8), shares / shares.sum())


def dumps(palette: Palette, suffix: str, name: str = "Palette") -> bytes:
    """The bytes of a palette file with that suffix."""
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
            f"cannot write a palette as {suffix or 'no suffix'!r}, expected {', '.join(WRITABLE)}"
        )
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "Palette"
    return formats[suffix.lower()](palette, name)


def to_hex(colors: np.ndarray) -> list[str]:
    """uint8 (N, 3) -> ["#rrggbb", ...]."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colors.tolist()]


def from_hex(text: str) -> Color:
    """(r, g, b) of 0..255 from "#rrggbb", "rrggbb" or "#rgb"."""
    digits = text.strip().removeprefix("#")
    if re.fullmatch(r"[0-9a-fA-F]{3}", digits):
        digits = "".join(2 * digit for digit in digits)
    if not re.fullmatch(r"[0-9a-fA-F]{6}", digits):
        raise ValueError(f"{text[:20]!r} is not a colour like #3366cc")
    return (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16))


def _rows(palette: Palette) -> list[tuple[str, list[int], str]]:
    """(hex, [r, g, b], share in words) of each colour."""
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


def _text(data: bytes) -> list[str]:
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text (byte {error.start})") from error


def _parse_gpl(data: bytes) -> Entries:
    lines = _text(data)
    if not lines or lines[0].strip() != "GIMP Palette":
        raise ValueError("the first line is not 'GIMP Palette'")
    entries: list[tuple[Color, float | None]] = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip() or line.lstrip().startswith("#") or re.match(r"\s*[A-Za-z]+:", line):
            continue
        words = line.split(maxsplit=3)[:3]
        if len(words) < 3 or not all(re.fullmatch(r"[0-9]{1,3}", w) and int(w) <= 255 for w in words):
            raise ValueError(
                f"line {number} does not begin with red, green and blue of 0 to 255: {line[:40]!r}"
            )
        entries.append(((int(words[0]), int(words[1]), int(words[2])), _named_share(line)))
    return _all_or_none(entries)


def _parse_hex(data: bytes) -> Entries:
    entries: Entries = []
    for number, line in enumerate(_text(data), 1):
        for word in re.split(r"[\s,]+", re.split(r";|//|#\s", line)[0].strip()):
            try:
                entries += [(from_hex(word), 1)] if word else []
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return entries


def _parse_json(data: bytes) -> Entries:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {str(error)[:80]}") from error
    items = content.get("colors") if isinstance(content, dict) else content
    if not isinstance(items, list):
        raise ValueError('expected a list of colours, or {"colors": [...]}')
    shares = [item.get("share") if isinstance(item, dict) else None for item in items]
    if shares.count(None) not in (0, len(shares)):
        raise ValueError("either every colour has a share or none has")
    return [
        (_json_color(item, number), _json_share(share, number))
        for number, (item, share) in enumerate(zip(items, shares, strict=True), 1)
    ]


def _json_color(item: object, number: int) -> Color:
    color = item.get("rgb", item.get("hex")) if isinstance(item, dict) else item
    if isinstance(color, str):
        return from_hex(color)
    if isinstance(color, list) and len(color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in color):
        return (color[0], color[1], color[2])
    raise ValueError(f"colour {number} is neither '#rrggbb' nor three whole numbers of 0 to 255")


def _json_share(share: object, number: int) -> float:
    if share is None:
        return 1.0
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1e9:
        raise ValueError(f"the share of colour {number} is not a number of 0 or more")
    return float(share)


def _parse_ase(data: bytes) -> Entries:
    if data[:8] != b"ASEF\0\1\0\0":
        raise ValueError("not an Adobe Swatch Exchange file of version 1.0")
    entries: list[tuple[Color, float | None]] = []
    try:
        (blocks,) = struct.unpack_from(">I", data, 8)
        offset = 12
        for _ in range(blocks):
            kind, length = struct.unpack_from(">HI", data, offset)
            offset += 6
            if offset + length > len(data):
                raise ValueError("the file is cut off")
            if kind == 0x0001:
                body = data[offset : offset + length]
                entries.append((_ase_color(body, len(entries) + 1), _named_share(_ase_name(body))))
            offset += length
    except struct.error as error:
        raise ValueError("the file is cut off") from error
    return _all_or_none(entries)


def _named_share(name: str) -> float | None:
    """The share that `write` puts at the end of a colour's name, "#3366cc 12.34 %"."""
    found = re.search(r"#[0-9a-f]{6} ([0-9]{1,3}\.[0-9]{2}) %\0?$", name.rstrip())
    return float(found[1]) if found else None


def _all_or_none(entries: list[tuple[Color, float | None]]) -> Entries:
    """The shares where every colour has one; else all count alike."""
    known = all(share is not None for _, share in entries)
    return [(color, share if known and share is not None else 1.0) for color, share in entries]


def _ase_name(body: bytes) -> str:
    return body[2 : 2 + 2 * struct.unpack_from(">H", body)[0]].decode("utf-16-be", "replace")


def _ase_color(body: bytes, number: int) -> Color:
    """A colour block's body; CMYK is turned into RGB without any ink profile."""
    start = 2 + 2 * struct.unpack_from(">H", body)[0]
    model = body[start : start + 4]
    sizes = {b"RGB ": 3, b"Gray": 1, b"CMYK": 4, b"LAB ": 3}
    if model not in sizes:
        raise ValueError(f"colour {number} has the unknown model {model!r}")
    values = np.array(struct.unpack_from(f">{sizes[model]}f", body, start + 4))
    low, high = ([0, -128, -128], [1, 128, 128]) if model == b"LAB " else (0, 1)
    if not ((values >= low) & (values <= high)).all():
        raise ValueError(f"colour {number} has values outside of its model: {values.tolist()}")
    if model == b"LAB ":
        values = lab_to_srgb(values * [100, 1, 1])
    if model == b"CMYK":
        values = (1 - values[:3]) * (1 - values[3])
    red, green, blue = np.rint(np.broadcast_to(values, 3) * 255).astype(int).tolist()
    return (red, green, blue)
