"""Run-length bitmaps (RLE4 and RLE8 in BMP): Pillow loses the last pixel of odd runs and whole empty rows.

Source: Microsoft, "Bitmap Compression" (wingdi.h, BI_RLE4 and BI_RLE8).
"""

import numpy as np
from PIL import Image

MAX_RUNS = 5_000_000  # more would take seconds; Windows' own bitmaps have thousands


def is_run_length(image: Image.Image) -> bool:
    """Whether an opened, undecoded BMP is compressed by run lengths."""
    tiles = getattr(image, "tile", ())
    return image.format in ("BMP", "DIB") and bool(tiles) and tiles[0].codec_name == "bmp_rle"


def decode(image: Image.Image, data: bytes) -> Image.Image:
    """The decoded image; pixels that the runs jump over have the first colour, as in Windows.

    Raises:
        ValueError: the data end before the end of the bitmap.
    """
    tile = image.tile[0]  # pyright: ignore[reportAttributeAccessIssue]
    four_bits, upward = bool(tile.args[1]), tile.args[-1] < 0
    indices = _runs(data[tile.offset :], image.width, image.height, four_bits)
    decoded = Image.fromarray(indices[::-1] if upward else indices, "L")
    if image.mode == "P" and image.palette:
        decoded.putpalette(image.palette.palette, image.palette.rawmode or "RGB")
    return decoded


def _runs(data: bytes, width: int, height: int, four_bits: bool) -> np.ndarray:
    """uint8 (H, W), the first row first as the runs come."""
    canvas = bytearray(height * width)
    at, x, y, most = 0, 0, 0, MAX_RUNS + 2 * height
    for _ in range(most):
        if at + 1 >= len(data):
            break
        count, value, at = data[at], data[at + 1], at + 2
        if count == 0 and value == 0:
            x, y = 0, y + 1
        elif count == 0 and value == 1:
            return np.frombuffer(canvas, np.uint8).reshape(height, width)
        elif count == 0 and value == 2:
            if at + 1 >= len(data):
                break
            x, y, at = x + data[at], y + data[at + 1], at + 2
        else:
            if count:
                pixels = (bytes((value >> 4, value & 15)) if four_bits else bytes((value,))) * count
            else:
                count, length = value, -(-value // 2) if four_bits else value
                pixels = data[at : at + length]
                if four_bits:
                    pixels = bytes(part for pair in pixels for part in (pair >> 4, pair & 15))
                at += length + length % 2  # each run ends on a whole word
            if y < height and x < width:
                start, room = y * width + x, min(width - x, count, len(pixels))
                canvas[start : start + room] = pixels[:room]
            x += count
    else:
        raise ValueError(f"it has more than {most:,} runs")
    if y < height - 1 or (y == height - 1 and x < width):
        raise ValueError("its runs end before the last row")
    return np.frombuffer(canvas, np.uint8).reshape(height, width)
