"""Training curves of a restorer: loss, and PSNR and ink on held-out pages."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from vision_core import plots

TITLES = {
    "loss": "Loss",
    "val_psnr": "PSNR on held-out pages (dB)",
    "val_ink": "Ink on held-out pages (F-measure, %)",
}


def curves(events: Sequence[dict[str, Any]]) -> go.Figure:
    """A figure of the events of a run; see `Run.events`."""
    steps = [event for event in events if event["event"] == "step"]
    steps = steps[:: max(1, len(steps) // plots.POINTS)]
    epochs = [event for event in events if event["event"] == "epoch"]
    figure = make_subplots(1, len(TITLES), subplot_titles=list(TITLES.values()), horizontal_spacing=0.08)
    losses = [event["losses"].get("total", event["losses"].get("l1")) for event in steps]
    figure.add_scatter(
        x=[event["step"] for event in steps],
        y=losses,
        mode="lines",
        line=plots.line(0),
        name="loss",
        row=1,
        col=1,
    )
    for column, name in enumerate(list(TITLES)[1:], 2):
        figure.add_scatter(
            x=[event["epoch"] for event in epochs],
            y=[event["metrics"].get(name) for event in epochs],
            mode="lines+markers",
            line=plots.line(column),
            name=name,
            row=1,
            col=column,
        )
    look: Any = plots.figure("", 320).layout
    figure.update_layout(
        height=320,
        showlegend=False,
        paper_bgcolor=look.paper_bgcolor,
        plot_bgcolor=look.plot_bgcolor,
        font=look.font,
        margin={"l": 50, "r": 16, "t": 48, "b": 44},
    )
    axis = {"gridcolor": plots.GRID, "zerolinecolor": plots.GRID, "automargin": True, "title": "epoch"}
    figure.update_xaxes(axis).update_yaxes({**axis, "title": None})
    return figure.update_xaxes(title="step", row=1, col=1)
