"""Lets torchvision's stock wheel, a CUDA build, import beside a CPU-only torch.

Its compiled operators cannot be loaded, so `import torchvision` fails where it registers fake kernels for
them. Declaring the two missing schemas is enough for transforms, datasets and the model zoo. Call `prepare()`
before importing torchvision, open_clip, timm or transformers.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch


@cache  # the library handle must live as long as the process
def prepare() -> torch.library.Library | None:
    """Declare the missing schemas; returns None if torchvision's own operators can be loaded."""
    if _operators_load():
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _operators_load() -> bool:
    if hasattr(torch.ops.torchvision, "nms"):
        return True
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # nothing to prepare for
    for path in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(path)
        except OSError:
            continue
        return True
    return False
