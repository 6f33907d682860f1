"""Plotly views of colours, palettes and meshes."""

from collections.abc import Mapping
from html import escape
from typing import cast

import numpy as np
import plotly.graph_objects as go

from vision_core.color import lowpoly
from vision_core.color.palette import CountedColors, Palette
from vision_core.color.palette_files import to_hex
from vision_core.color.spaces import Space, decode, encode
from vision_core.plots import GRID, OUTLINE, figure

POINTS = 20_000  # with more, rotating a cloud stutters in the browser
AXES = {
    "rgb": ("red (0-255)", "green (0-255)", "blue (0-255)"),
    "lab": ("a* (green to red)", "b* (blue to yellow)", "L* (0-100)"),
    "oklab": ("a (green to red)", "b (blue to yellow)", "L (0-1)"),
}


def cloud(counted: CountedColors, space: str = "rgb", title: str = "Colours of the picture") -> go.Figure:
    """A 3D scatter plot of counted colours in "rgb", "lab" or "oklab"; at most 20,000 random ones."""
    fig = scene(figure(title, 620), space)
    colors = counted.colors
    if len(colors) > POINTS:
        colors = colors[np.random.default_rng(0).choice(len(colors), POINTS, replace=False)]
    return add_points(fig, colors, space, "picture", size=2.5)


def palette_points(palette: Palette, space: str = "rgb", title: str = "Palette") -> go.Figure:
    """The palette in a colour space, with markers sized by share."""
    return add_palette(scene(figure(title, 620), space), palette, space)


def clusters(centres: Palette, chosen: Palette, space: str = "lab") -> go.Figure:
    """All cluster centres, with the palette as diamonds; markers are sized by share."""
    fig = scene(figure("Cluster centres and palette", 620), space)
    add_palette(fig, centres, space, "cluster centre")
    return add_palette(fig, chosen, space, "palette", "diamond")


def palette_bars(palettes: Mapping[str, Palette], title: str = "Palette") -> go.Figure:
    """One stacked bar per palette, with the colours as wide as their shares."""
    fig = figure(title, 130 + 84 * len(palettes))
    for name, palette in palettes.items():
        for color, share in zip(to_hex(palette.colors), palette.shares.tolist(), strict=True):
            fig.add_bar(
                x=[share],
                y=[name],
                orientation="h",
                text=f"{color}<br>{share:.0%}" if share >= 0.07 else "",
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                textfont={"color": ink(color)},
                marker={"color": color, "line": {"color": OUTLINE, "width": 1}},
                hovertemplate=f"{color}, {share:.2%}<extra>{escape(name)}</extra>",
            )
    fig.update_layout(
        barmode="stack", showlegend=False, bargap=0.25, uniformtext={"minsize": 10, "mode": "hide"}
    )
    fig.update_xaxes(title="share of the pixels", range=[0, 1], tickformat=".0%", showgrid=False)
    return fig.update_yaxes(autorange="reversed", showgrid=False)


def dual_palette(palette: Palette) -> go.Figure:
    """The whole palette above its five largest colours."""
    top = np.sort(np.argsort(-palette.shares, kind="stable")[:5])
    largest = Palette(palette.colors[top], palette.shares[top] / palette.shares[top].sum())
    names = {f"all {len(palette.colors)}": palette, f"top {len(top)}": largest}
    return palette_bars(names, "The palette and its largest colours")


def color_wheel(palette: Palette) -> go.Figure:
    """The palette on the a*-b* plane of CIELAB in polar coordinates: hue and chroma."""
    lab = encode(palette.colors, "lab")
    chroma, hue = np.hypot(lab[:, 1], lab[:, 2]), np.degrees(np.arctan2(lab[:, 2], lab[:, 1]))
    reach = max(60.0, 1.15 * float(chroma.max()))
    angles = np.arange(0, 360, 4)
    radians = np.radians(angles)
    ring = np.stack([np.full(len(angles), 68), 55 * np.cos(radians), 55 * np.sin(radians)], 1)
    fig = figure("Colour wheel (CIELAB a*-b* plane)", 560)
    fig.add_barpolar(
        r=np.full(len(angles), 0.06 * reach),
        base=reach,
        theta=angles,
        width=4.2,
        marker={"color": to_hex(decode(ring, "lab")), "line": {"width": 0}},
        hoverinfo="skip",
    )
    fig.add_scatterpolar(
        r=chroma,
        theta=hue,
        mode="markers",
        marker={
            "color": to_hex(palette.colors),
            "size": sizes(palette),
            "opacity": 1,
            "line": {"color": OUTLINE, "width": 1.5},
        },
        text=labels(palette),
        hovertemplate="%{text}<br>chroma %{r:.0f}, hue %{theta:.0f}°<extra></extra>",
    )
    axis = {"gridcolor": GRID, "linecolor": GRID}
    radial = {**axis, "range": [0, 1.06 * reach], "angle": 90, "tickangle": 90, "nticks": 4}
    fig.update_layout(
        showlegend=False,
        polar={"bgcolor": "rgba(0,0,0,0)", "angularaxis": {**axis, "dtick": 45}, "radialaxis": radial},
    )
    return fig


