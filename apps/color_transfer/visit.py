"""A visitor's choices on the colour page: two pictures, a palette, and the result to look at."""

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
STEPS = 20  # steps of the palette that can be undone


@dataclass(frozen=True)
class Visit(visits.Visit):
    """A visitor's choices; pictures are names of files in the session's folder.

    Args:
        colors: of the palette in hex, with their `shares`; none before there is one.
        locked: hex colours that stay when the palette is taken again.
        chosen: index of the colour to edit.
        earlier: (colors, shares) before each colour that was dropped or replaced, to be undone.
        imported: name of the palette file, when the palette is from one and not from the target picture.
    """

    APP: ClassVar[str] = APP
    colors: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    locked: tuple[str, ...] = ()
    chosen: int = 0
    earlier: tuple[tuple[tuple[str, ...], tuple[float, ...]], ...] = ()
    source: str = ""
    target: str = ""
    imported: str = ""

    @property
    def palette(self) -> color.Palette | None:
        return palette_of(self.colors, self.shares) if self.colors else None

    def with_palette(self, palette: color.Palette) -> dict[str, Any]:
        """The choices that change with another palette; locks of colours that are gone go too.

        The chosen colour stays chosen wherever it now is; one that is gone gives way to the one in its place.
        """
        colors = tuple(to_hex(palette.colors))
        chosen = self.colors[self.chosen] if self.colors else ""
        return {
            "colors": colors,
            "shares": tuple(palette.shares.tolist()),
            "locked": tuple(text for text in self.locked if text in colors),
            "chosen": colors.index(chosen) if chosen in colors else min(self.chosen, len(colors) - 1),
            "earlier": (),
        }

    def edited(self, palette: color.Palette) -> dict[str, Any]:
        """Like `with_palette`, with Undo."""
        return {**self.with_palette(palette), "earlier": (*self.earlier, (self.colors, self.shares))[-STEPS:]}


NO_PALETTE: dict[str, Any] = {"colors": (), "shares": (), "locked": (), "earlier": ()}
current = partial(visits.current, Visit)
change = partial(visits.change, Visit)


def palette_of(colors: tuple[str, ...], shares: tuple[float, ...]) -> color.Palette:
    """The palette with the stored colours and shares."""
    return color.Palette(np.array([from_hex(text) for text in colors], np.uint8), np.array(shares))


def source_of(visit: Visit) -> Picture:
    """The picture to recolour."""
    if not visit.source:
        raise ValueError("Please choose a picture to recolour first")
    return read_picture(visit.session.path(visit.source))


def target_of(visit: Visit) -> Picture | None:
    """The picture whose colours to take; None for a palette file."""
    return read_picture(visit.session.path(visit.target)) if visit.target else None
