"""The folder of a training run: what was asked, what happened, and a handle to follow, stop and resume it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from accelerate.utils import gather_object

from vision_core.files import read_json, without_nan, write_json
from vision_core.training import Done, Epoch, Event, Step

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Run:
    """A folder `runs/<system>/<name>/` with config.json, metrics.jsonl and the trainer's checkpoints."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def config(self) -> dict[str, Any]:
        """What the run was started with; a missing or broken file is a `ValueError`."""
        return read_json(self.folder / "config.json")

    @property
    def resume_file(self) -> Path:
        """Optimiser, scheduler and epoch; it is there while there is something to resume."""
        return self.folder / "resume.pt"

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl; NaN and infinity, which JSON cannot say, become null."""
        line = json.dumps(without_nan({**entry, "time": round(time.time(), 3)}), allow_nan=False) + "\n"
        with open(self.folder / "metrics.jsonl", "ab+") as file:
            if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                file.write(b"\n")  # a kill or a full disk left half a line
            file.write(line.encode())

    def events(self) -> list[dict[str, Any]]:
        """All entries so far, each with "event" and "time".

        What a killed process had done past the epoch that it was resumed from is left out; a line still being
        written is left for the next call.

        Raises:
            ValueError: a finished line is not JSON (names the line).
        """
        return _without_undone(_lines(self.folder / "metrics.jsonl"))

    def process(self) -> int | None:
        """The id of the live process that trains this run, if there is one."""
        try:
            known = read_json(self.folder / "process.json")
            process = psutil.Process(known["pid"])
            alive = (
                process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - known["started"]) < 1
            )
        except (ValueError, KeyError, TypeError, OverflowError, psutil.Error):
            return None
        return known["pid"] if alive else None

    def status(self) -> str:
        """`running`, `done`, `failed`, `stopped` (as asked), `interrupted` (killed), `new` (nothing yet)."""
        if self.process() is not None:
            return "running"
        entries = self.events()
        last = entries[-1]["event"] if entries else "new"
        return last if last in ("new", *_ENDS) else "interrupted"


_ENDS = ("done", "failed", "stopped")
_EDGES = tuple(f'{{"event": "{name}"' for name in ("start", "resume", *_ENDS))  # what may follow half a line


def create(folder: str | Path, config: dict[str, Any]) -> Run:
    """Make the run's folder and write config.json. A folder that already holds a run is a `ValueError`."""
    run = Run(Path(folder))
    if is_first_process():
        if (run.folder / "config.json").exists():
            raise ValueError(f"{folder} already holds a run: resume it or choose another folder")
        write_json(run.folder / "config.json", config)
    return run


def new_folder(root: str | Path, system: str) -> Path:
    """A folder name not yet taken, from the time of day: `root/system/2026-01-31-120000`."""
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    names = (stamp if n == 1 else f"{stamp}-{n}" for n in range(1, 10**6))
    return next(path for name in names if not (path := Path(root) / system / name).exists())


def list_runs(root: str | Path, system: str) -> list[Run]:
    """The runs of a system, newest first."""
    found = (path.parent for path in (Path(root) / system).glob("*/config.json"))
    return [Run(path) for path in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)]


def record(run: Run, events: Iterable[E], resumed_from: int | None = None) -> Generator[E]:
    """Pass a trainer's events through, writing them to the run and obeying `request_stop`.

    Of the processes of a distributed training, the first writes.

    Raises:
        ValueError: another live process trains this run.
    """
    if not is_first_process():
        yield from _until_stopped(run, events)
        return
    if (other := run.process()) not in (None, os.getpid()):
        raise ValueError(f"{run.folder} is being trained by process {other}")
    if other is None:  # a request made since `start` is meant for us, an older one is not
        (run.folder / "stop").unlink(missing_ok=True)
    ending: dict[str, Any] = {"event": "stopped"}  # also when our caller closes us
    with _noted(run):
        try:
            run.log(
                {"event": "start"} if resumed_from is None else {"event": "resume", "epoch": resumed_from}
            )
            with closing(_until_stopped(run, events)) as stream:
                for event in stream:
                    if isinstance(event, Done):
                        ending = {"event": "done"}
                    elif isinstance(event, Step | Epoch):
                        run.log({"event": type(event).__name__.lower(), **asdict(event)})
                    yield event
            if not (run.folder / "stop").exists():
                ending = {"event": "done"}
        except Exception as error:
            ending = {"event": "failed", "error": str(error) or type(error).__name__}
            raise
        finally:
            run.log(ending)


def start(run_folder: str | Path, arguments: list[str]) -> int:
    """Start `python -m vision_core ARGUMENTS` in a process of its own that outlives us; its id.

    What it prints goes to `log.txt` in the run's folder.

    Raises:
        ValueError: a live process trains this run already.
    """
    run = Run(Path(run_folder))
    if (other := run.process()) is not None:
        raise ValueError(f"{run.folder} is being trained by process {other}")
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "stop").unlink(missing_ok=True)
    with open(run.folder / "log.txt", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vision_core", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _note_process(run, process.pid)
    return process.pid


def request_stop(run: Run) -> None:
    """Ask the process that trains `run` to save and end; it does so after its current step."""
    (run.folder / "stop").touch()


def follow(run: Run, poll: float = 0.5) -> Iterator[dict[str, Any]]:
    """The run's entries, then new ones as they come, until its process has ended.

    A "resume" among the new ones says that what came after its epoch no longer counts.
    """
    seen = None
    while True:
        running = run.process() is not None  # asked before reading, so that the last entries are not missed
        lines = _lines(run.folder / "metrics.jsonl")
        yield from _without_undone(lines) if seen is None else lines[seen:]
        seen = len(lines)
        if not running:
            return
        time.sleep(poll)


def _until_stopped(run: Run, events: Iterable[E]) -> Generator[E]:
    """The events up to a request to stop, on which all processes agree: else one would wait for ever."""
    stream = iter(events)
    try:
        for event in stream:
            yield event
            asked = [(run.folder / "stop").exists()]
            if any(gather_object(asked) if torch.distributed.is_initialized() else asked):
                return
    finally:
        if isinstance(stream, Generator):
            stream.close()  # lets the trainer save


def is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"  # as torchrun and accelerate number them


def _note_process(run: Run, pid: int) -> None:
    write_json(run.folder / "process.json", {"pid": pid, "started": psutil.Process(pid).create_time()})


@contextmanager
def _noted(run: Run) -> Iterator[None]:
    """The run looks alive while the block runs, and no longer afterwards, whatever happens in it."""
    try:
        _note_process(run, os.getpid())
        yield
    finally:
        for name in ("stop", "process.json"):
            (run.folder / name).unlink(missing_ok=True)


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text("utf-8", errors="replace").split("\n")[:-1] if path.exists() else []
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            entry["event"]
            entries.append(entry)
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines) and lines[number].startswith(_EDGES):
                continue  # the half line of a killed process or a full disk
            raise ValueError(f"line {number} of {path} is not an event") from error
    return entries


def _without_undone(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for entry in lines:
        if entry["event"] == "resume":
            entries = _up_to(entry["epoch"], entries)
        entries.append(entry)
    return entries


def _up_to(epoch: int, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = max(
        (i for i, e in enumerate(entries) if e["event"] == "epoch" and e["epoch"] <= epoch), default=-1
    )
    if last < 0:  # a system whose epoch is one step tells steps only
        return [e for e in entries if e["event"] == "step" and e["step"] <= epoch]
    return entries[: last + 1]
