"""The folder of a training run: what was asked, what happened, and a handle to follow, stop and resume it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from vision_core.files import read_json, without_nan, write_json
from vision_core.settings import Settings, from_plain


@dataclass(frozen=True)
class Run:
    """A folder `runs/<system>/<name>/` with config.json, metrics.jsonl and the trainer's checkpoints."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def config(self) -> dict[str, Any]:
        """What the run was started with: "system", "settings" and the system's own facts.

        Raises:
            ValueError: the file is missing or broken.
        """
        path = self.folder / "config.json"
        if _half_made(self.folder):
            raise ValueError(f"{self.folder} holds no run yet, its creation was interrupted: begin it again")
        config = read_json(path)
        if not isinstance(config, dict) or not isinstance(config.get("system"), str):
            raise ValueError(f"{path} does not say which system the run belongs to")
        return config

    @property
    def resume_file(self) -> Path:
        """Model, optimiser, scheduler and epoch; it is there while there is something to resume."""
        return self.folder / "resume.pt"

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl; NaN and infinity, which JSON does not have, become null."""
        line = json.dumps(without_nan({**entry, "time": round(time.time(), 3)}), allow_nan=False) + "\n"
        with (self.folder / "metrics.jsonl").open("ab+") as file:
            if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                file.write(b"\n")  # a kill or a full disk left half a line
            file.write(line.encode())

    def events(self) -> list[dict[str, Any]]:
        """All entries so far, each with "event" and "time".

        Entries that a resume undid (they lie past the state it started from) are left out, and so is a line
        that is still being written.

        Raises:
            ValueError: a finished line is not an event (names the line).
        """
        return _without_undone(_lines(self.folder / "metrics.jsonl"))

    def eta(self) -> float | None:
        """Seconds left at the last step; None before the first. Reads the end of the log alone."""
        try:
            with (self.folder / "metrics.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
                lines = file.read().split(b"\n")[:-1]
            return next(float(json.loads(line)["eta"]) for line in reversed(lines) if _STEP in line)
        except (OSError, StopIteration, ValueError, KeyError, TypeError):
            return None

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
        """`running`, `done`, `failed`, `stopped` (on request), `interrupted` (killed) or `new`."""
        if self.process() is not None:
            return "running"
        entries = self.events()
        last = entries[-1]["event"] if entries else "new"
        return last if last in ("new", *_ENDS) else "interrupted"

    def failure(self) -> str:
        """Why the run failed: its last event's error, or else the last line that its process printed."""
        last = self.events()[-1:]
        said = last[0].get("error", "") if last else ""
        log = self.folder / "log.txt"
        if not said and log.exists():
            lines = log.read_text("utf-8", "replace").split("\n")
            said = next((line for line in reversed(lines) if line.strip()), "")
        return said.strip().removeprefix("vision-core: ")


LAST_BYTES = 1 << 14  # of a log, among which a step is
_STEP = b'"event": "step"'
CREATING = "vision-core-run.creating"  # a file that is there while a run is created
_ENDS = ("done", "failed", "stopped")
_EDGES = tuple(f'{{"event": "{name}"' for name in ("start", "resume", *_ENDS))  # what may follow half a line


def create(
    folder: str | Path,
    system: str,
    settings: Any,
    *,
    replace: bool = False,
    inputs: Callable[[Path], None] | None = None,
    **facts: Any,
) -> Run:
    """Make the run's folder and write config.json, the last of its files: with it there is a run.

    What a kill leaves of a run that was being created or replaced, the next call removes.

    Args:
        system: the words that start the system's commands, e.g. "digits": `start` runs `SYSTEM train`.
        settings: a dataclass of plain data.
        replace: remove an earlier run of the same system first.
        inputs: writes into the folder what the training needs beside the settings.
        facts: more plain data that a resume needs, such as where the data are.

    Raises:
        ValueError: `folder` holds a run and `replace` is not set, or something else than a run.
    """
    run = Run(Path(folder))
    if not is_first_process():
        _await_config(run)
        return run
    if run.folder.exists() and not run.folder.is_dir():
        raise ValueError(f"{folder} is a file; the name of a folder was expected")
    if run.folder.is_dir() and any(run.folder.iterdir()) and not _half_made(run.folder):
        _check_replaceable(run, system, replace)
    run.folder.mkdir(parents=True, exist_ok=True)
    mark = run.folder / CREATING
    mark.touch()
    (run.folder / "config.json").unlink(missing_ok=True)  # first: it says that the other files are complete
    for path in run.folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != mark:
            path.unlink()
    if inputs is not None:
        inputs(run.folder)
    write_json(run.folder / "config.json", {"system": system, "settings": asdict(settings), **facts})
    mark.unlink()
    return run


def _half_made(folder: Path) -> bool:
    """Whether a kill ended `create` before there was a run."""
    if (folder / CREATING).exists():
        return True
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return bool(names) and all(name.startswith("config.json.") and name.endswith(".part") for name in names)


def _check_replaceable(run: Run, system: str, replace: bool) -> None:
    if not (run.folder / "config.json").exists():
        raise ValueError(f"{run.folder} is not empty and holds no run: choose another folder")
    if not replace:
        raise ValueError(f"{run.folder} already holds a run: resume it, replace it or choose another folder")
    if (found := run.config["system"]) != system:
        raise ValueError(f"{run.folder} is a run of {found!r}, not of {system!r}: choose another folder")
    if (pid := run.process()) is not None:
        raise ValueError(f"{run.folder} is being trained by process {pid}")


