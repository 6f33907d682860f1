"""Reads strangers' pictures in a process of its own, with a deadline and a memory limit.

A file may be small and keep a decoder busy for minutes, make it ask for gigabytes, or crash it. Servers
therefore read uploads here; nothing but that one request fails.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from vision_core import documents, images
from vision_core.images import MAX_PIXELS, Picture

SECONDS = 30.0  # ten times what the slowest 26 megapixels take on an idle machine
WORKERS = 2  # pictures decoded at once; each worker keeps some 50 MB while it waits
PAGE_SECONDS, PIXELS_PER_SECOND = 4, 1_000_000  # of the processor, for a page of a PDF and its pixels
PAGE_BYTES = 512 << 20  # for what it draws beside pixels
BYTES_PER_PIXEL = 24  # the most that `images.read` was seen to need is 21
# every thread of numpy and every arena of malloc would reserve address space
_FEW_THREADS = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}

_slots = threading.BoundedSemaphore(WORKERS)
_open: dict[Any, tuple[documents.Document, ExitStack]] = {}  # in the worker, the last document
_idle: list[subprocess.Popen[bytes]] = []


def read(
    source: str | Path | bytes,
    max_pixels: int = MAX_PIXELS,
    seconds: float = SECONDS,
    page: int | None = None,
) -> Picture:
    """`images.read` in a worker process that is ended after `seconds`; may be called from any thread.

    With a `page`, from 1, it is `documents.read`, and the source a path.

    The worker is kept for the next picture and replaced once it ends. Its memory is limited to what
    `max_pixels` need where the system enforces such limits (Linux does, macOS does not).

    Raises:
        ValueError: whatever `images.read` refuses; too slow, too much memory, or a decoder that crashed; all
            workers busy for `seconds`.
        RuntimeError: the worker process cannot start.
    """
    data = source if isinstance(source, bytes) else b""
    path = None if isinstance(source, bytes) else str(Path(source).absolute())
    request = {"path": path, "page": page, "max_pixels": max_pixels}
    return _ask_one(request, data, str(source) if path else "the image", seconds)


def count(path: str | Path, seconds: float = SECONDS) -> int:
    """`documents.count` as `read` reads: the number of pages of an image, a TIFF or a PDF."""
    request = {"path": str(Path(path).absolute()), "page": 0, "max_pixels": MAX_PIXELS}
    return _ask_one(request, b"", str(path), seconds)


def _ask_one(request: dict[str, Any], data: bytes, name: str, seconds: float) -> Any:
    request |= {"seconds": seconds, "size": len(data)}
    if not _slots.acquire(timeout=seconds):
        raise ValueError("too many pictures are being opened at once; try again in a moment")
    try:
        return _ask(_idle_worker() or _start(), request, data, name)
    finally:
        _slots.release()


def _ask(worker: subprocess.Popen[bytes], request: dict[str, Any], data: bytes, name: str) -> Any:
    """The picture, or the number of pages; a timer ends the worker, and with it a blocked pipe."""
    assert worker.stdin and worker.stdout
    overdue, reply = threading.Event(), None
    timer = threading.Timer(request["seconds"], lambda: (overdue.set(), worker.kill()))
    timer.start()
    try:
        _send(worker.stdin, request, data)
        reply = _receive(worker.stdout)
        found = reply.get("count") or (None if "error" in reply else _receive_picture(worker.stdout, reply))
    except Exception as error:  # a pipe that ended, or anything that a crashing process wrote into it
        status = _end(worker)
        name = f"page {request['page']} of {name}" if request["page"] else name
        if overdue.is_set():
            raise ValueError(f"{name} takes longer than {request['seconds']:g} s to open") from error
        if status == -getattr(signal, "SIGXCPU", 0):
            raise ValueError(f"{name} takes too long to open for what it holds") from error
        raise ValueError(f"{name} cannot be opened: its decoder crashed or needed too much memory") from error
    except BaseException:
        _end(worker)  # half a reply is still on its way
        raise
    finally:
        timer.cancel()
        timer.join()
    if overdue.is_set():
        _end(worker)
    else:
        _idle.append(worker)
    if found is None:
        raise ValueError(reply["error"].replace(request["path"] or name, name))
    return found


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
        [sys.executable, "-P", "-m", "vision_core.guarded"],
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
        _receive(worker.stdout)
    except EOFError as error:
        raise RuntimeError(f"the process that opens pictures ended with status {_end(worker)}") from error
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


# The two ends speak in messages: four bytes of length, JSON, then the arrays that the JSON announces.
# No pickle, which could run what a taken-over decoder writes.


def _send(pipe: IO[bytes], message: dict[str, Any], *parts: Any) -> None:
    text = json.dumps(message).encode()
    pipe.write(len(text).to_bytes(4) + text)
    for part in parts:
        pipe.write(part)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> dict[str, Any]:
    length = pipe.read(4)
    if len(length) < 4:
        raise EOFError
    return json.loads(pipe.read(int.from_bytes(length)))


def _send_picture(pipe: IO[bytes], picture: Picture) -> None:
    arrays = {name: getattr(picture, name) for name in ("rgb", "alpha", "wide")}
    arrays |= {name: np.frombuffer(getattr(picture, name) or b"", np.uint8) for name in ("icc", "xmp")}
    there = {name: np.ascontiguousarray(a) for name, a in arrays.items() if a is not None and a.size}
    plain = {name: getattr(picture, name) for name in ("dpi", "exif", "bit_depth", "notes", "kind")}
    _send(pipe, {**plain, "shapes": {name: a.shape for name, a in there.items()}}, *there.values())


def _receive_picture(pipe: IO[bytes], reply: dict[str, Any]) -> Picture:
    arrays = {}
    for name, shape in reply.pop("shapes").items():
        arrays[name] = np.empty(shape, np.uint16 if name == "wide" else np.uint8)
        if pipe.readinto(arrays[name]) != arrays[name].nbytes:  # pyright: ignore
            raise EOFError
    return Picture(
        rgb=arrays["rgb"],
        alpha=arrays.get("alpha"),
        icc=arrays["icc"].tobytes() if "icc" in arrays else None,
        dpi=tuple(reply["dpi"]) if reply["dpi"] else None,
        exif={int(tag): text for tag, text in reply["exif"].items()},
        bit_depth=reply["bit_depth"],
        notes=tuple(reply["notes"]),
        kind=reply["kind"],
        wide=arrays.get("wide"),
        xmp=arrays["xmp"].tobytes() if "xmp" in arrays else None,
    )


def _serve() -> None:
    """The worker: answer requests from standard input until it is closed."""
    replies, requests = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)  # what a library prints must not get among the replies
    _send(replies, {})
    with suppress(EOFError):
        while True:
            _answer(requests, replies)


def _answer(requests: IO[bytes], replies: IO[bytes]) -> None:
    """One request; what it took is free again before the next is awaited."""
    request = _receive(requests)
    data = requests.read(request["size"])
    _limit(request)
    try:
        if request["page"] is None:
            found = images.read(request["path"] or data, request["max_pixels"])
        else:
            path = Path(request["path"])
            document = _document(path, request["max_pixels"])
            allow = partial(_allow, psutil.Process().memory_info().vms)
            number = request["page"]
            found = documents.read_from(document, path, number, allow) if number else document.count
    except ValueError as error:
        _send(replies, {"error": str(error)})
    else:
        if isinstance(found, int):
            _send(replies, {"count": found})
        else:
            _send_picture(replies, found)


def _document(path: Path, max_pixels: int) -> documents.Document:
    """The file, opened; the last one stays open for its next page."""
    status = path.stat() if path.exists() else None
    key = (path, max_pixels, status and (status.st_size, status.st_mtime_ns))
    if key not in _open:
        for _, stack in _open.values():
            stack.close()
        _open.clear()
        stack = ExitStack()
        _open[key] = stack.enter_context(documents.opened(path, max_pixels)), stack
    return _open[key][0]


def _allow(memory: int, pixels: float) -> None:
    """Bound what a page may take from here on: `memory` before it, and what its pixels need."""
    with suppress(ImportError):  # Windows
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = PAGE_SECONDS + pixels / PIXELS_PER_SECOND
        _restrict(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds))
        _restrict(resource.RLIMIT_AS, int(memory + BYTES_PER_PIXEL * pixels + PAGE_BYTES))


def _restrict(kind: int, soft: int) -> None:
    import resource

    with suppress(ValueError, OSError):  # a system that has no such limit
        resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))


def _limit(request: dict[str, Any]) -> None:
    """Bound the memory and the processor time of what comes next, should nobody be left to end it."""
    try:
        import resource
    except ImportError:  # Windows: the deadline alone ends what takes too long
        return
    process, threads = psutil.Process(), os.cpu_count() or 1
    room = BYTES_PER_PIXEL * request["max_pixels"] + (256 + 16 * threads << 20)  # AVIF starts threads
    now = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        resource.RLIMIT_AS: process.memory_info().vms + room,
        resource.RLIMIT_CORE: 0,  # a crash must not leave somebody's picture on the disk
        resource.RLIMIT_CPU: int(now.ru_utime + now.ru_stime + request["seconds"]) + 2,
    }
    for kind, soft in limits.items():
        _restrict(kind, soft)


if __name__ == "__main__":
    _serve()
