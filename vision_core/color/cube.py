"""Reads and writes .cube files: a 3D LUT, a 1D LUT, or a 1D shaper LUT followed by a 3D LUT.

Sources: Adobe, "Cube LUT Specification", version 1.0; Blackmagic Design's files of DaVinci Resolve, which add
INPUT_RANGE and the shaper, whose rows come first.
"""

import codecs
import re
from array import array
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper

import numpy as np

from vision_core.color.lut import MAX_NODES, MAX_VALUE, Lut, Shaped, check, identity
from vision_core.safety.messages import quote

MAX_CURVE = 65_536  # rows of a 1D LUT
MAX_LINE = 4_096  # characters
MAX_EMPTY = 10_000  # lines without values, before the first row
MAX_FOREIGN = 100  # lines with unknown keywords
SIZES = {"LUT_1D_SIZE": MAX_CURVE, "LUT_3D_SIZE": MAX_NODES}
RANGES = {"DOMAIN_MIN": 3, "DOMAIN_MAX": 3, "LUT_1D_INPUT_RANGE": 2, "LUT_3D_INPUT_RANGE": 2}


def parse(data: bytes) -> Lut:
    """Parse the content of a .cube file.

    Comments, empty lines and keywords may appear anywhere, in any encoding. Unknown keywords are ignored
    unless they would change the colours.

    Raises:
        ValueError: names the invalid line, or what is missing.
    """
    cube = _Cube(len(data))
    for number, line in enumerate(_text(data), 1):
        try:
            if len(line) > MAX_LINE:
                raise ValueError(f"is longer than {MAX_LINE:,} characters")
            if values := _three(line) or _three(line.partition("#")[0]):
                cube.row(*values)
            else:
                cube.words(line.strip(" \t\r\n\x1a\ufeff"))
        except ValueError as error:
            raise ValueError(f"line {number} {error}") from None
    return cube.lut()


def dump(grid: np.ndarray, title: str) -> Iterator[bytes]:
    """Yield the parts of a 3D .cube file with six decimals and the domain 0 to 1."""
    size = len(check(grid))
    title = "".join(c for c in title if c.isprintable() and c.isascii() and c != '"')
    head = f'TITLE "{title}"\nLUT_3D_SIZE {size}\nDOMAIN_MIN 0.0 0.0 0.0\nDOMAIN_MAX 1.0 1.0 1.0\n'
    yield head.encode()
    for plane in grid.reshape(size, -1):
        yield ("%.6f %.6f %.6f\n" * size**2 % tuple(plane.tolist())).encode()


def _text(data: bytes) -> TextIOWrapper:
    """Decode UTF-8, UTF-16 or an 8-bit encoding, with any line endings.

    Bytes that are not UTF-8 become replacement characters; they can only occur in comments and titles.
    """
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in data[:MAX_LINE]:  # UTF-16 without a BOM: the zero bytes show the byte order
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
        if data[:MAX_LINE].count(b"\0") * 3 < len(data[:MAX_LINE]):
            raise ValueError("is not text")
    return TextIOWrapper(BytesIO(data), encoding, errors="replace")


def _three(line: str) -> tuple[float, float, float] | None:
    try:
        red, green, blue = map(float, line.split())
    except ValueError:
        return None
    return red, green, blue


