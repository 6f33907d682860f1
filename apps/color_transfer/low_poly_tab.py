"""Low poly: the picture as flat triangles, as PNG and SVG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from apps.color_transfer import looks, results, views
from apps.color_transfer.looks import Look
from apps.color_transfer.visit import current
from apps.shared import downloads, inputs, visits
from apps.shared.faults import user_errors
from apps.shared.inputs import number, whole
from apps.shared.progress import note
from apps.shared.visits import Session
from vision_core.color import lowpoly, lut, palette
from vision_core.files import write_text
from vision_core.pictures import images

COLORINGS = ("network", "nearest palette colour", "original", "wireframe")


@user_errors
def draw(state: Session | None, *choice: Any) -> tuple[Any, ...]:
    """(image, text with the number of triangles and the downloads) for the chosen settings."""
    visitor = current(state)
    names = ("threshold", "density", "seed", "scatter", "coloring", "color", "lightness")
    options = {name: str(value) for name, value in zip(names, choice, strict=True)}
    image, triangles, _ = drawing(looks.get(visitor), options)
    links = [views.link(visitor, f"lowpoly.{end}", end.upper(), options) for end in ("png", "svg")]
    words = note(f"{triangles:,} triangles") + downloads.links("", "".join(links))
    shown = visits.shown(visitor.session, images.shrink(image.on_white().rgb, looks.VIEW))
    return gr.Image(shown, visible=True), words


def drawing(look: Look, options: Mapping[str, str]) -> tuple[images.Picture, int, str]:
    """The picture as triangles, how many, and the same as SVG."""
    coloring = options.get("coloring", COLORINGS[0])
    if coloring not in COLORINGS:
        raise ValueError(f"The colouring is {coloring!r}, expected one of {', '.join(COLORINGS)}")
    source = look.source
    mesh = lowpoly.triangulate(
        source.seen,
        number(options.get("threshold"), 0, 255, "The threshold"),
        number(options.get("density"), 1, 1000, "The density"),
        whole(options.get("seed"), 0, 2**31, "The seed"),
        options.get("scatter") == "True",
        source.alpha,
    )
    if coloring == "wireframe":
        return images.Picture(lowpoly.wireframe(mesh)), len(mesh.triangles), lowpoly.wireframe_svg(mesh)
    strengths = results.strengths(options.get("color"), options.get("lightness"))
    means = lowpoly.triangle_colors(mesh, source.seen)
    colors = _recolored(means, coloring, results.table(look, *strengths), look)
    svg = lowpoly.render_svg(mesh, colors, source.alpha)
    return lowpoly.draw(mesh, colors, source.alpha), len(mesh.triangles), svg


def write(look: Look, path: Path, options: Mapping[str, str]) -> None:
    """The PNG or the SVG of a drawing, by the suffix."""
    image, _, svg = drawing(look, options)
    if path.suffix == ".png":
        images.save(image, path)
    else:
        write_text(path, svg)


def build(
    visit: gr.State, section: gr.Accordion, strengths: list[gr.Slider]
) -> list[gr.components.Component]:
    """Build the section, drawn when it is opened; returns the components to clear for another result."""
    with gr.Row():
        with gr.Column(scale=3, min_width=320, elem_classes="vc-drawn"):
            image = gr.Image(
                label="Low poly",
                alt_text="the picture as triangles",
                format="png",
                interactive=False,
                elem_id="lowpoly",
                visible=False,
                buttons=["fullscreen"],
            )
        with gr.Column(scale=1, min_width=240):
            coloring = gr.Radio(list(COLORINGS), value="network", label="Colours")
            threshold = inputs.Slider(0, 255, 50, step=5, label="Edge threshold", info="Lower: more edges.")
            density = inputs.Slider(
                5, 300, 60, step=5, label="Pixels a point", info="Lower makes smaller triangles."
            )
            seed = inputs.Number(1, label="Seed", precision=0, minimum=0)
            scatter = gr.Checkbox(False, label="Points anywhere, not on edges")
            make = gr.Button("Draw low poly", variant="primary", elem_id="draw")
            words = gr.HTML()
    gr.on(
        [section.expand, make.click, coloring.change, scatter.change, threshold.change, density.change],
        draw,
        [visit, threshold, density, seed, scatter, coloring, *strengths],
        [image, words],
        concurrency_id="apply",
        concurrency_limit=4,
        trigger_mode="always_last",
        show_progress_on=words,
    )
    return [image, words]


def _recolored(means: np.ndarray, coloring: str, table: lut.Lut, look: Look) -> np.ndarray:
    """Mean colours, uint8 (T, 3), in the chosen colouring."""
    if coloring == "network":
        return lut.apply(table, means[None])[0]
    return palette.nearest(means, look.model.palette) if coloring == "nearest palette colour" else means
