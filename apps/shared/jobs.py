"""Work that a page started and need not wait for: a thread with a place in the queue and a file of its state.

The file tells the page how far the work is, after a reload and after a restart of the server, too. Beside it
lies how to start the work again, which a new server does: see `take_over`.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr

from apps.shared import progress, visits
from apps.shared.faults import sentences, user_errors
from apps.shared.queue import HEAVY, Left, Ticket
from apps.shared.visits import Session
from vision_core.files import read_json, write_json

REFRESH = 0.7  # seconds between two refreshes of a running job
EVERY = 0.3  # least seconds between two writes of the state
NICE = 10  # niceness of jobs, like that of trainings, so that pages stay responsive
GOING_ON = ("waiting", "working")
INTERRUPTED = "The server was restarted before this was done: start it again. What was finished is kept."
MARK = "again-"  # prefix of the file with the arguments that restart a job
TRIES = 2  # restarts of one job: if it took the server down twice, it is not tried again
Again = tuple[Callable[..., Any], Sequence[Any]]
_restarts: ContextVar[int] = ContextVar("restarts", default=0)  # of the job that is being started
_JOBS: dict[str, "Job"] = {}  # running and waiting jobs by owner


class Stopped(Exception):
    """The visitor stopped the job."""


class Job:
    """The progress of one visitor's job, written to the file that `state` reads."""

    def __init__(self, session: Session, path: Path) -> None:
        self.session, self.path = session, path
        self.stopping, self.began, self._noted = False, time.monotonic(), 0.0
        self.facts: dict[str, Any] = {"words": "Starting …", "step": 0, "total": 0, "eta": None}

    def tell(self, step: int, total: int, words: str = "", eta: float | None = None) -> None:
        """Report progress; `eta`, in seconds, is estimated if None.

        Raises:
            Stopped: the visitor asked for the end.
        """
        if eta is None and 0 < step < total:
            eta = (time.monotonic() - self.began) / step * (total - step)
        new = {"step": step, "total": total, "words": words or self.facts["words"], "eta": eta}
        self.note(hurry=new["words"] != self.facts["words"], **new)
        if self.stopping:
            raise Stopped

    def note(self, status: str = "working", hurry: bool = True, **facts: Any) -> None:
        """Write the state; without `hurry`, at most once in `EVERY` seconds."""
        self.facts |= facts
        if hurry or time.monotonic() - self._noted > EVERY:
            write_json(self.path, {"status": status, **self.facts}, indent=None)
            self._noted = time.monotonic()


def begin(
    session: Session,
    name: str,
    act: Callable[[Job], str],
    kind: str = "",
    again: Again | None = None,
    **facts: Any,
) -> None:
    """Call `act` when it is the visitor's turn; the final state holds its result or its error message.

    Args:
        name: name of the state file in the session's folder, without .json.
        kind: jobs of one kind take about as long; by default the name.
        again: a handler of a module of ours, called begin..., and what it takes beside the session: plain
            values. After a restart of the server it is called with them, if the visitor's choices are still
            the same.
        facts: initial facts of the state.

    Raises:
        ValueError: another job of this visitor is running, or too many visitors wait.
    """
    ticket = HEAVY.join(session.owner, kind or name, restarted=_restarts.get() > 0)
    job = _JOBS[session.owner] = Job(visits.opened(session), session.path(f"{name}.json"))
    job.note(**facts)
    if again is not None:
        function, arguments = again
        how = {"function": [function.__module__, function.__qualname__], "arguments": [*arguments]}
        record = {**how, "choices": _choices(session), "restarts": _restarts.get()}
        write_json(_mark(job.path), record, indent=None)
    threading.Thread(target=_run, args=(ticket, job, act), daemon=True).start()


def stop(session: Session) -> None:
    """End the job after its current step, or take it out of the queue."""
    job = _JOBS.get(session.owner)
    if job is None:
        raise ValueError("Nothing of yours is running")
    job.stopping = True
    HEAVY.leave_line(session.owner)


@user_errors
def end(state: Session | None) -> None:
    """`stop` for a button."""
    if state is None:
        raise ValueError("Nothing of yours is running")
    stop(state)


def buttons(going_on: bool) -> tuple[Any, ...]:
    """(Stop, Start, timer) of a job on a page."""
    return gr.Button(visible=going_on), gr.Button(interactive=not going_on), gr.Timer(active=going_on)


