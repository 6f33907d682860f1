"""The DINO of the small world: a small ViT that learns from pictures alone, as transformers' `ViTModel`.

Source: Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers": a student sees
crops, a teacher (the student's average) whole views; both must say the same of one picture. The teacher's
answers are centred as in Oquab et al. 2023, "DINOv2", by Sinkhorn and Knopp's iteration over the batch: a
running mean lags behind a teacher that learns fast, and within a hundred steps all answers were alike.

Augmentation here has one step more than there. Besides crops, mirroring and colour it draws the things of a
picture elsewhere, on another ground and under another sky, and the views of one sample are of two such
pictures. The things are then all that the views share, and what the class token must find.
"""

import copy
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.devices import generator
from vision_core.editing.find.saliency import stand_out
from vision_core.editing.hub import prepare
from vision_core.loading import made
from vision_core.safety.bounds import Bounds, Whole
from vision_core.smallworld import data, world

EVERY, TESTED = 2, 128
SIZES, WHOLE, PART = (96, 48), (88, 128), (64, 112)  # of views; sides of what is cut out, in pixels
LOCALS, LUCK = 4, 9  # small views of a sample; random numbers of a view
STUDENT_HEAT, TEACHER_HEAT, SHARPENED, MOMENTUM = 0.1, 0.05, 0.4, 0.99


class Head(nn.Module):
    """(B, D) -> (B, K) similarities to K learnt directions."""

    def __init__(self, width: int, directions: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, 64),
        )
        self.directions = nn.Parameter(torch.randn(directions, 64))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.mlp(x), dim=-1) @ F.normalize(self.directions, dim=-1).T


