"""The dashboard's charts, as plotly figures and one clickable Altair table."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas  # noqa: F401 - plotly trips over it while another visitor's thread is still importing it
import plotly.graph_objects as go
import streamlit as st

from vision_core import plots

CONFIG = {**plots.CONFIG, "displayModeBar": False}  # on a phone the bar would lie over the titles
PERCENT = st.column_config.NumberColumn(format="%.1f %%")
POINTS = 2000  # more than these a browser draws slowly, and nobody can tell apart
AXIS: dict[str, Any] = {
    "ticks": False,
    "domain": False,
    "grid": False,
    "labelPadding": 6,
    "labelOverlap": False,
}
SPLITS = {  # colour and dash, so that lines differ without colour, too
    "train": ("Training images", plots.LINES[0], "dot"),
    "val": ("Validation images", plots.LINES[1], "dash"),
    "test": ("Test images", plots.LINES[2], "solid"),
}


def show(figure: go.Figure, key: str, alt: str) -> None:
    """Draw a figure; `alt` says what it shows."""
    st.plotly_chart(plots.with_room(figure), config=CONFIG, key=key, alt=alt)


def ask_close_up(key: str = "close_up") -> bool:
    """Whether to leave the untrained network out."""
    return st.toggle(
        "Close-up: leave out epoch 0, the untrained network", value=True, key=key, persist_state="page"
    )


def accuracy(epochs: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Accuracy after each epoch on the three splits."""
    figure = go.Figure()
    for name, (label, colour, dash) in SPLITS.items():
        line(figure, epochs, f"{name}_accuracy", label, colour, dash)
    return laid_out(figure, "Accuracy", "epoch", "~%")


