"""Plots: the curves of the training, and the palette and its clusters."""

from collections.abc import Callable
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from apps.color_transfer import looks, views
from apps.color_transfer.looks import Look
from apps.color_transfer.visit import current
from apps.shared import downloads, trainings
from apps.shared.curves import plot
from apps.shared.faults import user_errors
from apps.shared.visits import Session
from vision_core import color
from vision_core.color import lowpoly, plots, training_plots
from vision_core.color.palette import cluster

TRAINING = {
    "1 · Colours of the picture": "source",
    "2 · The palette": "palette",
    "3 · Result and palette": "output",
    "4 · Total loss": "total_loss",
    "5 · Terms of the loss": "losses",
    "6 · Where colours go": "mappings",
}
MORE: dict[str, Callable[[Look, str], go.Figure]] = {
    "Palette bars": lambda look, space: plots.palette_bars(
        {"Of the picture": color.extract(look.source.visible), "To take": look.model.palette}
    ),
    "All colours and the top five": lambda look, space: plots.dual_palette(look.model.palette),
    "Colour wheel": lambda look, space: plots.color_wheel(look.model.palette),
    "Clusters": lambda look, space: plots.clusters(
        cluster(color.count_colors(_target(look))), look.model.palette, space
    ),
    "Wireframe": lambda look, space: plots.wireframe(
        lowpoly.triangulate(look.source.seen, alpha=look.source.alpha)
    ),
}
SPACES = [("RGB", "rgb"), ("CIELAB", "lab"), ("OKLab", "oklab")]


@user_errors
def draw(state: Session | None, name: str, space: str) -> tuple[Any, ...]:
    """(figure, its download) of one view, in the given colour space if the view has one."""
    visitor = current(state)
    if not visitor.result or looks.status(looks.get(visitor)) in trainings.GOING_ON:
        return gr.Plot(visible=False), ""  # opened during the training, whose curves are shown above
    chart = plot(figure(looks.get(visitor), name, space))
    file = views.link(visitor, "plot.html", "Save this plot (HTML)", {"name": name, "space": space})
    return gr.Plot(chart, visible=True), downloads.links("", file)


def figure(look: Look, name: str, space: str) -> go.Figure:
    """The view of that name."""
    if space not in dict(SPACES).values() or name not in TRAINING | MORE:
        raise ValueError(f"There is no plot {name!r} in {space!r}")
    return _training_figure(look, TRAINING[name], space) if name in TRAINING else MORE[name](look, space)


def build(visit: gr.State, section: gr.Accordion) -> list[gr.components.Component]:
    """The section's layout and wiring; a plot is drawn when the section is opened."""
    with gr.Row():
        name = gr.Dropdown([*TRAINING, *MORE], value=next(iter(TRAINING)), label="Plot", scale=3)
        space = gr.Radio(SPACES, value="rgb", label="Colour space of the clouds", scale=2)
    shown = gr.Plot(show_label=False, elem_id="figure", visible=False)
    file = gr.HTML()
    gr.on(
        [name.change, space.change, section.expand],
        draw,
        [visit, name, space],
        [shown, file],
        concurrency_id="apply",
        concurrency_limit=4,
    )
    return [shown, file]


def _training_figure(look: Look, key: str, space: str) -> go.Figure:
    model, counted = look.model, color.count_colors(look.source.visible)
    steps = trainings.steps(look.run)
    if not steps and key in ("total_loss", "losses"):
        raise ValueError("This network was not trained here: it has no curves")
    return training_plots.six(counted, model.palette, model.recolor_colors(counted.colors), steps, space)[key]


def _target(look: Look) -> Any:
    if (target := look.target) is None:
        raise ValueError("The palette came from a file: there is no picture whose clusters could be shown")
    return target.visible