class Network(nn.Module):
    """Student and teacher, each a ViT over patches of 8 with a head, and the number of steps so far."""

    steps: Tensor
    bounds: ClassVar[Bounds] = {
        "width": Whole(32, 2048),
        "layers": Whole(1, 48),
        "directions": Whole(1, 65_536),
    }

    def __init__(self, width: int = 128, layers: int = 4, directions: int = 512) -> None:
        prepare()
        from transformers import ViTConfig, ViTModel

        super().__init__()
        self.architecture = {"width": width, "layers": layers, "directions": directions}
        config = ViTConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            intermediate_size=4 * width,
            image_size=SIZES[0],  # positions between those of the views would be learned by no view
            patch_size=8,
            initializer_range=0.04,
        )
        config._attn_implementation = "sdpa"
        self.student = nn.ModuleDict(
            {"vit": ViTModel(config, add_pooling_layer=False), "head": Head(width, directions)}
        )
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("steps", torch.zeros(()))  # a float, since an average is kept of all buffers

    def forward(self, pictures: Tensor, luck: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's answers to the whole views, (B, 2, K), and the student's to all, (B, views, K).

        Args:
            pictures: uint8 (B, 2, 3, 128, 128), the same things twice.
            luck: (B, 2 + small views, LUCK) in [0, 1), decides the views.
        """
        if self.training:
            self._follow()
        views = [cut(pictures, luck[:, :2], WHOLE, SIZES[0]), cut(pictures, luck[:, 2:], PART, SIZES[1])]
        with torch.no_grad():
            wanted = self._answers(self.teacher, views[0])
        return wanted, torch.cat([self._answers(self.student, view) for view in views], 1)

    def _answers(self, part: nn.ModuleDict, views: Tensor) -> Tensor:
        with data.autocast(views.device):
            tokens = part["vit"](views.flatten(0, 1), interpolate_pos_encoding=True).last_hidden_state
        return part["head"](tokens[:, 0].float()).unflatten(0, views.shape[:2])

    @torch.no_grad()
    def _follow(self) -> None:
        """The teacher moves towards the student, at first in large steps: it begins with knowing nothing."""
        self.steps += 1
        kept = ((1 + self.steps) / (10 + self.steps)).clamp(max=MOMENTUM)
        mine, theirs = ([p.data for p in it.parameters()] for it in (self.teacher, self.student))
        torch._foreach_mul_(mine, kept)
        torch._foreach_add_(mine, torch._foreach_mul(theirs, 1 - kept))


def centred(answers: Tensor, rounds: int = 3) -> Tensor:
    """Similarities (N, K) -> shares (N, K) that sum to 1 in each row and, nearly, to N / K in each column.

    All directions are used alike, so that no answer can become that to everything. Where answers differ
    little, as at first, they are sharpened more, or the shares would be even and teach nothing.
    """
    answers = answers - answers.mean(0)
    heat = (SHARPENED * answers.std()).clamp(1e-6, TEACHER_HEAT)
    shares = ((answers - answers.amax(1, keepdim=True)) / heat).exp().clamp(min=1e-12)
    for _ in range(rounds):
        shares = shares / shares.sum(0)
        shares = shares / shares.sum(1, keepdim=True)
    return shares


def _normal(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


def cut(pictures: Tensor, luck: Tensor, sides: tuple[int, int], size: int) -> Tensor:
    """Views of pictures, cut out, mirrored and tinted, all in one go on their device.

    Args:
        pictures: uint8 (B, P, 3, H, H).
        luck: (B, V, LUCK) in [0, 1); view v is of picture v modulo P.
        sides: least and greatest side of what is cut out, in pixels.

    Returns:
        (B, V, 3, size, size) in [-1, 1].
    """
    picked = torch.arange(luck.shape[1], device=luck.device) % pictures.shape[1]
    whole = pictures.shape[-1]
    side, x, y, mirror, grey, light, *tint = luck.flatten(0, 1).unbind(-1)
    share = (sides[0] + (sides[1] - sides[0]) * side) / whole
    steps = (torch.arange(size, device=luck.device) + 0.5) / size * 2 - 1
    across, down = ((steps * share[:, None] + (1 - share[:, None]) * (2 * at[:, None] - 1)) for at in (x, y))
    across = torch.where(mirror[:, None] < 0.5, across.flip(1), across)
    grid = torch.stack(
        torch.broadcast_tensors(across[:, None], down[:, :, None]), -1
    )  # (B * V, size, size, 2)
    with torch.autocast(luck.device.type, enabled=False):
        views = F.grid_sample(_normal(pictures[:, picked].flatten(0, 1)), grid, "bilinear", "border", False)
    views = torch.where(grey[:, None, None, None] < 0.05, views.mean(1, keepdim=True), views)
    gains = 0.9 + 0.2 * torch.stack(tint, 1)[..., None, None]
    views = (views + 1) * gains - 1 + 0.2 * (light[:, None, None, None] - 0.5)
    return views.clamp(-1, 1).unflatten(0, luck.shape[:2])


def _scene(place: int, number: int) -> world.Scene:
    """The things of scene `number`, where they stand, or in the surroundings that `place` and number say."""
    scene = world.scene(number)
    return world.elsewhere(scene, Random(f"{place} {number}")) if place else scene


PLACES = tuple(partial(_scene, place) for place in range(3))  # a sample is of two of them


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures of the same things in two places, and the random numbers that decide the views of them."""
    if settings.cache and settings.workers:
        for scene in PLACES:
            data.draw(settings.cache, 0, settings.scenes, settings.workers, scene)
    yield from made(partial(_batch, settings, epoch), settings.steps, settings.workers)


def _batch(settings: Any, epoch: int, step: int) -> tuple[Tensor, Tensor]:
    drawn, size = generator(settings.seed, epoch, step), settings.batch_size
    numbers = torch.randint(settings.scenes, (size,), generator=drawn).tolist()
    places = torch.rand(size, len(PLACES), generator=drawn).argsort(1)[:, :2].tolist()
    chosen = [(number, PLACES[k]) for number, two in zip(numbers, places, strict=True) for k in two]
    pictures = np.stack([data.pictures(number, 1, settings.cache, scene)[0] for number, scene in chosen])
    luck = torch.rand(size, 2 + LOCALS, LUCK, generator=drawn)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).unflatten(0, (size, 2)), luck


def terms(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"distillation": distillation(*model(*batch))}


