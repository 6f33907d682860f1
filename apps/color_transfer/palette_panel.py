"""The pictures and the palette: take colours from a picture or a file, then lock, drop or replace some."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from apps.color_transfer import looks, visit
from apps.color_transfer.views import bar, palette_editor
from apps.color_transfer.visit import Visit, change, current
from apps.shared import results, visits
from apps.shared.faults import sentence, user_errors
from apps.shared.inputs import event_data, read_picture, whole
from apps.shared.progress import note
from apps.shared.visits import Session
from vision_core import color
from vision_core.color import palette as palettes
from vision_core.color import palette_files
from vision_core.color.palette_files import from_hex, to_hex
from vision_core.files import bundled
from vision_core.pictures.images import Picture
from vision_core.safety import guarded

EXAMPLES = bundled("assets") / "color"
SOURCES = ("astronaut", "palace", "coffee", "cat", "flower", "rocket")
TARGETS = ("coffee", "flower", "palace", "galaxies", "rocket", "astronaut")


@user_errors
def take_example(given: Session | None, event: gr.EventData) -> str:
    """The path of an example picture."""
    name, known = event_data(event, "value"), current(given)
    if name not in (*SOURCES, *TARGETS):
        raise ValueError(f"There is no example {name!r}")
    return str(known.session.path(_keep(known, EXAMPLES / f"{name}.jpg")))


@user_errors
def choose_source(given: Session | None, path: str | None) -> str:
    """Size, notes and own colours of the picture to recolour; one that is refused leaves none chosen."""
    known = current(given)
    if not path:
        if known.source:
            change(known.session, source="")
        return ""
    try:
        picture = read_picture(path)
    except ValueError as error:  # no other picture stays chosen
        change(known.session, source="")
        return note(sentence(error), "warning")
    change(known.session, source=_keep(known, path))
    return describe(picture)


def describe(picture: Picture) -> str:
    """The sentence about the picture to recolour."""
    height, width = picture.rgb.shape[:2]
    words = ". ".join([f"{width:,} x {height:,} pixels, in these colours", *picture.notes])
    return note(words) + bar(color.extract(picture.visible))


@user_errors
def choose_target(given: Session | None, path: str | None, clusters: float, colors: float) -> str:
    """The picture with the colours to take: its palette replaces the one at hand, locks and all."""
    known = current(given)
    gone = {} if known.imported else visit.NO_PALETTE
    if not path:
        return palette_editor(change(known.session, target="", **gone) if known.target else known)
    try:
        picture = read_picture(path)
    except ValueError as error:  # no other picture stays chosen
        return note(sentence(error), "warning") + palette_editor(change(known.session, target="", **gone))
    if (name := _keep(known, path)) == known.target:
        return palette_editor(known)  # a reload shows the picture again
    taken = replace(known, locked=()).with_palette(_extract(picture, (), clusters, colors))
    return palette_editor(change(known.session, target=name, imported="", **taken))


@user_errors
def count_again(given: Session | None, clusters: float, colors: float) -> str:
    """After a slider: the target's colours again, the locked ones among them; a palette file's stay."""
    known = current(given)
    if not known.imported and known.target:
        picture = read_picture(known.session.path(known.target))
        taken = known.with_palette(_extract(picture, known.locked, clusters, colors))
        known = change(known.session, **taken)
    return palette_editor(known)


@user_errors
def take_file(given: Session | None, path: str | None, clusters: float, colors: float) -> str:
    """The colours of a GPL, ASE, hex or JSON palette file; without the file those of the target again."""
    known = replace(current(given), locked=())
    if path:
        taken = known.with_palette(guarded.call(palette_files.read, path))
        return palette_editor(change(known.session, imported=Path(path).name, **taken))
    if not known.imported:
        return palette_editor(current(given))
    change(known.session, imported="", **visit.NO_PALETTE)
    return count_again(known.session, clusters, colors)


@user_errors
def edit(given: Session | None, event: gr.EventData) -> str:
    """A click on a colour or on a button below: choose, lock, drop, swap or undo."""
    known, act = current(given), event_data(event, "act")
    if known.palette is None:
        raise ValueError("Choose a picture or a palette file with the colours to take first")
    match act:
        case "choose":
            last = len(known.palette.colors) - 1
            changes: dict[str, Any] = {"chosen": whole(event_data(event, "value"), 0, last, "The colour")}
        case "lock":
            changes = {"locked": lock(known)}
        case "drop":
            changes = drop(known)
        case "swap":
            changes = swap(known, event_data(event, "picked"))
        case "undo":
            changes = undo(known)
        case _:
            raise ValueError(f"{act!r} is nothing that can be done with a palette")
    return palette_editor(change(known.session, **changes))


def lock(known: Visit) -> tuple[str, ...]:
    """Lock or unlock the chosen colour: locked colours stay when the sliders choose again."""
    text = to_hex(_palette(known).colors)[known.chosen]
    kept = tuple(other for other in known.locked if other != text)
    return kept if text in known.locked else (*known.locked, text)


def drop(known: Visit) -> dict[str, Any]:
    """Take the chosen colour out; its pixels go to the nearest of the others."""
    target = None if known.imported else visit.target_of(known)
    counted = None if target is None else color.count_colors(target.visible)
    return known.edited(palettes.drop(_palette(known), known.chosen, counted))


def swap(known: Visit, picked: str) -> dict[str, Any]:
    """Put another colour, "#rrggbb", in the place of the chosen one."""
    return known.edited(palettes.replace(_palette(known), known.chosen, from_hex(picked)))


def undo(known: Visit) -> dict[str, Any]:
    """The palette before the last colour that was dropped or replaced."""
    if not known.earlier:
        raise ValueError("There is nothing to undo")
    *earlier, last = known.earlier
    return {**known.with_palette(visit.palette_of(*last)), "earlier": tuple(earlier)}


def reload(known: Visit) -> tuple[str | None, str, str | None, str]:
    """(source, what is said about it, target, palette) of a visit that is gone on with."""
    paths = [str(known.session.path(name)) if name else None for name in (known.source, known.target)]
    words = describe(visit.source_of(known)) if known.source else ""
    return paths[0], words, paths[1], palette_editor(known)


def _extract(picture: Picture, locked: tuple[str, ...], clusters: float, colors: float) -> color.Palette:
    number = whole(colors, 2, 24, "The number of colours")
    groups = max(whole(clusters, 2, 100, "The number of clusters"), number)
    keep = np.array([from_hex(text) for text in locked][:number], np.uint8)
    return color.extract(picture.visible, groups, number, keep=keep if len(keep) else None)


def _keep(known: Visit, path: str | Path) -> str:
    return visits.keep(known.session, path, results.removable(looks.Look, known))


def _palette(known: Visit) -> color.Palette:
    assert known.palette is not None
    return known.palette
