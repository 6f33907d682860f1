"""The results step: before and after at any strength, another picture, and files to take away."""

from typing import Any

import gradio as gr

from apps.color_transfer import visit as visits
from apps.color_transfer.visit import Visit, opened
from apps.common import note, number, read_upload, told
from vision_core import color, images
from vision_core.color import lut, lut_files, palette_files
from vision_core.color.palette import count_colors

VIEW = 1280  # longest side of a result on the page; downloads have every pixel
PALETTES = (".gpl", ".ase", ".hex", ".json", ".css")


@told
def use_model(visit: Visit, source: str | None, file: str | None) -> tuple[Visit, str]:
    """Take a saved model instead of training one."""
    if not file:
        raise ValueError("Please choose a model file first.")
    read_upload(source, "a picture to recolour")
    color_map = color.load(file)
    visit = opened(visit)
    visits.keep_source(visit, str(source))
    visits.keep_model(visit, color_map)
    return visit, note("The saved model is in use.", "good")


@told
def show(visit: Visit, strength: float, lightness: float) -> tuple[Any, ...]:
    """(results, (before, after)) of the visitor's picture."""
    before = visits.shrunk(visits.source(visit).rgb, VIEW)
    after = lut.apply(_lut(visit, strength, lightness), before)
    return gr.Column(visible=True), (before, after)


@told
def files(visit: Visit, strength: float, lightness: float) -> list[str]:
    """The recoloured picture with every pixel, the LUTs, the palette and the model, as paths."""
    baked = _lut(visit, strength, lightness)
    picture = visits.source(visit)
    images.save(picture.with_rgb(lut.apply(baked, picture.rgb)), visit.path("recoloured.png"))
    lut_files.write_cube(visit.path("colours.cube"), baked)
    lut_files.write_hald(visit.path("haldclut.png"), baked)
    palette = visits.model(visit).palette
    for suffix in PALETTES:
        palette_files.write(visit.path(f"palette{suffix}"), palette)
    names = ["recoloured.png", "colours.cube", "haldclut.png", "model.safetensors"]
    return [str(visit.path(name)) for name in [*names, *(f"palette{suffix}" for suffix in PALETTES)]]


@told
def another(visit: Visit, path: str | None, strength: float, lightness: float) -> tuple[Any, ...]:
    """((before, after), warning, file) of another picture through the same model."""
    picture = read_upload(path, "another picture")
    baked = _lut(visit, strength, lightness)
    output = lut.apply(baked, picture.rgb)
    images.save(picture.with_rgb(output), visit.path("another.png"))
    unseen = visits.model(visit).unseen(count_colors(picture.rgb))
    words = f"{unseen:.0%} of its pixels have colours the model never saw in training: it only guesses there."
    warning = note(words, "warning") if unseen > 0.05 else note("The model knows the colours of this picture.")
    shown = visits.shrunk(picture.rgb, VIEW), visits.shrunk(output, VIEW)
    return shown, warning, gr.DownloadButton(str(visit.path("another.png")), interactive=True)


def _lut(visit: Visit, strength: float, lightness: float) -> Any:
    """The visitor's LUT with the strengths mixed in, float32 (N, N, N, 3)."""
    color_strength = number(strength, 0, 1, "The colour strength")
    lightness_strength = number(lightness, 0, 1, "The lightness strength")
    return lut.with_strength(visits.baked(visit), color_strength, lightness_strength)
