"""Downloads, each made when it is asked for and removed once it was sent."""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from pathlib import Path
from tempfile import mkdtemp

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.background import BackgroundTask

from apps.color_transfer import looks, low_poly_tab, plots_tab, results, visit
from apps.color_transfer.looks import Look
from apps.shared import visits
from apps.shared.faults import sentence
from vision_core import plots
from vision_core.color import lut, lut_files, palette_files
from vision_core.pictures import images

router = APIRouter()
PALETTES = tuple(f"palette{end}" for end in (".gpl", ".ase", ".hex", ".json", ".css"))
READY = (looks.MODEL, "photographs.zip", "photograph.png")
_slots = threading.BoundedSemaphore(2)  # made at once: each may hold a whole photograph
Options = Mapping[str, str]


@router.get("/files/{key}/{name}/{file}")
def download(key: str, name: str, file: str, request: Request) -> Response:
    """A file of one result of the visit with that key."""
    try:
        found = visits.find(visit.APP, key)
        if found is None:
            raise ValueError("This visit is over: its files were removed")
        look = looks.get(visit.current(found), name)
        if file in READY:
            there = look.path(file)
            if not there.exists():
                raise ValueError("There is no such file yet")
            return FileResponse(there, filename=file)
        if file not in MAKERS:
            raise ValueError(f"There is no download {file!r}")
        return _made(look, file, request.query_params)
    except ValueError as error:
        return _page(sentence(error), 404)
    except OSError:
        return _page(visits.FULL + ".", 507)


def _made(look: Look, file: str, options: Options) -> Response:
    with _slots:
        visits.make_room(look.session, 0)
        folder = Path(mkdtemp(dir=visits.uploads()))
        try:
            MAKERS[file](look, folder / file, options)
        except BaseException:
            visits.remove(folder)
            raise
    return FileResponse(folder / file, filename=file, background=BackgroundTask(visits.remove, folder))


def _page(text: str, status: int) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
        f'<title>Download</title><p>{escape(text)}</p><p><a href="/">Home</a></p></html>',
        status,
    )


def _picture(look: Look, path: Path, options: Options) -> None:
    images.save(look.source.mapped(partial(lut.apply, _table(look, options))), path)


def _lut(look: Look, path: Path, options: Options) -> None:
    lut_files.write(path, _table(look, options))


def _palette(look: Look, path: Path, options: Options) -> None:
    palette_files.write(path, look.model.palette)


def _low_poly(look: Look, path: Path, options: Options) -> None:
    low_poly_tab.write(look, path, options)


def _plot(look: Look, path: Path, options: Options) -> None:
    plots.save(plots_tab.figure(look, options.get("name", ""), options.get("space", "rgb")), path)


def _table(look: Look, options: Options):
    return results.table(look, *results.strengths(*(options.get(n, "1") for n in ("color", "lightness"))))  # type: ignore


MAKERS: dict[str, Callable[[Look, Path, Options], None]] = {
    "recoloured.png": _picture,
    "colours.cube": _lut,
    "haldclut.png": _lut,
    **dict.fromkeys(PALETTES, _palette),
    "lowpoly.png": _low_poly,
    "lowpoly.svg": _low_poly,
    "plot.html": _plot,
}
