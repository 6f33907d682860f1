"""Downloads and the picture on the page, each by the key of its visit."""

import re
from html import escape

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from apps.image_editing import visit, works
from apps.shared import visits
from apps.shared.faults import sentence

router = APIRouter()
VIEW = re.compile(r"shown-[0-9a-f]{24}\.png")
FILE = re.compile(r"candidate-\d{1,3}\.(png|json)")


@router.get("/files/{key}/{name}/{file}")
def download(key: str, name: str, file: str) -> Response:
    """A file of one result of the visit with that key, or (`view`) a picture that its page shows."""
    try:
        found = visits.find(visit.APP, key)
        if found is None:
            raise ValueError("This visit is over: its files were removed")
        if name == "view" and VIEW.fullmatch(file):
            path = found.path(file)
        else:
            work = works.get(visit.current(found), name)
            if not FILE.fullmatch(file):
                raise ValueError(f"There is no download {file!r}")
            path = work.path(file)
        if not path.exists():
            raise ValueError("There is no such file yet")
        return FileResponse(path, headers={"cache-control": "private, max-age=3600"})
    except ValueError as error:
        text = escape(sentence(error))
        return HTMLResponse(
            '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
            f'<title>Download</title><p>{text}</p><p><a href="/">Home</a></p></html>',
            404,
        )
