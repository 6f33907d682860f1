"""The shared style of all Plotly figures, for light and dark pages: layout, lines, loss curves, saving."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from vision_core.files import write_text

CONFIG = {"showSendToCloud": False, "displaylogo": False, "responsive": True}
TEXT, GRID, OUTLINE = "#7c8b98", "rgba(128,140,150,.25)", "#87929c"
QUIET = "#9aa5b8"  # for data in the background: single steps, the previous state
LINES = (
    "#4a7be0",
    "#d9822b",
    "#1f9d6e",
    "#d0507a",
    "#8a6be0",
    "#21a3b5",
    "#a98a1c",
    "#c8553d",
    "#6b7f99",
    "#5fa03a",
)
DASHES = ("solid", "dash", "dot", "dashdot")
PHONE, ROW = 240, 20  # pixels: the width of a plot on a phone, the height of a name in a legend
POINTS = 1000  # per line; more are indistinguishable and slow the browser down


def figure(title: str, height: int = 480) -> go.Figure:
    """An empty figure: title on the left, transparent background, subtle grid, legend below."""
    fig = go.Figure()
    fig.update_layout(
        title={"text": title, "x": 0.01, "xanchor": "left", "font": {"size": 17}},
        height=height,
        margin={"l": 60, "r": 24, "t": 64, "b": 52},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": TEXT, "family": "system-ui, sans-serif", "size": 13},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
        legend={"orientation": "h", "x": 0.01, "y": 0.01, "xref": "container", "yref": "container"},
    )
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "automargin": True}
    return fig.update_xaxes(axis).update_yaxes(axis)


def with_room(fig: go.Figure) -> go.Figure:
    """The figure, taller by its legend: on a phone the plot keeps 200 pixels."""
    traces: Any = fig.data
    names = [len(str(trace.name)) for trace in traces if trace.name and trace.showlegend is not False]
    columns = max(1, PHONE // (45 + 7 * max(names, default=0)))
    rows = -(-len(names) // columns)
    layout: Any = fig.layout
    return fig.update_layout(height=(layout.height or 450) + ROW * rows * (rows > 1))


def line(number: int, width: float = 2.0) -> dict[str, object]:
    """The colour and dash of a line by its number; dashes make lines distinguishable without colour."""
    return {"color": LINES[number % 10], "dash": DASHES[number // 10 % 4], "width": width}


def total_loss(steps: Sequence[int], losses: Sequence[float], title: str = "Total loss") -> go.Figure:
    """The loss of every step (thin) and its moving average over a fiftieth of the steps (thick)."""
    fig = _loss_figure(title, 400)
    x, y = np.asarray(steps), np.asarray(losses, float)
    width = max(1, len(y) // 50)
    mean = np.convolve(y, np.ones(width) / width, "valid") if len(y) else y
    middle = (width - 1) // 2
    for part, values, name, style in (
        (x, y, "each step", {"width": 1, "color": QUIET}),
        (x[middle : middle + len(mean)], mean, f"mean of {width} steps", line(0, 2.5)),
    ):
        every = max(1, -(-len(part) // POINTS))
        fig.add_scatter(x=part[::every], y=values[::every], name=name, mode="lines", line=style)
    return fig


def loss_terms(
    steps: Sequence[int], losses: Mapping[str, Sequence[float]], height: int = 400, parts: int = 50
) -> go.Figure:
    """Each loss term, averaged over `parts` intervals of the training; "total" is drawn thicker."""
    fig = _loss_figure("Terms of the loss", height)
    x = np.asarray(steps)
    size = max(1, len(x) // parts)
    starts = np.arange(0, len(x), size)
    for index, (name, values) in enumerate(losses.items()):
        means = np.add.reduceat(np.asarray(values, float), starts) / np.diff(starts, append=len(x))
        style = line(index, 3 if name == "total" else 2)
        at = x[np.minimum(starts + size, len(x)) - 1]
        fig.add_scatter(x=at, y=means, name=name, mode="lines", line=style)
    return fig


def save(fig: go.Figure, path: str | Path) -> None:
    """Write a figure as a self-contained web page."""
    body = fig.to_html(config=CONFIG, full_html=False, include_plotlyjs=True)
    title = escape(str(fig.layout.title.text or "Figure"))
    style = ":root{color-scheme:light dark}body{margin:16px;background:Canvas}"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    write_text(
        path,
        f"<!doctype html><html lang=en><head>{head}<style>{style}</style></head><body>{body}</body></html>\n",
    )


def _loss_figure(title: str, height: int) -> go.Figure:
    fig = figure(title, height)
    fig.update_layout(hovermode="x unified")
    fig.update_xaxes(title="step")
    return fig.update_yaxes(title="loss (log scale)", type="log", dtick=1, exponentformat="power")
