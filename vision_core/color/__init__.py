
from vision_core.color.colormap import ColorMap, load, save
from vision_core.color.network import ColorMapper
from vision_core.color.objective import LossWeights, Settings
from vision_core.color.palette import Palette, count_colors, extract
from vision_core.color.train import fine_tune, train

__all__ = [
    "ColorMap",
    "ColorMapper",
    "LossWeights",
    "Palette",
    "Settings",
    "count_colors",
    "extract",
    "fine_tune",
    "load",
    "save",
    "train",
]