def wireframe(mesh: lowpoly.Mesh, title: str = "Triangles") -> go.Figure:
    """The edges of a mesh in pixels, as a zoomable figure."""
    fig = figure(f"{title}: {len(mesh.triangles):,}", 600)
    segments = mesh.points[lowpoly.edges(mesh)]  # (E, 2, 2)
    gaps = np.full((len(segments), 1, 2), np.nan)
    x, y = np.concatenate([segments, gaps], 1).reshape(-1, 2).T
    fig.add_scattergl(x=x, y=y, mode="lines", line={"width": 1, "color": "#4a90d9"}, hoverinfo="skip")
    fig.update_xaxes(title="x (pixels)", range=[0, mesh.size[0]], showgrid=False, constrain="domain")
    return fig.update_yaxes(
        title="y (pixels)", range=[mesh.size[1], 0], showgrid=False, scaleanchor="x", constrain="domain"
    )


def scene(fig: go.Figure, space: str) -> go.Figure:
    """Set up a figure as a 3D view of "rgb", "lab" or "oklab" with vertical lightness."""
    if space not in AXES:
        raise ValueError(f"colour space {space!r} is unknown, expected one of {', '.join(AXES)}")
    # WebGL blends translucent lines with white: only opaque grey is subtle on light and dark pages
    quiet = {"gridcolor": OUTLINE, "zerolinecolor": OUTLINE, "gridwidth": 1, "showbackground": False}
    axes = {
        f"{axis}axis": {**quiet, "title": {"text": text}}
        for axis, text in zip("xyz", AXES[space], strict=True)
    }
    if space == "rgb":
        axes = {name: {**axis, "range": [0, 255], "dtick": 64} for name, axis in axes.items()}
    camera = {"eye": {"x": 1.5, "y": 1.35, "z": 0.75}}
    return fig.update_layout(
        scene={**axes, "aspectmode": "cube", "camera": camera}, margin={"l": 0, "r": 0, "b": 8}
    )


def coordinates(colors: np.ndarray, space: str) -> np.ndarray:
    """uint8 (N, 3) -> x, y, z (N, 3) of a scene: red, green, blue, or a, b, lightness."""
    return colors.astype(np.float32) if space == "rgb" else encode(colors, cast(Space, space))[:, [1, 2, 0]]


def add_points(fig: go.Figure, colors: np.ndarray, space: str, name: str, size: float) -> go.Figure:
    """Add colours, uint8 (N, 3), as dots in their own colour."""
    x, y, z = coordinates(colors, space).T
    marker = {"size": size, "color": to_hex(colors), "opacity": 1, "line": {"width": 0}}
    return fig.add_scatter3d(
        x=x, y=y, z=z, mode="markers", name=name, marker=marker, text=marker["color"], hoverinfo="text"
    )


def add_palette(
    fig: go.Figure, palette: Palette, space: str, name: str = "palette", symbol: str = "circle"
) -> go.Figure:
    """Add a palette as outlined markers, sized by share."""
    x, y, z = coordinates(palette.colors, space).T
    marker = {
        "size": sizes(palette),
        "sizemode": "diameter",
        "color": to_hex(palette.colors),
        "symbol": symbol,
        "opacity": 1,
        "line": {"color": OUTLINE, "width": 2},
    }
    return fig.add_scatter3d(
        x=x, y=y, z=z, mode="markers", name=name, marker=marker, text=labels(palette), hoverinfo="text"
    )


def sizes(palette: Palette) -> np.ndarray:
    """Marker diameters (K,) in pixels; their areas grow with the shares."""
    return 10 + 40 * np.sqrt(palette.shares)


def labels(palette: Palette) -> list[str]:
    """["#rrggbb, 12.3 %", ...]."""
    return [
        f"{color}, {share:.1%}" for color, share in zip(to_hex(palette.colors), palette.shares, strict=True)
    ]


def ink(color: str) -> str:
    """The text colour, black or white, that is readable on "#rrggbb"."""
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)]], np.uint8)
    return "#111111" if encode(rgb, "lab")[0, 0] > 55 else "#ffffff"
