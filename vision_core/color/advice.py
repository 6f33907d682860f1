"""What to say about a picture before or after it is recoloured."""

from vision_core.color.colormap import ColorMap
from vision_core.color.palette import count_colors
from vision_core.pictures.images import Picture

UNSEEN_WARNING = 0.05  # share of unseen pixels from which a warning is due


def warnings(color_map: ColorMap, picture: Picture) -> tuple[str, ...]:
    """Sentences about a picture that the map was not made for; empty for one that it was."""
    unseen = color_map.unseen(count_colors(picture.visible))
    if unseen <= UNSEEN_WARNING:
        return ()
    return (f"{unseen:.0%} of the pixels have colours that this model never saw: it only guesses there",)
