"""Grad-CAM, its share outside the leaf, and the accuracy from the background alone.

Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization".
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core.leaves import data, features
from vision_core.leaves.augment import centre
from vision_core.leaves.evaluate import judged
from vision_core.leaves.masks import leaf_mask
from vision_core.leaves.network import LeafNet, pooled
from vision_core.leaves.predict import Prediction, predict
from vision_core.pictures.images import Picture


@dataclass(frozen=True)
class Explanation:
    """The picture and its Grad-CAM overlay, both uint8 (crop, crop, 3), and the map in [0, 1].

    `outside` is the fraction of the map outside the leaf, None if no leaf can be segmented.
    """

    prediction: Prediction
    shown: np.ndarray
    overlay: np.ndarray
    map: np.ndarray
    outside: float | None


def explain(model: LeafNet, picture: Picture, label: str | None = None) -> Explanation:
    """Grad-CAM of the last features for `label`, by default the most likely class.

    Raises:
        ValueError: a class that the model does not know.
    """
    if label is not None and label not in model.classes:
        raise ValueError(f"the model does not know {label!r}; it knows {', '.join(model.classes)}")
    [prediction] = predict(model, [picture])
    squares = features.tensor(data.square(picture.rgb, model.square)[None])
    image = centre(squares, model.crop)
    weights = grad_cam(model, image, model.classes.index(label or prediction.label))[0].numpy()
    shown = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    return Explanation(prediction, shown, _overlay(shown, weights), weights, outside(shown, weights))


def grad_cam(model: LeafNet, images: Tensor, label: int) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] -> maps (B, H, W) in [0, 1], all 0 if nothing supports the class.

    The feature maps are returned by the model: no hook is set that could remain.
    """
    images = images.to(model.temperature.device)
    with torch.enable_grad():
        sizes = [[layer.detach() for layer in maps] for maps in model.eval().maps(images)]
        last = [maps[-1].requires_grad_() for maps in sizes]  # each (B, 1280, h, w)
        logits = model(pooled(sizes))
        ahead = logits[:, label] - logits.mean(1)  # so that a constant added to all logits changes nothing
        gradients = torch.autograd.grad(ahead.sum(), last)
    share = torch.zeros(images.shape[0], *images.shape[2:], device=images.device)
    for maps, gradient in zip(last, gradients, strict=True):
        part = (gradient.mean((2, 3), keepdim=True) * maps.detach()).sum(1, keepdim=True).relu()
        share += F.interpolate(part, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return (share / share.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu()


def outside(rgb: np.ndarray, weights: np.ndarray) -> float | None:
    """The fraction of a map (H, W) that lies outside the leaf."""
    try:
        mask = leaf_mask(rgb)
    except ValueError:
        return None
    return float(weights[~mask].sum() / weights.sum()) if weights.sum() else None


def _overlay(rgb: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The picture, darkened where the map is low and red to yellow where it is high."""
    heat = np.stack([weights**0.5, weights**1.5, 0.15 * weights], -1) * 255
    share = 0.15 + 0.5 * weights[..., None]
    return (rgb * (1 - share) + heat * share).round().astype(np.uint8)


def side_by_side(explanation: Explanation, mask: bool = True) -> np.ndarray:
    """The picture, the overlay and, if it can be segmented, the leaf alone: uint8 (H, W, 3)."""
    panels = [explanation.shown, explanation.overlay]
    if mask and explanation.outside is not None:
        panels.append(np.where(leaf_mask(explanation.shown)[..., None], explanation.shown, np.uint8(255)))
    return np.concatenate(panels, 1)


def ground_bias(model: LeafNet, folder: str | Path, files: list[str], truth: np.ndarray) -> dict[str, Any]:
    """Accuracy on whole pictures, on the background alone and on the leaf alone.

    The other part is painted over with the mean colour of the background. `chance` is the share of the
    largest class. Pictures in which no leaf can be segmented are left out.
    """
    ways: dict[str, list[Tensor]] = {"whole": [], "ground_only": [], "leaf_only": []}
    kept, masses = [], []
    for start in range(0, len(files), features.BATCH):
        squares = data.read_squares(folder, files[start : start + features.BATCH], model.square)
        for n, rgb in enumerate(squares):
            try:
                mask = leaf_mask(rgb)[..., None]
            except ValueError:
                continue
            kept.append(start + n)
            ground = (
                rgb[~mask[..., 0]].mean(0).astype(np.uint8) if (~mask).any() else np.full(3, 128, np.uint8)
            )
            pictures = {
                "whole": rgb,
                "ground_only": np.where(mask, ground, rgb),
                "leaf_only": np.where(mask, rgb, ground),
            }
            for way, picture in pictures.items():
                ways[way].append(centre(features.tensor(picture[None]), model.crop))
            cam = grad_cam(model, ways["whole"][-1], int(truth[start + n]))[0].numpy()
            shown = (ways["whole"][-1][0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            masses.append(outside(shown, cam))
    if not kept:
        raise ValueError("in none of the pictures can the leaf be separated from the background")
    right = {way: _right(model, images, truth[kept]) for way, images in ways.items()}
    measured = [mass for mass in masses if mass is not None]
    return {
        "images": len(kept),
        **right,
        "chance": float(np.bincount(truth[kept]).max() / len(kept)),
        "attention_outside": float(np.mean(measured)) if measured else None,
    }


@torch.no_grad()
def _right(model: LeafNet, images: list[Tensor], truth: np.ndarray) -> float:
    model.eval()
    device = model.temperature.device
    answers = [
        judged(model, model.embed(torch.cat(images[i : i + 32]).to(device)))[0]
        for i in range(0, len(images), 32)
    ]
    return float((np.concatenate(answers).argmax(1) == truth).mean())