def distillation(wanted: Tensor, said: Tensor) -> Tensor:
    """Mean cross-entropy of the student's answers with the teacher's, each about another view.

    Args:
        wanted: (B, 2, K) of the teacher, centred over the batch here. said: (B, 2 or more, K) of the student,
            about the same two views first.
    """
    target = centred(wanted.flatten(0, 1)).view_as(wanted)
    logs = said.div(STUDENT_HEAT).log_softmax(-1)
    pairs = target @ logs.mT  # (B, 2, views)
    other = ~torch.eye(2, logs.shape[1], dtype=torch.bool, device=logs.device)  # never a view with itself
    return -(pairs * other).sum() / (other.sum() * len(pairs))


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """Pointing game: how often the patch that the class token attends to most lies on the largest thing.

    Beside it what tells of a collapse: `directions` is how many of them are the nearest to some answer, 1
    where all pictures get the same; `spread` over how many a centred answer is spread, then all of them.
    """
    vit = model.get_submodule("teacher.vit")
    scenes = [scene for scene in data.scenes(data.HELD_OUT, TESTED) if scene.things]
    images = data.drawn(scenes).to(next(vit.parameters()).device)
    if folder:
        shown = torch.stack([torch.from_numpy(it) for it in saliency(vit, images[:8])])
        shown = F.interpolate(shown[:, None], data.SIDE)
        sheet = torch.cat([images[:8].cpu() / 255, shown.expand(-1, 3, -1, -1)])
        data.save_sheet(folder / "preview.png", sheet)
    seen = vit(_normal(images), interpolate_pos_encoding=True).last_hidden_state[:, 0]
    answers = model.get_submodule("teacher.head")(seen)
    return {
        "pointing": pointing(vit, scenes),
        "directions": answers.argmax(-1).unique().numel(),
        "spread": math.exp(_entropy(centred(answers))),
    }


def _entropy(shares: Tensor) -> float:
    return float(torch.special.entr(shares).sum(-1).mean())


@torch.inference_mode()
def pointing(vit: nn.Module, scenes: list[world.Scene]) -> float:
    """The share of scenes whose largest thing is what stands out most in the class token's attention."""
    device, hits = next(vit.parameters()).device, 0
    for first in range(0, len(scenes), 32):
        part = scenes[first : first + 32]
        maps = saliency(vit, data.drawn(part).to(device))
        hits += sum(points_at_main(found, it) for found, it in zip(maps, part, strict=True))
    return hits / len(scenes)


def saliency(vit: nn.Module, images: Tensor) -> list[np.ndarray]:
    """What stands out in each of (B, 3, H, H) uint8: (rows, rows) in [0, 1].

    The ViT looks at them at its own size, that of the whole views.
    """
    x = F.interpolate(_normal(images), (SIZES[0], SIZES[0]), mode="bilinear", antialias=True)
    vit.set_attn_implementation("eager")  # pyright: ignore[reportCallIssue]
    maps, _ = stand_out(vit, x, 8)
    vit.set_attn_implementation("sdpa")  # pyright: ignore[reportCallIssue]
    return maps


def points_at_main(saliency: np.ndarray, scene: world.Scene) -> bool:
    """Whether the place of (rows, columns) that stands out most holds a part of the scene's largest thing."""
    rows, columns = saliency.shape
    coverage = world.coverage(scene)[1:]
    main = coverage[coverage.sum((1, 2)).argmax()]
    row, column = divmod(int(saliency.argmax()), columns)
    ends = [
        round(k * data.SIDE / n)
        for k, n in ((row, rows), (row + 1, rows), (column, columns), (column + 1, columns))
    ]
    there = main[ends[0] : ends[1], ends[2] : ends[3]]
    return bool(there.mean() > 1 / 8)


def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """A folder for `transformers.ViTModel.from_pretrained`, with the preprocessing that it wants."""
    from transformers import ViTImageProcessor

    vit: Any = copy.deepcopy(model.get_submodule("teacher.vit"))
    vit.half().save_pretrained(out / "dino")
    ViTImageProcessor(
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"height": SIZES[0], "width": SIZES[0]},
    ).save_pretrained(out / "dino")
    return out / "dino"
