"""One result of a visit: a folder with its settings, progress, candidates and finished files."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from apps.image_editing.visit import Visit
from apps.shared import jobs, results
from apps.shared.results import Result

BYTES = 24 << 20  # room for the pictures of an edit


@dataclass(frozen=True)
class Work(Result):
    """A result with its progress.

    `facts`: `kind` (task or text), `title`, `source` and what the painter was given. The state of its
    job has `candidates`, too, and what else the page shows.
    """

    KIND: ClassVar[str] = "work"
    NOTHING: ClassVar[str] = "There is no result yet: edit the picture first"

    def state(self) -> dict[str, Any]:
        """Progress of the work; see `jobs.state`."""
        return jobs.state(self.session, f"{self.name}/state")

    def result(self, state: dict[str, Any]) -> Path | None:
        """The PNG of the chosen candidate, with its recipe; None before the first candidate."""
        number = chosen(self, state)
        return None if number is None else self.path(f"candidate-{number}.png")


def chosen(work: Work, state: dict[str, Any]) -> int | None:
    """The number of the candidate that was clicked, or of the best so far."""
    candidates = state["candidates"]
    try:
        picked = int(work.path("chosen").read_text())
    except (FileNotFoundError, ValueError):
        picked = -1
    if 0 <= picked < len(candidates):
        return picked
    return (
        max(range(len(candidates)), key=lambda k: candidates[k]["scores"].get("score", 0))
        if candidates
        else None
    )


def create(visit: Visit, **facts: Any) -> Work:
    """Create the folder of a new result."""
    work = results.create(Work, visit, BYTES)
    work.describe(source=visit.source, **facts)
    return work


def running(visit: Visit) -> Work | None:
    """The result in progress."""
    newest = next(iter(every(visit)), None)
    return newest if newest and newest.state()["status"] in jobs.GOING_ON else None


every = partial(results.every, Work)
get = partial(results.get, Work)
