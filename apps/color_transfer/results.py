"""The result on the page: before and after at any strength, progress, its measures, past results."""

import threading
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from apps.color_transfer import looks, rating_tab, training, views, visit
from apps.color_transfer.looks import Look
from apps.color_transfer.visit import change, current
from apps.shared import jobs, trainings, visits
from apps.shared.curves import loss_curves
from apps.shared.faults import user_errors
from apps.shared.inputs import data_uri, event_data, number
from apps.shared.results import missing
from apps.shared.views import history
from apps.shared.visits import Session
from vision_core.color import colormap, lut, lut_files, metrics
from vision_core.files import write_text
from vision_core.pictures import images
from vision_core.safety import guarded

_DRAWING = threading.BoundedSemaphore()  # of pictures that the next epoch replaces
REFRESH = 1.0  # seconds between two refreshes during a training
MEASURED = 480  # longest side of measured pictures, here and in the comparison
THUMBNAIL = 120
HISTORY = 12  # past results on the page
FACTS = "facts.html"  # the measures at full strength
KEPT = 0.65  # SSIM of the lightness from which the drawing counts as kept


@user_errors
def follow(state: Session | None, strength: float, lightness: float, seen: str) -> tuple[Any, ...]:
    """All that the page shows of the result, in the order of `app`'s outputs.

    Args:
        seen: what the page already shows, as returned by the last call.
    """
    visitor = current(state)
    if not visitor.result:
        return nothing()
    look = looks.get(visitor)
    words, learning = training.report(look, partial(_measure, look))
    words, going_on = (words, True) if learning else _tuning(visitor, words)
    color_strength, lightness_strength = strengths(strength, lightness)
    now = f"{look.name} {version(look)} {color_strength} {lightness_strength} {learning}"
    pair, facts, files, row = gr.skip(), gr.skip(), gr.skip(), gr.skip()
    if now != seen and not learning:
        pair, facts, files, row = _render(visitor, look, color_strength, lightness_strength, True)
    elif now != seen and _DRAWING.acquire(blocking=False):
        try:
            pair, facts, files, row = _render(visitor, look, color_strength, lightness_strength, False)
        finally:
            _DRAWING.release()
    elif now != seen:
        now = seen  # a look waits for no other visitor's pictures: they come with one of the next
    steps = trainings.steps(look.run) if learning or now != seen else []
    curves = gr.Plot(loss_curves(steps), visible=True) if steps else gr.skip()
    if look.facts["kind"] != "training":
        curves = gr.Plot(visible=False)
    return (
        gr.Column(visible=True),
        pair,
        words,
        *jobs.buttons(going_on),
        row,
        facts,
        files,
        curves,
        "" if learning else look.name,
        now,
    )


def _tuning(visitor: visit.Visit, words: str) -> tuple[str, bool]:
    """(message on a finished result or on the training on its ratings, whether that training runs)."""
    rated, going_on = looks.report(visitor, rating_tab.JOB)
    return (rated if rated else words), going_on


def _render(
    visitor: visit.Visit, look: Look, strength: float, lightness: float, final: bool
) -> tuple[Any, ...]:
    """(before and after, measures, downloads, past results) in the current state."""
    before, after = view(look, strength, lightness)
    pair = visits.shown(visitor.session, before), visits.shown(visitor.session, after)
    every = looks.every(visitor)
    row = history([_card(other) for other in every[:HISTORY]], visitor.result, missing(every, HISTORY))
    facts = _facts(look, before, after, strength, lightness) if final else ""
    network = final and look.facts["kind"] != "cube" and look.path(looks.MODEL).exists()
    return pair, facts, views.offered(visitor, strength, lightness, network), row


def nothing() -> tuple[Any, ...]:
    """The outputs of `follow` without a result."""
    return (
        gr.Column(visible=False),
        None,
        "",
        *jobs.buttons(False),
        "",
        "",
        "",
        gr.Plot(visible=False),
        "",
        "",
    )


