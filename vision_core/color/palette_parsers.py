"""Parsers of palette files: bytes -> colours with their weights, skipping transparent entries.

Sources: developer.gimp.org/core/standards/gpl; paint.net's documentation of palette files (AARRGGBB); Adobe,
"Photoshop File Formats Specification" (colour swatches). Adobe does not document ASE; by reverse engineering,
it consists of big-endian blocks 0x0001 (colour), 0xC001 and 0xC002 (start and end of a group), with UTF-16
names.
"""

import codecs
import colorsys
import json
import math
import re
import struct
from contextlib import suppress

import numpy as np
from PIL import ImageColor

from vision_core.color.spaces import lab_to_srgb
from vision_core.safety.messages import quote, reason

Color = tuple[int, int, int]
Entries = list[tuple[Color, float]]  # with weights
MAX_LISTED = 20_000  # lines, or colours in one line or list, including duplicates
_HEX = re.compile(r"(?:#|0[xX])?([0-9a-fA-F]+)")
_CSS = re.compile(
    r"(#[0-9a-f]{3,8})\b|\b(rgb|hsl)a?\(([^()]{1,200})\)|(?<![\w-])([a-z]{3,20})(?![\w(-])", re.IGNORECASE
)
_TURN = {"": 360, "deg": 360, "grad": 400, "rad": 2 * math.pi, "turn": 1}  # a full turn in the units of a hue
_LISTS = ("colors", "colours", "palette", "swatches")  # of a JSON object


def from_hex(text: str) -> Color:
    """(r, g, b) of 0..255 from "#rrggbb", "rrggbb" or "#rgb"."""
    digits = text.strip().removeprefix("#")
    if re.fullmatch(r"[0-9a-fA-F]{3}", digits):
        digits = "".join(2 * digit for digit in digits)
    if not re.fullmatch(r"[0-9a-fA-F]{6}", digits):
        raise ValueError(f"{quote(text, 20)} is not a colour like #3366cc")
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def text(data: bytes) -> str:
    """Decode UTF-8 or UTF-16, else Latin-1, which matters only for names."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        raise ValueError("not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def lines(data: bytes) -> list[str]:
    """Split into lines at CR, LF or CRLF only; `str.splitlines` also splits at characters used in names."""
    rows = re.split(r"\r\n|\r|\n", text(data))
    if len(rows) > MAX_LISTED:
        raise ValueError(f"has {len(rows):,} lines, more than any palette")
    return rows


def gpl(data: bytes) -> Entries:
    """GIMP palettes, including Aseprite's extension with alpha."""
    rows = lines(data)
    if rows[0].strip().lower() != "gimp palette":
        raise ValueError("the first line is not 'GIMP Palette'")
    alpha = any(re.match(r"\s*Channels:\s*RGBA\b", line, re.IGNORECASE) for line in rows[1:10])
    entries: list[tuple[Color, float | None]] = []
    for number, line in enumerate(rows[1:], 2):
        if not line.strip("\x1a \t") or line.lstrip().startswith("#") or re.match(r"\s*[A-Za-z]+:", line):
            continue
        values = _levels(line.split()[: 3 + alpha])
        if len(values) < 3:
            raise ValueError(
                f"line {number} does not start with red, green and blue of 0 to 255: {quote(line, 40)}"
            )
        if values[3:] != [0]:
            entries.append(((values[0], values[1], values[2]), named_share(line)))
    return _all_or_none(entries)


def jasc(data: bytes) -> Entries:
    """Paint Shop Pro palettes: heading, version, number of colours, colours."""
    rows = [(number, line.strip("\x1a \t")) for number, line in enumerate(lines(data), 1)]
    rows = [(number, line) for number, line in rows if line and not line.startswith(("#", ";"))]
    if len(rows) < 3 or rows[0][1] != "JASC-PAL" or not re.fullmatch("[0-9]{1,5}", rows[2][1]):
        raise ValueError("a Paint Shop Pro palette starts with JASC-PAL, 0100 and the number of colours")
    entries: Entries = []
    for number, line in rows[3:]:
        values = _levels(words := line.split())
        if len(words) not in (3, 4) or len(values) != len(words):
            raise ValueError(f"line {number} is not red, green and blue of 0 to 255: {quote(line, 40)}")
        if values[3:] != [0]:
            entries.append(((values[0], values[1], values[2]), 1))
    if len(rows) - 3 != int(rows[2][1]):
        raise ValueError(f"line {rows[2][0]} declares {rows[2][1]} colours, but {len(rows) - 3} follow")
    return entries


