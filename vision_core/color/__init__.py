"""Colour transfer: a small network learns to give one picture the palette of another."""

from vision_core.color.colormap import ColorMap, load, save
from vision_core.color.network import ColorMapper
from vision_core.color.objective import LossWeights, Settings
from vision_core.color.palette import Palette, count_colors, extract
from vision_core.color.train import create, fine_tune, resume, train
from vision_core.color.transfer import Transfer, transfer

__all__ = [
    "ColorMap",
    "ColorMapper",
    "LossWeights",
    "Palette",
    "Settings",
    "Transfer",
    "count_colors",
    "create",
    "extract",
    "fine_tune",
    "load",
    "resume",
    "save",
    "train",
    "transfer",
]
