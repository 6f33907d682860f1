"""The judge of edits: a small CNN that classifies the thing at each place of a scene.

It is trained only on drawn pictures with their ground truth, never on edits or outputs of other networks.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core import checkpoints
from vision_core.devices import autocast, generator
from vision_core.safety.bounds import Bounds, Whole
from vision_core.smallworld import data, world
from vision_core.smallworld.grammar import GROUNDS, KINDS, PLACES, SKIES, TONES

SIZES = (1 + len(KINDS), len(TONES))  # classes per place: kind (or nothing) and colour
VIEW = (len(GROUNDS), len(SKIES))
TESTED, EVERY = 256, 5


class Network(nn.Module):
    """(B, 3, 128, 128) in [0, 1] -> logits (B, 3 places, 1 + kinds + colours) and (B, grounds + skies)."""

    bounds: ClassVar[Bounds] = {"width": Whole(1, 1024)}

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.architecture = {"width": width}
        sizes = [3, width, 2 * width, 4 * width, 6 * width, 6 * width]
        layers: list[nn.Module] = []
        for below, above in pairwise(sizes):
            layers += [nn.Conv2d(below, above, 3, 2, 1, bias=False), nn.BatchNorm2d(above), nn.ReLU()]
            if below > width:
                layers += [nn.Conv2d(above, above, 3, 1, 1, bias=False), nn.BatchNorm2d(above), nn.ReLU()]
        self.body = nn.Sequential(*layers)  # (B, 6 width, 4, 4)
        self.places = nn.Linear(6 * width * 16, len(PLACES) * sum(SIZES))
        self.view = nn.Linear(6 * width * 16, sum(VIEW))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images * 2 - 1).flatten(1)
        return self.places(features).unflatten(1, (len(PLACES), -1)), self.view(features)


def truth(scene: world.Scene) -> list[int]:
    """The labels of a scene: kind (0 is none) and colour (-1 is none) at each place, then ground and sky."""
    at = {thing.place: thing for thing in scene.things}
    answers = []
    for place in PLACES:
        thing = at.get(place)
        answers += [1 + KINDS.index(thing.kind), TONES.index(thing.colour)] if thing else [0, -1]
    return [*answers, list(GROUNDS).index(scene.ground), list(SKIES).index(scene.sky)]


def answers(model: nn.Module, images: Tensor) -> Tensor:
    """The predicted labels of each picture, (B, 8), with a colour for every place; see `truth`."""
    places, view = model(images)
    kind, colour = (part.argmax(-1) for part in places.split(SIZES, -1))
    return torch.cat([torch.stack([kind, colour], -1).flatten(1), *_best(view)], 1)


def _best(view: Tensor) -> list[Tensor]:
    return [part.argmax(-1, keepdim=True) for part in view.split(VIEW, -1)]


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pictures with random brightness and noise, and their labels (B, 8)."""
    rng = generator(settings.seed, epoch)
    for numbers in data.draws(settings, rng):
        images = torch.stack([data.image(number, settings.cache) for number in numbers]).float() / 255
        bright = 1 + 0.1 * torch.randn(len(images), 3, 1, 1, generator=rng)
        noise = 0.02 * torch.randn(images.shape, generator=rng)
        yield (images * bright + noise).clamp(0, 1), torch.tensor([truth(world.scene(n)) for n in numbers])


def terms(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    images, facts = batch
    with autocast(images.device):
        places, view = model(images.contiguous(memory_format=torch.channels_last))
    kind, colour = places.float().flatten(0, 1).split(SIZES, -1)
    ground, sky = view.float().split(VIEW, -1)
    of_place = facts[:, :-2].reshape(-1, 2)
    return {
        "kind": F.cross_entropy(kind, of_place[:, 0]),
        "colour": F.cross_entropy(colour, of_place[:, 1], ignore_index=-1),
        "ground": F.cross_entropy(ground, facts[:, -2]),
        "sky": F.cross_entropy(sky, facts[:, -1]),
    }


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None, count: int = TESTED) -> dict[str, float]:
    """Accuracy of kinds, of kinds with colours, and of ground and sky on held-out scenes."""
    device = next(model.parameters()).device
    images = (data.drawn(data.scenes(data.HELD_OUT, count)) / 255).to(device)
    predicted = torch.cat([answers(model, part) for part in images.split(64)]).cpu()
    labels = torch.tensor([truth(scene) for scene in data.scenes(data.HELD_OUT, count)])
    places, predicted_places = labels[:, :-2].reshape(-1, 2), predicted[:, :-2].reshape(-1, 2)
    occupied = places[:, 0] > 0
    return {
        "kind_accuracy": (predicted_places[:, 0] == places[:, 0]).float().mean().item(),
        "thing_accuracy": (predicted_places[occupied] == places[occupied]).all(1).float().mean().item(),
        "view_accuracy": (predicted[:, -2:] == labels[:, -2:]).all(1).float().mean().item(),
    }


def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """Export as a checkpoint; load it with `checkpoints.load(path, judge.Network)`."""
    checkpoints.save(out / "judge.safetensors", model, {"licence": "Apache-2.0"}, half=True)
    return out / "judge.safetensors"