def riff(data: bytes) -> Entries:
    """Microsoft RIFF palettes: four bytes per colour, the last being flags."""
    if data[:4] != b"RIFF" or data[8:16] != b"PAL data":
        raise ValueError("neither a Paint Shop Pro (JASC-PAL) nor a Windows (RIFF) palette")
    count = int.from_bytes(data[22:24], "little")
    if len(data) < 24 + 4 * count:
        raise ValueError("the file is truncated")
    return [
        ((red, green, blue), 1) for red, green, blue, _ in struct.iter_unpack("4B", data[24 : 24 + 4 * count])
    ]


def hexes(data: bytes) -> Entries:
    """Text with hex colours, one or several per line, or decimal RGB; in paint.net's files alpha is first."""
    content = text(data)
    matches: list[tuple[str, int, bool]] = []  # hex digits, line number, whether prefixed by #
    entries: Entries = []
    numbers: list[float] = []
    for number, line in enumerate(lines(data), 1):
        words = re.split(r"[\s,]+", re.split(r";|//|#\s|#$", line)[0].strip("\x1a \t,"))
        if len(values := _levels(words)) == len(words) == 3:
            numbers += map(float, words)
            entries.append(((values[0], values[1], values[2]), 1))
            continue
        if len(matches) + len(words) > MAX_LISTED:
            raise ValueError(f"line {number}: more than {MAX_LISTED:,} colours")
        for word in filter(None, words):
            match = _HEX.fullmatch(word)
            if match is None or len(match[1]) not in (3, 6, 8):
                raise ValueError(f"line {number}: {quote(word, 20)} is not a colour like #3366cc")
            matches.append((match[1], number, word.startswith("#")))
    _refuse_shares(numbers)
    alpha_first = _alpha_first(matches, content)
    for digits, _, _ in matches:
        if len(digits) == 8:
            alpha, digits = (digits[:2], digits[2:]) if alpha_first else (digits[6:], digits[:6])
            if alpha == "00":
                continue
        entries.append((from_hex(digits), 1))
    return entries


def css(data: bytes) -> Entries:
    """The colours in the declarations of a style sheet, in order."""
    content = re.sub(r"/\*.*?(?:\*/|\Z)|url\([^)]{0,1000}\)", " ", text(data), flags=re.DOTALL)
    entries: Entries = []
    for declaration, end in re.findall(r"([^;{}]*)([;{}]|\Z)", content):
        name, _, value = declaration.partition(":")
        value = "" if end == "{" else value
        if other := re.search(r"\b(oklch|oklab|lch|lab|hwb|color|color-mix)\(", value):
            raise ValueError(
                f"contains {other[0]}...), expected #3366cc, rgb(51, 102, 204) or hsl(220, 60%, 50%)"
            )
        named = not re.match(r"\s*(font|animation|transition|content|grid)", name.lower())  # hold other names
        for match in _CSS.finditer(value):
            if not match[4] or (named and match[4].lower() in ImageColor.colormap):
                with suppress(ValueError):  # a browser ignores what is invalid, too
                    entries += [(color, 1.0)] if (color := _css_color(match)) else []
    return entries


def from_json(data: bytes) -> Entries:
    """Lists of hex colours, of [r, g, b] or of objects with one of these, or an object of hex colours."""
    try:
        content = json.loads(text(data))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {reason(error, 80)}") from error
    if isinstance(content, dict):
        lists = [content[name] for name in _LISTS if isinstance(content.get(name), list)]
        named = list(content.values()) if all(isinstance(v, str) for v in content.values()) else None
        content = lists[0] if lists else named
    if not content or not isinstance(content, list):
        raise ValueError('expected a list of colours, or {"colors": [...]}')
    if len(content) > MAX_LISTED:
        raise ValueError(f"a list of {len(content):,}, longer than any palette")
    shares = [item.get("share") if isinstance(item, dict) else None for item in content]
    if shares.count(None) not in (0, len(shares)):
        raise ValueError("either all colours must have a share, or none")
    _refuse_shares([c for item in content if isinstance(item, list) for c in item if type(c) in (int, float)])
    pairs = zip(content, shares, strict=True)
    colors = [(_json_color(item, n), _json_share(share, n)) for n, (item, share) in enumerate(pairs, 1)]
    return [(color, share) for color, share in colors if color is not None]


