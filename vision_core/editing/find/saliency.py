"""Saliency of a picture: the attention of the class token of a self-supervised ViT.

Source: Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers" (DINO).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from vision_core import devices
from vision_core.editing import hub
from vision_core.pictures import images

DEFAULT = "facebook/dino-vitb16"


@dataclass(frozen=True, eq=False)
class Look:
    """Output of a saliency model: `saliency` (h, w) in [0, 1], and `features`, float32 (C, h, w)."""

    saliency: np.ndarray
    features: torch.Tensor


class Looker(Protocol):
    """A saliency model for pictures, uint8 (H, W, 3)."""

    def look(self, rgb: np.ndarray) -> Look: ...


class Saliency:
    """A ViT in transformers' format, from a folder or the model hub.

    Raises:
        ValueError: the folder holds no ViT, or its preprocessing names no mean and deviation.
        WeightsMissing: not on this machine.
    """

    def __init__(self, source: str | Path = DEFAULT, device: str = "auto") -> None:
        hub.prepare()
        from transformers import AutoImageProcessor, ViTModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self.device = devices.pick(device)
        folder = hub.folder(source, "config.json")
        with hub.reading(source):
            model: Any = ViTModel.from_pretrained(
                folder,
                add_pooling_layer=False,
                attn_implementation="eager",
                dtype=torch.float32,
                local_files_only=True,
            )
            processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            self.mean, self.std = (
                torch.tensor(values, device=self.device).view(1, 3, 1, 1)
                for values in (processor.image_mean, processor.image_std)
            )
        self.model = model.eval().to(self.device)
        self.patch, self.side = int(model.config.patch_size), int(model.config.image_size)

    def look(self, rgb: np.ndarray) -> Look:
        """Look at uint8 (H, W, 3) as a whole, in its own shape: the shorter side is the ViT's own."""
        height, width = rgb.shape[:2]
        scale = self.side / min(height, width)
        scale = min(scale, 4 * self.side / max(height, width))  # a strip must not become thousands of tokens
        rows, columns = (max(1, round(length * scale / self.patch)) for length in (height, width))
        x = images.to_tensor(rgb).to(self.device)
        x = F.interpolate(x, (rows * self.patch, columns * self.patch), mode="bilinear", antialias=True)
        (saliency,), (features,) = stand_out(self.model, (x - self.mean) / self.std, self.patch)
        return Look(saliency, features)


@torch.inference_mode()
def stand_out(vit: Any, images: torch.Tensor, patch: int) -> tuple[list[np.ndarray], torch.Tensor]:
    """Saliency of normalised images (B, 3, H, W), and their features (B, C, rows, columns).

    Each map is the mean of the picture's and of its mirror image's: a ViT prefers some positions to others.

    Args:
        vit: a model with eager attention, which can return its attention maps.
    """
    output = vit(
        torch.cat([images, images.flip(3)]),
        output_attentions=True,
        output_hidden_states=True,
        interpolate_pos_encoding=True,
    )
    size = (images.shape[2] // patch, images.shape[3] // patch)
    heads = output.attentions[-1][:, :, 0, 1:].unflatten(2, size).float().cpu()
    tokens = output.hidden_states[-2][:, 1:].mT.unflatten(2, size).float().cpu()
    maps = [stands_out(*both) for both in zip(heads, tokens, strict=True)]
    count = len(images)
    features = output.last_hidden_state[:count, 1:].mT.unflatten(2, size).float().cpu()
    return [
        normalized((seen + mirrored[:, ::-1]) / 2)
        for seen, mirrored in zip(maps[:count], maps[count:], strict=True)
    ], features


def stands_out(heads: torch.Tensor, features: torch.Tensor) -> np.ndarray:
    """Saliency of each place, (rows, columns) in [0, 1]: its attention and its difference from the rest.

    Each head's attention counts as a share of its largest, and by the square root, so that one bright spot of
    one head decides nothing. The difference is the distance from the mean of the features, since most of a
    picture is background. Both are smoothed over 1.5 tokens, so that the peaks are the middles of large
    things. The cube root was chosen on training scenes of the small world (docs/editing-models.md).

    Args:
        heads: attention of the class token in the last block, (heads, rows, columns).
        features: the input of that block, (C, rows, columns).
    """
    from scipy.ndimage import gaussian_filter

    shares = heads / heads.amax((1, 2), keepdim=True).clamp(min=1e-12)
    unlike = (features - features.mean((1, 2), keepdim=True)).norm(dim=0)
    attended, unlike = (
        gaussian_filter(part.numpy(), 1.5, mode="constant") for part in (shares.sqrt().mean(0), unlike)
    )
    return normalized(attended ** (1 / 3) * unlike)


def normalized(saliency: np.ndarray) -> np.ndarray:
    """A map shifted and scaled to [0, 1]; a flat one is 0."""
    low, high = float(saliency.min()), float(saliency.max())
    return ((saliency - low) / (high - low) if high > low else np.zeros_like(saliency)).astype(np.float32)
