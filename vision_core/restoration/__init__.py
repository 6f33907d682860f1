"""Manuscript restoration: a network that learns from clean pages alone to undo what time does to them."""

from vision_core.restoration.batch import run
from vision_core.restoration.degrade import KINDS, check, degrade, draw, draw_mixture
from vision_core.restoration.evaluate import evaluate, evaluate_pairs
from vision_core.restoration.flow import flow
from vision_core.restoration.gate import Verdict, judge
from vision_core.restoration.network import PageRestorer
from vision_core.restoration.networks import build, load
from vision_core.restoration.restore import Options, Restored, difference, restore, uncertainty
from vision_core.restoration.train import Settings, resume, train
from vision_core.restoration.vit import ViTRestorer

__all__ = [
    "KINDS",
    "Options",
    "PageRestorer",
    "Restored",
    "Settings",
    "Verdict",
    "ViTRestorer",
    "build",
    "check",
    "degrade",
    "difference",
    "draw",
    "draw_mixture",
    "evaluate",
    "evaluate_pairs",
    "flow",
    "judge",
    "load",
    "restore",
    "resume",
    "run",
    "train",
    "uncertainty",
]
