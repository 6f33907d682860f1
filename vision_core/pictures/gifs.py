"""Extracts the first picture of a GIF: Pillow reads all comments of a file and joins them block by block.

Source: GIF89a specification.
"""

GRAPHIC_CONTROL, EXTENSION, IMAGE, TRAILER = 0xF9, 0x21, 0x2C, 0x3B


def is_gif(data: bytes) -> bool:
    return data[:6] in (b"GIF87a", b"GIF89a")


def first(data: bytes) -> tuple[bytes, bool]:
    """The file with its first picture only, and whether others follow.

    What is cut off or no GIF any more after the header is as it was, for the decoder to complain about.
    """
    at = 13 + _color_table_bytes(data[10] if len(data) > 10 else 0)
    kept = [data[:at]]
    while at + 1 < len(data) and data[at] == EXTENSION:
        end = _after_blocks(data, at + 2)
        if data[at + 1] == GRAPHIC_CONTROL:
            kept = [kept[0], data[at:end]]
        at = end
    if at + 10 > len(data) or data[at] != IMAGE:
        return kept[0] + data[at:], False
    end = _after_blocks(data, at + 11 + _color_table_bytes(data[at + 9]))
    return b"".join([*kept, data[at:end], bytes([TRAILER])]), _follows(data, end)


def _follows(data: bytes, at: int) -> bool:
    """Whether a picture follows this offset."""
    while at + 1 < len(data) and data[at] == EXTENSION:
        at = _after_blocks(data, at + 2)
    return at < len(data) and data[at] == IMAGE


def _color_table_bytes(flags: int) -> int:
    """The size of a colour table in bytes."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    """The offset after a chain of length-prefixed blocks."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return min(at + 1, len(data))
