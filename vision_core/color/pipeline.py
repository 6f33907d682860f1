"""Colour transfer in one call: palette, training, recoloured picture, low poly and metrics."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vision_core.color import lowpoly, lut, metrics
from vision_core.color.colormap import ColorMap, load, save
from vision_core.color.objective import Settings
from vision_core.color.palette import Palette, count_picture, extract
from vision_core.color.trainer import train
from vision_core.events import Done
from vision_core.pictures import images
from vision_core.pictures.images import Picture


@dataclass(frozen=True, eq=False)
class Transfer:
    """A recoloured picture, its low-poly version, uint8 (H, W, 3), and all intermediate results."""

    picture: Picture
    low_poly: np.ndarray
    palette: Palette
    color_map: ColorMap
    lut: np.ndarray
    metrics: dict[str, Any]
    warnings: tuple[str, ...]


def transfer(
    source: str | Path | bytes | Picture,
    target: str | Path | bytes | Picture | Palette,
    *,
    model: str | Path | ColorMap | None = None,
    settings: Settings | None = None,
    clusters: int = 25,
    colors: int = 10,
    strength: float = 1.0,
    lightness_strength: float = 1.0,
    threshold: float = 50,
    density: float = 60,
    save_to: str | Path | None = None,
) -> Transfer:
    """Give `source` the palette of `target`: train a map, or reuse `model`, and return every result.

    Args:
        target: a picture or a `Palette`. With `model`, the metrics refer to the palette of the model.
        model: reuse this trained map.
        strength, lightness_strength: from 0 (the source's colour or lightness) to 1 (the map's).
        threshold, density: see `lowpoly.triangulate`.
        save_to: also save the model to this file.

    Raises:
        ValueError: an image or model cannot be used, or a setting is out of range.
    """
    picture = source if isinstance(source, Picture) else images.read(source)
    if isinstance(target, Palette):
        palette, target_rgb = target, None
    else:
        target_picture = target if isinstance(target, Picture) else images.read(target)
        target_rgb, palette = target_picture.seen, extract(target_picture.visible, clusters, colors)
    if model is None:
        color_map = next(
            e.result for e in train(count_picture(picture), palette, settings) if isinstance(e, Done)
        )
    else:
        color_map = model if isinstance(model, ColorMap) else load(model)
    if save_to is not None:
        save(color_map, save_to)
    baked = lut.with_strength(color_map.lut(), strength, lightness_strength)
    output = picture.mapped(partial(lut.apply, baked))
    mesh = lowpoly.triangulate(picture.seen, threshold, density, 0, alpha=picture.alpha)
    facets = lowpoly.triangle_colors(mesh, picture.seen)
    low_poly = lowpoly.draw(mesh, lut.apply(baked, facets[None])[0], picture.alpha)
    return Transfer(
        picture=output,
        low_poly=low_poly.on_white().rgb,
        palette=color_map.palette,
        color_map=color_map,
        lut=baked,
        metrics=metrics.measure(picture.seen, output.seen, color_map.palette, target_rgb),
        warnings=color_map.warnings(picture),
    )
