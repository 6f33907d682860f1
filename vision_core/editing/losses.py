"""Losses of edits, measured by CLIP: one number per edit, smaller is better.

Source: Lin et al. 2024, "Text-Driven Image Editing via Learnable Regions" (CVPR), equations of the three
losses; the directional one after Gal et al. 2021, "StyleGAN-NADA".
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def text_image(edits: Tensor, prompt: Tensor) -> Tensor:
    """1 - cos(edit, prompt): (B, D) and (D,) -> (B,), in [0, 2]."""
    _check(edits, prompt)
    return 1 - F.cosine_similarity(edits, prompt[None])


def directional(edits: Tensor, source: Tensor, prompt: Tensor, caption: Tensor) -> Tensor:
    """1 - cos(edit - source, prompt - caption): does the picture change as the text does? (B,), in [0, 2].

    An edit that changes nothing has no direction: its loss is 1.
    """
    for other in (source, prompt, caption):
        _check(edits, other)
    return 1 - F.cosine_similarity(edits - source[None], (prompt - caption)[None])


def structure(edits: Tensor, source: Tensor) -> Tensor:
    """Root mean square difference of the self-similarities of tokens, (B, N, D) and (N, D) -> (B,).

    The self-similarity (N, N) holds the cosines of all pairs of tokens: layout and shape, not appearance.
    """
    if edits.ndim != 3 or edits.shape[1:] != source.shape:
        raise ValueError(
            f"expected tokens (B, N, D) and (N, D), got {tuple(edits.shape)}, {tuple(source.shape)}"
        )
    edited, first = F.normalize(edits, dim=-1), F.normalize(source, dim=-1)
    gap = edited @ edited.mT - first @ first.mT
    return gap.square().mean((1, 2)).sqrt()


def _check(edits: Tensor, other: Tensor) -> None:
    if edits.ndim != 2 or other.shape != edits.shape[1:]:
        raise ValueError(
            f"expected embeddings (B, D) and (D,), got {tuple(edits.shape)} and {tuple(other.shape)}"
        )


def total(terms: dict[str, Tensor], alpha: float = 1.0, beta: float = 1.0, gamma: float = 1.0) -> Tensor:
    """alpha * text_image + beta * directional + gamma * structure, (B,)."""
    weights = {"text_image": alpha, "directional": beta, "structure": gamma}
    return torch.stack([weights[name] * terms[name] for name in weights]).sum(0)
