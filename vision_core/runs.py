"""The folder of a training run: its settings and its log, and functions to start, follow and stop it."""

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

from vision_core import run_log
from vision_core.files import read_json, write_json
from vision_core.safety.messages import quote
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
        """The content of config.json: "system", "settings" and further facts of the system.

        Raises:
            ValueError: the file is missing or broken.
        """
        path = self.folder / "config.json"
        if _incomplete(self.folder):
            raise ValueError(f"{self.folder} holds no run: its creation was interrupted, start it again")
        config = read_json(path)
        if not isinstance(config, dict) or not isinstance(config.get("system"), str):
            raise ValueError(f"{path} does not name the system of the run")
        return config

    @property
    def resume_file(self) -> Path:
        """Model, optimiser, scheduler and epoch; exists as long as there is something to resume."""
        return self.folder / "resume.pt"

    @property
    def _log(self) -> Path:
        return self.folder / "metrics.jsonl"

    def log(self, entry: dict[str, Any]) -> None:
        """Append one event to metrics.jsonl, with the time."""
        run_log.append(self._log, entry)

    def events(self) -> list[dict[str, Any]]:
        """All events so far, each with "event" and "time"; see `run_log.read`."""
        return run_log.read(self._log)

    def eta(self) -> float | None:
        """Estimated seconds left at the last step; None before the first."""
        return run_log.eta(self._log)

    def process(self) -> int | None:
        """The id of the process that is training this run, or None."""
        try:
            recorded = read_json(self.folder / "process.json")
            process = psutil.Process(recorded["pid"])
            same = abs(process.create_time() - recorded["started"]) < 1  # not another one with a reused id
            alive = same and process.status() != psutil.STATUS_ZOMBIE
        except (ValueError, KeyError, TypeError, OverflowError, psutil.Error):
            return None
        return recorded["pid"] if alive else None

    def status(self) -> str:
        """`running`, `done`, `failed`, `stopped` (on request), `interrupted` (killed) or `new`."""
        if self.process() is not None:
            return "running"
        entries = self.events()
        last = entries[-1]["event"] if entries else "new"
        return last if last in ("new", *run_log.ENDS) else "interrupted"

    def failure(self) -> str:
        """Why the run failed: the error of its last event, or else the last line of its log."""
        last = self.events()[-1:]
        message = last[0].get("error", "") if last else ""
        log = self.folder / "log.txt"
        if not message and log.exists():
            lines = log.read_text("utf-8", "replace").split("\n")
            message = next((line for line in reversed(lines) if line.strip()), "")
        return message.strip().removeprefix("vision-core: ")


CREATING = "vision-core-run.creating"  # marker file that exists while a run is being created


def create(
    folder: str | Path,
    system: str,
    settings: Any,
    *,
    replace: bool = False,
    inputs: Callable[[Path], None] | None = None,
    **facts: Any,
) -> Run:
    """Create the run's folder. config.json is written last: a folder with this file is a run.

    If the process is killed while it creates or replaces a run, the next call cleans up.

    Args:
        system: the command of the system, e.g. "digits"; `start` runs `vision-core SYSTEM train`.
        settings: a dataclass of plain data.
        replace: remove an existing run of the same system first.
        inputs: called with the folder; writes the inputs of the training that are not settings.
        facts: further plain data that a resume needs, such as where the data are.

    Raises:
        ValueError: `folder` holds a run and `replace` is not set, or it holds something else than a run.
    """
    run = Run(Path(folder))
    if not is_first_process():
        _await_config(run)
        return run
    if run.folder.exists() and not run.folder.is_dir():
        raise ValueError(f"{folder} is a file; the name of a folder was expected")
    if run.folder.is_dir() and any(run.folder.iterdir()) and not _incomplete(run.folder):
        _check_replaceable(run, system, replace)
    run.folder.mkdir(parents=True, exist_ok=True)
    marker = run.folder / CREATING
    marker.touch()
    (run.folder / "config.json").unlink(missing_ok=True)  # first: it marks the other files as complete
    for path in run.folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != marker:
            path.unlink()
    if inputs is not None:
        inputs(run.folder)
    write_json(run.folder / "config.json", {"system": system, "settings": asdict(settings), **facts})
    marker.unlink()
    return run


