"""The leaf classifier: learns diseases from a folder of leaves, and says how sure it is and what it knows."""

from vision_core.leaves.augment import KINDS, augment, balance, gallery
from vision_core.leaves.bundle import bundle, load
from vision_core.leaves.camera import camera
from vision_core.leaves.data import Manifest, Survey, imbalance, split, survey
from vision_core.leaves.evaluate import gap
from vision_core.leaves.explain import Explanation, explain, ground_bias, side_by_side
from vision_core.leaves.files import look_at_files, predict_files, write_looks
from vision_core.leaves.generate import generate
from vision_core.leaves.look import LeafSeen, Look, look
from vision_core.leaves.network import LeafNet
from vision_core.leaves.predict import Prediction, evaluate, plain_name, predict, verdict
from vision_core.leaves.teach import teach
from vision_core.leaves.train import Settings, create, manifest_of, resume, train
from vision_core.leaves.transform import transform
from vision_core.leaves.unknown import left_out
from vision_core.leaves.zips import unpacked

__all__ = [
    "KINDS",
    "Explanation",
    "LeafNet",
    "LeafSeen",
    "Look",
    "Manifest",
    "Prediction",
    "Settings",
    "Survey",
    "augment",
    "balance",
    "bundle",
    "camera",
    "create",
    "evaluate",
    "explain",
    "gallery",
    "gap",
    "generate",
    "ground_bias",
    "imbalance",
    "left_out",
    "load",
    "look",
    "look_at_files",
    "manifest_of",
    "plain_name",
    "predict",
    "predict_files",
    "resume",
    "side_by_side",
    "split",
    "survey",
    "teach",
    "train",
    "transform",
    "unpacked",
    "verdict",
    "write_looks",
]
