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
def take_example(state: Session | None, event: gr.EventData) -> str:
    """The path of an example picture."""
    name, visitor = event_data(event, "value"), current(state)
    if name not in (*SOURCES, *TARGETS):
        raise ValueError(f"There is no example {name!r}")
    return str(visitor.session.path(_keep(visitor, EXAMPLES / f"{name}.jpg")))


@user_errors
def choose_source(state: Session | None, path: str | None) -> str:
    """Choose the picture to recolour and describe it; after a refused file no picture is chosen."""
    visitor = current(state)
    if not path:
        if visitor.source:
            change(visitor.session, source="")
        return ""
    try:
        picture = read_picture(path)
    except ValueError as error:  # no other picture stays chosen
        change(visitor.session, source="")
        return note(sentence(error), "warning")
    change(visitor.session, source=_keep(visitor, path))
    return describe(picture)


def describe(picture: Picture) -> str:
    """The sentence about the picture to recolour."""
    height, width = picture.rgb.shape[:2]
    words = ". ".join([f"{width:,} x {height:,} pixels, in these colours", *picture.notes])
    return note(words) + bar(color.extract(picture.visible))


@user_errors
def choose_target(state: Session | None, path: str | None, clusters: float, colors: float) -> str:
    """Choose the picture whose colours to take: its palette replaces the current one and its locks."""
    visitor = current(state)
    reset = {} if visitor.imported else visit.NO_PALETTE
    if not path:
        return palette_editor(change(visitor.session, target="", **reset) if visitor.target else visitor)
    try:
        picture = read_picture(path)
    except ValueError as error:  # no other picture stays chosen
        return note(sentence(error), "warning") + palette_editor(change(visitor.session, target="", **reset))
    if (name := _keep(visitor, path)) == visitor.target:
        return palette_editor(visitor)  # a reload shows the picture again
    taken = replace(visitor, locked=()).with_palette(_extract(picture, (), clusters, colors))
    return palette_editor(change(visitor.session, target=name, imported="", **taken))


@user_errors
def count_again(state: Session | None, clusters: float, colors: float) -> str:
    """Extract the palette again after a slider moved; locked colours and palette files stay."""
    visitor = current(state)
    if not visitor.imported and visitor.target:
        picture = read_picture(visitor.session.path(visitor.target))
        taken = visitor.with_palette(_extract(picture, visitor.locked, clusters, colors))
        visitor = change(visitor.session, **taken)
    return palette_editor(visitor)


@user_errors
def take_file(state: Session | None, path: str | None, clusters: float, colors: float) -> str:
    """Take the colours of a GPL, ASE, hex or JSON palette file, or without a file those of the target."""
    visitor = replace(current(state), locked=())
    if path:
        taken = visitor.with_palette(guarded.call(palette_files.read, path))
        return palette_editor(change(visitor.session, imported=Path(path).name, **taken))
    if not visitor.imported:
        return palette_editor(current(state))
    change(visitor.session, imported="", **visit.NO_PALETTE)
    return count_again(visitor.session, clusters, colors)


@user_errors
def edit(state: Session | None, event: gr.EventData) -> str:
    """Handle a click on a colour or on a button below: choose, lock, drop, swap or undo."""
    visitor, act = current(state), event_data(event, "act")
    if visitor.palette is None:
        raise ValueError("Choose a picture or a palette file with the colours to take first")
    match act:
        case "choose":
            last = len(visitor.palette.colors) - 1
            changes: dict[str, Any] = {"chosen": whole(event_data(event, "value"), 0, last, "The colour")}
        case "lock":
            changes = {"locked": lock(visitor)}
        case "drop":
            changes = drop(visitor)
        case "swap":
            changes = swap(visitor, event_data(event, "picked"))
        case "undo":
            changes = undo(visitor)
        case _:
            raise ValueError(f"{act!r} is nothing that can be done with a palette")
    return palette_editor(change(visitor.session, **changes))


def lock(visitor: Visit) -> tuple[str, ...]:
    """Lock or unlock the chosen colour: locked colours stay when the sliders choose again."""
    text = to_hex(_palette(visitor).colors)[visitor.chosen]
    kept = tuple(other for other in visitor.locked if other != text)
    return kept if text in visitor.locked else (*visitor.locked, text)


def drop(visitor: Visit) -> dict[str, Any]:
    """Remove the chosen colour; its pixels go to the nearest remaining colour."""
    target = None if visitor.imported else visit.target_of(visitor)
    counted = None if target is None else color.count_colors(target.visible)
    return visitor.edited(palettes.drop(_palette(visitor), visitor.chosen, counted))


def swap(visitor: Visit, picked: str) -> dict[str, Any]:
    """Replace the chosen colour by another one, "#rrggbb"."""
    return visitor.edited(palettes.replace(_palette(visitor), visitor.chosen, from_hex(picked)))


def undo(visitor: Visit) -> dict[str, Any]:
    """Bring back the last colour that was dropped or replaced."""
    if not visitor.earlier:
        raise ValueError("There is nothing to undo")
    *earlier, last = visitor.earlier
    return {**visitor.with_palette(visit.palette_of(*last)), "earlier": tuple(earlier)}


def reload(visitor: Visit) -> tuple[str | None, str, str | None, str]:
    """(source, its description, target, palette) of a visit that continues."""
    paths = [str(visitor.session.path(name)) if name else None for name in (visitor.source, visitor.target)]
    words = describe(visit.source_of(visitor)) if visitor.source else ""
    return paths[0], words, paths[1], palette_editor(visitor)


def _extract(picture: Picture, locked: tuple[str, ...], clusters: float, colors: float) -> color.Palette:
    number = whole(colors, 2, 24, "The number of colours")
    groups = max(whole(clusters, 2, 100, "The number of clusters"), number)
    keep = np.array([from_hex(text) for text in locked][:number], np.uint8)
    return color.extract(picture.visible, groups, number, keep=keep if len(keep) else None)


def _keep(visitor: Visit, path: str | Path) -> str:
    return visits.keep(visitor.session, path, results.removable(looks.Look, visitor))


def _palette(visitor: Visit) -> color.Palette:
    assert visitor.palette is not None
    return visitor.palette
