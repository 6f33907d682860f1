"""Downloads. Each is created on request and removed after it was sent."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from fastapi.responses import Response

from apps.color_transfer import looks, low_poly_tab, plots_tab, results, visit
from apps.color_transfer.looks import Look
from apps.shared import downloads, visits
from apps.shared.visits import Session
from vision_core import plots
from vision_core.color import lut, lut_files, palette_files
from vision_core.pictures import images

PALETTES = tuple(f"palette{end}" for end in (".gpl", ".ase", ".hex", ".json", ".css"))
READY = (looks.MODEL, "photographs.zip", "photograph.png")
Options = Mapping[str, str]


def _find(session: Session, name: str, file: str, options: Options) -> Response:
    look = looks.get(visit.current(session), name)
    if file in READY:
        file_name = (
            f"{visits.file_title(options['of'])}-recoloured.png" if "of" in options else _saved_as(look, file)
        )
        return downloads.stored(look.path(file), file_name)
    if file not in MAKERS:
        raise ValueError(f"There is no download {file!r}")
    return downloads.made(
        session, _saved_as(look, file), file, lambda path: MAKERS[file](look, path, options)
    )


def _saved_as(look: Look, file: str) -> str:
    """The file name of a download: named after the picture, or for a palette after its source."""
    of = look.facts["target"] if file in PALETTES else look.facts["source"]
    stem, _, end = file.rpartition(".")
    kind = "" if file == "colours.cube" else f"-{stem}"
    return f"{visits.title(look.session, of) if of else 'colours'}{kind}.{end}"


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
    return results.table(look, *results.strengths(*(options.get(n, "1") for n in ("color", "lightness"))))


MAKERS: dict[str, Callable[[Look, Path, Options], None]] = {
    "recoloured.png": _picture,
    "colours.cube": _lut,
    "haldclut.png": _lut,
    **dict.fromkeys(PALETTES, _palette),
    "lowpoly.png": _low_poly,
    "lowpoly.svg": _low_poly,
    "plot.html": _plot,
}

router = downloads.router(visit.APP, _find)
