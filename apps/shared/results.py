"""Results of a visit: numbered folders KIND-001, KIND-002 ..., each with its facts in KIND.json."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from apps.shared import visits
from apps.shared.visits import Session, Visit
from vision_core.files import read_json, write_json


@dataclass(frozen=True)
class Result:
    """One result, in the folder of its visitor.

    `KIND` starts the folder's name; `NOTHING` is the sentence for a visit without a result.
    """

    KIND: ClassVar[str]
    NOTHING: ClassVar[str]
    session: Session
    name: str

    @property
    def folder(self) -> Path:
        return self.session.path(self.name)

    @property
    def number(self) -> int:
        return int(self.name.rpartition("-")[2])

    @cached_property
    def facts(self) -> dict[str, Any]:
        return read_json(self.path(f"{self.KIND}.json"))

    def path(self, name: str) -> Path:
        return self.folder / name

    def describe(self, **facts: Any) -> None:
        """Write the facts, which completes the result."""
        write_json(self.path(f"{self.KIND}.json"), facts)


Kind = TypeVar("Kind", bound=Result)


def create(kind: type[Kind], visit: Visit, needed: int) -> Kind:
    """A folder for a new result of `needed` bytes; `Result.describe` completes it.

    If there is no room, the oldest results are deleted, except the one on the page.
    """
    visits.opened(visit.session)
    visits.make_room(visit.session, needed, removable(kind, visit))
    result = kind(visit.session, visits.next_name(visit.session, kind.KIND))
    result.folder.mkdir()
    return result


def every(kind: type[Kind], visit: Visit) -> list[Kind]:
    """The results of a visit, newest first."""
    names = visits.numbered(visit.session, kind.KIND, f"{kind.KIND}.json")
    return [kind(visit.session, name) for name in names]


def missing(results: Sequence[Result], shown: int) -> str:
    """A sentence on the results older than the `shown` newest, and on deleted ones."""
    removed, older = 0, max(0, len(results) - shown)
    if results:
        folders = visits.numbered(
            results[-1].session, results[-1].KIND
        )  # also those that a kill left incomplete
        removed = results[-1].number - len(folders) + folders.index(results[-1].name)
    parts = (
        ["an older one is not shown" if older == 1 else f"{older} older ones are not shown"] if older else []
    )
    if removed:
        which = "the first one was" if removed == 1 else f"the first {removed} were"
        parts.append(f"{which} removed to make room")
    return f" ({'; '.join(parts)})" if parts else ""


def removable(kind: type[Kind], visit: Visit) -> list[Path]:
    """Results that may be deleted to make room, oldest first."""
    names = reversed(visits.numbered(visit.session, kind.KIND))  # also those that a kill left incomplete
    return [visit.session.path(name) for name in names if name != visit.result]


def get(kind: type[Kind], visit: Visit, name: object = None) -> Kind:
    """The named result, by default the one on the page. Raises `ValueError` if there is none."""
    name = visit.result if name is None else name
    if not isinstance(name, str) or not re.fullmatch(rf"{kind.KIND}-\d{{3,6}}", name):
        raise ValueError(kind.NOTHING)
    result = kind(visit.session, name)
    if not result.path(f"{kind.KIND}.json").exists():
        raise ValueError("That result is no longer here")
    return result
