"""Figures for `gr.Plot`."""

import json
from collections.abc import Sequence

import plotly.graph_objects as go
from gradio.components.plot import PlotData

from vision_core import plots
from vision_core.events import Step


def loss_curves(steps: Sequence[Step]) -> PlotData:
    """Every term of the loss over the steps."""
    names = steps[-1].losses if steps else ()
    terms = {name: [step.losses[name] for step in steps] for name in names}
    return plot(plots.loss_terms([step.step for step in steps], terms, height=340, parts=100))


def plot(figure: go.Figure) -> PlotData:
    """Prepare a figure for `gr.Plot`, which takes no config: hide the button that uploads it."""
    return PlotData(
        type="plotly",
        plot=json.dumps(json.loads(plots.with_room(figure).to_json() or "{}") | {"config": plots.CONFIG}),
    )
