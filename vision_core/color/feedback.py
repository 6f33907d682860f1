"""User ratings of a result, colour by colour, and the target shares for fine-tuning."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vision_core.color.palette import Palette
from vision_core.files import read_json, write_json
from vision_core.safety.messages import reason

STEP = 0.6  # a rating of 1 multiplies the target share by exp(0.6) = 1.8, a rating of 2 by 3.3
OLDEST = 0.3  # weight of the oldest session; the newest has 1


@dataclass(frozen=True)
class Rating:
    """The rating of one palette colour.

    Args:
        usage: from -2 (used far too much) through 0 (right) to 2 (far too little).
        well_placed: whether the colour appears in the right places.
    """

    usage: float = 0.0
    well_placed: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.usage) and -2 <= self.usage <= 2):
            raise ValueError(f"usage is rated {self.usage}, expected -2 (far too much) to 2 (far too little)")


def file_of(model: str | Path) -> Path:
    """The feedback file of a model: `NAME.feedback.json` next to it."""
    return Path(model).with_suffix(".feedback.json")


def add(
    model: str | Path, palette: Palette, ratings: Sequence[Rating], before: str | Path | None = None
) -> None:
    """Append a session of ratings to the model's feedback file, after fine-tuning on them.

    Args:
        before: the model that was fine-tuned, whose sessions are carried over; by default `model` itself.
    """
    data = {"palette": palette.colors.tolist(), "sessions": []}
    if read(before or model, palette):
        data = read_json(file_of(before or model))
    time = datetime.now(UTC).isoformat(timespec="seconds")
    data["sessions"].append({"time": time, "ratings": [asdict(rating) for rating in ratings]})
    write_json(file_of(model), data)


def read(model: str | Path, palette: Palette) -> list[list[Rating]]:
    """Read the sessions of ratings, oldest first; empty if there is no file.

    Raises:
        ValueError: the ratings are for another palette, or the file is damaged.
    """
    path = file_of(model)
    if not path.exists():
        return []
    data = read_json(path)
    try:
        if data["palette"] != palette.colors.tolist():
            raise ValueError("its ratings are for another palette; delete it to start over")
        return [[Rating(**rating) for rating in session["ratings"]] for session in data["sessions"]]
    except Exception as error:
        raise ValueError(f"cannot use {path}: {reason(error)}") from error


def wishes(palette: Palette, sessions: Sequence[Sequence[Rating]]) -> tuple[np.ndarray, np.ndarray]:
    """The target shares (K,) from all ratings, and the colours, bool (K,), last rated as misplaced."""
    if not sessions:
        raise ValueError("there are no ratings yet")
    for session in sessions:
        if len(session) != len(palette.colors):
            raise ValueError(f"{len(session)} ratings for {len(palette.colors)} palette colours")
    weights = np.linspace(OLDEST, 1, len(sessions)) if len(sessions) > 1 else np.ones(1)
    usage = weights @ np.array([[rating.usage for rating in session] for session in sessions])
    target = np.maximum(palette.shares, 0.005) * np.exp(STEP * usage)
    return target / target.sum(), np.array([not rating.well_placed for rating in sessions[-1]])
