"""Paints what extends a picture in strips from the inside out, each of which continues the last.

Patches need known pixels on both sides: a wide strip at once shows a seam.
"""

from collections.abc import Generator

import numpy as np

from vision_core.editing import compose, masks
from vision_core.editing.fill.inpainting import Painter
from vision_core.editing.tasks import EditPlan
from vision_core.events import Event
from vision_core.pictures.images import Picture

WIDTH = 0.025  # minimum width of a strip, as a share of the picture's longer side,
NARROWEST = 16  # and in pixels: wide enough to be filled with patches
MOST = 8  # maximum number of strips


def paint(canvas: Picture, chosen: EditPlan, painter: Painter) -> Generator[Event, None, Picture]:
    """The canvas painted in the plan's mask, i.e. outside a rectangle, which stays bit-identical."""
    rgb, (height, width) = canvas.seen.copy(), chosen.mask.shape
    known = masks.around(~chosen.mask)
    spare = max(known[0].start, known[1].start, height - known[0].stop, width - known[1].stop)
    count = min(MOST, max(1, int(spare // max(NARROWEST, WIDTH * max(height, width)))))
    step = -(-spare // count)
    for reach in range(step, spare + step, step):
        wider = masks.around(~chosen.mask, reach)
        part, hole = rgb[wider], np.ones(rgb[wider].shape[:2], bool)
        hole[tuple(slice(k.start - w.start, k.stop - w.start) for k, w in zip(known, wider, strict=True))] = 0
        painted = yield from painter.paint(part, hole, chosen.prompt, chosen.seed, chosen.strength)
        part[hole] = painted[hole]
        known = wider
    return canvas.with_rgb(compose.blend(canvas.rgb, rgb, chosen.mask, chosen.feather))
