"""The four curves of a leaf training: accuracy, loss, learning rate, and the gap with its alarm."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from apps.dashboard import charts
from vision_core import leaves, plots
from vision_core.leaves.evaluate import MILD, SERIOUS

ALARM = {  # colour and symbol, so that colour is not the only carrier
    "none": (plots.LINES[2], "circle", "no alarm"),
    "mild": (plots.LINES[1], "diamond", "mild"),
    "serious": (plots.LINES[7], "x", "serious"),
}
MEANING = {
    "mild": "The gap is above 0.1: the classifier begins to learn its training pictures by heart.",
    "serious": "The gap is above 0.2: it has learned its training pictures by heart. More or more varied "
    "pictures help, and so do mixup, label smoothing and fewer unfrozen blocks.",
}


def show_curves(epochs: Sequence[dict[str, Any]]) -> None:
    """The four curves, 2 x 2."""
    figures = (
        (accuracy(epochs), "leaf_accuracy", "Accuracy and macro-F1 after each epoch"),
        (loss(epochs), "leaf_loss", "Training and validation loss after each epoch"),
        (learning_rate(epochs), "leaf_lr", "Learning rate of each epoch, logarithmic"),
        (gap(epochs), "leaf_gap", "Training less validation accuracy, with the thresholds 0.1 and 0.2"),
    )
    for row in (figures[:2], figures[2:]):
        for column, (figure, key, alt) in zip(st.columns(2), row, strict=True):
            with column:
                charts.show(figure, key, alt)
    if meaning := MEANING.get(leaves.gap(epochs[-1])["alarm"]):
        st.warning(meaning, icon=":material/warning:")


def accuracy(epochs: Sequence[dict[str, Any]]) -> go.Figure:
    figure = go.Figure()
    charts.line(figure, epochs, "train_accuracy", "Training (augmented)", plots.LINES[0], "dot")
    charts.line(figure, epochs, "val_accuracy", "Validation", plots.LINES[1], "solid")
    charts.line(figure, epochs, "val_macro_f1", "Validation macro-F1", plots.LINES[2], "dash")
    return charts.laid_out(figure, "Accuracy", "epoch", "~%")


def loss(epochs: Sequence[dict[str, Any]]) -> go.Figure:
    figure = go.Figure()
    charts.line(figure, epochs, "cross_entropy", "Training (augmented)", plots.LINES[0], "dot")
    charts.line(figure, epochs, "val_loss", "Validation", plots.LINES[1], "solid")
    return charts.laid_out(figure, "Loss (cross-entropy)", "epoch", ".2f")


def learning_rate(epochs: Sequence[dict[str, Any]]) -> go.Figure:
    figure = go.Figure()
    charts.line(figure, epochs, "lr", "Learning rate", plots.LINES[4], "solid")
    rates = sorted({e["lr"] for e in epochs if e["lr"] > 0})
    ticks = rates[:: max(1, len(rates) // 6)]  # each of the rates: it halves, a power of ten may not be met
    figure = charts.laid_out(figure, "Learning rate", "epoch", "~g")
    return figure.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{rate:.2g}" for rate in ticks])


def gap(epochs: Sequence[dict[str, Any]]) -> go.Figure:
    """Each epoch's gap, marked by its alarm, between the thresholds."""
    figure = go.Figure()
    rows = [{"epoch": e["epoch"], **leaves.gap(e)} for e in epochs]
    charts.line(figure, rows, "gap", "Gap", plots.QUIET, "solid")
    for alarm, (colour, symbol, label) in ALARM.items():
        marked = [e for e in rows if e["alarm"] == alarm][-charts.POINTS :]
        if marked:
            figure.add_scatter(
                x=[e["epoch"] for e in marked],
                y=[e["gap"] for e in marked],
                name=label,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9},
                hoverinfo="skip",
            )
    for at, alarm in ((MILD, "mild"), (SERIOUS, "serious")):
        colour = ALARM[alarm][0]
        note = {"text": f"{at} {alarm}", "font": {"color": colour}}
        figure.add_hline(
            at,
            line={"color": colour, "dash": "dash", "width": 1.5},
            annotation=note,
            annotation_position="top left",
        )
    highest = max(SERIOUS, *(e["gap"] for e in rows))
    figure.add_hrect(MILD, SERIOUS, fillcolor=ALARM["mild"][0], opacity=0.08, line_width=0)
    figure.add_hrect(SERIOUS, highest + 0.1, fillcolor=ALARM["serious"][0], opacity=0.08, line_width=0)
    return charts.laid_out(figure, "Gap: training less validation accuracy", "epoch", ".2f")
