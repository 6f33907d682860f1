"""A visitor's choices on the restoration page: a page of a file, and the result to look at."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from apps.shared import visits

APP = "restoration"


@dataclass(frozen=True)
class Visit(visits.Visit):
    """A visitor's choices.

    Args:
        source: name of the kept file in the session's folder; `title` is what the visitor calls it.
        pages: how many it has; `page` is the chosen one, from 1.
        run: name of the training on the page.
    """

    APP: ClassVar[str] = APP
    source: str = ""
    title: str = ""
    pages: int = 0
    page: int = 1
    run: str = ""


current = partial(visits.current, Visit)
change = partial(visits.change, Visit)
