"""Work that a page started and need not wait for: a thread with a place in the queue, watched by the page."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape, unescape

import gradio as gr

from apps.shared import visits
from apps.shared.faults import sentences
from apps.shared.progress import duration, note
from apps.shared.queue import HEAVY, Left, Ticket
from apps.shared.visits import Session
from vision_core.files import read_json, write_json

REFRESH = 0.7  # seconds between two looks
INTERRUPTED = "The server was restarted before this was done: start it again, finished pages are kept."
_JOBS: dict[str, "Job"] = {}  # by owner; what is going on now, and nothing of what came of it


class Stopped(Exception):
    """The visitor asked for the end."""


@dataclass
class Job:
    """What is going on for one visitor; `tell` is called by the work, the rest is read by the page."""

    kind: str
    began: float = field(default_factory=time.monotonic)
    words: str = "Starting …"
    done: int = 0
    total: int = 0
    stopping: bool = False

    def tell(self, done: int, total: int, text: str = "") -> None:
        """How far the work is.

        Raises:
            Stopped: the visitor asked for the end.
        """
        if self.stopping:
            raise Stopped
        self.done, self.total, self.words = done, total, text or self.words


def begin(known: Session, kind: str, act: Callable[[Job], str]) -> None:
    """Call `act` when it is the visitor's turn; what it returns, or why it failed, is told by `report`.

    Raises:
        ValueError: something of this visitor still goes on, or too many wait.
    """
    ticket = HEAVY.join(known.owner, kind)
    write_json(visits.opened(known).path(f"{kind}.json"), {"state": "working", "words": INTERRUPTED})
    job = _JOBS[known.owner] = Job(kind)
    threading.Thread(target=_run, args=(known, ticket, job, act), daemon=True).start()


def stop(known: Session) -> None:
    """End the work after its current step; who still waits leaves the queue."""
    job = _JOBS.get(known.owner)
    if job is None:
        raise ValueError("Nothing of yours is going on")
    job.stopping = True
    HEAVY.leave_line(known.owner)


def report(known: Session, kind: str) -> tuple[str, bool]:
    """(what to say of the work of that kind, whether it goes on)."""
    job = _JOBS.get(known.owner)
    if job is not None and job.kind == kind:
        if HEAVY.before(known.owner):
            return note(HEAVY.words(known.owner)), True
        return (note("Stopping …") if job.stopping else _bar(job)), True
    path = known.path(f"{kind}.json")
    if not path.exists():
        return "", False
    ended = read_json(path)
    return note(ended["words"], "good" if ended["state"] == "done" else "warning"), False


def _run(known: Session, ticket: Ticket, job: Job, act: Callable[[Job], str]) -> None:
    state, said = "stopped", "Stopped as you asked."
    try:
        for _ in HEAVY.wait(ticket):
            pass
        with visits.locked(known):
            state, said = "done", act(job)
    except (Left, Stopped):
        pass
    except Exception as error:
        state, said = "failed", told(error)
    finally:
        if _JOBS.get(known.owner) is job:  # else a later job has taken its place
            if known.folder.is_dir():
                write_json(known.path(f"{job.kind}.json"), {"state": state, "words": said})
            del _JOBS[known.owner]
        HEAVY.leave(ticket)
        visits.return_memory()


def told(error: Exception) -> str:
    """A fault as a sentence for the visitor; one of ours goes to the log, too."""
    try:
        with sentences():
            raise error
    except gr.Error as refused:
        return unescape(refused.message)


def _bar(job: Job) -> str:
    share = job.done / job.total if job.total else 0.0
    spent = time.monotonic() - job.began
    left = f"<span>about {duration(spent / share - spent)} left</span>" if 0 < share < 1 else ""
    return (
        f'<div class="vc-progress" role="progressbar" aria-label="progress" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}">'
        f'<span style="width:{100 * share:.1f}%"></span></div><div class="vc-progress-words">'
        f"<b>{100 * share:.0f} %</b><span>{escape(job.words)}</span>{left}</div>"
    )
