"""LaMa, a large network for wide holes, where it was fetched: `vision-core models --fetch lama`.

Source: Suvorov et al. 2022, "Resolution-robust Large Mask Inpainting with Fourier Convolutions"; the export
to ONNX of Carve/LaMa-ONNX (Apache-2.0), which takes 512 x 512 pixels.
"""

from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision_core import devices, extras
from vision_core.editing import compose, hub
from vision_core.editing.fill import patches
from vision_core.events import Done, Event, Preview
from vision_core.safety import guarded, messages
from vision_core.weights import WeightsMissing

REPO, FILE = "Carve/LaMa-ONNX", "lama_fp32.onnx"
SIDE = 512  # side of the network's input in pixels


def fetched() -> Path | None:
    """The file in the hub's cache, or None; does not access the internet."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(REPO, FILE)
    return Path(path) if isinstance(path, str) else None


def fetch() -> Generator[Event]:
    """Download it, as `hub.fetch`; the result is its file."""
    folder = yield from hub.fetch(REPO, FILE)
    yield Done(folder / FILE)


class Lama:
    """A `Painter` that works at 512 x 512 pixels; larger results take their detail from the picture.

    Args:
        path: of another copy than the fetched one.

    Raises:
        WeightsMissing: it was not fetched. ValueError: the file holds no such network.
    """

    name, takes_text, side, whole = "lama", False, SIDE, False

    def __init__(self, path: str | Path | None = None) -> None:
        chosen = path or fetched()
        if chosen is None:
            raise WeightsMissing("LaMa is not on this machine: vision-core models --fetch lama (208 MB)")
        extras.need("editing", "filling by LaMa", "onnxruntime")
        self.path = Path(chosen)
        if path is not None:
            guarded.call(try_network, self.path)

    @property
    def options(self) -> dict[str, Any]:
        return {}

    @cached_property
    def session(self) -> Any:
        return _session(self.path)

    def paint(
        self, rgb: np.ndarray, hole: np.ndarray, prompt: str = "", seed: int = 0, strength: float = 1.0
    ) -> Generator[Event, None, np.ndarray]:
        """See `Painter.paint`."""
        small, gap = compose.resize(rgb, SIDE, SIDE), compose.resize(hole, SIDE, SIDE)
        inputs = {
            "image": small.transpose(2, 0, 1)[None].astype(np.float32) / 255,
            "mask": gap[None, None].astype(np.float32),
        }
        output = self.session.run(None, inputs)[0][0].transpose(1, 2, 0)  # (512, 512, 3) in 0 ... 255
        small = np.where(gap[..., None], output.round().clip(0, 255).astype(np.uint8), small)
        yield Preview("filling", small)
        if min(hole.shape) > SIDE and patches.roomy(gap):
            filled = patches.enlarge(rgb, hole, small, gap, hole)
        else:
            filled = cv2.resize(small, hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
        return np.where(hole[..., None], filled, rgb)


def try_network(path: Path) -> None:
    """Try a file of the network in a guarded process; raises `ValueError` if it cannot be used."""
    _session(path)


def _session(path: Path) -> Any:
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.log_severity_level = 4  # what goes wrong is raised, too
    chosen.intra_op_num_threads = devices.share_cores()
    try:
        session = onnxruntime.InferenceSession(
            path, chosen, providers=["CPUExecutionProvider"], enable_fallback=False
        )
    except Exception as error:  # untrusted file: the parser can raise anything
        raise ValueError(f"{path} cannot be loaded: {messages.reason(error)}") from error
    shapes = {entry.name: entry.shape[1:] for entry in session.get_inputs()}
    if shapes != {"image": [3, SIDE, SIDE], "mask": [1, SIDE, SIDE]}:
        raise ValueError(
            f"{path} takes {messages.quote(shapes)}; image and mask of {SIDE} x {SIDE} were expected"
        )
    return session
