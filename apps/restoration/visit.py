"""What a visitor of the restoration page has chosen: a page of a file, and which result to look at."""

import threading
from dataclasses import asdict, dataclass, replace
from typing import Any

from apps.shared import visits
from apps.shared.visits import Session
from vision_core.files import read_json, write_json

APP = "restoration"
FILE = "visit.json"
_CHANGING = threading.Lock()


@dataclass(frozen=True)
class Visit:
    """A visitor's choices.

    Args:
        source: name of the kept file in the session's folder; `title` is what the visitor calls it.
        pages: how many it has; `page` is the chosen one, from 1.
        sheet: name of the result on the page.
        run: name of the training on the page.
    """

    source: str = ""
    title: str = ""
    pages: int = 0
    page: int = 1
    sheet: str = ""
    run: str = ""


def current(given: Session | None) -> tuple[Session, Visit]:
    """The session and its choices, read anew; a client that never opened the page gets a new session."""
    if given is None or not given.path(FILE).exists():
        return given or visits.new(APP), Visit()
    return given, Visit(**read_json(visits.opened(given).path(FILE)))


def change(given: Session, **choices: Any) -> Visit:
    """Write some choices down, leaving the others as another event may just have made them."""
    with _CHANGING:
        visit = replace(current(given)[1], **choices)
        write_json(visits.opened(given).path(FILE), asdict(visit))
    return visit
