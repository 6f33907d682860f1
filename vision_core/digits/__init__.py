"""The digit explorer: watch a small convolutional network learn, epoch by epoch."""

from vision_core.digits.classify import answer, classify
from vision_core.digits.data import Digits, load
from vision_core.digits.export import export, write_onnx
from vision_core.digits.measure import measure
from vision_core.digits.network import DigitNet
from vision_core.digits.packed import Export, read_export
from vision_core.digits.paper import NoDigit
from vision_core.digits.site import publish
from vision_core.digits.train import Settings, history, resume, train

__all__ = [
    "DigitNet",
    "Digits",
    "Export",
    "NoDigit",
    "Settings",
    "answer",
    "classify",
    "export",
    "history",
    "load",
    "measure",
    "publish",
    "read_export",
    "resume",
    "train",
    "write_onnx",
]
