"""LUTs as pictures: HaldCLUTs, and N tiles of N x N pixels in rows or as a strip, as used by games and OBS.

Source: quelsolaar.com/technology/clut.html: a HaldCLUT of level L is a square of L**3 pixels with L**2 nodes
along each axis, red fastest. In the tiled layout, red increases to the right and green downwards in each
tile, and blue from tile to tile. Both layouts can have the same size; the smoother interpretation is chosen.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image

from vision_core.color.lut import MAX_NODES, check, identity, sample
from vision_core.pictures import pngs
from vision_core.safety.messages import reason

LEVELS = range(2, 17)  # of a HaldCLUT; 16 holds MAX_NODES
# `_roughness` above which a picture is not a LUT: neutral LUTs have 1, trained maps 0.7, photographs 10 to 25
ROUGH = 4.0


def parse(data: bytes) -> np.ndarray:
    """Read the LUT in a PNG with 8 or 16 bits, grey or RGB -> grid.

    Raises:
        ValueError: the file is damaged, its size is not that of a LUT, it is not smooth in any layout, or its
            tiles are rotated or mirrored.
    """
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            width, height = image.size
            nodes = round((width * height) ** (1 / 3))
            if (
                nodes**3 != width * height
                or not 2 <= nodes <= MAX_NODES
                or not _layouts(width, height, nodes)
            ):
                raise ValueError(
                    f"{width} x {height} is not the size of a LUT: expected a HaldCLUT (64 x 64, 512 x 512) "
                    "or N tiles of N x N pixels in rows or as a strip (512 x 512, 1024 x 32 ...)"
                )
            pngs.check_work(data)
            pixels = _pixels(image, data)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"not a readable PNG: {reason(error)}") from error
    layouts = _layouts(width, height, nodes)
    grids = {name: _arranged(pixels, name, nodes) for name in layouts}
    name = min(grids, key=lambda name: _roughness(grids[name]))
    if _roughness(grids[name]) > ROUGH:
        raise ValueError(f"not a LUT picture: as {' or '.join(layouts)} its colours jump from node to node")
    if name != "HaldCLUT" and not _upright(grids[name]):
        raise ValueError(
            "the tiles of this LUT picture do not have red to the right, green downwards and blue from tile "
            "to tile: rotate or mirror the picture, or save the LUT as .cube"
        )
    return check(grids[name])


def dump(lut: np.ndarray, level: int = 8) -> Iterator[bytes]:
    """Yield the parts of a 16-bit HaldCLUT PNG. Unless the LUT has level**2 nodes, it is interpolated."""
    if level not in LEVELS:
        raise ValueError(f"HaldCLUT level {level}, expected {LEVELS[0]} to {LEVELS[-1]}")
    nodes, side = level**2, level**3
    if len(check(lut)) != nodes:
        lut = sample(lut, identity(nodes).reshape(-1, 3))
    values = np.rint(lut.reshape(side, side * 3).clip(0, 1) * 65535)
    rows = values.astype(">u2").view(np.uint8)  # (side, side * 6)
    up = np.diff(rows, axis=0, prepend=np.zeros((1, side * 6), np.uint8))  # PNG filter 2, modulo 256
    pixels = np.insert(up, 0, 2, axis=1)  # each row starts with its filter type
    header = struct.pack(">2I5B", side, side, 16, 2, 0, 0, 0)  # 16 bits, RGB
    yield b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(pixels.tobytes())), (b"IEND", b"")):
        yield struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pixels(image: Image.Image, data: bytes) -> np.ndarray:
    """float32 (H, W, 3) in [0, 1] as stored; ICC profiles do not apply to the values of a LUT."""
    if data[24] == 16:
        (colors, alpha), white = pngs.wide(data), 65535
    else:
        stored, white = np.asarray(image.convert("RGBA")), 255
        colors, alpha = stored[..., :3], stored[..., 3]
    pngs.check_rows(image, data)
    if alpha is not None and alpha.min() < white:
        raise ValueError("a LUT picture cannot have transparent pixels")
    return np.broadcast_to(colors, (*colors.shape[:2], 3)) / np.float32(white)


def _layouts(width: int, height: int, nodes: int) -> list[str]:
    hald, tiles = width == height, width % nodes == height % nodes == 0
    return ["HaldCLUT"] * hald + [f"{width // nodes} x {height // nodes} tiles"] * tiles


def _arranged(pixels: np.ndarray, layout: str, nodes: int) -> np.ndarray:
    """Pixels (H, W, 3) -> grid (N, N, N, 3) [b, g, r]."""
    if layout != "HaldCLUT":
        height, width = pixels.shape[:2]
        rows = pixels.reshape(height // nodes, nodes, width // nodes, nodes, 3)
        pixels = rows.swapaxes(1, 2)  # row and column of the tile, row and column inside
    return np.ascontiguousarray(pixels.reshape(nodes, nodes, nodes, 3))


def _roughness(grid: np.ndarray) -> float:
    """Total variation of the channels along the axes; 1 for a neutral LUT."""
    steps = [np.abs(np.diff(grid, axis=axis)).mean() for axis in range(3)]
    return float(sum(steps)) * (len(grid) - 1)


def _upright(grid: np.ndarray) -> bool:
    """Whether each channel increases along its own axis, or no permutation fits clearly better."""
    half = len(grid) // 2
    slopes = np.array(
        [
            np.moveaxis(grid, axis, 0)[-half:].mean((0, 1, 2))
            - np.moveaxis(grid, axis, 0)[:half].mean((0, 1, 2))
            for axis in (2, 1, 0)
        ]
    )  # (axis, channel)
    orders = ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    best = max(np.abs(slopes[range(3), order]).sum() for order in orders)
    return bool(slopes.trace() * 1.5 >= best)
