"""The DINO of the small world: a small ViT that learns from pictures alone, as transformers' `ViTModel`.

Source: Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers": a student sees
crops, a teacher (the student's average) whole views; both must say the same of one picture.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.devices import generator
from vision_core.editing.tiny import data, world
from vision_core.torchvision_cpu import prepare

EVERY, TESTED = 5, 128
GLOBAL, LOCAL, LOCALS = 96, 48, 4  # sides of the crops in pixels; how many small ones
STUDENT_HEAT, TEACHER_HEAT, MOMENTUM, CENTRE = 0.1, 0.04, 0.99, 0.9


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
    """Student and teacher, each a ViT over patches of 8 with a head, and the running mean of the answers."""

    centre: Tensor

    def __init__(self, width: int = 128, layers: int = 6, directions: int = 512) -> None:
        prepare()
        from transformers import ViTConfig, ViTModel

        super().__init__()
        self.architecture = {"width": width, "layers": layers, "directions": directions}
        config = ViTConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            intermediate_size=4 * width,
            image_size=data.SIDE,
            patch_size=8,
        )
        config._attn_implementation = "sdpa"
        self.student = nn.ModuleDict(
            {"vit": ViTModel(config, add_pooling_layer=False), "head": Head(width, directions)}
        )
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(directions))

    def forward(self, whole: Tensor, crops: Tensor) -> Tensor:
        """Views (B, 2, 3, 96, 96) and crops (B, 4, 3, 48, 48), uint8 -> mean cross-entropy of the answers."""
        if self.training:
            self._follow()
        views, parts = (_normal(x.flatten(0, 1)) for x in (whole, crops))
        with torch.no_grad():
            wanted = self._answers(self.teacher, views).unflatten(0, (-1, 2)).float()
            target = ((wanted - self.centre) / TEACHER_HEAT).softmax(-1)
            if self.training:
                self.centre.lerp_(wanted.mean((0, 1)), 1 - CENTRE)
        said = [
            self._answers(self.student, x).unflatten(0, (-1, n))
            for x, n in ((views, 2), (parts, crops.shape[1]))
        ]
        logs = torch.cat(said, 1).float().div(STUDENT_HEAT).log_softmax(-1)  # (B, 2 + crops, K)
        pairs = (target[:, :, None] * logs[:, None]).sum(-1)  # (B, 2, 2 + crops)
        other = ~torch.eye(2, logs.shape[1], dtype=torch.bool, device=logs.device)  # never a view with itself
        return -pairs[:, other].mean()

    def _answers(self, part: nn.ModuleDict, x: Tensor) -> Tensor:
        tokens = part["vit"](x, interpolate_pos_encoding=True).last_hidden_state
        return part["head"](tokens[:, 0])

    @torch.no_grad()
    def _follow(self) -> None:
        for mine, theirs in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            mine.lerp_(theirs, 1 - MOMENTUM)


def _normal(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Two large and four small crops of each picture, each mirrored, brightened and tinted at random."""
    drawn = generator(settings.seed, epoch)
    for numbers in data.draws(settings, drawn):
        pictures = [data.image(number, settings.cache) for number in numbers]
        whole = [_crop(picture, drawn, (72, 129), GLOBAL) for picture in pictures for _ in range(2)]
        crops = [_crop(picture, drawn, (36, 72), LOCAL) for picture in pictures for _ in range(LOCALS)]
        yield torch.stack(whole).unflatten(0, (-1, 2)), torch.stack(crops).unflatten(0, (-1, LOCALS))


def _crop(image: Tensor, drawn: torch.Generator, sides: tuple[int, int], size: int) -> Tensor:
    side = int(torch.randint(*sides, (1,), generator=drawn))
    y, x = torch.randint(data.SIDE - side + 1, (2,), generator=drawn).tolist()
    part = image[None, :, y : y + side, x : x + side].float()
    part = F.interpolate(part, (size, size), mode="bilinear", antialias=True)[0]
    luck = torch.rand(3, generator=drawn).tolist()
    if luck[0] < 0.5:
        part = part.flip(-1)
    if luck[1] < 0.2:
        part = part.mean(0, keepdim=True).expand(3, -1, -1)
    elif luck[1] < 0.8:
        shuffled = part[torch.randperm(3, generator=drawn)] if luck[2] < 0.3 else part
        part = shuffled * (1 + 0.25 * torch.randn(3, 1, 1, generator=drawn))
        part = part + 25 * torch.randn(1, 1, 1, generator=drawn)
    return part.clamp(0, 255).byte()


def terms(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    with data.autocast(batch[0].device):
        return {"distillation": model(*batch)}


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """Pointing game: how often the patch that the class token attends to most lies on the largest thing."""
    vit = model.get_submodule("teacher.vit")
    scenes = [scene for scene in data.scenes(data.HELD_OUT, TESTED) if scene.things]
    if folder:
        images = data.drawn(scenes[:8])
        maps = attention(vit, images.to(next(vit.parameters()).device))
        shown = F.interpolate((maps / maps.amax((1, 2), keepdim=True))[:, None], scale_factor=8).cpu()
        data.save_sheet(folder / "preview.png", torch.cat([images / 255, shown.expand(-1, 3, -1, -1)]))
    return {"pointing": pointing(vit, scenes)}


@torch.inference_mode()
def pointing(vit: nn.Module, scenes: list[world.Scene]) -> float:
    """The share of scenes whose largest thing is where the class token of `vit` attends to most."""
    device, hits = next(vit.parameters()).device, 0
    for first in range(0, len(scenes), 32):
        part = scenes[first : first + 32]
        hits += sum(map(points_at_main, attention(vit, data.drawn(part).to(device)), part))
    return hits / len(scenes)


def attention(vit: nn.Module, images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> attention of the class token, last layer, mean of heads: (B, H / 8, W / 8)."""
    vit.set_attn_implementation("eager")  # pyright: ignore[reportCallIssue]
    found = vit(_normal(images), output_attentions=True, interpolate_pos_encoding=True).attentions[-1]
    vit.set_attn_implementation("sdpa")  # pyright: ignore[reportCallIssue]
    return found.mean(1)[:, 0, 1:].unflatten(1, (images.shape[2] // 8, images.shape[3] // 8))


def points_at_main(saliency: Tensor, scene: world.Scene) -> bool:
    """Whether the brightest patch (of 16 x 16) holds a part of the scene's largest thing."""
    coverage = world.coverage(scene)[1:]
    main = coverage[coverage.sum((1, 2)).argmax()]
    row, column = divmod(int(saliency.argmax()), saliency.shape[1])
    return bool(main[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].sum() > 8)


def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """A folder for `transformers.ViTModel.from_pretrained`, with the preprocessing that it wants."""
    from transformers import ViTImageProcessor

    vit: Any = copy.deepcopy(model.get_submodule("teacher.vit"))
    vit.half().save_pretrained(out / "dino")
    ViTImageProcessor(
        do_resize=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"height": data.SIDE, "width": data.SIDE},
    ).save_pretrained(out / "dino")
    return out / "dino"
