"""Plotly figures of a leaf data set, of a training and of its measures. Names of classes are escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vision_core.leaves.evaluate import MILD, SERIOUS
from vision_core.plots import LINES, QUIET, figure, line

COLORS = {"none": LINES[2], "mild": LINES[1], "serious": LINES[7]}  # colours of the alarm levels


def distribution(counts: Mapping[str, int]) -> go.Figure:
    """Number of pictures per class, as a pie and as bars of the same colours."""
    names, values = [escape(name) for name in counts], [*counts.values()]
    fig = _panels("Pictures of each class", 1, 2, [[{"type": "domain"}, {"type": "xy"}]], 420)
    colors = [LINES[i % len(LINES)] for i in range(len(names))]
    fig.add_pie(labels=names, values=values, marker={"colors": colors}, sort=False, row=1, col=1)
    fig.add_bar(x=names, y=values, marker={"color": colors}, text=values, showlegend=False, row=1, col=2)
    return fig.update_yaxes(title="pictures", row=1, col=2)


def histograms(shares: Mapping[str, Sequence[float]]) -> go.Figure:
    """The colour histograms of a leaf, channel by channel."""
    fig = figure("Colours of the leaf", 420)
    for index, (name, values) in enumerate(shares.items()):
        x = (np.arange(len(values)) + 0.5) / len(values)
        fig.add_scatter(x=x, y=values, name=name, mode="lines", line=line(index))
    fig.update_xaxes(title="value of the channel, 0 to 1")
    return fig.update_yaxes(title="share of the leaf's pixels")


CURVES = {  # metric: panel, name, number of its line; a name that stands in two panels is one entry below
    "train_accuracy": ((1, 1), "training (augmented)", 0),
    "val_accuracy": ((1, 1), "validation", 1),
    "val_macro_f1": ((1, 1), "validation macro-F1", 2),
    "cross_entropy": ((1, 2), "training (augmented)", 0),
    "val_loss": ((1, 2), "validation", 1),
    "lr": ((2, 1), "learning rate", 4),
}


def curves(epochs: Sequence[int], metrics: Sequence[Mapping[str, float]]) -> go.Figure:
    """A training, 2 x 2: accuracy, loss, learning rate (log scale), accuracy gap with its thresholds."""
    titles = ("Accuracy", "Loss", "Learning rate", "Gap: training less validation accuracy")
    fig, named = _panels("Training", 2, 2, None, 640, titles), set()
    for key, ((row, col), name, number) in CURVES.items():
        fig.add_scatter(
            x=[*epochs],
            y=[entry.get(key) for entry in metrics],
            name=name,
            legendgroup=name,
            showlegend=name not in named,
            mode="lines+markers",
            line=line(number),
            row=row,
            col=col,
        )
        named.add(name)
    gaps = [entry["train_accuracy"] - entry["val_accuracy"] for entry in metrics]
    levels = ["serious" if g >= SERIOUS else "mild" if g >= MILD else "none" for g in gaps]
    colors = [COLORS[level] for level in levels]
    fig.add_bar(x=[*epochs], y=gaps, name="gap", marker={"color": colors}, showlegend=False, row=2, col=2)
    for height, name in ((MILD, "mild"), (SERIOUS, "serious")):
        style = {"color": COLORS[name], "dash": "dash"}
        fig.add_scatter(
            x=[*epochs], y=[height] * len(gaps), name=f"{name} gap", mode="lines", line=style, row=2, col=2
        )
    fig.update_yaxes(type="log", row=2, col=1)
    return fig.update_xaxes(title="epoch").update_layout(margin={"b": 100})


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> go.Figure:
    """True classes down, answers across; coloured by the share of the true class."""
    counts = np.asarray(matrix)
    names = [escape(name) for name in classes]
    fig = figure("Confusion matrix", 160 + 46 * len(names))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    fig.add_heatmap(
        z=shares, x=names, y=names, text=counts, texttemplate="%{text}", colorscale="Blues", showscale=False
    )
    fig.update_xaxes(title="answer")
    return fig.update_yaxes(title="true class", autorange="reversed")


def reliability(bins: Sequence[Mapping[str, float]]) -> go.Figure:
    """Reliability diagram: accuracy against confidence; on the diagonal the two agree."""
    fig = figure("Calibration", 400)
    fig.add_scatter(x=[0, 1], y=[0, 1], name="perfect", mode="lines", line={"color": QUIET, "dash": "dash"})
    x, y = ([b[key] for b in bins] for key in ("confidence", "accuracy"))
    size = [6 + 20 * (b["count"] / max(b["count"] for b in bins)) ** 0.5 for b in bins]
    fig.add_scatter(x=x, y=y, name="measured", mode="lines+markers", line=line(0), marker={"size": size})
    fig.update_xaxes(title="probability of the answer", range=[0, 1.02])
    return fig.update_yaxes(title="share that is right", range=[0, 1.02])


def precision_recall(per_class: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """The precision-recall curve of each class."""
    fig = figure("Precision and recall", 440)
    for index, (name, curve) in enumerate(per_class.items()):
        label = f"{escape(name)} (AP {curve['average_precision']:.3f})"
        fig.add_scatter(x=curve["recall"], y=curve["precision"], name=label, mode="lines", line=line(index))
    fig.update_xaxes(title="recall", range=[0, 1.02])
    return fig.update_yaxes(title="precision", range=[0, 1.02])


def _panels(
    title: str, rows: int, cols: int, specs: Any, height: int, titles: Sequence[str] | None = None
) -> go.Figure:
    """Several plots in one figure with the common style."""
    fig, look = make_subplots(rows, cols, specs=specs, subplot_titles=titles), figure(title, height)
    layout = look.layout.to_plotly_json()
    axis = layout.pop("xaxis")
    layout.pop("yaxis")
    fig.update_layout(layout)
    return fig.update_xaxes(axis).update_yaxes(axis)
