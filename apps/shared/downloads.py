"""Downloads of a visit, by its key: each is created on request and has its own file name."""

import threading
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.background import BackgroundTask

from apps.shared import visits
from apps.shared.faults import sentence
from apps.shared.visits import Session

KEEP = {"cache-control": "private, max-age=3600"}  # for addresses that determine the content of their file
Find = Callable[[Session, str, str, Mapping[str, str]], Response]


def router(app: str, find: Find) -> APIRouter:
    """The addresses `files/KEY/NAME/FILE`.

    Args:
        find: gives the answer for (session, NAME, FILE, options); a `ValueError` becomes an error page.
    """
    routes = APIRouter()
    slots = threading.BoundedSemaphore(2)  # created at the same time: each may hold a whole picture

    @routes.get("/files/{key}/{name}/{file}")
    def download(key: str, name: str, file: str, request: Request) -> Response:
        try:
            session = visits.find(app, key)
            if session is None:
                raise ValueError("This visit is over: its files were removed")
            with slots:
                return find(session, name, file, request.query_params)
        except ValueError as error:
            return _page(sentence(error), 404)
        except OSError:
            return _page(f"{visits.FULL}.", 507)

    return routes


def stored(path: Path, name: str = "", keep: bool = False) -> Response:
    """Serve an existing file as `name`; `keep` lets the browser cache it."""
    if not path.is_file():
        raise ValueError("There is no such file yet")
    return FileResponse(path, filename=name or None, headers=KEEP if keep else None)


def made(session: Session, name: str, file: str, write: Callable[[Path], Any]) -> Response:
    """Serve a file that `write` creates, as `name`; it is removed after it was sent."""
    visits.make_room(session, 0)
    folder = Path(mkdtemp(dir=visits.uploads()))
    try:
        write(folder / file)
    except BaseException:
        visits.remove(folder)
        raise
    return FileResponse(folder / file, filename=name, background=BackgroundTask(visits.remove, folder))


def address(session: Session, name: str, file: str, options: Mapping[str, Any] | None = None) -> str:
    """The address of a file, for an attribute in HTML."""
    return escape(f"files/{session.key}/{name}/{file}{f'?{urlencode(options)}' if options else ''}")


def link(address: str, text: str, name: str = "", main: bool = False) -> str:
    """A download link with the id get-NAME. Without `download`, a click during work would leave the page."""
    name = name or address.partition("?")[0].rpartition("/")[2].replace(".", "-")
    kind = " vc-main" if main else ""
    return f'<a class="vc-download{kind}" id="get-{name}" href="{address}" download>{text}</a>'


def links(first: str, *rows: str, title: str = "") -> str:
    """Download links: the main one alone, the others in rows."""
    head = f"<span>{title}</span>" if title else ""
    return (
        f'<div class="vc-downloads">{head}{first}{"".join(f"<div>{row}</div>" for row in rows if row)}</div>'
    )


def _page(text: str, status: int) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
        f'<title>Download</title><p>{escape(text)}</p><p><a href="/">Home</a></p></html>',
        status,
    )
