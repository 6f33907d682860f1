"""Training examples of the painter: scenes encoded by the autoencoder, whole and with boxes hidden."""

import copy
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_core import devices
from vision_core.devices import autocast
from vision_core.editing.hub import prepare
from vision_core.loading import prefetched
from vision_core.smallworld import clip, data, tokens, world
from vision_core.smallworld.hiding import HIDING, hide, withheld

MASKINGS = 8  # hidden boxes per scene
GRID = data.SIDE // 8


class Examples:
    """Training examples from the wild scenes, starting at `first`, with `MASKINGS` masks each.

    `fill` computes them on demand.

    latents: half (scenes, 1 + MASKINGS, 4, 16, 16), of the whole picture and of each masked one
    boxes, texts: int16 (scenes, MASKINGS, 4), and (scenes, MASKINGS, 40) tokens
    allowed: bool (scenes,), whether the scene contains no withheld combination
    """

    def __init__(self, autoencoder: str, cache: str | None, count: int, first: int = 0) -> None:
        self.autoencoder, self.cache, self.first, self.count = autoencoder, cache, first, count
        self.latents = torch.empty(count, 1 + MASKINGS, 4, GRID, GRID, dtype=torch.half)
        self.boxes = torch.empty(count, MASKINGS, 4, dtype=torch.int16)
        self.texts = torch.empty(count, MASKINGS, tokens.LENGTH, dtype=torch.int16)
        self.allowed = torch.zeros(count, dtype=torch.bool)
        self.filled = 0

    def fill(self, needed: int, workers: int = 0, device: str = "cpu") -> None:
        """Compute the missing ones of the first `needed` scenes, in chunks of 512."""
        parts = self._parts(needed)
        for part, facts in zip(parts, self.hide(needed, workers), strict=True):
            first, count = self._part(part)
            rows, facts = slice(first - self.first, first - self.first + count), torch.from_numpy(facts)
            self.boxes[rows], self.texts[rows] = facts[..., :4], facts[..., 4:]
            self.latents[rows] = torch.from_numpy(self._encoded(part, device).copy())
            scenes = map(world.wild, range(first, first + count))
            self.allowed[rows] = torch.tensor([not withheld(scene) for scene in scenes])
            self.filled = rows.stop

    def hide(self, needed: int, workers: int = 0) -> Iterator[np.ndarray]:
        """Boxes and tokens of the missing chunks; with a cache, also draws their pictures."""
        parts = self._parts(needed)
        if self.cache and parts:
            data.draw(self.cache, self.first, needed, workers, world.wild)
        return prefetched(lambda k: self._hidden(parts[k]), len(parts), min(workers, len(parts)))

    def _parts(self, needed: int) -> range:
        done = self.filled // data.CHUNK
        return range(done, -(-needed // data.CHUNK)) if needed > self.filled else range(0)

    def _part(self, part: int) -> tuple[int, int]:
        done = part * data.CHUNK
        return self.first + done, min(data.CHUNK, self.count - done)

    def _path(self, kind: str, part: int) -> Path | None:
        first, count = self._part(part)
        return Path(self.cache) / kind / f"{first:010}-{count}.npy" if self.cache else None

    def _hidden(self, part: int) -> np.ndarray:
        """Boxes and tokens of a chunk, int16 (count, MASKINGS, 4 + 40)."""

        def make() -> np.ndarray:
            first, count = self._part(part)
            rows = []
            for scene in map(world.wild, range(first, first + count)):
                masks, random = world.masks(scene), Random(scene.seed + 1)
                boxes, captions = zip(*(hide(scene, masks, random) for _ in range(MASKINGS)), strict=True)
                texts = clip.tokenize([caption.reworded(random) for caption in captions])
                rows.append(np.concatenate([np.array(boxes), texts.numpy()], 1).astype(np.int16))
            return np.stack(rows)

        return np.array(data.cached(self._path(f"hidden-{data.version(world.wild)}-{HIDING}", part), make))

    def _encoded(self, part: int, device: str) -> np.ndarray:
        def make() -> np.ndarray:
            first, count = self._part(part)
            rows = slice(first - self.first, first - self.first + count)
            pictures = torch.from_numpy(np.array(data.pictures(first, count, self.cache, world.wild)))
            return encode(self.autoencoder, pictures, self.boxes[rows], devices.pick(device)).numpy()

        digest = load_autoencoder(self.autoencoder)[1]
        kind = f"latents-{data.version(world.wild)}-{HIDING}-{digest}"
        return data.cached(self._path(kind, part), make)


@lru_cache(2)
def shared_examples(autoencoder: str, cache: str | None, count: int, first: int = 0) -> Examples:
    return Examples(autoencoder, cache, count, first)


def box_masks(boxes: Tensor, step: int = 1) -> Tensor:
    """Boxes (..., 4) -> masks, float (..., 1, 128 / step, 128 / step), of every `step`-th pixel."""
    at = torch.arange(0, data.SIDE, step, device=boxes.device)
    top, bottom, left, right = (end[..., None] for end in boxes.unbind(-1))
    rows, columns = (at >= top) & (at < bottom), (at >= left) & (at < right)
    return (rows[..., :, None] & columns[..., None, :]).unsqueeze(-3).float()


@torch.inference_mode()
def encode(folder: str, pictures: Tensor, boxes: Tensor, device: torch.device) -> Tensor:
    """Scaled latents of pictures, uint8 (B, 128, 128, 3), whole and masked by boxes (B, M, 4)."""
    vae, parts = on_device(folder, device), []
    size = 8 if device.type == "cpu" else 64
    for some, hidden in zip(pictures.split(size), boxes.split(size), strict=True):
        images = some.to(device).permute(0, 3, 1, 2)[:, None].float() / 127.5 - 1
        left = images * (1 - box_masks(hidden.to(device)))  # 0 is grey
        images = torch.cat([images, left], 1)
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            latents = vae.encoder(flat).float() * vae.config.scaling_factor
        parts.append(latents.unflatten(0, images.shape[:2]).half().cpu())
    return torch.cat(parts)


@lru_cache(2)
def on_device(folder: str, device: torch.device) -> Any:
    """The autoencoder on a device."""
    return copy.deepcopy(load_autoencoder(folder)[0]).to(device, memory_format=torch.channels_last)


@lru_cache(2)
def load_autoencoder(folder: str) -> tuple[Any, str]:
    """Load an autoencoder in diffusers' format, in float32, with a hash for cached latents."""
    prepare()
    import hashlib

    from diffusers import AutoencoderTiny

    weights = Path(folder) / "diffusion_pytorch_model.safetensors"
    if not weights.is_file():
        raise ValueError(f"{folder} contains no autoencoder in diffusers' format")
    vae = AutoencoderTiny.from_pretrained(folder, dtype=torch.float32).eval()
    return vae, hashlib.sha256(weights.read_bytes()).hexdigest()[:10]
