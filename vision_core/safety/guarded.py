"""Reads untrusted files in a separate process, with a deadline and a memory limit.

A small file can keep a decoder busy for minutes, make it allocate gigabytes, or crash it. Servers therefore
read uploads here, so that only that request fails.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import psutil

from vision_core.pictures.images import Picture
from vision_core.safety import limits, wire

LOADING_SECONDS = 120  # to load a reader's libraries, perhaps torch on a busy machine
IDLE_BYTES = 300 << 20  # larger workers are ended
# every thread of numpy and every arena of malloc would reserve address space
_FEW_THREADS = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}

_idle: list[subprocess.Popen[bytes]] = []
Result = TypeVar("Result")


def read(
    source: str | Path | bytes,
    max_pixels: int | None = None,
    seconds: float | None = None,
    page: int | None = None,
) -> Picture:
    """`images.read` in a worker process that is ended after `seconds`; may be called from any thread.

    With a `page`, from 1, like `documents.read`; the source is then a path.

    The worker is kept for the next file and replaced once it ends. Its memory is limited to the
    need of `max_pixels` if the system enforces such limits (Linux does, macOS does not).

    Args:
        max_pixels, seconds: None for the limits of these names.

    Raises:
        ValueError: whatever `images.read` refuses; too slow, too much memory, or a decoder that crashed; all
            workers busy for `seconds`.
        RuntimeError: the worker process cannot start.
    """
    return _ask_one({"page": page, "max_pixels": max_pixels or limits.PIXELS.value}, source, seconds)


def count(path: str | Path, seconds: float | None = None) -> int:
    """`documents.count` as `read` reads: the number of pages of an image, a TIFF or a PDF."""
    return _ask_one({"page": 0, "max_pixels": limits.PIXELS.value}, path, seconds)


def call(
    function: Callable[..., Result], source: str | Path | bytes, *arguments: Any, seconds: float | None = None
) -> Result:
    """Call `function(source, *arguments)` in a worker, as `read` does; a path arrives as `Path`.

    Args:
        function: a function of this package, imported by its name in the worker. Arguments and result are
            plain data, arrays, bytes, or dataclasses of these; see `wire`.
    """
    request = {"function": [function.__module__, function.__qualname__], "arguments": list(arguments)}
    return _ask_one({**request, "page": None, "max_pixels": limits.PIXELS.value}, source, seconds)


@cache
def _slots() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(limits.DECODERS.value)


def _ask_one(request: dict[str, Any], source: str | Path | bytes, seconds: float | None) -> Any:
    by_name = not isinstance(source, bytes)
    request |= {
        "path": str(Path(source).absolute()) if by_name else None,
        "data": b"" if by_name else source,
        "limits": limits.changed(),
        "seconds": limits.SECONDS.value if seconds is None else seconds,
    }
    if not _slots().acquire(timeout=request["seconds"]):
        raise ValueError("too many files are being opened at once; try again in a moment")
    try:
        return _ask(_idle_worker() or _start(), request, str(source) if by_name else "the image")
    finally:
        _slots().release()


def _ask(worker: subprocess.Popen[bytes], request: dict[str, Any], name: str) -> Any:
    """The worker's answer; a timer ends the worker, which unblocks the pipe."""
    assert worker.stdin and worker.stdout
    overdue = threading.Event()
    try:
        with _deadline(worker, LOADING_SECONDS, overdue):
            wire.send(worker.stdin, request)
            answer = wire.receive(worker.stdout)
        if answer == "loaded":  # the libraries
            with _deadline(worker, request["seconds"], overdue):
                answer = wire.receive(worker.stdout)
        kind, result = answer
    except Exception as error:  # the pipe ended, or a crashing process wrote garbage into it
        status = _end(worker)
        name = f"page {request['page']} of {name}" if request["page"] else name
        if overdue.is_set():
            raise ValueError(f"{name} takes longer than {request['seconds']:g} s to open") from error
        if status == -getattr(signal, "SIGXCPU", 0):
            raise ValueError(f"{name} takes too long to open for what it holds") from error
        raise ValueError(f"{name} cannot be opened: its decoder crashed or needed too much memory") from error
    except BaseException:
        _end(worker)  # half a reply may still arrive
        raise
    if overdue.is_set() or _memory(worker) > IDLE_BYTES:
        _end(worker)
    else:
        _idle.append(worker)
    if kind == "error":
        raise ValueError(str(result).replace(request["path"] or name, name))
    return result


@contextmanager
def _deadline(worker: subprocess.Popen[bytes], seconds: float, overdue: threading.Event) -> Iterator[None]:
    timer = threading.Timer(seconds, lambda: (overdue.set(), worker.kill()))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _memory(worker: subprocess.Popen[bytes]) -> float:
    try:
        return psutil.Process(worker.pid).memory_info().rss
    except psutil.Error:  # it has ended
        return float("inf")


def _idle_worker() -> subprocess.Popen[bytes] | None:
    while _idle:
        with suppress(IndexError):  # another thread took the last one
            worker = _idle.pop()
            if worker.poll() is None:
                return worker
            _end(worker)
    return None


def _start() -> subprocess.Popen[bytes]:
    """A worker that has loaded what it needs."""
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "vision_core.safety.guarded_worker"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_FEW_THREADS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # an interrupt at the terminal is the server's alone
    )
    assert worker.stdout
    with suppress(ImportError, AttributeError, OSError):  # Linux only; six times as fast as a pipe of 64 kB
        import fcntl

        fcntl.fcntl(worker.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
    try:
        wire.receive(worker.stdout)
    except EOFError as error:
        raise RuntimeError(f"the process that opens files ended with status {_end(worker)}") from error
    atexit.unregister(_end_idle)
    atexit.register(_end_idle)
    return worker


def _end(worker: subprocess.Popen[bytes]) -> int:
    """Kill the worker and give its pipes back; its exit status."""
    worker.kill()
    for pipe in filter(None, (worker.stdin, worker.stdout)):
        with suppress(OSError):  # of what was still to be written
            pipe.close()
    return worker.wait()


def _end_idle() -> None:
    while _idle:
        _end(_idle.pop())
