"""Judges edits with CLIP: the losses that AnchorNet learns from, and the ranking of the candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core import devices
from vision_core.editing import hub, losses
from vision_core.pictures import images

DEFAULT = "timm/vit_base_patch16_clip_224.openai"
TEMPLATE = "a high quality image of {}."


@dataclass(frozen=True)
class Weighting:
    """Of the losses (`alpha` text and picture, `beta` direction, `gamma` structure) and in the ranking."""

    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 1.0
    text: float = 2.0
    image: float = 1.0


class Clip:
    """A CLIP in open_clip's format, from a folder or the model hub.

    Args:
        crops: views of each picture that are averaged: the whole, and crops drawn once from a seed, the same
            for every picture, so that the scores of two edits do not depend on the crops.

    Raises:
        ValueError: the folder holds no such model.
        WeightsMissing: not on this machine.
    """

    def __init__(
        self, source: str | Path = DEFAULT, device: str = "auto", crops: int = 7, template: str = TEMPLATE
    ) -> None:
        hub.prepare()
        import open_clip

        self.device, self.template = devices.pick(device), template
        folder = hub.folder(source, "open_clip_config.json")
        with hub.reading(source):
            model: Any = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
            self.tokenizer: Any = open_clip.get_tokenizer(f"local-dir:{folder}")
            config = model.visual.preprocess_cfg
            self.mean, self.std = (
                torch.tensor(config[name], device=self.device).view(1, 3, 1, 1) for name in ("mean", "std")
            )
        self.model = model.eval().to(self.device)
        size = model.visual.image_size
        self.side = int(size[0] if isinstance(size, Sequence) else size)
        self.views = _views(crops)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D), unit length, each text in the template."""
        tokens = self.tokenizer([self.template.format(text) for text in texts]).to(self.device)
        with torch.inference_mode():
            return F.normalize(self.model.encode_text(tokens).float(), dim=-1).cpu()

    def embed_images(self, pictures: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """uint8 (H, W, 3) each -> embeddings (N, D), means over views, and tokens (N, T, C) of the whole."""
        pairs = [self._embed(picture) for picture in pictures]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])

    def terms(
        self, source: np.ndarray, edits: Sequence[np.ndarray], caption: str, prompt: str
    ) -> dict[str, Tensor]:
        """The three losses of each edit, (N,), by name."""
        first, first_tokens = self.embed_images([source])
        embedded, tokens = self.embed_images(edits)
        return _terms(embedded, tokens, first, first_tokens, self.embed_texts([caption, prompt]))

    def judge(
        self, source: np.ndarray, caption: str, prompt: str, weighting: Weighting
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """Scores each edit of `source`: cosines to prompt and source, losses, and the score that ranks."""
        first, first_tokens = self.embed_images([source])
        words = self.embed_texts([caption, prompt])

        def scores(edit: np.ndarray) -> dict[str, float]:
            embedded, tokens = self.embed_images([edit])
            terms = _terms(embedded, tokens, first, first_tokens, words)
            text, image = 1 - terms["text_image"], F.cosine_similarity(embedded, first)
            measures = {
                "score": weighting.text * text + weighting.image * image,
                "text": text,
                "image": image,
                "directional": 1 - terms["directional"],
                "structure": terms["structure"],
                "loss": losses.total(terms, weighting.alpha, weighting.beta, weighting.gamma),
            }
            return {name: float(values[0]) for name, values in measures.items()}

        return scores

    def _embed(self, picture: np.ndarray) -> tuple[Tensor, Tensor]:
        x = images.to_tensor(picture).to(self.device)
        height, width = x.shape[2:]
        views = []
        for top, left, bottom, right in self.views:
            view = x[..., int(top * height) : max(int(bottom * height), int(top * height) + 1), :]
            view = view[..., int(left * width) : max(int(right * width), int(left * width) + 1)]
            views.append(
                F.interpolate(view, (self.side, self.side), mode="bicubic", antialias=True).clamp(0, 1)
            )
        batch = (torch.cat(views) - self.mean) / self.std
        with torch.inference_mode():
            output = self.model.visual.forward_intermediates(batch, indices=1)
            embedded = F.normalize(output["image_features"].float(), dim=-1).mean(0)
            tokens = output["image_intermediates"][-1][0].float().flatten(1).T
        return F.normalize(embedded, dim=-1).cpu().clone(), tokens.cpu().clone()


def _terms(
    embedded: Tensor, tokens: Tensor, first: Tensor, first_tokens: Tensor, words: Tensor
) -> dict[str, Tensor]:
    """The losses of edits (N, D) and (N, T, C) of one source; `words` are caption and prompt, (2, D)."""
    return {
        "text_image": losses.text_image(embedded, words[1]),
        "directional": losses.directional(embedded, first[0], words[1], words[0]),
        "structure": losses.structure(tokens, first_tokens[0]),
    }


def _views(crops: int) -> list[tuple[float, float, float, float]]:
    """The whole picture and `crops` random parts with 60 to 95 % of its sides."""
    rng = np.random.default_rng(0)
    views = [(0.0, 0.0, 1.0, 1.0)]
    for _ in range(crops):
        side = rng.uniform(0.6, 0.95)
        top, left = rng.uniform(0, 1 - side, 2)
        views.append((float(top), float(left), float(top + side), float(left + side)))
    return views
