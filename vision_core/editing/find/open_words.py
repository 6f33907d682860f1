"""Finds objects by any words with CLIPSeg, from a folder or the model hub.

Source: Lüddecke, Ecker 2022, "Image Segmentation Using Text and Image Prompts".
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from vision_core import devices
from vision_core.editing import hub
from vision_core.pictures import images
from vision_core.weights import WeightsMissing

DEFAULT = "CIDAS/clipseg-rd64-refined"
SIDE = 352  # side of the network's input in pixels
FOUND = 0.5  # minimum peak probability of a found object
LIKELY = 0.3  # minimum probability of its pixels


class OpenWords:
    """A CLIPSeg in transformers' format.

    Raises:
        ValueError: the folder holds no CLIPSeg, or its preprocessing names no mean and deviation.
        WeightsMissing: it has not been fetched; the message says how to.
    """

    def __init__(self, source: str | Path = DEFAULT, device: str = "auto") -> None:
        hub.prepare()
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPSegForImageSegmentation
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self.device = devices.pick(device)
        folder = hub.folder(source, "config.json")
        with hub.reading(source):
            model: Any = CLIPSegForImageSegmentation.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True
            )
            processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.mean, self.std = (
                torch.tensor(values, device=self.device).view(1, 3, 1, 1)
                for values in (processor.image_mean, processor.image_std)
            )
        self.model = model.eval().to(self.device)

    @torch.inference_mode()
    def level(self, rgb: np.ndarray, text: str) -> np.ndarray:
        """Logits of where uint8 (H, W, 3) shows what `text` names, float32 (h, w), over the whole picture."""
        x = F.interpolate(
            images.to_tensor(rgb).to(self.device), (SIDE, SIDE), mode="bilinear", antialias=True
        )
        words = self.tokenizer([text[:200]], return_tensors="pt", truncation=True).to(self.device)
        output = self.model(pixel_values=(x - self.mean) / self.std, interpolate_pos_encoding=True, **words)
        return output.logits.reshape(output.logits.shape[-2:]).float().cpu().numpy()


def at_hand() -> OpenWords | None:
    """The default model if it has been fetched; does not access the internet."""
    try:
        hub.folder(DEFAULT, "config.json")
    except WeightsMissing:
        return None
    return _loaded()


@cache
def _loaded() -> OpenWords:
    return OpenWords()
