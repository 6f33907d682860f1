"""Warnings about pictures that a colour map was not trained for."""

from vision_core.color.colormap import ColorMap
from vision_core.color.palette import count_colors
from vision_core.pictures.images import Picture

UNSEEN_WARNING = 0.05  # warn if more than this share of the pixels has unseen colours


def warnings(color_map: ColorMap, picture: Picture) -> tuple[str, ...]:
    """Warnings about applying the map to a picture; empty if its colours were seen in training."""
    unseen = color_map.unseen(count_colors(picture.visible))
    if unseen <= UNSEEN_WARNING:
        return ()
    return (f"{unseen:.0%} of the pixels have colours that the model was not trained on: expect artefacts",)
