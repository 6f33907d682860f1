"""The state of a training, read from its folder."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import streamlit as st

from apps.dashboard.jobs import going_on, sentence
from vision_core import runs


@dataclass(frozen=True)
class Story:
    """The state of a training, read from its folder.

    Args:
        status: a word of `Run.status`, `waiting` (in the queue), `damaged` (unreadable files) or `empty` (no
            run in the folder).
        epochs: "epoch", losses and accuracies of each finished epoch.
        steps, losses: the loss of each step so far.
        total, eta: of how many steps, and the seconds that were left at `updated`.
        prepared: how many of how many parts of the data are prepared, while that is going on.
        seconds: spent training, pauses left out.
        updated: time of the last entry, in seconds since 1970.
        problem: a sentence when something is wrong.
    """

    run: runs.Run
    status: str
    settings: dict[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    total: int = 0
    eta: float = 0.0
    prepared: tuple[int, int] | None = None
    seconds: float = 0.0
    updated: float | None = None
    problem: str = ""

    @property
    def shown_settings(self) -> dict[str, Any]:
        """The settings; of a path only its last part: the server's folders concern nobody."""
        return {
            name: Path(value).name if isinstance(value, str) and os.sep in value else value
            for name, value in self.settings.items()
        }

    @property
    def document(self) -> dict[str, Any]:
        """The settings and results, for download."""
        return {"settings": self.shown_settings, "status": self.status, "epochs": self.epochs}

    @property
    def best(self) -> dict[str, Any] | None:
        """The epoch that validated best."""
        return max(self.epochs, key=lambda e: e["val_accuracy"], default=None)


def read(run: runs.Run, system: str, settings: type, scalars: Sequence[str]) -> Story:
    """Read the current state; faults of the files are reported in `problem`, never raised.

    Args:
        scalars: the metrics of an epoch that the system's pages show.
    """
    alive = going_on(run)
    try:
        if not (run.folder / "config.json").exists():
            return Story(run, alive) if alive else _without_run(run)
        asked = asdict(runs.open(run.folder, system, settings)[1])
        metrics = run.folder / "metrics.jsonl"
        stamp = metrics.stat() if metrics.exists() else None
        entries = _entries(
            str(run.folder), (stamp.st_mtime_ns, stamp.st_size) if stamp else None, tuple(scalars)
        )
        status = alive or run.status()
    except (ValueError, KeyError, TypeError, OSError) as error:
        return Story(run, alive or "damaged", problem=sentence(error))
    return Story(run, status, asked, **entries)


@st.cache_data(max_entries=64, show_spinner=False)
def _entries(folder: str, stamp: tuple[int, int] | None, scalars: tuple[str, ...]) -> dict[str, Any]:
    """The contents of metrics.jsonl; `stamp` invalidates the cache when the file has grown."""
    entries = runs.Run(Path(folder)).events()
    steps = [e for e in entries if e["event"] == "step"]
    last = entries[-1] if entries else {"event": "new"}
    return {
        "epochs": [
            {"epoch": e["epoch"], **{name: _number(e["metrics"][name]) for name in scalars}}
            for e in entries
            if e["event"] == "epoch"
        ],
        "steps": [e["step"] for e in steps],
        "losses": [_number(e["losses"]["total"]) for e in steps],
        "total": steps[-1]["total"] if steps else 0,
        "eta": steps[-1]["eta"] if steps else 0.0,
        "prepared": (last["step"], last["total"]) if last["event"] == "prepare" else None,
        "seconds": sum(b["time"] - a["time"] for a, b in pairwise(entries) if b["event"] != "resume"),
        "updated": last["time"] if entries else None,
        "problem": last["error"] if last["event"] == "failed" else "",
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)  # a run writes null for what is not finite


def _without_run(run: runs.Run) -> Story:
    failure = run.failure()
    if not failure:
        return Story(run, "empty", problem=f"{run.name} holds no training: the folder is empty")
    return Story(run, "failed", problem=f"the training did not start: {failure}")
