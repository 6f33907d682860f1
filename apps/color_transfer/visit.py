"""What a visitor of the colour page has chosen: two pictures, a palette, and which result to look at."""

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from apps.shared import visits
from apps.shared.inputs import read_picture
from apps.shared.visits import Session
from vision_core import color
from vision_core.color.palette_files import from_hex, to_hex
from vision_core.files import read_json, write_json
from vision_core.pictures.images import Picture

APP = "color"
FILE = "visit.json"


@dataclass(frozen=True)
class Visit:
    """A visitor's choices; pictures are names of files in the session's folder.

    Args:
        locked: hex colours that stay when the palette is taken again.
        chosen: index of the colour to edit.
        imported: name of the palette file, when the palette is from one and not from the target picture.
        look: name of the result on the page.
    """

    session: Session
    palette: color.Palette | None = None
    locked: tuple[str, ...] = ()
    chosen: int = 0
    source: str = ""
    target: str = ""
    imported: str = ""
    look: str = ""

    def with_palette(self, palette: color.Palette, chosen: int = 0) -> dict[str, Any]:
        """The choices that change with another palette; locks of colours that are gone go too."""
        kept = set(to_hex(palette.colors))
        locked = tuple(text for text in self.locked if text in kept)
        return {"palette": palette, "locked": locked, "chosen": min(chosen, len(kept) - 1)}


def current(given: Session | None) -> Visit:
    """What the visitor has chosen so far, read anew: several events of a page may run at once.

    A client that never opened the page has no session, and gets a new one.
    """
    if given is None or not given.path(FILE).exists():
        return Visit(given or visits.new(APP))
    known = read_json(visits.opened(given).path(FILE))
    palette = None
    if known["palette"]:
        colors = np.array([from_hex(text) for text in known["palette"]], np.uint8)
        palette = color.Palette(colors, np.array(known["shares"]))
    plain = {name: known[name] for name in _PLAIN}
    return Visit(given, palette, **{**plain, "locked": tuple(plain["locked"])})


def change(given: Session, **choices: Any) -> Visit:
    """Write some choices down, leaving the others as another event may just have made them."""
    with _CHANGING:
        visit = replace(current(given), **choices)
        palette = visit.palette
        known = {
            "palette": None if palette is None else to_hex(palette.colors),
            "shares": None if palette is None else palette.shares.tolist(),
            **{name: getattr(visit, name) for name in _PLAIN},
        }
        write_json(visits.opened(given).path(FILE), known)
    return visit


_CHANGING = threading.Lock()
_PLAIN = ("locked", "chosen", "source", "target", "imported", "look")


def source_of(visit: Visit) -> Picture:
    """The picture to recolour."""
    if not visit.source:
        raise ValueError("Please choose a picture to recolour first")
    return read_picture(visit.session.path(visit.source))


def target_of(visit: Visit) -> Picture | None:
    """The picture whose colours to take; None for a palette file."""
    return read_picture(visit.session.path(visit.target)) if visit.target else None
