"""The log of a training run, metrics.jsonl: one event in JSON per line."""

import json
import os
import time
from pathlib import Path
from typing import Any

from vision_core.files import without_nan

LAST_BYTES = 1 << 14  # of a log; enough to hold a step
STEP = b'"event": "step"'
ENDS = ("done", "failed", "stopped")
EDGES = tuple(f'{{"event": "{name}"' for name in ("start", "resume", *ENDS))  # may follow a truncated line


def append(path: Path, entry: dict[str, Any]) -> None:
    """Append one line, with the time; NaN and infinity, which JSON cannot represent, become null."""
    line = json.dumps(without_nan({**entry, "time": round(time.time(), 3)}), allow_nan=False) + "\n"
    with path.open("ab+") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")  # ends a line truncated by a kill or a full disk
        file.write(line.encode())


def eta(path: Path) -> float | None:
    """Estimated seconds left at the last step; None before the first. Reads only the end of the log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
            lines = file.read().split(b"\n")[:-1]
        return next(float(json.loads(line)["eta"]) for line in reversed(lines) if STEP in line)
    except (OSError, StopIteration, ValueError, KeyError, TypeError):
        return None


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a log, without those past the state that a resume started from.

    Omits a line that is still being written.

    Raises:
        ValueError: a complete line is not an event; names the line.
    """
    entries: list[dict[str, Any]] = []
    for entry in _lines(path):
        if entry["event"] == "resume":
            entries = [e for e in entries if not _undone(e, entry)]
        entries.append(entry)
    return entries


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text("utf-8", errors="replace").split("\n")[:-1] if path.exists() else []
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_entry(line))
        except Exception as error:  # untrusted input can raise anything
            if number < len(lines) and lines[number].startswith(EDGES):
                continue  # truncated by a kill or a full disk
            raise ValueError(f"line {number} of {path} is not an event") from error
    return entries


_NUMBERS = {"step": ("step", "total"), "epoch": ("epoch", "epochs"), "resume": ("epoch", "step")}
_OBJECTS = {"step": "losses", "epoch": "metrics"}


def _entry(line: str) -> dict[str, Any]:
    """Parse and validate a line of metrics.jsonl."""
    entry = json.loads(line)
    name = entry["event"]
    if not all(type(entry[number]) is int for number in _NUMBERS.get(name, ())):
        raise TypeError("a step or epoch is not an integer")
    if name in _OBJECTS and not isinstance(entry[_OBJECTS[name]], dict):
        raise TypeError("losses or metrics are not an object")
    if type(entry["time"]) not in (int, float):
        raise TypeError("the time is not a number")
    return entry


def _undone(entry: dict[str, Any], resume: dict[str, Any]) -> bool:
    """Whether `entry` lies past the state that the training resumed from."""
    name = entry["event"]
    return name in ("step", "epoch") and entry[name] > resume[name]
