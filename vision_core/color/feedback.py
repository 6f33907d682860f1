"""What a person says about a result, colour by colour, and the training that follows from it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vision_core.color.palette import Palette
from vision_core.files import read_json, write_json
from vision_core.safety.messages import reason

STEP = 0.6  # a rating of 1 multiplies the wanted share by exp(0.6) = 1.8, a rating of 2 by 3.3
OLDEST = 0.3  # weight of the oldest session; the newest has 1


@dataclass(frozen=True)
class Rating:
    """One palette colour: `usage` from -2 (used much too much) through 0 (right) to 2 (much too little).

    `well_placed` says whether it is in the right places.
    """

    usage: float = 0.0
    well_placed: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.usage) and -2 <= self.usage <= 2):
            raise ValueError(
                f"usage is rated {self.usage}, expected -2 (much too much) to 2 (much too little)"
            )


def file_of(model: str | Path) -> Path:
    """Where the sessions of a model are kept: `NAME.feedback.json` beside it."""
    return Path(model).with_suffix(".feedback.json")


def add(
    model: str | Path, palette: Palette, ratings: Sequence[Rating], before: str | Path | None = None
) -> None:
    """Append a session to the model's file, once a network was trained on it.

    Args:
        before: the model that was fine-tuned, whose sessions go on in the new one; None is `model` itself.
    """
    data = {"palette": palette.colors.tolist(), "sessions": []}
    if read(before or model, palette):
        data = read_json(file_of(before or model))
    time = datetime.now(UTC).isoformat(timespec="seconds")
    data["sessions"].append({"time": time, "ratings": [asdict(rating) for rating in ratings]})
    write_json(file_of(model), data)


def read(model: str | Path, palette: Palette) -> list[list[Rating]]:
    """The sessions so far, oldest first; empty when there is no file.

    Raises:
        ValueError: the file rates another palette, or is damaged.
    """
    path = file_of(model)
    if not path.exists():
        return []
    data = read_json(path)
    try:
        if data["palette"] != palette.colors.tolist():
            raise ValueError("it rates another palette; remove it to begin anew")
        return [[Rating(**rating) for rating in session["ratings"]] for session in data["sessions"]]
    except Exception as error:
        raise ValueError(f"{path} cannot be used: {reason(error)}") from error


def wishes(palette: Palette, sessions: Sequence[Sequence[Rating]]) -> tuple[np.ndarray, np.ndarray]:
    """The shares (K,) that the ratings ask for, and the colours, bool (K,), last called misplaced."""
    if not sessions:
        raise ValueError("there are no ratings yet")
    for session in sessions:
        if len(session) != len(palette.colors):
            raise ValueError(f"{len(session)} ratings for {len(palette.colors)} palette colours")
    weights = np.linspace(OLDEST, 1, len(sessions)) if len(sessions) > 1 else np.ones(1)
    usage = weights @ np.array([[rating.usage for rating in session] for session in sessions])
    wanted = np.maximum(palette.shares, 0.005) * np.exp(STEP * usage)
    return wanted / wanted.sum(), np.array([not rating.well_placed for rating in sessions[-1]])
