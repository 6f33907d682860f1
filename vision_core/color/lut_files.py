"""LUT files: .cube text, and HaldCLUT pictures as 16-bit PNG.

Sources: Adobe, "Cube LUT Specification", version 1.0; quelsolaar.com/technology/clut.html: the picture of a
HaldCLUT of level L has a side of L**3 pixels and holds L**2 nodes along each axis, red fastest.
"""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from vision_core.color.lut import MAX_NODES, check, identity, sample
from vision_core.files import atomic
from vision_core.messages import reason
from vision_core.pngs import check_rows

MAX_BYTES = 64 << 20  # a .cube of some 130 nodes
LEVELS = range(2, 17)  # 16 holds the 256 nodes of the largest .cube


def read(path: str | Path) -> np.ndarray:
    """Read a .cube file or a HaldCLUT (.png) -> LUT.

    Raises:
        ValueError: missing, too large, of another format or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no LUT file {path}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_BYTES >> 20} MB, the most we open")
    readers = {".cube": read_cube, ".png": read_hald}
    if path.suffix.lower() not in readers:
        raise ValueError(f"cannot read a LUT from {path.name}, expected .cube or .png")
    try:
        return check(readers[path.suffix.lower()](path))
    except Exception as error:
        raise ValueError(f"{path.name}: {reason(error)}") from error


def write(path: str | Path, lut: np.ndarray, title: str = "Colour transfer") -> None:
    """Write a LUT as .cube or as a HaldCLUT of level 8 (.png)."""
    suffix = Path(path).suffix.lower()
    if suffix == ".cube":
        write_cube(path, lut, title)
    elif suffix == ".png":
        write_hald(path, lut)
    else:
        raise ValueError(f"cannot write a LUT as {Path(path).name}, expected .cube or .png")


def read_cube(path: str | Path) -> np.ndarray:
    """Read a 3D .cube file. Values outside of [0, 1] are clipped, as every 8-bit output would clip them."""
    header, rows = _split_cube(Path(path))
    if "LUT_1D_SIZE" in header:
        raise ValueError("holds a 1D LUT, expected a 3D one")
    size_text = header.get("LUT_3D_SIZE", "")
    if not size_text.isdecimal() or not 2 <= int(size_text) <= MAX_NODES:
        raise ValueError(f"LUT_3D_SIZE is {size_text or 'missing'!r}, expected a number of 2 to {MAX_NODES}")
    for key, expected in (("DOMAIN_MIN", "0 0 0"), ("DOMAIN_MAX", "1 1 1"), ("LUT_3D_INPUT_RANGE", "0 1")):
        if _numbers(header.get(key, expected)) != _numbers(expected):
            raise ValueError(f"{key} is {header[key]}, only LUTs of the domain 0 to 1 are supported")
    size = int(size_text)
    if len(rows) != size**3:
        raise ValueError(f"has {len(rows)} rows of values, expected {size**3} for {size} nodes")
    try:
        values = np.loadtxt(rows, np.float32, comments="#", ndmin=2)
    except ValueError as error:
        raise ValueError("has a row of values that is not three numbers") from error
    if values.shape != (size**3, 3) or not np.isfinite(values).all():
        raise ValueError("has a row of values that is not three numbers")
    return values.clip(0, 1).reshape(size, size, size, 3)


def write_cube(path: str | Path, lut: np.ndarray, title: str = "Colour transfer") -> None:
    """Write a 3D .cube file, six decimals, with the domain 0 to 1."""
    size = len(check(lut))
    title = "".join(c for c in title if c.isprintable() and c.isascii() and c != '"')
    head = f'TITLE "{title}"\nLUT_3D_SIZE {size}\nDOMAIN_MIN 0.0 0.0 0.0\nDOMAIN_MAX 1.0 1.0 1.0\n'
    with atomic(path) as file:
        file.write(head.encode())
        for plane in lut.reshape(size, -1):
            file.write(("%.6f %.6f %.6f\n" * size**2 % tuple(plane.tolist())).encode())


def read_hald(path: str | Path) -> np.ndarray:
    """Read a HaldCLUT PNG, 8 or 16 bits a channel."""
    data = Path(path).read_bytes()
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            level = round(image.width ** (1 / 3))
            if level not in LEVELS or image.size != (level**3, level**3):
                size = f"{image.width} x {image.height}"
                raise ValueError(f"{size} pixels are not a HaldCLUT; expected 64 x 64, 512 x 512 ...")
            rawmode = str(image.tile[0].args)
            values = np.asarray(image.convert("RGB")) / np.float32(255)
            check_rows(image, data)
        if rawmode in ("RGB;16B", "RGBA;16B"):
            # Pillow keeps the high bytes only; told that the file is little-endian, it gives the low ones.
            with Image.open(BytesIO(data), formats=("PNG",)) as image:
                image.tile = [image.tile[0]._replace(args=rawmode.replace("16B", "16L"))]
                low = np.asarray(image.convert("RGB"))
            values = ((values * 255 * 256 + low) / 65535).astype(np.float32)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"not a readable PNG: {reason(error)}") from error
    return values.reshape(level**2, level**2, level**2, 3)


def write_hald(path: str | Path, lut: np.ndarray, level: int = 8) -> None:
    """Write a 16-bit HaldCLUT PNG. A LUT of level**2 nodes is stored as it is, another is interpolated.

    Bake at 64 nodes for the default level and nothing is lost. A smooth LUT of 33 nodes, interpolated to 64,
    still gives the same picture to 1/255; a steep one may not.
    """
    if level not in LEVELS:
        raise ValueError(f"HaldCLUT level {level}, expected {LEVELS[0]} to {LEVELS[-1]}")
    nodes = level**2
    if len(check(lut)) != nodes:
        lut = sample(lut, identity(nodes).reshape(-1, 3))
    side = level**3
    rows = np.rint(lut.reshape(side, side * 3) * 65535).astype(">u2").view(np.uint8)  # (side, side * 6)
    up = np.diff(rows, axis=0, prepend=np.zeros((1, side * 6), np.uint8))  # PNG filter 2, modulo 256
    pixels = np.insert(up, 0, 2, axis=1)  # each row begins with its filter's number
    header = struct.pack(">2I5B", side, side, 16, 2, 0, 0, 0)  # 16 bits, RGB
    with atomic(path) as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(pixels.tobytes())), (b"IEND", b"")):
            file.write(
                struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            )


def _split_cube(path: Path) -> tuple[dict[str, str], list[str]]:
    """The keywords of a .cube file and its rows of values."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"not text (byte {error.start})") from error
    lines = [line for line in lines if line and not line.startswith("#")]
    start = next((i for i, line in enumerate(lines) if line[0] in "+-.0123456789"), len(lines))
    pairs = (line.split(maxsplit=1) for line in lines[:start])
    return {pair[0]: pair[-1] for pair in pairs}, lines[start:]


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return []
