"""Trainings started from pages: one at a time, in separate processes, stopped only by their owner."""

import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import streamlit as st

from apps.shared.doors import BROWSER_COOKIE
from apps.shared.queue import HEAVY, QUEUED
from vision_core import runs
from vision_core.safety import messages

FREE = 200 << 20  # free bytes of disk needed to start a training, which writes 4 MB
OWNER = "owner"  # file of a run with the hash of the browser that started it
DASHBOARD = "dashboard"  # owner of the ticket of the dashboard in the queue
_STARTING = threading.Lock()  # one training even if two visitors press the button at once


def root() -> Path:
    """The folder of runs: VISION_CORE_RUNS, or runs/ in the current folder."""
    return Path(os.environ.get("VISION_CORE_RUNS", "runs")).absolute()


def data_root() -> Path | None:
    """The operator's folder of training data: VISION_CORE_DATA."""
    folder = os.environ.get("VISION_CORE_DATA")
    return Path(folder).absolute() if folder else None


def folders(system: str) -> list[runs.Run]:
    """All runs in runs/SYSTEM, newest first, including those that have not written anything yet."""
    parent = root() / system
    trainings = [runs.Run(path) for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    return sorted(trainings, key=_age, reverse=True)


def _age(run: runs.Run) -> float:
    config = run.folder / "config.json"
    return (config if config.exists() else run.folder).stat().st_mtime


def running() -> runs.Run | None:
    """The training of any system that runs on this host, if any."""
    for path in root().glob("*/*/process.json"):
        if (run := runs.Run(path.parent)).process() is not None:
            return run
    return None


def waiting() -> runs.Run | None:
    """The training of the dashboard that waits in the queue or is about to start."""
    if HEAVY.before(DASHBOARD) is None:
        return None
    return next((runs.Run(path.parent) for path in root().glob(f"*/*/{QUEUED}")), None)


def busy() -> runs.Run | None:
    """The training that must end before the dashboard can start another one."""
    return running() or waiting()


def going_on(run: runs.Run) -> str:
    """`running`, `waiting` (in the queue) or "" of a training."""
    if run.process() is not None:
        return "running"
    return "waiting" if (run.folder / QUEUED).exists() and HEAVY.before(DASHBOARD) is not None else ""


def launch(
    system: str, settings: Any, create: Callable[[Path, Any], runs.Run] | None = None, name: str = ""
) -> runs.Run:
    """Put a training of this browser into the queue. Raises `ValueError` if another one is running.

    Args:
        create: creates the run in a folder, for systems that store more than their settings.
        name: the name chosen by the visitor; if empty, the time.
    """
    with _STARTING:
        _refuse_second()
        root().mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(root()).free < FREE:
            raise ValueError("the disk is nearly full; remove trainings that are no longer needed")
        folder = _named(system, name) or runs.new_folder(root(), system)
        run = create(folder, settings) if create else runs.create(folder, system, settings)
        (run.folder / OWNER).write_text(browser())
        HEAVY.train(DASHBOARD, run)
    return run


def _named(system: str, name: str) -> Path | None:
    """An unused folder with that name; None without a name."""
    parent = root() / system
    return next((path for title in titles(name) if not (path := parent / title).exists()), None)


def titles(name: str, otherwise: str = "") -> Iterator[str]:
    """Folder names for a visitor's title, the later ones numbered; none without a title.

    Args:
        otherwise: name if no character of the title can be used.
    """
    title = re.sub(r"[^\w. -]+", "-", name).strip("-. ")[:40] or otherwise
    return (title if n == 1 else f"{title}-{n}" for n in range(1, 10**4 if title else 1))


def resume(run: runs.Run) -> None:
    """Resume a stopped training. Raises `ValueError` if another runs or it is another browser's."""
    _refuse_stranger(run)
    with _STARTING:
        _refuse_second()
        HEAVY.train(DASHBOARD, run)


def stop(run: runs.Run) -> None:
    """Stop a training or remove it from the queue. Raises `ValueError` if it is another browser's."""
    _refuse_stranger(run)
    if not ((run.folder / QUEUED).exists() and HEAVY.leave_line(DASHBOARD)):
        runs.request_stop(run)


def mine(run: runs.Run) -> bool:
    """Whether this browser may stop and resume a training: it began it, or the dashboard is open."""
    if os.environ.get("VISION_CORE_OPEN_DASHBOARD"):
        return True
    owner = run.folder / OWNER
    return owner.exists() and secrets.compare_digest(owner.read_bytes(), browser().encode())


def browser() -> str:
    """A hash that identifies this browser: of its cookie or, without the suite, of a session secret."""
    key = st.context.cookies.get(BROWSER_COOKIE)
    if not isinstance(key, str) or not key:
        key = st.session_state.setdefault("browser", secrets.token_urlsafe(24))
    return sha256(key.encode()).hexdigest()


def _refuse_stranger(run: runs.Run) -> None:
    if not mine(run):
        raise ValueError(f"{run.name} was started from another browser: it can be stopped and resumed there")


def _refuse_second() -> None:
    if (other := busy()) is not None:
        raise ValueError(f"{other.name} is still training; one training at a time on this machine")


def quoted(text: str) -> str:
    """A visitor's text as inline code, so that it is not read as Markdown."""
    return f"`{' '.join(text.replace('`', ' ').split())[:80]}`"


def sentence(error: Exception) -> str:
    """The error as a message without server paths."""
    text = messages.sentence(error, 1000)
    for folder in filter(None, (root(), data_root())):
        text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), folder.name)
    if isinstance(error, OSError):
        return f"a file of the run could not be read or written: {error.strerror or text}"
    if not isinstance(error, ValueError):
        return messages.sentence(f"the files of this run are damaged: {text}")
    return messages.sentence(text)
