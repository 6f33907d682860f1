"""One result of a visit: a folder with its settings, how far it is, its candidates and the finished files."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from apps.image_editing.visit import Visit
from apps.shared import visits
from apps.shared.queue import HEAVY
from vision_core.files import read_json, write_json

NAME = re.compile(r"work-\d{3,6}")
BYTES = 24 << 20  # room for the pictures of an edit
NOTHING = "There is no result yet: edit the picture first"


@dataclass(frozen=True)
class Work:
    """A result, in the folder of its visitor.

    work.json: `kind` (task or text), `title`, and what the painter is told. state.json: `status` (working,
    done, stopped, failed), `words`, `step`, `total`, `eta`, `candidates` and what else the page shows.
    """

    session: visits.Session
    name: str

    @property
    def folder(self) -> Path:
        return self.session.path(self.name)

    @cached_property
    def facts(self) -> dict[str, Any]:
        return read_json(self.folder / "work.json")

    def path(self, name: str) -> Path:
        return self.folder / name

    def state(self) -> dict[str, Any]:
        """How far it is; an edit that a restart of the server ended is `interrupted`."""
        found = read_json(self.path("state.json"))
        if found["status"] == "working":
            ahead = HEAVY.before(self.session.owner)
            if ahead is None and read_json(self.path("state.json"))["status"] == "working":
                found["status"] = "interrupted"
            elif ahead:
                found["status"] = "waiting"
        return found

    def note(self, **state: Any) -> None:
        """Tell the page how far it is."""
        write_json(self.path("state.json"), state, indent=None)

    def result(self, state: dict[str, Any]) -> Path | None:
        """The chosen candidate's PNG, with its recipe; None where nothing is painted yet."""
        number = chosen(self, state)
        return None if number is None else self.path(f"candidate-{number}.png")


def chosen(work: Work, state: dict[str, Any]) -> int | None:
    """The number of the candidate that was clicked, or of the best so far."""
    found = state["candidates"]
    try:
        picked = int(work.path("chosen").read_text())
    except (FileNotFoundError, ValueError):
        picked = -1
    if 0 <= picked < len(found):
        return picked
    return max(range(len(found)), key=lambda k: found[k]["scores"].get("score", 0)) if found else None


def create(visit: Visit, **facts: Any) -> Work:
    """A folder for a new result; the oldest results go when there is no room."""
    visits.opened(visit.session)
    old = [work.folder for work in reversed(every(visit)) if work.name != visit.work]
    visits.make_room(visit.session, BYTES, old)
    work = Work(visit.session, visits.next_name(visit.session, "work"))
    work.folder.mkdir()
    write_json(work.path("work.json"), facts)
    work.note(status="working", words="", step=0, total=0, eta=0, candidates=[])
    return work


def every(visit: Visit) -> list[Work]:
    """The results of a visit, newest first."""
    return [Work(visit.session, name) for name in visits.numbered(visit.session, "work", "work.json")]


def get(visit: Visit, name: object = None) -> Work:
    """The result on the page, or the one of that name; none is a `ValueError`."""
    name = visit.work if name is None else name
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(NOTHING)
    work = Work(visit.session, name)
    if not work.path("work.json").exists() or not work.path("state.json").exists():
        raise ValueError("That result is no longer here")
    return work