def state(session: Session, name: str) -> dict[str, Any]:
    """The last state of the named job; `status` is "none" if there was none.

    Other values: waiting, working, done, stopped, failed, or interrupted (by a restart of the server).
    """
    path = session.path(f"{name}.json")
    job = _JOBS.get(session.owner)
    if not path.exists():
        return {"status": "none"}
    record = read_json(path)
    if record["status"] != "working":
        return record
    if job is None or job.path != path:
        record = read_json(path)  # it may have ended just now
        left = "waiting" if _mark(path).exists() else "interrupted"
        return record if record["status"] != "working" else {**record, "status": left}
    waiting = HEAVY.before(session.owner)
    return {**record, "status": "waiting" if waiting else "working", "stopping": job.stopping}


def report(session: Session, name: str) -> tuple[str, bool]:
    """(message on the named job, whether it runs)."""
    record = state(session, name)
    match record["status"]:
        case "none":
            return "", False
        case "waiting":
            return progress.note(HEAVY.words(session.owner)), True
        case "working":
            return progress.job(record), True
        case "interrupted":
            return progress.note(INTERRUPTED, "warning"), False
    return progress.note(record["words"], "good" if record["status"] == "done" else "warning"), False


def take_over() -> None:
    """Restart the jobs that waited or ran when the previous server ended, oldest first."""
    marks = [(mark.stat().st_mtime, folder, mark) for folder in visits.everyone() for mark in _marks(folder)]
    for _, folder, mark in sorted(marks):
        record = read_json(mark)
        module, name = record["function"]
        if folder.name in _JOBS or (module.startswith("apps.") and module not in sys.modules):
            continue  # runs on this server, or belongs to a page that it does not serve
        session = visits.Left(folder.parent.name, folder.name)
        path = mark.with_name(mark.name.removeprefix(MARK))
        mark.unlink()
        if record["restarts"] >= TRIES or record["choices"] != _choices(session):
            continue  # the page says that it was interrupted
        restarts = _restarts.set(record["restarts"] + 1)
        try:
            _handler(module, name)(session, *record["arguments"])
        except Exception as error:
            write_json(path, {**read_json(path), "status": "failed", "words": why(error)}, indent=None)
        else:
            if path.parent != folder:  # its result is another one now
                visits.remove(path.parent)
        finally:
            _restarts.reset(restarts)


def _marks(folder: Path) -> list[Path]:
    return [*folder.glob(f"{MARK}*.json"), *folder.glob(f"*/{MARK}*.json")]


def _mark(path: Path) -> Path:
    """The file with the arguments that restart the job of a state file."""
    return path.with_name(MARK + path.name)


def _handler(module: str, name: str) -> Callable[..., Any]:
    if not (module.startswith("apps.") and name.isidentifier() and name.startswith("begin")):
        raise ValueError("That is no work that can be started again")
    return getattr(sys.modules[module], name)


def _choices(session: Session) -> dict[str, Any]:
    """The job's stored inputs, besides its arguments."""
    path = session.path(visits.CHOICES)
    choices = read_json(path) if path.exists() else {}
    return {name: value for name, value in choices.items() if name not in ("result", "controls")}


def _run(ticket: Ticket, job: Job, act: Callable[[Job], str]) -> None:
    session = job.session
    status, words = "stopped", "Stopped as you asked."
    try:
        for _ in HEAVY.wait(ticket):
            pass
        job.began = time.monotonic()
        with suppress(OSError, AttributeError):  # Linux: of this thread and of those that it starts
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        with visits.locked(session):
            words = act(job)
        status = "done"
    except (Left, Stopped):
        pass
    except Exception as error:
        status, words = "failed", why(error)
    finally:
        if session.folder.is_dir():
            job.note(status, words=words)
        _mark(job.path).unlink(missing_ok=True)
        if _JOBS.get(session.owner) is job:  # otherwise a later job has replaced it
            del _JOBS[session.owner]
        HEAVY.leave(ticket)
        visits.return_memory()


def why(error: Exception) -> str:
    """The error as a message for the visitor; our own errors are also logged."""
    try:
        with sentences():
            raise error
    except gr.Error as refused:
        return unescape(refused.message)
