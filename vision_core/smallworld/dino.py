"""The DINO of the small world: a small self-supervised ViT, in the format of transformers' `ViTModel`.

Source: Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers": a student sees
crops, a teacher (the moving average of the student) large views, and their outputs must agree. The outputs
of the teacher are centred by Sinkhorn-Knopp iterations over the batch, as in Oquab et al. 2023, "DINOv2": a
running mean lagged behind the teacher, and training collapsed within a hundred steps.

Augmentation has one step more than in DINO. Besides cropping, mirroring and colour changes, the things of a
picture are drawn on another ground and under another sky, and the views of a sample come from two such
pictures. The views then share only the things, so the class token must attend to them.
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

from vision_core.devices import autocast, generator
from vision_core.editing.find.saliency import stand_out
from vision_core.editing.hub import prepare
from vision_core.loading import prefetched
from vision_core.safety.bounds import Bounds, Whole
from vision_core.smallworld import data, world

EVERY, TESTED = 2, 128
SIZES, WHOLE, PART = (96, 48), (88, 128), (64, 112)  # view sizes; ranges of the crop sides, in pixels
LOCALS, DRAWS = 4, 9  # small views per sample; random numbers per view
STUDENT_HEAT, TEACHER_HEAT, SHARPENED, MOMENTUM = 0.1, 0.05, 0.4, 0.99


class Head(nn.Module):
    """(B, D) -> (B, K) cosine similarities to K learned directions."""

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
    """Student and teacher, each a ViT with patch size 8 and a head, and the step counter."""

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
            image_size=SIZES[0],  # the size of large views, so that every position is trained
            patch_size=8,
            initializer_range=0.04,
        )
        config._attn_implementation = "sdpa"
        self.student = nn.ModuleDict(
            {"vit": ViTModel(config, add_pooling_layer=False), "head": Head(width, directions)}
        )
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("steps", torch.zeros(()))  # float, because the EMA averages all buffers

    def forward(self, pictures: Tensor, random: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's outputs for the large views (B, 2, K), and the student's for all (B, views, K).

        Args:
            pictures: uint8 (B, 2, 3, 128, 128), the same things in two surroundings.
            random: (B, 2 + small views, DRAWS) in [0, 1), determines the views.
        """
        if self.training:
            self._follow()
        views = [cut(pictures, random[:, :2], WHOLE, SIZES[0]), cut(pictures, random[:, 2:], PART, SIZES[1])]
        with torch.no_grad():
            targets = self._outputs(self.teacher, views[0])
        return targets, torch.cat([self._outputs(self.student, view) for view in views], 1)

    def _outputs(self, part: nn.ModuleDict, views: Tensor) -> Tensor:
        with autocast(views.device):
            tokens = part["vit"](views.flatten(0, 1), interpolate_pos_encoding=True).last_hidden_state
        return part["head"](tokens[:, 0].float()).unflatten(0, views.shape[:2])

    @torch.no_grad()
    def _follow(self) -> None:
        """Update the teacher as a moving average of the student, with a momentum that warms up."""
        self.steps += 1
        momentum = ((1 + self.steps) / (10 + self.steps)).clamp(max=MOMENTUM)
        teacher, student = ([p.data for p in net.parameters()] for net in (self.teacher, self.student))
        torch._foreach_mul_(teacher, momentum)
        torch._foreach_add_(teacher, torch._foreach_mul(student, 1 - momentum))


def centred(answers: Tensor, rounds: int = 3) -> Tensor:
    """Sinkhorn-Knopp centring: similarities (N, K) -> assignments (N, K) with row sums of 1.

    Column sums are close to N / K, which prevents a collapse to one direction. Outputs that differ little, as
    at the start, are sharpened more; otherwise the assignments would be uniform.
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


def cut(pictures: Tensor, random: Tensor, sides: tuple[int, int], size: int) -> Tensor:
    """Random views of pictures (cropped, mirrored and tinted), computed in one batch on their device.

    Args:
        pictures: uint8 (B, P, 3, H, H).
        random: (B, V, DRAWS) in [0, 1); view v shows picture v modulo P.
        sides: minimum and maximum side of the crop, in pixels.

    Returns:
        (B, V, 3, size, size) in [-1, 1].
    """
    picked = torch.arange(random.shape[1], device=random.device) % pictures.shape[1]
    whole = pictures.shape[-1]
    side, x, y, mirror, grey, light, *tint = random.flatten(0, 1).unbind(-1)
    share = (sides[0] + (sides[1] - sides[0]) * side) / whole
    steps = (torch.arange(size, device=random.device) + 0.5) / size * 2 - 1
    across, down = ((steps * share[:, None] + (1 - share[:, None]) * (2 * at[:, None] - 1)) for at in (x, y))
    across = torch.where(mirror[:, None] < 0.5, across.flip(1), across)
    # (B * V, size, size, 2)
    grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), -1)
    with torch.autocast(random.device.type, enabled=False):
        views = F.grid_sample(_normal(pictures[:, picked].flatten(0, 1)), grid, "bilinear", "border", False)
    views = torch.where(grey[:, None, None, None] < 0.05, views.mean(1, keepdim=True), views)
    gains = 0.9 + 0.2 * torch.stack(tint, 1)[..., None, None]
    views = (views + 1) * gains - 1 + 0.2 * (light[:, None, None, None] - 0.5)
    return views.clamp(-1, 1).unflatten(0, random.shape[:2])


def _scene(place: int, number: int) -> world.Scene:
    """Scene `number`, for `place` > 0 with the same things in other surroundings."""
    scene = world.scene(number)
    return world.elsewhere(scene, Random(f"{place} {number}")) if place else scene


PLACES = tuple(partial(_scene, place) for place in range(3))  # a sample has two of them


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pictures of the same things in two surroundings, and the random numbers of their views."""
    if settings.cache and settings.workers:
        for scene in PLACES:
            data.draw(settings.cache, 0, settings.scenes, settings.workers, scene)
    yield from prefetched(partial(_batch, settings, epoch), settings.steps, settings.workers)


