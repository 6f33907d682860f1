"""The palette step: take colours from a picture or a file, then lock, drop or replace some."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from apps.color_transfer.views import swatches
from apps.color_transfer.visit import Visit, opened
from apps.common import read_upload, told, whole
from vision_core import color
from vision_core.color import palette as palettes
from vision_core.color import palette_files
from vision_core.color.palette_files import from_hex, to_hex


def shown(visit: Visit) -> tuple[Any, ...]:
    """(visit, swatches, editor, picker, lock button) for the page."""
    if visit.palette is None:
        return visit, swatches(None), gr.Column(visible=False), gr.skip(), gr.skip()
    chosen = to_hex(visit.palette.colors)[visit.chosen]
    lock = gr.Button("Unlock" if chosen in visit.locked else "Lock")
    html = swatches(visit.palette, visit.locked, visit.chosen)
    return visit, html, gr.Column(visible=True), gr.ColorPicker(chosen), lock


@told
def from_picture(visit: Visit, target: str | None, clusters: float, colors: float) -> tuple[Any, ...]:
    """The most distinct colours of the target picture, with the locked ones among them."""
    if not target:
        return shown(visit)
    number = whole(colors, 2, 24, "The number of colours")
    groups = max(whole(clusters, 2, 100, "The number of clusters"), number)
    keep = np.array([from_hex(text) for text in visit.locked][:number], np.uint8)
    picture = read_upload(target, "a picture with the colours to take")
    palette = color.extract(picture.visible, groups, number, keep=keep if len(keep) else None)
    return shown(replace(opened(visit), target=target).with_palette(palette))


@told
def from_new_picture(visit: Visit, target: str | None, clusters: float, colors: float) -> tuple[Any, ...]:
    """Like `from_picture`, forgetting the locks, which were of another picture."""
    if not target and visit.target:
        return shown(Visit(visit.folder))
    return from_picture(replace(visit, locked=()), target, clusters, colors)


@told
def from_file(visit: Visit, path: str | None) -> tuple[Any, ...]:
    """The colours of a GPL, ASE, hex or JSON palette file."""
    if not path:
        return shown(visit if visit.target else Visit(visit.folder))
    palette = palette_files.read(Path(path))
    return shown(replace(opened(visit), locked=(), target="").with_palette(palette))


@told
def choose(visit: Visit, event: gr.EventData) -> tuple[Any, ...]:
    """The colour that was clicked becomes the one to edit."""
    if visit.palette is None:
        return shown(visit)
    return shown(replace(visit, chosen=whole(event.index, 0, len(visit.palette.colors) - 1, "The colour")))


@told
def lock(visit: Visit) -> tuple[Any, ...]:
    """Lock or unlock the chosen colour: locked colours stay when the sliders choose again."""
    text = to_hex(_palette(visit).colors)[visit.chosen]
    locked = [kept for kept in visit.locked if kept != text]
    return shown(replace(visit, locked=tuple(locked if text in visit.locked else [*locked, text])))


@told
def drop(visit: Visit) -> tuple[Any, ...]:
    """Take the chosen colour out; its pixels go to the nearest of the others."""
    palette = palettes.drop(_palette(visit), visit.chosen, _counted(visit.target))
    return shown(visit.with_palette(palette, visit.chosen))


@told
def swap(visit: Visit, picked: str) -> tuple[Any, ...]:
    """Put another colour in the place of the chosen one."""
    palette = palettes.replace(_palette(visit), visit.chosen, _rgb(picked))
    return shown(visit.with_palette(palette, visit.chosen))


def _palette(visit: Visit) -> color.Palette:
    if visit.palette is None:
        raise ValueError("Choose a picture or a palette file with the colours to take first.")
    return visit.palette


def _counted(target: str) -> palettes.CountedColors | None:
    return color.count_colors(read_upload(target, "a picture").visible) if target else None


def _rgb(text: str) -> tuple[int, int, int]:
    """Colour pickers answer "#rrggbb" or "rgba(r, g, b, a)"."""
    if text.startswith("rgb"):
        parts = text[text.index("(") + 1 : text.rindex(")")].split(",")
        return tuple(round(float(part)) for part in parts[:3])  # pyright: ignore[reportReturnType]
    return from_hex(text)
