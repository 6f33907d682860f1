"""Masks as text for recipes: deflated bits, or run lengths from people and other programs."""

import base64
import re
import zlib

import numpy as np

from vision_core.safety.limits import PIXELS, check_size
from vision_core.safety.messages import quote, reason


def pack_mask(mask: np.ndarray) -> str:
    """A mask, bool (H, W), as text: `HxW:` and base64 of its deflated bits, row by row."""
    bits = zlib.compress(np.packbits(mask).tobytes())
    return f"{mask.shape[0]}x{mask.shape[1]}:{base64.b64encode(bits).decode()}"


def unpack_mask(text: str) -> np.ndarray:
    """Unpack a mask from `pack_mask`, or from run lengths `HxW:3,5,...`, starting with unmarked pixels.

    Raises:
        ValueError: anything else, also a mask of more than PIXELS.
    """
    try:
        size, _, rest = text.partition(":")
        if not re.fullmatch(r"[0-9]{1,9}x[0-9]{1,9}", size, re.ASCII):
            raise ValueError(f"its size is {quote(size)}")
        height, width = map(int, size.split("x"))
        if min(height, width) < 1:
            raise ValueError(f"its size is {size}")
        check_size(height, width, "it")
        flat = _from_runs(rest, height * width) if _is_runs(rest) else _from_bits(rest, height * width)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the mask of the recipe is damaged: {reason(error)}") from error
    return flat.reshape(height, width)


def to_bytes(text: str) -> bytes:
    """The text of a mask in its binary form: `HxW:` and the deflated bits."""
    size, _, rest = (pack_mask(unpack_mask(text)) if _is_runs(text.partition(":")[2]) else text).partition(
        ":"
    )
    return f"{size}:".encode() + base64.b64decode(rest)


def from_bytes(data: bytes) -> str:
    """The text of a mask from `to_bytes`; only `unpack_mask` checks it."""
    size, _, bits = data.partition(b":")
    return f"{size[:20].decode('ascii', 'replace')}:{base64.b64encode(bits).decode()}"


def _is_runs(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(,-?[0-9]+)*", text[:100].rstrip(",-"), re.ASCII) is not None


def _from_runs(text: str, count: int) -> np.ndarray:
    """Check each length before adding them: a 64-bit sum could overflow to the right one."""
    if text.count(",") > PIXELS.value // 10:
        raise ValueError("it has too many run lengths")
    flat, at, marked = np.zeros(count, bool), 0, False
    for run in text.split(","):
        length = int(run) if len(run) < 10 else count + 1
        if not 0 <= length <= count - at:
            raise ValueError(f"a run length is {quote(run)}, where {count - at:,} pixels are left")
        flat[at : at + length] = marked
        at, marked = at + length, not marked
    if at != count:
        raise ValueError(f"its run lengths are of {at:,} pixels, not of {count:,}")
    return flat


def _from_bits(text: str, count: int) -> np.ndarray:
    expected = -(-count // 8)
    inflate = zlib.decompressobj()
    bits = inflate.decompress(base64.b64decode(text, validate=True), expected + 1)
    if len(bits) != expected or not inflate.eof:
        raise ValueError(f"its bits are not those of {count:,} pixels")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool)
