"""Trainings of digits as the pages see them: start one at a time, resume, read what a folder tells."""

import os
import shutil
import threading
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import streamlit as st

from apps.dashboard.sources import SCALARS
from vision_core import runs
from vision_core.digits import Settings

FREE = 200 << 20  # bytes of disk that must be there to start a training; one leaves 4 MB
_STARTING = threading.Lock()  # two visitors who press the button at once: one training


@dataclass(frozen=True)
class Story:
    """What a run's folder tells at one moment.

    Args:
        status: a word of `Run.status`, `damaged` (unreadable files) or `empty` (no run in the folder).
        epochs: "epoch", losses and accuracies of each finished epoch.
        steps, losses: the loss of each step so far.
        total, eta: of how many steps, and the seconds that were left at `updated`.
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
    seconds: float = 0.0
    updated: float | None = None
    problem: str = ""

    @property
    def best(self) -> dict[str, Any] | None:
        """The epoch that validated best."""
        return max(self.epochs, key=lambda e: e["val_accuracy"], default=None)


def root() -> Path:
    """Where the runs are: VISION_CORE_RUNS, or runs/ in the current folder."""
    return Path(os.environ.get("VISION_CORE_RUNS", "runs")).absolute()


def folders() -> list[runs.Run]:
    """Every folder of runs/digits, newest first, also one whose training has not written anything yet."""
    parent = root() / "digits"
    found = [runs.Run(path) for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    return sorted(found, key=_age, reverse=True)


def _age(run: runs.Run) -> float:
    config = run.folder / "config.json"
    return (config if config.exists() else run.folder).stat().st_mtime


def running() -> runs.Run | None:
    """The training of this host, of whatever system, that is going on."""
    for path in root().glob("*/*/process.json"):
        if (run := runs.Run(path.parent)).process() is not None:
            return run
    return None


def launch(settings: Settings) -> runs.Run:
    """Start a training in a process of its own; another one going on is a `ValueError`."""
    with _STARTING:
        _refuse_second()
        root().mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(root()).free < FREE:
            raise ValueError("the disk is nearly full; remove trainings that are no longer needed")
        run = runs.create(runs.new_folder(root(), "digits"), "digits", settings)
        runs.start(run)
    return run


def resume(run: runs.Run) -> None:
    """Go on with a stopped or killed training; another one going on is a `ValueError`."""
    with _STARTING:
        _refuse_second()
        runs.start(run)


def _refuse_second() -> None:
    if (other := running()) is not None:
        raise ValueError(f"{other.name} is still training; one training at a time on this machine")


def read(run: runs.Run) -> Story:
    """What the folder tells now; a fault of its files is told in `problem`, never raised."""
    alive = run.process() is not None
    try:
        if not (run.folder / "config.json").exists():
            return Story(run, "running") if alive else _without_run(run)
        settings = asdict(runs.open(run.folder, "digits", Settings)[1])
        metrics = run.folder / "metrics.jsonl"
        stamp = metrics.stat() if metrics.exists() else None
        told = _told(str(run.folder), (stamp.st_mtime_ns, stamp.st_size) if stamp else None)
        status = "running" if alive else run.status()
    except (ValueError, KeyError, TypeError, OSError) as error:
        return Story(run, "running" if alive else "damaged", problem=sentence(error))
    return Story(run, status, settings, **told)


@st.cache_data(max_entries=64, show_spinner=False)
def _told(folder: str, stamp: tuple[int, int] | None) -> dict[str, Any]:
    """What metrics.jsonl holds; `stamp` makes the cache forget it when the file has grown."""
    entries = runs.Run(Path(folder)).events()
    steps = [e for e in entries if e["event"] == "step"]
    failure = next((e["error"] for e in entries[-1:] if e["event"] == "failed"), "")
    return {
        "epochs": [
            {"epoch": e["epoch"], **{name: _number(e["metrics"][name]) for name in SCALARS}}
            for e in entries
            if e["event"] == "epoch"
        ],
        "steps": [e["step"] for e in steps],
        "losses": [_number(e["losses"]["total"]) for e in steps],
        "total": steps[-1]["total"] if steps else 0,
        "eta": steps[-1]["eta"] if steps else 0.0,
        "seconds": sum(b["time"] - a["time"] for a, b in pairwise(entries) if b["event"] != "resume"),
        "updated": entries[-1]["time"] if entries else None,
        "problem": failure,
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)  # a run writes null for what is not finite


def _without_run(run: runs.Run) -> Story:
    log = run.folder / "log.txt"
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()] if log.exists() else []
    said = next((line for line in reversed(lines) if line), "")
    if not said:
        return Story(run, "empty", problem=f"{run.name} holds no training: the folder is empty")
    return Story(run, "failed", problem=f"the training did not start: {said.removeprefix('vision-core: ')}")


def quoted(text: str) -> str:
    """A visitor's text as code, in which Markdown means nothing."""
    return f"`{' '.join(text.replace('`', ' ').split())[:80]}`"


def sentence(error: Exception) -> str:
    """The error for a person, without paths of the server."""
    text = str(error).replace(f"{root()}{os.sep}", "")
    if isinstance(error, OSError):
        return f"a file of the run could not be read or written: {error.strerror or text}"
    if not isinstance(error, ValueError):
        return f"the files of this run are damaged: {text or type(error).__name__}"
    return text
