"""Downloads and the picture on the page, each by the key of its visit."""

import re
from collections.abc import Mapping

from fastapi.responses import Response

from apps.image_editing import visit, works
from apps.shared import downloads, visits
from apps.shared.visits import Session

VIEW = re.compile(r"shown-[0-9a-f]{24}\.png")
FILE = re.compile(r"candidate-\d{1,3}\.(png|json)")


def _find(session: Session, name: str, file: str, options: Mapping[str, str]) -> Response:
    """A file of one result or (`view`) a picture that the page shows."""
    if name == "view" and VIEW.fullmatch(file):
        return downloads.stored(session.path(file), keep=True)
    work = works.get(visit.current(session), name)
    if not FILE.fullmatch(file):
        raise ValueError(f"There is no download {file!r}")
    end = "edited.png" if file.endswith(".png") else "recipe.json"
    return downloads.stored(
        work.path(file), f"{visits.title(session, work.facts['source'])}-{end}", keep=True
    )


router = downloads.router(visit.APP, _find)