def _await_config(run: Run, seconds: float = 60) -> None:
    """Of several processes the first creates the run; the others wait for a config newer than the launch."""
    launched, path = psutil.Process(os.getppid()).create_time(), run.folder / "config.json"
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_mtime >= launched):
        if time.monotonic() > deadline:
            raise ValueError(f"the first process did not create {run.folder}")
        time.sleep(0.05)


def open(folder: str | Path, system: str, kind: type[Settings]) -> tuple[Run, Settings]:
    """The run in `folder` and its settings, rebuilt as the dataclass `kind`.

    Raises:
        ValueError: no run, a run of another system, or settings that `kind` does not accept.
    """
    run = Run(Path(folder))
    config = run.config
    if config["system"] != system:
        raise ValueError(f"{folder} is a run of {config['system']!r}, not of {system!r}")
    try:
        return run, from_plain(kind, config.get("settings"))
    except ValueError as error:
        raise ValueError(f"{run.folder / 'config.json'} has settings that cannot be used: {error}") from error


def new_folder(root: str | Path, system: str) -> Path:
    """A folder name not yet taken, from the time of day: `root/system/2026-01-31-120000`."""
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    names = (stamp if n == 1 else f"{stamp}-{n}" for n in range(1, 10**6))
    return next(path for name in names if not (path := Path(root) / system / name).exists())


def list_runs(root: str | Path, system: str) -> list[Run]:
    """The runs of a system, newest first."""
    found = (path.parent for path in (Path(root) / system).glob("*/config.json"))
    return [Run(path) for path in sorted(found, key=_created, reverse=True)]


def _created(folder: Path) -> float:
    try:
        return (folder / "config.json").stat().st_mtime
    except OSError:  # removed meanwhile
        return 0.0


def start(run: Run) -> int:
    """Train or resume `run` in a process of its own that outlives this one; the id of that process.

    It has one core fewer than there are and a low priority, so that a page beside it stays quick. What it
    prints goes to `log.txt` in the run's folder.

    Raises:
        ValueError: there is no run, or a live process trains it already.
    """
    system = run.config["system"].split()
    if (other := run.process()) is not None:
        raise ValueError(f"{run.folder} is being trained by process {other}")
    (run.folder / "stop").unlink(missing_ok=True)
    with (run.folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vision_core", *system, "train", "--resume", str(run.folder.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) - 1)), **os.environ},
        )
    with suppress(psutil.Error):
        psutil.Process(process.pid).nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else 10)
    _note_process(run, process.pid)
    return process.pid


def request_stop(run: Run) -> None:
    """Ask the process that trains `run` to save and end; it does so after its current step."""
    (run.folder / "stop").touch()


def follow(run: Run, poll: float = 0.5) -> Iterator[dict[str, Any]]:
    """The run's entries, then new ones as they come, until its process has ended.

    A "resume" among the new ones means that entries past its epoch and step no longer count.
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


def is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"  # as torchrun and accelerate number them


@contextmanager
def being_trained(run: Run) -> Iterator[None]:
    """The run looks alive while the block runs, and no longer afterwards, whatever happens in it.

    Of the processes of a distributed training the first stands for all.

    Raises:
        ValueError: another live process trains this run.
    """
    if not is_first_process():
        yield
        return
    if (other := run.process()) not in (None, os.getpid()):
        raise ValueError(f"{run.folder} is being trained by process {other}")
    if other is None:  # a request made since `start` is meant for us, an older one is not
        (run.folder / "stop").unlink(missing_ok=True)
    try:
        _note_process(run, os.getpid())
        yield
    finally:
        for name in ("stop", "process.json"):
            (run.folder / name).unlink(missing_ok=True)


def _note_process(run: Run, pid: int) -> None:
    write_json(run.folder / "process.json", {"pid": pid, "started": psutil.Process(pid).create_time()})


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text("utf-8", errors="replace").split("\n")[:-1] if path.exists() else []
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_entry(line))
        except Exception as error:  # a parser's door: whatever the line does to it
            if number < len(lines) and lines[number].startswith(_EDGES):
                continue  # the half line of a killed process or a full disk
            raise ValueError(f"line {number} of {path} is not an event") from error
    return entries


_NUMBERS = {"step": ("step", "total"), "epoch": ("epoch", "epochs"), "resume": ("epoch", "step")}
_OBJECTS = {"step": "losses", "epoch": "metrics"}


def _entry(line: str) -> dict[str, Any]:
    """A line of metrics.jsonl; what every reader relies on is checked here, once."""
    entry = json.loads(line)
    name = entry["event"]
    if not all(type(entry[number]) is int for number in _NUMBERS.get(name, ())):
        raise TypeError("a step or epoch is no whole number")
    if name in _OBJECTS and not isinstance(entry[_OBJECTS[name]], dict):
        raise TypeError("losses and metrics are objects")
    if type(entry["time"]) not in (int, float):
        raise TypeError("the time is no number")
    return entry


def _without_undone(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for entry in lines:
        if entry["event"] == "resume":
            entries = [e for e in entries if not _undone(e, entry)]
        entries.append(entry)
    return entries


def _undone(entry: dict[str, Any], resume: dict[str, Any]) -> bool:
    """Whether `entry` lies past the state that a training was resumed from."""
    name = entry["event"]
    return name in ("step", "epoch") and entry[name] > resume[name]
