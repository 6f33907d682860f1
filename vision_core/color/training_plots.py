"""The six figures of a training: source colours, palette, result, losses and sample mappings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from vision_core.color.palette import CountedColors, Palette
from vision_core.color.palette_files import to_hex
from vision_core.color.plots import add_palette, cloud, labels, palette_points, sizes
from vision_core.color.spaces import encode
from vision_core.plots import OUTLINE, TEXT, figure, loss_terms, total_loss

if TYPE_CHECKING:
    from vision_core.events import Step


def six(
    source: CountedColors, palette: Palette, mapped: np.ndarray, steps: "Sequence[Step]", space: str = "rgb"
) -> dict[str, go.Figure]:
    """All six figures by name, in display order.

    Args:
        mapped: uint8 (N, 3), the outputs for the N colours of the source.
        space: "rgb", "lab" or "oklab", for the clouds.
    """
    return {
        "source": cloud(source, space, "Colours of the source"),
        "palette": palette_points(palette, space),
        "output": output_cloud(CountedColors(mapped, source.counts), palette, space),
        "total_loss": total_loss([s.step for s in steps], [s.losses["total"] for s in steps]),
        "losses": component_losses(steps),
        "mappings": mappings(source, mapped, palette),
    }


def output_cloud(output: CountedColors, palette: Palette, space: str = "rgb") -> go.Figure:
    """The output colours with the palette as diamonds; a good map clusters around these."""
    fig = cloud(output, space, "Colours of the result and the palette")
    return add_palette(fig, palette, space, symbol="diamond")


def component_losses(steps: "Sequence[Step]") -> go.Figure:
    """Each unweighted loss term, averaged over intervals of a fiftieth of the training."""
    names = [name for name in (steps[-1].losses if steps else ()) if name != "total"]
    return loss_terms(
        [step.step for step in steps], {name: [step.losses[name] for step in steps] for name in names}
    )


def mappings(
    source: CountedColors, mapped: np.ndarray, palette: Palette, number: int = 10, seed: int = 0
) -> go.Figure:
    """Arrows from random source colours, sampled by count, to their outputs on CIELAB's a*-b* plane."""
    fig = figure("Sample mappings (CIELAB a*-b* plane)", 560)
    chance = source.counts / source.counts.sum()
    rng = np.random.default_rng(seed)
    sample = rng.choice(len(chance), min(number, np.count_nonzero(chance)), replace=False, p=chance)
    before, after = source.colors[sample], mapped[sample]
    start, end = (encode(colors, "lab")[:, 1:] for colors in (before, after))
    for (ax, ay), (x, y) in zip(start.tolist(), end.tolist(), strict=True):
        arrow = {"x": x, "y": y, "ax": ax, "ay": ay, "xref": "x", "yref": "y", "axref": "x", "ayref": "y"}
        fig.add_annotation(
            **arrow, arrowcolor=TEXT, arrowwidth=1.5, arrowhead=2, standoff=6, startstandoff=5, text=""
        )
    for name, colors, at, symbol, size in (
        ("source colour", before, start, "circle", 11),
        ("output colour", after, end, "square", 11),
        ("palette", palette.colors, encode(palette.colors, "lab")[:, 1:], "diamond", sizes(palette)),
    ):
        text = labels(palette) if name == "palette" else to_hex(colors)
        marker = {
            "color": to_hex(colors),
            "symbol": symbol,
            "size": size,
            "opacity": 1,
            "line": {"color": OUTLINE, "width": 1.5},
        }
        fig.add_scatter(
            x=at[:, 0], y=at[:, 1], mode="markers", name=name, marker=marker, text=text, hoverinfo="text+name"
        )
    fig.data = fig.data[::-1]  # draws the large diamonds of the palette below the rest
    fig.update_xaxes(title="a* (green to red)")
    return fig.update_yaxes(title="b* (blue to yellow)", scaleanchor="x")
