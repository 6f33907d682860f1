"""Low poly: the picture as flat triangles, as PNG and SVG."""

from typing import Any

import gradio as gr
import numpy as np

from apps import common
from apps.color_transfer import results
from apps.color_transfer import visit as visits
from apps.color_transfer.visit import Visit
from apps.common import number, told, whole
from vision_core import images
from vision_core.color import Palette, lowpoly, lut, palette
from vision_core.files import write_text

COLORINGS = ("network", "nearest palette colour", "original", "wireframe")


@told
def draw(
    visit: Visit,
    threshold: float,
    density: float,
    seed: float,
    scatter: bool,
    coloring: str,
    strength: float,
    lightness: float,
) -> tuple[Any, ...]:
    """(image, how many triangles, PNG, SVG); a wireframe has no SVG."""
    if coloring not in COLORINGS:
        raise ValueError(f"The colouring is {coloring!r}, expected one of {', '.join(COLORINGS)}.")
    rgb = visits.source(visit).rgb
    mesh = lowpoly.triangulate(
        rgb,
        number(threshold, 0, 255, "The threshold"),
        number(density, 1, 1000, "The density"),
        whole(seed, 0, 2**31, "The seed"),
        bool(scatter),
    )
    svg = gr.DownloadButton(interactive=False)
    if coloring == "wireframe":
        drawn = lowpoly.wireframe(mesh)
    else:
        means = lowpoly.triangle_colors(mesh, rgb)
        colors = _recolored(
            means, coloring, results.table(visit, strength, lightness), visits.model(visit).palette
        )
        drawn = lowpoly.render_png(mesh, colors)
        write_text(visit.path("lowpoly.svg"), lowpoly.render_svg(mesh, colors))
        svg = gr.DownloadButton(value=str(visit.path("lowpoly.svg")), interactive=True)
    images.save(images.Picture(drawn), visit.path("lowpoly.png"))
    png = gr.DownloadButton(value=str(visit.path("lowpoly.png")), interactive=True)
    view = visits.shown(visit, visits.shrunk(drawn, results.VIEW))
    return view, common.note(f"{len(mesh.triangles):,} triangles"), png, svg


def build(visit: gr.State, strength: gr.Slider, lightness: gr.Slider) -> None:
    """The tab's layout and wiring."""
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            image = gr.Image(
                label="Low poly",
                alt_text="the picture as triangles",
                format="png",
                interactive=False,
                elem_id="lowpoly",
                buttons=["fullscreen"],
            )
        with gr.Column(scale=1, min_width=240):
            coloring = gr.Radio(list(COLORINGS), value="network", label="Colours")
            threshold = gr.Slider(0, 255, 50, step=5, label="Edge threshold", info="Lower finds more edges.")
            density = gr.Slider(
                5, 300, 60, step=5, label="Pixels a point", info="Lower makes smaller triangles."
            )
            seed = gr.Number(1, label="Seed", precision=0, minimum=0)
            scatter = gr.Checkbox(False, label="Points anywhere, not on edges")
            make = gr.Button("Draw low poly", variant="primary", elem_id="draw")
            count = gr.HTML()
            files = [
                gr.DownloadButton(name, interactive=False, size="sm")
                for name in ("Low poly PNG", "Low poly SVG")
            ]
    inputs = [visit, threshold, density, seed, scatter, coloring, strength, lightness]
    gr.on(
        [make.click, coloring.change, scatter.change, threshold.release, density.release],
        draw,
        inputs,
        [image, count, *files],
        concurrency_id="heavy",
        concurrency_limit=common.HEAVY,
        show_progress_on=image,
    )


def _recolored(means: np.ndarray, coloring: str, table: np.ndarray, colors: Palette) -> np.ndarray:
    """Mean colours, uint8 (T, 3), in the chosen colouring."""
    if coloring == "network":
        return lut.apply(table, means[None])[0]
    return palette.nearest(means, colors) if coloring == "nearest palette colour" else means
