"""The process that `guarded` starts: it opens one file after another and answers through a pipe.

It has given up network, other processes and writing before the first file, as far as the kernel can do that;
each file gets limits of memory and of processor time.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import psutil

from vision_core.pictures import documents, images
from vision_core.safety import limits, wire
from vision_core.safety.confined import confine

PAGE_SECONDS, PIXELS_PER_SECOND = 4, 1_000_000  # of the processor, for a page of a PDF and its pixels
PAGE_BYTES = 512 << 20  # memory for drawing, in addition to the pixels
BYTES_PER_PIXEL = 24  # `images.read` was measured to need up to 21

_open: dict[Any, tuple[documents.Document, ExitStack]] = {}  # the last document


def serve() -> None:
    """Answer requests from standard input until it is closed."""
    replies, requests = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)  # libraries must not print into the replies
    tempfile.gettempdir()  # a library may ask for it and cannot search once nothing can be written
    wire.send(replies, confine())
    with suppress(EOFError):
        while True:
            _answer(requests, replies)


def _answer(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer one request; its memory is freed before the next one is awaited."""
    request = wire.receive(requests)
    limits.adopt(request["limits"])
    source = Path(request["path"]) if request["path"] else request["data"]
    try:
        function = _reader(request)
        wire.send(replies, "loaded")
        _limit(request)
        reply = "found", function(source)
    except ValueError as error:
        reply = "error", str(error)
    except MemoryError:
        reply = "error", f"{request['path'] or 'the file'} needs more memory than there is"
    except Exception as error:  # one of our parsers missed an error
        traceback.print_exc()
        reply = "error", f"{request['path'] or 'the file'} is damaged: {type(error).__name__}"
    wire.send(replies, reply)


def _reader(request: dict[str, Any]) -> Callable[[Any], Any]:
    """The function that opens a request's file; loads its libraries first, so that only the file counts."""
    if "function" in request:
        _lift()
        module, name = request["function"]
        function = getattr(import_module(module), name)
        return lambda source: function(source, *request["arguments"])
    if request["page"] is None:
        return lambda source: images.read(source, request["max_pixels"])
    return lambda source: _page(source, request["page"], request["max_pixels"])


def _page(path: Path, number: int, max_pixels: int) -> Any:
    """A page of a document, from 1; for 0 how many it has."""
    document = _document(path, max_pixels)
    allow = partial(_allow, psutil.Process().memory_info().vms)
    return documents.read_from(document, path, number, allow) if number else document.count


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
    """Limit processor time and memory of the next page: `memory` in use, plus the need of its pixels."""
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


def _lift() -> None:
    """Lift the memory limit until the next `_limit`: libraries reserve address space when they are loaded."""
    with suppress(ImportError):  # Windows
        import resource

        _restrict(resource.RLIMIT_AS, resource.getrlimit(resource.RLIMIT_AS)[1])


def _limit(request: dict[str, Any]) -> None:
    """Limit memory and processor time of the next request, in case no parent is left to end it."""
    try:
        import resource
    except ImportError:  # Windows: the deadline alone ends what takes too long
        return
    process, threads = psutil.Process(), os.cpu_count() or 1
    room = BYTES_PER_PIXEL * request["max_pixels"] + (256 + 16 * threads << 20)  # AVIF starts threads
    now = resource.getrusage(resource.RUSAGE_SELF)
    bounds = {
        resource.RLIMIT_AS: process.memory_info().vms + room,
        resource.RLIMIT_CORE: 0,  # a crash must not leave somebody's picture on the disk
        resource.RLIMIT_CPU: int(now.ru_utime + now.ru_stime + request["seconds"]) + 2,
    }
    for kind, soft in bounds.items():
        _restrict(kind, soft)


if __name__ == "__main__":
    serve()
