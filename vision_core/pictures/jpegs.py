"""JPEG files: refuses those that keep a decoder busy, and captures the decoder's warnings.

libjpeg decodes as much as it can of damaged data, and reports the damage on standard error only.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from vision_core.safety.messages import reason

MAX_SCANS = 100  # of a progressive JPEG; each is a pass over the picture, and encoders write about 10
MAX_SCANNED = 1_500_000_000  # pixels of all scans together, in large pictures
MAX_SEGMENTS, MAX_FILLING = 50_000, 1 << 17  # before its pixels; a megabyte of metadata is 16 segments
MAX_EXIF = 100
_DAMAGE = re.compile(r"(?:Corrupt JPEG data: |Premature end of |Inconsistent progression).*")
_HARMLESS = re.compile(r"Invalid SOS parameters|Unknown Adobe color transform|Warning: unknown JFIF revision")


def check_segments(data: bytes) -> None:
    """Refuse a JPEG that keeps Pillow busy before its pixels: it goes through fillings byte by byte.

    Raises:
        ValueError: more than MAX_FILLING bytes between segments, MAX_SEGMENTS of them, or MAX_EXIF of EXIF.
    """
    at, exif, marker = 2, 0, re.compile(rb"\xff([^\x00\xff])")
    for _ in range(MAX_SEGMENTS):
        match = marker.search(data, at, at + MAX_FILLING)
        if match is None and at + MAX_FILLING < len(data):
            raise ValueError(f"there are {MAX_FILLING:,} bytes of nothing in its header")
        if match is None or match[1] in b"\xd9\xda":  # cut off, or the pixels
            return
        exif += data.startswith(b"Exif", match.end() + 2)
        if exif > MAX_EXIF:  # Pillow joins them one by one
            raise ValueError(f"it has more than {MAX_EXIF} blocks of EXIF, which no camera writes")
        alone = match[1] == b"\1" or b"\xd0" <= match[1] <= b"\xd8"
        at = match.end() + (0 if alone else int.from_bytes(data[match.end() : match.end() + 2]))
    raise ValueError(f"it is a JPEG of more than {MAX_SEGMENTS:,} segments, which no program writes")


def check_scans(data: bytes, pixels: int) -> None:
    """Refuse a JPEG of so many pixels whose scans are more than MAX_SCANS, or MAX_SCANNED pixels together.

    Raises:
        ValueError: says how many are accepted.
    """
    most = min(MAX_SCANS, max(20, MAX_SCANNED // pixels))
    count, at = 0, 0
    with_length = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # of a segment, or the end of the image
    while (marker := with_length.search(data, at)) and marker[1] != b"\xd9":
        if (count := count + (marker[1] == b"\xda")) > most:
            raise ValueError(f"it is a progressive JPEG of more than {most} scans, which no encoder writes")
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])


def complaint(data: bytes) -> tuple[bool, str]:
    """Whether OpenCV can decode the JPEG, and its decoder's warning about damage, or ""."""
    import cv2

    def decode() -> bool:
        small = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        return small is not None

    shown, warning = listened(decode, _DAMAGE)
    stray = re.search(r"(\d+) extraneous bytes", warning)
    if stray and int(stray[1]) < 4:  # scanners pad to even lengths
        warning = ""
    return shown, warning.partition(": ")[2] or warning


def listened(act: Callable[[], Any], pattern: re.Pattern[str] | None = None) -> tuple[Any, str]:
    """The result of `act`, and the first line that a C library wrote to standard error meanwhile.

    Args:
        wanted: pattern of the lines to return; others, perhaps of another thread, go to standard error.
    """
    with _memory() as file:
        with _standard_error(file.fileno()):
            result = act()
        file.seek(0)
        lines = file.read(1 << 16).decode("utf-8", "replace").splitlines()
    meant = [line for line in lines if pattern is None or pattern.match(line)]
    for line in lines if pattern else ():
        if line not in meant and not _HARMLESS.match(line):
            print(line, file=sys.stderr)
    return result, reason(ValueError(meant[0])) if meant else ""


def _memory() -> BinaryIO:
    """An in-memory file if the system has them: the process may not be allowed to write to the disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("said"), "w+b")
    return tempfile.TemporaryFile()


@contextmanager
def _standard_error(target: int) -> Iterator[None]:
    kept = os.dup(2)
    os.dup2(target, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