def ase(data: bytes) -> Entries:
    """Adobe Swatch Exchange; CMYK is converted to RGB without a profile."""
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
                raise ValueError("the file is truncated")
            if kind == 0x0001:
                body = data[offset : offset + length]
                start = 2 + 2 * struct.unpack_from(">H", body)[0]
                name = body[2:start].decode("utf-16-be", "replace")
                entries.append((_ase_color(body[start:], len(entries) + 1), named_share(name)))
            offset += length
    except struct.error as error:
        raise ValueError("the file is truncated") from error
    return _all_or_none(entries)


def aco(data: bytes) -> Entries:
    """Photoshop swatches of version 1 or, if that section is missing, version 2."""
    try:
        version, count = struct.unpack_from(">HH", data)
        if version not in (1, 2):
            raise ValueError("not a Photoshop swatch file of version 1 or 2")
        offset, entries = 4, []
        for number in range(1, count + 1):
            space, *values = struct.unpack_from(">5H", data, offset)
            entries.append((_aco_color(space, values, number), 1.0))
            offset += 10
            if version == 2:
                offset += 4 + 2 * struct.unpack_from(">I", data, offset)[0]
    except struct.error as error:
        raise ValueError("the file is truncated") from error
    return entries


def named_share(name: str) -> float | None:
    """The share that `palette_files.write` appends to a colour's name, as in "#3366cc 12.34 %"."""
    match = re.search(r"#[0-9a-f]{6} ([0-9]{1,3}\.[0-9]{2}) %\0?$", name.rstrip())
    return float(match[1]) if match else None


def _all_or_none(entries: list[tuple[Color, float | None]]) -> Entries:
    """Keep the shares if every colour has one; otherwise all weights are equal."""
    complete = all(share is not None for _, share in entries)
    return [(color, share if complete and share is not None else 1.0) for color, share in entries]


def _levels(words: list[str]) -> list[int]:
    """Parse levels of 0 to 255, up to the first invalid word; rounding errors are tolerated."""
    levels = []
    for word in words:
        if not re.fullmatch(r"-?[0-9]{1,3}(\.[0-9]{1,20})?", word) or not -0.5 < float(word) < 255.5:
            break
        levels.append(min(max(round(float(word)), 0), 255))
    return levels


def _refuse_shares(numbers: list[float]) -> None:
    """Refuse colours that are written as 0 to 1: read as 0 to 255, they would all be black."""
    if 0 < max(numbers, default=0) <= 1:
        raise ValueError("all its numbers are 0 to 1: write red, green and blue as 0 to 255")


def _alpha_first(matches: list[tuple[str, int, bool]], content: str) -> bool:
    """Whether eight digits mean AARRGGBB, as in paint.net, rather than RRGGBBAA, as in CSS."""
    long = [(digits.lower(), line, hashed) for digits, line, hashed in matches if len(digits) == 8]
    if not long or "paint.net" in content[:200].lower():
        return True
    begin, end = (all(digits[part] == "ff" for digits, _, _ in long) for part in (slice(2), slice(6, 8)))
    if begin != end:
        return begin
    if all(hashed for _, _, hashed in long):
        return False
    raise ValueError(
        f"line {long[0][1]}: {quote(long[0][0])} is ambiguous, AARRGGBB (paint.net) or RRGGBBAA (CSS): "
        "write six digits, or add ;paint.net Palette File as the first line"
    )