def _incomplete(folder: Path) -> bool:
    """Whether `create` was killed before it finished."""
    if (folder / CREATING).exists():
        return True
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return bool(names) and all(name.startswith("config.json.") and name.endswith(".part") for name in names)


def _check_replaceable(run: Run, system: str, replace: bool) -> None:
    if not (run.folder / "config.json").exists():
        raise ValueError(f"{run.folder} is not empty, but holds no run: choose another folder")
    if not replace:
        raise ValueError(f"{run.folder} already holds a run: resume it, replace it or choose another folder")
    if (other := run.config["system"]) != system:
        raise ValueError(f"{run.folder} is a run of {quote(other)}, not of {system!r}: choose another folder")
    if (pid := run.process()) is not None:
        raise ValueError(f"{run.folder} is being trained by process {pid}")


def _await_config(run: Run, seconds: float = 60) -> None:
    """In distributed training the first process creates the run; the others wait until its config appears."""
    launched, path = psutil.Process(os.getppid()).create_time(), run.folder / "config.json"
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_mtime >= launched):
        if time.monotonic() > deadline:
            raise ValueError(f"the first process did not create {run.folder}")
        time.sleep(0.05)


def open(folder: str | Path, system: str, kind: type[Settings]) -> tuple[Run, Settings]:
    """Open the run in `folder`; returns it with its settings, as the dataclass `kind`.

    Raises:
        ValueError: no run, a run of another system, or settings that `kind` does not accept.
    """
    run = Run(Path(folder))
    config = run.config
    if config["system"] != system:
        raise ValueError(f"{folder} is a run of {quote(config['system'])}, not of {system!r}")
    try:
        return run, from_plain(kind, config.get("settings"))
    except ValueError as error:
        raise ValueError(f"{run.folder / 'config.json'} has invalid settings: {error}") from error


def new_folder(root: str | Path, system: str) -> Path:
    """An unused folder name from the current time, e.g. `root/system/2026-01-31-120000`."""
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    names = (stamp if n == 1 else f"{stamp}-{n}" for n in range(1, 10**6))
    return next(path for name in names if not (path := Path(root) / system / name).exists())


def start(run: Run) -> int:
    """Train or resume `run` in a background process that outlives this one; returns its process id.

    The process leaves one core free and has a low priority, so that a web page stays responsive. Its output
    goes to log.txt in the run's folder.

    Raises:
        ValueError: there is no run, or another process is training it.
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
    """Ask the training process to save its state and exit after the current step."""
    (run.folder / "stop").touch()


def is_first_process() -> bool:
    """Whether this is the first process of a distributed training, or the only one."""
    return os.environ.get("RANK", "0") == "0"  # set by torchrun and accelerate


@contextmanager
def being_trained(run: Run) -> Iterator[None]:
    """Mark the run as running while the block executes.

    In distributed training, the first process stands for all.

    Raises:
        ValueError: another process is training this run.
    """
    if not is_first_process():
        yield
        return
    if (other := run.process()) not in (None, os.getpid()):
        raise ValueError(f"{run.folder} is being trained by process {other}")
    if other is None:  # not launched by `start`: any stop request predates this process
        (run.folder / "stop").unlink(missing_ok=True)
    try:
        _note_process(run, os.getpid())
        yield
    finally:
        for name in ("stop", "process.json"):
            (run.folder / name).unlink(missing_ok=True)


def _note_process(run: Run, pid: int) -> None:
    write_json(run.folder / "process.json", {"pid": pid, "started": psutil.Process(pid).create_time()})
