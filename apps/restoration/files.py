"""Files of a visit: pictures for the viewer and downloads, each made when it is asked for."""

import threading
from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from apps.restoration import sheets, visit
from apps.shared import visits
from apps.shared.faults import sentence
from vision_core.pictures import images
from vision_core.pictures.images import Picture

router = APIRouter()
READY = ("pages.zip", "pages.pdf", "pages.tiff", "network.safetensors")
KEEP = {"cache-control": "private, max-age=3600"}  # an address says all that the picture depends on
_slots = threading.BoundedSemaphore(2)  # made at once: each holds a whole page


@router.get("/files/{key}/{file}")
def ready(key: str, file: str) -> Response:
    """A file that some work of the visit with that key left."""
    found = visits.find(visit.APP, key)
    if found is None:
        return _page("This visit is over: its files were removed", 404)
    if file not in READY or not found.path(file).is_file():
        return _page("There is no such file", 404)
    return FileResponse(found.path(file), filename=file)


@router.get("/files/{key}/{name}/{file}")
def made(key: str, name: str, file: str, request: Request) -> Response:
    """A picture of one result of the visit with that key."""
    try:
        found = visits.find(visit.APP, key)
        if found is None:
            raise ValueError("This visit is over: its files were removed")
        sheet = sheets.get(found, name)
        chosen = sheets.choice(request.query_params)
        with _slots:
            match file:
                case sheets.PAGE:
                    return FileResponse(sheet.path(file), headers=KEEP)
                case "restored.png":
                    path, _ = sheets.finished(sheet, chosen)
                    return FileResponse(path, headers=KEEP)
                case "changed.png" | "guesses.png":
                    return _png(sheets.overlay(sheet, file[:-4], chosen))
                case "mask-overlay.png":
                    return _png(_mask(sheet))
        raise ValueError(f"There is no download {file!r}")
    except ValueError as error:
        return _page(sentence(error), 404)
    except OSError:
        return _page(visits.FULL + ".", 507)


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png", headers=KEEP)


def _mask(sheet: sheets.Sheet) -> bytes:
    """What is protected, in the colour of the brush."""
    if not sheet.path(sheets.MASK).exists():
        raise ValueError("Nothing is protected")
    alpha = images.read(sheet.path(sheets.MASK)).rgb[..., 0].copy()
    rgb = Picture((alpha[..., None] * 0 + [13, 148, 136]).astype("uint8"), alpha)
    return images.encode(rgb)


def _page(text: str, status: int) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
        f'<title>Download</title><p>{escape(text)}</p><p><a href="/">Home</a></p></html>',
        status,
    )
