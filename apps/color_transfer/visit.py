"""What a visitor of the colour page has chosen: two pictures, a palette, and which result to look at."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from apps.shared import visits
from apps.shared.inputs import read_picture
from vision_core import color
from vision_core.color.palette_files import from_hex, to_hex
from vision_core.pictures.images import Picture

APP = "color"


@dataclass(frozen=True)
class Visit(visits.Visit):
    """A visitor's choices; pictures are names of files in the session's folder.

    Args:
        colors: of the palette in hex, with their `shares`; none before there is one.
        locked: hex colours that stay when the palette is taken again.
        chosen: index of the colour to edit.
        imported: name of the palette file, when the palette is from one and not from the target picture.
    """

    APP: ClassVar[str] = APP
    colors: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    locked: tuple[str, ...] = ()
    chosen: int = 0
    source: str = ""
    target: str = ""
    imported: str = ""

    @property
    def palette(self) -> color.Palette | None:
        if not self.colors:
            return None
        return color.Palette(
            np.array([from_hex(text) for text in self.colors], np.uint8), np.array(self.shares)
        )

    def with_palette(self, palette: color.Palette, chosen: int = 0) -> dict[str, Any]:
        """The choices that change with another palette; locks of colours that are gone go too."""
        colors = tuple(to_hex(palette.colors))
        locked = tuple(text for text in self.locked if text in colors)
        last = len(set(colors)) - 1
        return {
            "colors": colors,
            "shares": tuple(palette.shares.tolist()),
            "locked": locked,
            "chosen": min(chosen, last),
        }


NO_PALETTE: dict[str, Any] = {"colors": (), "shares": (), "locked": ()}
current = partial(visits.current, Visit)
change = partial(visits.change, Visit)


def source_of(visit: Visit) -> Picture:
    """The picture to recolour."""
    if not visit.source:
        raise ValueError("Please choose a picture to recolour first")
    return read_picture(visit.session.path(visit.source))


def target_of(visit: Visit) -> Picture | None:
    """The picture whose colours to take; None for a palette file."""
    return read_picture(visit.session.path(visit.target)) if visit.target else None
