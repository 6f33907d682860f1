"""Applies a trained map or a LUT to picture files."""

from functools import cached_property, partial
from pathlib import Path
from typing import Any

from vision_core.color import lut
from vision_core.color.palette import count_colors
from vision_core.pictures import images


class Recolorer:
    """Recolours picture files.

    Args:
        color_map: a trained `ColorMap`, or None if `stored` is given.
        stored: a LUT, or None.
        strength, lightness_strength: see `lut.with_strength`.
        exactly: bake a LUT for the colours of each picture instead of one LUT for all.
    """

    def __init__(
        self, color_map: Any, stored: Any, strength: float, lightness_strength: float, exactly: bool
    ) -> None:
        self.color_map, self.stored, self.exactly = color_map, stored, exactly
        self.strengths = strength, lightness_strength

    @cached_property  # lazily, after the first picture was read successfully
    def _shared(self) -> Any:
        table = self.stored if self.color_map is None else self.color_map.lut()
        return lut.with_strength(table, *self.strengths)

    def __call__(self, source: Path, target: Path) -> list[str]:
        """Write the recoloured picture; returns notes and warnings about it."""
        picture = images.read(source)
        table = self._own(picture) if self.exactly else self._shared
        result = images.suited(picture.mapped(partial(lut.apply, table)), target)
        images.save(result, target)
        notes = [*result.notes, *images.loss(result, target)]
        if self.color_map is None:
            return notes
        return [*notes, *self.color_map.warnings(picture)]

    def _own(self, picture: images.Picture) -> Any:
        table = self.color_map.lut(colors=count_colors(picture.visible).colors)
        return lut.with_strength(table, *self.strengths)