def _batch(settings: Any, epoch: int, step: int) -> tuple[Tensor, Tensor]:
    rng, size = generator(settings.seed, epoch, step), settings.batch_size
    numbers = torch.randint(settings.scenes, (size,), generator=rng).tolist()
    places = torch.rand(size, len(PLACES), generator=rng).argsort(1)[:, :2].tolist()
    chosen = [(number, PLACES[k]) for number, two in zip(numbers, places, strict=True) for k in two]
    pictures = np.stack([data.pictures(number, 1, settings.cache, scene)[0] for number, scene in chosen])
    random = torch.rand(size, 2 + LOCALS, DRAWS, generator=rng)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).unflatten(0, (size, 2)), random


def terms(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"distillation": distillation(*model(*batch))}


def distillation(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean cross-entropy between the teacher's and the student's outputs for different views.

    Args:
        teacher: (B, 2, K), not yet centred.
        student: (B, 2 or more, K), starting with the views of the teacher.
    """
    target = centred(teacher.flatten(0, 1)).view_as(teacher)
    logs = student.div(STUDENT_HEAT).log_softmax(-1)
    pairs = target @ logs.mT  # (B, 2, views)
    # excludes pairs of the same view
    other = ~torch.eye(2, logs.shape[1], dtype=torch.bool, device=logs.device)
    return -(pairs * other).sum() / (other.sum() * len(pairs))


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """Pointing game: how often the most attended patch of the class token lies on the largest thing.

    Also indicators of a collapse: `directions`, the number of directions that are nearest to some output (1
    after a collapse), and `spread`, the perplexity of the centred outputs (all directions after a collapse).
    """
    vit = model.get_submodule("teacher.vit")
    scenes = [scene for scene in data.scenes(data.HELD_OUT, TESTED) if scene.things]
    images = data.drawn(scenes).to(next(vit.parameters()).device)
    if folder:
        shown = torch.stack([torch.from_numpy(one_map) for one_map in saliency(vit, images[:8])])
        shown = F.interpolate(shown[:, None], data.SIDE)
        sheet = torch.cat([images[:8].cpu() / 255, shown.expand(-1, 3, -1, -1)])
        data.save_sheet(folder / "preview.png", sheet)
    class_tokens = vit(_normal(images), interpolate_pos_encoding=True).last_hidden_state[:, 0]
    outputs = model.get_submodule("teacher.head")(class_tokens)
    return {
        "pointing": pointing(vit, scenes),
        "directions": outputs.argmax(-1).unique().numel(),
        "spread": math.exp(_entropy(centred(outputs))),
    }


def _entropy(shares: Tensor) -> float:
    return float(torch.special.entr(shares).sum(-1).mean())


@torch.inference_mode()
def pointing(vit: nn.Module, scenes: list[world.Scene]) -> float:
    """The share of scenes in which the class token attends most to the largest thing."""
    device, hits = next(vit.parameters()).device, 0
    for first in range(0, len(scenes), 32):
        part = scenes[first : first + 32]
        maps = saliency(vit, data.drawn(part).to(device))
        hits += sum(points_at_main(saliency, scene) for saliency, scene in zip(maps, part, strict=True))
    return hits / len(scenes)


def saliency(vit: nn.Module, images: Tensor) -> list[np.ndarray]:
    """Saliency maps of pictures, uint8 (B, 3, H, H) -> (rows, rows) in [0, 1], at the size of large views."""
    x = F.interpolate(_normal(images), (SIZES[0], SIZES[0]), mode="bilinear", antialias=True)
    vit.set_attn_implementation("eager")  # pyright: ignore[reportCallIssue]
    maps, _ = stand_out(vit, x, 8)
    vit.set_attn_implementation("sdpa")  # pyright: ignore[reportCallIssue]
    return maps


def points_at_main(saliency: np.ndarray, scene: world.Scene) -> bool:
    """Whether the maximum of a saliency map (rows, columns) lies on the largest thing of the scene."""
    rows, columns = saliency.shape
    coverage = world.coverage(scene)[1:]
    main = coverage[coverage.sum((1, 2)).argmax()]
    row, column = divmod(int(saliency.argmax()), columns)
    ends = [
        round(k * data.SIDE / n)
        for k, n in ((row, rows), (row + 1, rows), (column, columns), (column + 1, columns))
    ]
    patch = main[ends[0] : ends[1], ends[2] : ends[3]]
    return bool(patch.mean() > 1 / 8)


def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """Export for `transformers.ViTModel.from_pretrained`, with its preprocessing."""
    from transformers import ViTImageProcessor

    vit: Any = copy.deepcopy(model.get_submodule("teacher.vit"))
    vit.half().save_pretrained(out / "dino")
    ViTImageProcessor(
        image_mean=[0.5] * 3, image_std=[0.5] * 3, size={"height": SIZES[0], "width": SIZES[0]}
    ).save_pretrained(out / "dino")
    return out / "dino"
