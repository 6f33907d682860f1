"""Colour transfer: a small network learns to give one picture the palette of another.

The public names are imported lazily, so that palettes and LUT files can be used without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision_core.color.colormap import ColorMap, load, save
    from vision_core.color.network import ColorMapper
    from vision_core.color.objective import LossWeights, Settings
    from vision_core.color.palette import Palette, count_colors, count_picture, extract
    from vision_core.color.pipeline import Transfer, transfer
    from vision_core.color.trainer import create, fine_tune, resume, train

__all__ = [
    "ColorMap",
    "ColorMapper",
    "LossWeights",
    "Palette",
    "Settings",
    "Transfer",
    "count_colors",
    "count_picture",
    "create",
    "extract",
    "fine_tune",
    "load",
    "resume",
    "save",
    "train",
    "transfer",
]

_MODULES = {  # no module may have the name of one of its members
    "colormap": ("ColorMap", "load", "save"),
    "network": ("ColorMapper",),
    "objective": ("LossWeights", "Settings"),
    "palette": ("Palette", "count_colors", "count_picture", "extract"),
    "trainer": ("create", "fine_tune", "resume", "train"),
    "pipeline": ("Transfer", "transfer"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
