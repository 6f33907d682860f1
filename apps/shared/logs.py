"""The log of the server: a traceback for our own errors, one line for errors that visitors can cause."""

import logging
import sys
import traceback
from asyncio import CancelledError
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any

import apps
import vision_core
from vision_core.safety.messages import reason

PASSED = {"connections.py", "doors.py", "quota.py", "suite.py", "wiring.py"}  # that requests pass through
_OURS = tuple(str(path.resolve().parent) for path in (Path(apps.__file__), Path(vision_core.__file__)))
CAUGHT: ContextVar[list[BaseException]] = ContextVar("faults that Gradio caught in this request")
log = logging.getLogger("vision_core.apps")


def install() -> None:
    """Shorten the log entries of libraries about requests that never reached our code."""
    make = logging.getLogRecordFactory()
    if getattr(make, "shortens", False):
        return

    def make_short(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not is_ours(error):
            record.msg, record.args = "%s (%s)", (first_line(record.getMessage()), where(error))
            record.exc_info = record.exc_text = record.stack_info = None
        return record

    make_short.shortens = True  # pyright: ignore[reportFunctionMemberAccess]
    logging.setLogRecordFactory(make_short)


class GradioTraceback:
    """Replaces the module `traceback` in Gradio, which prints errors instead of logging them."""

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    @staticmethod
    def print_exc() -> None:
        error = sys.exc_info()[1]
        log.error("a request to Gradio failed", exc_info=error)
        if error is not None:
            CAUGHT.get([]).append(error)


def quiet_gradio() -> None:
    """Send errors of Gradio to the log."""
    from gradio import queueing, route_utils, routes, utils

    for module in (queueing, route_utils, routes, utils):
        module.traceback = GradioTraceback()  # pyright: ignore[reportAttributeAccessIssue]


def is_ours(error: BaseException) -> bool:
    """Whether the error is ours: our code beyond the middleware ran, or gave Gradio a wrong value."""
    return any(
        (code.co_filename.startswith(_OURS) and Path(code.co_filename).name not in PASSED)
        or code.co_name == "postprocess_data"
        for one in chain(error)
        for code in (frame.tb_frame.f_code for frame in _frames(one.__traceback__))
    )


def where(error: BaseException) -> str:
    """The event and its place, on one line."""
    unspecific = (BaseExceptionGroup, CancelledError)
    cause = ([one for one in chain(error) if not isinstance(one, unspecific)] or [error])[-1]
    place = [*_frames(cause.__traceback__)][-1:]
    code = [f", {Path(t.tb_frame.f_code.co_filename).name}:{t.tb_lineno}" for t in place]
    return f"{type(cause).__name__}: {reason(cause)}{''.join(code)}"


def first_line(text: str) -> str:
    """The first line of a message, shortened."""
    return reason(ValueError(text.strip()))


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes and the members of its group, each once."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [each for each in (one.__cause__, one.__context__) if each is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next