def loss(epochs: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Mean cross-entropy after each epoch."""
    figure = go.Figure()
    for name, key in (("train", "loss"), ("val", "val_loss")):
        label, colour, dash = SPLITS[name]
        line(figure, epochs, key, label, colour, dash)
    return laid_out(figure, "Loss (cross-entropy)", "epoch", ".2f")


def per_digit(epochs: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Accuracy of each digit over the epochs."""
    epochs = thinned(epochs)
    figure, x = go.Figure(), [e["epoch"] for e in epochs]
    for digit in range(10):
        y = [e["per_class"][digit] for e in epochs]
        hover = f"{digit}: %{{y:.1%}}<extra></extra>"
        line = {"color": plots.LINES[digit], "width": 2, "dash": "solid" if digit < 5 else "dot"}
        figure.add_scatter(x=x, y=y, name=str(digit), mode="lines", line=line, hovertemplate=hover)
    return laid_out(figure, "Test accuracy of each digit", "epoch", "~%")


def over_epochs(epochs: Sequence[int], series: Mapping[str, Sequence[float]], title: str) -> go.Figure:
    """One line for each name, over the epochs; values of any size on a logarithmic axis."""
    figure = go.Figure()
    for number, (name, values) in enumerate(series.items()):
        line = {
            "color": plots.LINES[number % 10],
            "width": 2,
            "dash": "dot" if name.endswith("bias") else "solid",
        }
        hover = f"{name}: %{{y:.3g}}<extra></extra>"
        figure.add_scatter(
            x=thinned(epochs), y=thinned(values), name=name, mode="lines", line=line, hovertemplate=hover
        )
    return laid_out(figure, title, "epoch", "~g").update_yaxes(type="log")


def histogram(now: np.ndarray, before: np.ndarray, name: str, epoch: str) -> go.Figure:
    """Histogram of the values of a tensor, now and before training."""
    edges = np.histogram_bin_edges(np.concatenate([now.ravel(), before.ravel()]), 40)
    middle = (edges[1:] + edges[:-1]) / 2
    figure = go.Figure()
    for values, label, colour in (
        (before, "epoch 0", plots.QUIET),
        (now, epoch if epoch.startswith("batch") else f"epoch {epoch}", plots.LINES[0]),
    ):
        counts, _ = np.histogram(values, edges)
        hover = f"{label}: %{{y}} numbers near %{{x:.3f}}<extra></extra>"
        figure.add_bar(
            x=middle,
            y=counts,
            name=label,
            marker_color=colour,
            opacity=0.65,
            hovertemplate=hover,
            marker_line_width=0,
        )
    figure.update_layout(barmode="overlay", bargap=0.04)
    return laid_out(figure, f"Numbers of {name}", "value", "~s")


def steps(at: Sequence[int], values: Sequence[float], total: int) -> go.Figure:
    """The loss of every step, thin, and the mean of the 25 steps around it, thick."""
    x, y = np.asarray(at), np.asarray(values)
    width = min(25, max(1, len(y)))
    middle = (width - 1) // 2
    mean = np.convolve(y, np.ones(width) / width, "valid") if len(y) else y
    figure = go.Figure()
    for part, label, colour, thick in (
        ((x, y), "each step", plots.QUIET, 1),
        ((x[middle : middle + len(mean)], mean), f"mean of {width} steps", plots.LINES[0], 2.5),
    ):
        every = max(1, -(-len(part[0]) // (POINTS // 2)))
        line = {"color": colour, "width": thick}
        hover = f"{label}: %{{y:.3f}}<extra></extra>"
        figure.add_scatter(
            x=part[0][::every], y=part[1][::every], name=label, mode="lines", line=line, hovertemplate=hover
        )
    return laid_out(figure, "Training loss", "step", ".1f").update_xaxes(range=[0, max(total, 1)], dtick=None)


def compared(stories: Mapping[str, Sequence[Mapping[str, Any]]], key: str, title: str) -> go.Figure:
    """One measure of several runs in one chart."""
    figure = go.Figure()
    for number, (name, epochs) in enumerate(stories.items()):
        dash = ("solid", "dash", "dot", "dashdot")[number % 4]
        line(figure, epochs, key, name, plots.LINES[number % 10], dash)
    return laid_out(figure, title, "epoch", "~%" if key.endswith("accuracy") else ".2f")


def confusion(
    table: Sequence[Sequence[int]], dark: bool, names: Sequence[str] | None = None
) -> alt.LayerChart | alt.FacetChart:
    """True class by row, read class by column; a click on a square selects it as `cell`.

    Args:
        names: of the classes; without them they are digits.
    """
    label = "digit" if names is None else "class"
    called: list[Any] = list(names or range(len(table)))
    rows = [
        {
            "true": called[t],
            "read": called[p],
            "images": n,
            "share": n / max(1, sum(row)),
            "kind": _kind(t, p, n),
        }
        for t, row in enumerate(table)
        for p, n in enumerate(row)
    ]
    cell = alt.selection_point(name="cell", fields=["true", "read"], empty=False)
    long = max(len(str(name)) for name in called) * len(called) > 48
    down = alt.Axis(**AXIS, labelAngle=0, labelLimit=130)
    across = alt.Axis(**AXIS, labelAngle=-40 if long else 0, labelLimit=130)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("read:O", title="read as", axis=across, sort=called),
        y=alt.Y("true:O", title=f"true {label}", axis=down, sort=called),
    )
    kinds = alt.Scale(domain=["right", "wrong", "none"], range=["#2f6fe0", "#e0562b", "#8490a8"])
    squares = base.mark_rect(cornerRadius=5, cursor="pointer").encode(
        color=alt.Color("kind:N", scale=kinds, legend=None),
        opacity=alt.Opacity(
            "share:Q", scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0.07, 0.95]), legend=None
        ),
        stroke=alt.condition(cell, alt.value("#e0562b"), alt.value("#00000000")),
        strokeWidth=alt.value(3),
        tooltip=[
            alt.Tooltip("true:O", title=f"true {label}"),
            alt.Tooltip("read:O", title="read as"),
            alt.Tooltip("images:Q", title="images"),
        ],
    )
    ink = "#e8ecf4" if dark else "#1a2233"
    numbers = base.transform_filter("datum.images > 0").mark_text(fontSize=13, fontWeight=600)
    numbers = numbers.encode(
        text="images:Q", color=alt.condition("datum.share > 0.3", alt.value("#ffffff"), alt.value(ink))
    )
    return alt.layer(squares.add_params(cell), numbers).properties(height=460)


def _kind(true: int, read: int, images: int) -> str:
    return "none" if not images else "right" if true == read else "wrong"


def thinned(points: Sequence[Any]) -> Sequence[Any]:
    """At most POINTS items, evenly spaced."""
    return points[:: max(1, -(-len(points) // POINTS))]


def line(
    figure: go.Figure, epochs: Sequence[Mapping[str, Any]], key: str, label: str, colour: str, dash: str
) -> None:
    """Add the line of a measure over the epochs."""
    epochs = thinned(epochs)
    x, y = [e["epoch"] for e in epochs], [e[key] for e in epochs]
    number = ".2%" if key.endswith("accuracy") else ".4f"
    hover = f"{label}: %{{y:{number}}}<extra></extra>"
    mode = "lines+markers" if len(x) < 40 else "lines"
    line = {"color": colour, "width": 2.5, "dash": dash}
    figure.add_scatter(x=x, y=y, name=label, mode=mode, line=line, marker={"size": 5}, hovertemplate=hover)


def laid_out(figure: go.Figure, title: str, x: str, tick: str) -> go.Figure:
    """Apply the layout of the dashboard; `tick` is the format of the y axis."""
    figure.update_layout(
        title={"text": title, "x": 0, "xanchor": "left", "y": 0.97, "yanchor": "top", "font": {"size": 16}},
        height=330,
        margin={"l": 8, "r": 8, "t": 44, "b": 8},
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.24, "yanchor": "top", "title": None},
        uirevision=title,  # a refresh keeps the visitor's zoom
    )
    figure.update_yaxes(tickformat=tick, automargin=True)
    return figure.update_xaxes(title=x, automargin=True)
