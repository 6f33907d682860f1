"""Records the events of a training in its run, and ends it when a stop is requested."""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict
from typing import Any, TypeVar

import torch
from accelerate.utils import gather_object

from vision_core import devices, runs
from vision_core.events import Done, Epoch, Event, Prepare, Step
from vision_core.runs import Run

E = TypeVar("E", bound=Event)


def record(run: Run, events: Iterable[E], resumed_from: tuple[int, int] | None = None) -> Generator[E]:
    """Yield the events of a training, log them to the run, and stop after `runs.request_stop`.

    In distributed training, only the first process writes.

    Args:
        resumed_from: epoch and step the events continue from; later entries of the log become invalid.

    Raises:
        ValueError: another process is training this run.
    """
    if not runs.is_first_process():
        yield from _until_stopped(run, events)
        return
    ending: dict[str, Any] = {"event": "stopped"}  # also if the caller closes the generator
    with runs.being_trained(run), devices.fixed_cores():
        try:
            if resumed_from is None:
                run.log({"event": "start"})
            else:
                run.log({"event": "resume", "epoch": resumed_from[0], "step": resumed_from[1]})
            with closing(_until_stopped(run, events)) as stream:
                for event in stream:
                    if isinstance(event, Done):
                        ending = {"event": "done"}
                    elif isinstance(event, Prepare | Step | Epoch):
                        run.log({"event": type(event).__name__.lower(), **asdict(event)})
                    yield event
            if not (run.folder / "stop").exists():
                ending = {"event": "done"}
        except Exception as error:
            ending = {"event": "failed", "error": str(error) or type(error).__name__}
            raise
        finally:
            run.log(ending)


def _until_stopped(run: Run, events: Iterable[E]) -> Generator[E]:
    """The events up to a stop request. All processes agree on it, or some would hang."""
    stream = iter(events)
    try:
        for event in stream:
            yield event
            stop = [(run.folder / "stop").exists()]
            if any(gather_object(stop) if torch.distributed.is_initialized() else stop):
                return
    finally:
        if isinstance(stream, Generator):
            stream.close()  # the training saves its state