def _css_color(match: re.Match[str]) -> Color | None:
    """Parse a CSS colour; None if it is transparent, `ValueError` if it is invalid."""
    digits, function, inside, name = match.groups()
    if name:
        return ImageColor.getrgb(name)[:3]
    if digits:
        digits = digits[1:] if len(digits) > 5 else "".join(2 * digit for digit in digits[1:])
        return from_hex(digits[:6] if len(digits) == 8 else digits) if digits[6:] != "00" else None
    words = re.findall(r"(-?[0-9]*\.?[0-9]+)(%|deg|grad|rad|turn)?", inside)
    if len(words) not in (3, 4):
        raise ValueError(f"{quote(match[0], 40)} is not a colour like rgb(51, 102, 204)")
    if len(words) == 4 and float(words[3][0]) == 0:
        return None
    hue = _TURN.get(words[0][1], 100)
    scales = (hue, 100, 100) if function.lower() == "hsl" else (255, 255, 255)
    values = [
        float(number) / (100 if unit == "%" else scale)
        for (number, unit), scale in zip(words[:3], scales, strict=True)
    ]
    if function.lower() == "hsl":
        values = colorsys.hls_to_rgb(values[0] % 1, min(max(values[2], 0), 1), min(max(values[1], 0), 1))
    return _bytes(np.array(values).clip(0, 1))


def _json_color(item: object, number: int) -> Color | None:
    """Parse a colour in JSON; None if it is transparent."""
    color = item
    if isinstance(item, dict):
        parts = [item.get(name) for name in ("r", "g", "b")]
        color = item.get("rgb", item.get("hex", item.get("color", parts)))
        if 0 in (item.get("a"), item.get("alpha"), item.get("opacity")):
            return None
    if isinstance(color, str):
        match = _CSS.fullmatch(color.strip())
        if match and (not match[4] or match[4].lower() in ImageColor.colormap):  # abcdef is no name
            return _css_color(match)
        return from_hex(color)
    if isinstance(color, list) and len(color) in (3, 4):
        whole = all(type(c) in (int, float) and -1 < c < 256 and abs(c - round(c)) < 0.01 for c in color)
        levels = _levels([f"{c:.3f}" for c in color]) if whole else []
        if len(levels) == len(color):
            return None if levels[3:] == [0] else (levels[0], levels[1], levels[2])
    raise ValueError(f"colour {number} is neither '#rrggbb' nor three whole numbers of 0 to 255")


def _json_share(share: object, number: int) -> float:
    if share is None:
        return 1.0
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1e9:
        raise ValueError(f"the share of colour {number} is not a number of 0 or more")
    return float(share)


def _ase_color(body: bytes, number: int) -> Color:
    model = body[:4]
    sizes = {b"RGB ": 3, b"Gray": 1, b"GRAY": 1, b"CMYK": 4, b"LAB ": 3}
    if model not in sizes:
        raise ValueError(f"colour {number} has the unknown model {model!r}")
    values = np.array(struct.unpack_from(f">{sizes[model]}f", body, 4))
    low, high = np.array([[0, -128, -128], [1, 128, 128]]) if model == b"LAB " else np.array([[0], [1]])
    excess = np.abs(values - values.clip(low, high))
    if not (excess <= 0.01 * (high - low)).all():  # tolerates rounding errors
        raise ValueError(f"colour {number} has values out of range: {quote(values.tolist())}")
    values = values.clip(low, high)
    if model == b"LAB ":
        return _lab(values * [100, 1, 1])
    return _cmyk(values) if model == b"CMYK" else _bytes(values)


def _aco_color(space: int, values: list[int], number: int) -> Color:
    parts = np.array(values) / 65535
    match space:
        case 0:
            return _bytes(parts[:3])
        case 1:
            return _bytes(np.array(colorsys.hsv_to_rgb(*parts[:3].tolist())))
        case 2:  # 0 is full ink
            return _cmyk(1 - parts)
        case 7:
            signed = np.array(values[:3], np.uint16).view(np.int16) / 100
            return _lab(signed.clip([0, -128, -128], [100, 128, 128]))
        case 8:
            return _bytes(np.array([min(values[0] / 10_000, 1.0)]))
    raise ValueError(f"colour {number} is from a colour book or an unknown colour space ({space})")


def _lab(values: np.ndarray) -> Color:
    return _bytes(lab_to_srgb(values.astype(np.float64)))


def _cmyk(values: np.ndarray) -> Color:
    return _bytes((1 - values[:3]) * (1 - values[3]))


def _bytes(values: np.ndarray) -> Color:
    """One or three values in [0, 1] -> (r, g, b) of 0..255."""
    red, green, blue = np.rint(np.broadcast_to(values, 3) * 255).astype(int).tolist()
    return red, green, blue
