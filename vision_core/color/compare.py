"""Compares all methods on one picture: a grid of results and a table of metrics."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision_core.color import baselines, lut
from vision_core.color.colormap import ColorMap
from vision_core.color.metrics import measure
from vision_core.color.palette import Palette
from vision_core.pictures import images

COLUMNS = (
    ("method", "Method"),
    ("colors_used", "Palette colours used"),
    ("total_variation", "Total variation to the shares"),
    ("sliced_wasserstein", "Sliced Wasserstein (Lab)"),
    ("delta_e", "Delta-E 2000 to the palette"),
    ("ssim", "SSIM of lightness"),
    ("grain", "Grain: similar neighbours torn apart"),
    ("amplification", "Amplification of their distance"),
    ("seconds", "Seconds"),
)


@dataclass(frozen=True, eq=False)
class Entry:
    """The result of one method, uint8 (H, W, 3), with its `metrics.measure` and run time."""

    name: str
    image: np.ndarray
    metrics: dict[str, Any]
    seconds: float


def compare(
    source: np.ndarray,
    palette: Palette,
    color_map: ColorMap,
    target: np.ndarray | None = None,
    seconds: float = 0.0,
) -> list[Entry]:
    """Recolour `source`, uint8 (H, W, 3), with the trained map and every baseline.

    Methods that need a target picture rather than a palette are skipped without `target`.

    Args:
        seconds: training time of the map, added to the time of applying it.
    """
    methods = {
        "Trained map": lambda: lut.apply(color_map.lut(), source),
        "Nearest colour": lambda: baselines.nearest_color(source, palette),
    }
    if target is not None:
        methods |= {
            "Reinhard": lambda: baselines.reinhard(source, target),
            "Monge-Kantorovich": lambda: baselines.mkl(source, target),
            "Histogram matching": lambda: baselines.histogram_matching(source, target),
            "Optimal transport": lambda: baselines.optimal_transport(source, target),
        }
    entries = []
    for name, method in methods.items():
        start = time.perf_counter()
        image = method()
        elapsed = time.perf_counter() - start + (seconds if name == "Trained map" else 0)
        entries.append(Entry(name, image, measure(source, image, palette, target), elapsed))
    return entries


def table(entries: list[Entry]) -> list[dict[str, Any]]:
    """One row of plain numbers per entry, with the keys of `COLUMNS`."""
    return [
        {
            "method": entry.name,
            **{key: entry.metrics[key] for key, _ in COLUMNS[1:-1]},
            "seconds": round(entry.seconds, 2),
        }
        for entry in entries
    ]


def grid(pictures: dict[str, np.ndarray], columns: int = 4, width: int = 360) -> np.ndarray:
    """Arrange labelled pictures, uint8 (H, W, 3), in a grid -> uint8 (H, W, 3)."""
    if not pictures:
        raise ValueError("a grid needs at least one picture")
    font, gap, bar = ImageFont.load_default(17), 12, 30
    thumbnails = {name: Image.fromarray(images.shrink(rgb, width)) for name, rgb in pictures.items()}
    height = max(thumbnail.height for thumbnail in thumbnails.values())
    columns = min(columns, len(thumbnails))
    rows = -(-len(thumbnails) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + bar + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, thumbnail) in enumerate(thumbnails.items()):
        x, y = gap + index % columns * (width + gap), gap + index // columns * (height + bar + gap)
        draw.text((x, y + 4), name, "#1f2937", font)
        sheet.paste(thumbnail, (x, y + bar))
    return np.asarray(sheet)