@user_errors
def act(state: Session | None, lightness: float, event: gr.EventData) -> float:
    """Handle a click on a past result or a suggestion; the new lightness strength."""
    visitor = current(state)
    if event_data(event, "act") == "lightness":
        return number(event_data(event, "value"), 0, 1, "The lightness strength")
    look = looks.get(visitor, event_data(event, "value"))
    if looks.status(looks.get(visitor)) in trainings.GOING_ON:
        raise ValueError("The training is still running: wait for it to end, or stop it")
    change(visitor.session, result=look.name)
    return lightness


@user_errors
def use_saved(state: Session | None, file: str | None) -> None:
    """Take a saved network or somebody's .cube file instead of training."""
    visitor = current(state)
    picture = visit.source_of(visitor)
    if not file:
        raise ValueError("Please choose a saved model or a .cube file first")
    if file.lower().endswith(".cube"):
        table, color_map = guarded.call(lut_files.read, file), None
        title = "The colours of a .cube file"
    else:
        color_map = colormap.from_arrays(guarded.call(colormap.to_arrays, file))
        table, warning = color_map.lut(), " ".join(color_map.warnings(picture))
        title = warning or "The saved model is in use"
    look = looks.create(visitor, "cube" if color_map is None else "model", title, picture, table, color_map)
    change(visitor.session, result=look.name)


def view(look: Look, strength: float, lightness: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture before and after, at the size of the page."""
    before = images.read(look.path("view.png")).rgb
    return before, lut.apply(table(look, strength, lightness), before)


def table(look: Look, strength: float, lightness: float) -> lut.Lut:
    """The LUT of a result at the given strengths."""
    return lut.with_strength(looks.table(look), strength, lightness)


def strengths(strength: Any, lightness: Any) -> tuple[float, float]:
    """Check and return both strengths."""
    return (number(strength, 0, 1, "The colour strength"), number(lightness, 0, 1, "The lightness strength"))


def version(look: Look) -> str:
    """Changes whenever `looks.table` gives another LUT."""
    for name in (looks.LUT, looks.LAST, looks.FIRST):
        if look.path(name).exists():
            return f"{name} {look.path(name).stat().st_mtime_ns}"
    return "none"


def _facts(look: Look, before: np.ndarray, after: np.ndarray, strength: float, lightness: float) -> str:
    if (look.facts["kind"] == "cube") or not look.path(looks.MODEL).exists():
        return ""
    kept = look.path(FACTS)
    if strength == lightness == 1 and kept.exists():
        return kept.read_text("utf-8")
    palette = look.model.palette
    source, output = images.shrink(before, MEASURED), images.shrink(after, MEASURED)
    measured = metrics.measure(source, output, palette)
    facts = views.facts(
        measured, palette, _gentler_lightness(look, source, measured["ssim"], strength, lightness)
    )
    if strength == lightness == 1:
        write_text(kept, facts)
    return facts


def _measure(look: Look) -> None:
    """Measure a result at full strength in advance, for the next refresh."""
    _facts(look, *view(look, 1, 1), 1, 1)


def _gentler_lightness(
    look: Look, source: np.ndarray, ssim: float | None, strength: float, lightness: float
) -> float | None:
    """The greatest lightness strength below the current one that keeps the drawing; None if not needed."""
    if ssim is None or ssim >= KEPT:
        return None
    for less in (0.8, 0.65, 0.5, 0.35, 0.2):
        if less < lightness:
            output = lut.apply(table(look, strength, less), source)
            kept = metrics.lightness_ssim(source, output)
            if kept is not None and kept >= KEPT:
                return less
    return None


def _card(look: Look) -> tuple[str, str, str]:
    """(name, title, thumbnail) of a past result; the thumbnail is drawn once, for the final result."""
    path = look.path("thumbnail.txt")
    if path.exists():
        preview = path.read_text()
    else:
        small = images.shrink(images.read(look.path("view.png")).rgb, THUMBNAIL)
        preview = data_uri(lut.apply(looks.table(look), small))
        if look.path(looks.LUT).exists():
            path.write_text(preview)
    title = {"training": look.facts["title"], "tuned": "fine-tuned", "model": "saved model", "cube": ".cube"}
    return look.name, f"{look.number} · {title[look.facts['kind']]}", preview
