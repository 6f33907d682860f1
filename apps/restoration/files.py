"""Files of a visit: pictures for the viewer and downloads, each created on request."""

from collections.abc import Mapping
from urllib.parse import quote

from fastapi.responses import Response

from apps.restoration import many, sheets, visit
from apps.shared import downloads, visits
from apps.shared.visits import Session
from vision_core.pictures import images
from vision_core.pictures.images import Picture

WORK = "work"  # in place of a result's name: files that belong to the visit
READY = ("pages.zip", "pages.pdf", "pages.tiff", "contact-sheet.jpg", "network.safetensors")


def _find(session: Session, name: str, file: str, options: Mapping[str, str]) -> Response:
    if name == WORK:
        if file not in READY:
            raise ValueError("There is no such file")
        source, path = options.get("source"), session.path(file)
        became = path.stem if file == many.CONTACT else "restored"
        return downloads.stored(
            path, f"{visits.file_title(source)}-{became}{path.suffix}" if source else file
        )
    sheet = sheets.get(session, name)
    chosen = sheets.choice(options)
    stem = visits.title(session, sheet.facts["source"])
    match file:
        case sheets.PAGE:
            return downloads.stored(sheet.path(file), keep=True)
        case "restored.png":
            path, decision = sheets.finished(sheet, chosen)
            became = "restored" if decision["accepted"] or not chosen.gate else "kept"
            return downloads.stored(path, f"{stem}-{became}.png", keep=True)
        case "changed.png" | "guesses.png":
            return _png(sheets.overlay(sheet, file[:-4], chosen), f"{stem}-{file}")
        case "mask-overlay.png":
            return _png(_mask(sheet), file)
    raise ValueError(f"There is no download {file!r}")


def _png(data: bytes, name: str) -> Response:
    saved = {"content-disposition": f"inline; filename*=utf-8''{quote(name)}"}
    return Response(data, media_type="image/png", headers={**downloads.KEEP, **saved})


def _mask(sheet: sheets.Sheet) -> bytes:
    """The protected area, in the colour of the brush."""
    if not sheet.path(sheets.MASK).exists():
        raise ValueError("Nothing is protected")
    alpha = images.read(sheet.path(sheets.MASK)).rgb[..., 0].copy()
    rgb = Picture((alpha[..., None] * 0 + [13, 148, 136]).astype("uint8"), alpha)
    return images.encode(rgb)


router = downloads.router(visit.APP, _find)