class _Cube:
    """The state of the parser."""

    def __init__(self, size: int) -> None:
        self.most = size // len("0 0 0\n") + 1  # maximum number of rows in a file of this size
        self.sizes: dict[str, int] = {}
        self.ranges: dict[str, list[float]] = {}
        self.values = array("f")
        self.expected = self.rows = self.empty = self.foreign = 0

    def row(self, red: float, green: float, blue: float) -> None:
        if self.rows == self.expected:
            if not self.sizes:
                raise ValueError("has values, but there is no LUT_3D_SIZE or LUT_1D_SIZE before it")
            raise ValueError(f"is one row too many, {self._expectation()}")
        # `not <=` also catches NaN
        if not (abs(red) <= MAX_VALUE and abs(green) <= MAX_VALUE and abs(blue) <= MAX_VALUE):
            raise ValueError(f"holds {red:g} {green:g} {blue:g}, expected numbers of about 0 to 1")
        self.values.extend((red, green, blue))
        self.rows += 1

    def words(self, line: str) -> None:
        """Parse a line that is not a row of values."""
        if not line or line.startswith(("#", "//", ";")):
            self.empty += 1
            if self.empty > MAX_EMPTY + 2 * self.rows:
                raise ValueError(f"is one of {self.empty:,} lines without values, too many for a LUT")
            return
        key, _, rest = line.replace("\t", " ").partition(" ")
        key, rest = key.upper(), rest.partition("#")[0].split()
        if key in SIZES:
            self._size(key, rest)
        elif key in RANGES:
            self._range(key, rest)
        elif key.startswith(("LUT_", "DOMAIN_")) and key != "LUT_TITLE":
            video = ", for a video signal of 16 to 235: export the LUT for full range" * ("VIDEO" in key)
            raise ValueError(f"has the unsupported keyword {quote(key)}{video}")
        elif not re.fullmatch(r"[A-Z]\w+:?", key) or 0 < self.rows < self.expected:
            raise ValueError(_fault(line))
        else:
            self.foreign += 1
            if self.foreign > MAX_FOREIGN:
                raise ValueError(f"starts with {quote(key)}, one unknown keyword too many")

    def _size(self, key: str, rest: list[str]) -> None:
        shaper_done = key == "LUT_3D_SIZE" and self.rows == self.expected
        if key in self.sizes or (self.rows and not shaper_done):
            raise ValueError(f"has {key}, which must appear once, before its rows")
        if len(rest) != 1 or not rest[0].isdecimal() or not 2 <= int(rest[0]) <= SIZES[key]:
            raise ValueError(f"says {key} {quote(' '.join(rest))}, expected a number of 2 to {SIZES[key]}")
        self.sizes[key] = int(rest[0])
        self.expected = self.sizes.get("LUT_1D_SIZE", 0) + self.sizes.get("LUT_3D_SIZE", 0) ** 3
        if self.expected > max(self.most, MAX_CURVE):  # small ones are read on, to count the rows
            raise ValueError(f"says {key} {rest[0]}: {self.expected:,} rows do not fit into the file")

    def _range(self, key: str, rest: list[str]) -> None:
        try:
            values = [float(word) for word in rest]
        except ValueError:
            values = []
        if len(values) != RANGES[key] or not all(abs(value) <= MAX_VALUE for value in values):
            raise ValueError(
                f"says {key} {quote(' '.join(rest))}, expected {RANGES[key]} numbers near 0 to 1"
            )
        self.ranges[key] = values

    def _expectation(self) -> str:
        sizes = " and ".join(f"{key} {size}" for key, size in self.sizes.items())
        return f"{self.expected:,} were expected for {sizes}"

    def lut(self) -> Lut:
        if not self.sizes:
            raise ValueError("has no LUT_3D_SIZE or LUT_1D_SIZE")
        if self.rows != self.expected:
            raise ValueError(f"has {self.rows:,} rows of values, {self._expectation()}: is it truncated?")
        values = np.frombuffer(self.values, np.float32).reshape(-1, 3)
        length, nodes = self.sizes.get("LUT_1D_SIZE", 0), self.sizes.get("LUT_3D_SIZE", 0)
        curves, grid = values[:length], values[length:].reshape(nodes, nodes, nodes, 3)
        if not length:
            return _over(grid, *self._limits("LUT_3D_INPUT_RANGE", True))
        low, high = self._limits("LUT_1D_INPUT_RANGE", True)
        if nodes:
            start, end = self._limits("LUT_3D_INPUT_RANGE", False)
        else:  # a two-node identity grid over the range of the curves
            start, end = curves.min(0), curves.max(0)
            end = np.where(end > start, end, start + 1)
            grid = start + identity(2) * (end - start)
        return Shaped(np.ascontiguousarray(grid, np.float32), (curves - start) / (end - start), low, high)

    def _limits(self, key: str, domain: bool) -> tuple[np.ndarray, np.ndarray]:
        """The inputs, float32 (3,), at the first and the last node."""
        stated = {}
        if key in self.ranges:
            stated[key] = [[value] * 3 for value in self.ranges[key]]
        if domain and self.ranges.keys() & {"DOMAIN_MIN", "DOMAIN_MAX"}:
            both = (("DOMAIN_MIN", [0.0] * 3), ("DOMAIN_MAX", [1.0] * 3))
            stated["DOMAIN"] = [self.ranges.get(name, default) for name, default in both]
        if len(stated) > 1 and stated[key] != stated["DOMAIN"]:
            raise ValueError(f"has {key} and a different DOMAIN_MIN or DOMAIN_MAX")
        low, high = np.array(next(iter(stated.values()), [[0] * 3, [1] * 3]), np.float32)
        if not (high - low > 1e-4).all():
            raise ValueError(f"is for inputs of {low.tolist()} to {high.tolist()}, expected a range")
        return low, high


def _over(grid: np.ndarray, low: np.ndarray, high: np.ndarray) -> Lut:
    """A LUT for inputs from low to high."""
    if (low == 0).all() and (high == 1).all():
        return grid
    return Shaped(grid, np.array([[0] * 3, [1] * 3], np.float32), low, high)


def _fault(line: str) -> str:
    """Explain what is wrong with a line that is neither a row nor a keyword."""
    begin = f"is {quote(line)}, expected three numbers"
    if re.search(r"\d,\d", line) and _three(line.replace(",", ".")):
        return f"{begin}: use a decimal point, 0.5 instead of 0,5"
    if _three(re.sub("[,;]", " ", line)):
        return f"{begin} separated by spaces, not commas"
    return begin
