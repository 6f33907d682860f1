"""Plots: the six figures of the training, and the palette and its clusters from every side."""

from collections.abc import Callable
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from apps.color_transfer import visit as visits
from apps.color_transfer.visit import Visit
from apps.common import plot, told
from vision_core import color
from vision_core.color import lowpoly, plots, training_plots
from vision_core.color.palette import cluster
from vision_core.training import Step

TRAINING = {
    "1 · Colours of the picture": "source",
    "2 · The palette": "palette",
    "3 · Result and palette": "output",
    "4 · Total loss": "total_loss",
    "5 · Terms of the loss": "losses",
    "6 · Where colours go": "mappings",
}
MORE: dict[str, Callable[[Visit, str], go.Figure]] = {
    "Palette bars": lambda visit, space: plots.palette_bars(
        {"Of the picture": color.extract(visits.source(visit).rgb), "To take": visits.model(visit).palette}
    ),
    "All colours and the top five": lambda visit, space: plots.dual_palette(visits.model(visit).palette),
    "Colour wheel": lambda visit, space: plots.color_wheel(visits.model(visit).palette),
    "Clusters": lambda visit, space: plots.clusters(
        cluster(color.count_colors(_target(visit))), visits.model(visit).palette, space
    ),
    "Wireframe": lambda visit, space: plots.wireframe(lowpoly.triangulate(visits.source(visit).rgb)),
}
SPACES = [("RGB", "rgb"), ("CIELAB", "lab"), ("OKLab", "oklab")]


@told
def draw(visit: Visit, name: str, space: str) -> tuple[Any, ...]:
    """(figure, its file): one of the views, in a colour space where it has one."""
    if space not in dict(SPACES).values() or name not in TRAINING | MORE:
        raise ValueError(f"There is no plot {name!r} in {space!r}.")
    figure = _training_figure(visit, TRAINING[name], space) if name in TRAINING else MORE[name](visit, space)
    path = visit.path("plot.html")
    plots.save(figure, path)
    return plot(figure), gr.DownloadButton(value=str(path), interactive=True)


def build(visit: gr.State, results: gr.State) -> None:
    """The tab's layout and wiring; the first plot is drawn when the tab is opened."""
    with gr.Row():
        name = gr.Dropdown([*TRAINING, *MORE], value=next(iter(TRAINING)), label="Plot", scale=3)
        space = gr.Radio(SPACES, value="rgb", label="Colour space of the clouds", scale=2)
    figure = gr.Plot(show_label=False, elem_id="figure")
    file = gr.DownloadButton("Save this plot (HTML)", interactive=False, size="sm")
    gr.on(
        [name.change, space.change, results.change],
        draw,
        [visit, name, space],
        [figure, file],
        concurrency_id="apply",
        concurrency_limit=4,
    )


def _training_figure(visit: Visit, key: str, space: str) -> go.Figure:
    model, counted = visits.model(visit), color.count_colors(visits.source(visit).rgb)
    steps = [
        Step(entry["step"], entry["total"], entry["losses"], entry["eta"])
        for entry in visit.run.events()
        if entry["event"] == "step"
    ]
    if not steps and key in ("total_loss", "losses"):
        raise ValueError("This model was loaded, not trained here: it has no curves.")
    return training_plots.six(counted, model.palette, model.recolor_colors(counted.colors), steps, space)[key]


def _target(visit: Visit) -> Any:
    target = visits.target(visit)
    if target is None:
        raise ValueError("The palette came from a file: there is no picture whose clusters could be shown.")
    return target
