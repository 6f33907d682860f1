"""The results step: before and after at any strength, what it is worth in words, and files to take away."""

from typing import Any

import gradio as gr
import numpy as np

from apps.color_transfer import visit as visits
from apps.color_transfer.views import facts
from apps.color_transfer.visit import Visit, opened
from apps.common import note, number, read_upload, told
from vision_core import color, images
from vision_core.color import lut, lut_files, metrics, palette_files
from vision_core.color.transfer import warnings

VIEW = 1280  # longest side of a result on the page; downloads have every pixel
PALETTES = (".gpl", ".ase", ".hex", ".json", ".css")
FILES = (
    "recoloured.png",
    "colours.cube",
    "haldclut.png",
    visits.MODEL,
    *(f"palette{end}" for end in PALETTES),
)


@told
def use_model(visit: Visit, source: str | None, file: str | None) -> tuple[Visit, str]:
    """Take a saved model instead of training one."""
    picture = read_upload(source, "a picture to recolour")
    if not file:
        raise ValueError("Please choose a model file first.")
    color_map = color.load(file)
    visit = opened(visit)
    with visits.alone(visit):
        visits.keep_pictures(visit, str(source))
        visits.forget_model(visit)
        color.save(color_map, visit.path(visits.MODEL))
        visits.keep_lut(visit, color_map)
    warning = " ".join(warnings(color_map, picture))
    return visit, note(f"{warning}.", "warning") if warning else note("The saved model is in use.", "good")


@told
def show(visit: Visit, strength: float, lightness: float) -> tuple[Any, ...]:
    """(results, (before, after)) of the visitor's picture."""
    before = visits.shrunk(visits.source(visit).rgb, VIEW)
    after = lut.apply(table(visit, strength, lightness), before)
    return gr.Column(visible=True), (visits.shown(visit, before), visits.shown(visit, after))


@told
def finish(visit: Visit, strength: float, lightness: float) -> list[Any]:
    """The numbers in words, then the buttons of `FILES`: every pixel, and the strengths baked in."""
    baked = table(visit, strength, lightness)
    picture, palette = visits.source(visit), visits.model(visit).palette
    output = lut.apply(baked, picture.rgb)
    images.save(picture.with_rgb(output), visit.path(FILES[0]))
    lut_files.write_cube(visit.path(FILES[1]), baked)
    lut_files.write_hald(visit.path(FILES[2]), baked)
    for suffix in PALETTES:
        palette_files.write(visit.path(f"palette{suffix}"), palette)
    measured = metrics.measure(visits.shrunk(picture.rgb, VIEW), visits.shrunk(output, VIEW), palette)
    buttons = [gr.DownloadButton(value=str(visit.path(name)), interactive=True) for name in FILES]
    return [facts(measured, palette), *buttons]


@told
def another(visit: Visit, path: str | None, strength: float, lightness: float) -> tuple[Any, ...]:
    """(slider, warning, file) of another picture through the same model."""
    picture = read_upload(path, "another picture")
    output = lut.apply(table(visit, strength, lightness), picture.rgb)
    images.save(picture.with_rgb(output), visit.path("another.png"))
    warning = " ".join(warnings(visits.model(visit), picture))
    words = (
        note(f"{warning}.", "warning") if warning else note("The model knows this picture's colours.", "good")
    )
    pair = (
        visits.shown(visit, visits.shrunk(picture.rgb, VIEW)),
        visits.shown(visit, visits.shrunk(output, VIEW)),
    )
    return (
        gr.ImageSlider(pair, visible=True),
        words,
        gr.DownloadButton(value=str(visit.path("another.png")), visible=True),
    )


def table(visit: Visit, strength: float, lightness: float) -> np.ndarray:
    """The visitor's LUT with the strengths mixed in, float32 (N, N, N, 3)."""
    color_strength = number(strength, 0, 1, "The colour strength")
    lightness_strength = number(lightness, 0, 1, "The lightness strength")
    return lut.with_strength(visits.baked(visit), color_strength, lightness_strength)
