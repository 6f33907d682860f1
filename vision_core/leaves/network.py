"""MobileNetV2 with frozen features, optionally except the last blocks, a new classifier and a gate.

Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", as torchvision has it.
"""

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vision_core import torchvision_cpu, weights
from vision_core.checkpoints import HubMixin
from vision_core.leaves.gate import Gate
from vision_core.safety.bounds import Bounds, OneOf, Several, Text, Whole
from vision_core.states import load_state

MEAN, STD = weights.IMAGENET_MEAN, weights.IMAGENET_STD
BACKBONES = ("mobilenet", "imagenet")
BLOCKS = 19  # blocks of MobileNetV2's features
LAYERS = (
    6,
    10,
    13,
    16,
    18,
)  # blocks whose feature maps are pooled: means and, except for the last, standard deviations
WIDTH = 2 * (32 + 64 + 96 + 160) + 1280  # length of an embedding


class LeafNet(nn.Module, HubMixin, library_name="vision-core", license="apache-2.0"):
    """Pictures (B, 3, H, W) in [0, 1], or their embeddings (B, WIDTH), -> logits (B, C).

    An embedding has the means of the feature maps of five layers and, except for the last, their standard
    deviations; the earlier layers see spots and edges. The classifier gets it standardised (`set_scale`).

    Args:
        classes: their names, in the order of the logits.
        unfrozen: how many of the last of the 19 feature blocks are trained, too.
        backbone: name in `weights.WEIGHTS` of the frozen blocks, which are then not stored: "mobilenet" is
            in the package, "imagenet" is torchvision's; None for other weights.
        crop: side of the input pictures in pixels.
        reduced: side of a smaller copy of each picture, whose embedding is averaged with the picture's own;
            0 for no copy.
        gate: sizes of the gate that rejects unknown pictures; None before it is fitted.
    """

    temperature: Tensor
    feature_mean: Tensor
    feature_std: Tensor
    mean: Tensor
    std: Tensor
    bounds: ClassVar[Bounds] = {
        "classes": Several(Text(), 2, 10_000),
        "unfrozen": Whole(0, BLOCKS),
        "backbone": OneOf(*BACKBONES, None),
        "crop": Whole(32, 1024),
        "reduced": Whole(0, 1024),
        "gate": Several(Whole(1, 10_000), 4, 4, optional=True),
    }

    def __init__(
        self,
        classes: list[str],
        unfrozen: int = 0,
        backbone: str | None = BACKBONES[0],
        crop: int = 224,
        reduced: int = 0,
        gate: tuple[int, int, int, int] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= unfrozen <= BLOCKS:
            raise ValueError(f"{unfrozen} blocks cannot be trained: there are {BLOCKS}")
        if backbone not in (*BACKBONES, None):
            raise ValueError(
                f"the backbone is {backbone!r}; {BACKBONES[0]}, {BACKBONES[1]} or none was expected"
            )
        if not 32 <= crop <= 1024:
            raise ValueError(f"crop is {crop}; 32 to 1024 pixels were expected")
        if reduced and not crop <= 2 * reduced < 2 * crop:
            raise ValueError(
                f"reduced is {reduced}; at least half, and less than, the crop of {crop} pixels was expected"
            )
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise ValueError(f"two or more classes of different names were expected, not {classes}")
        self.classes, self.unfrozen, self.backbone = list(classes), unfrozen, backbone
        self.crop, self.reduced = crop, reduced
        self.features = _features()
        for block in self._still():
            block.requires_grad_(False)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(WIDTH, len(classes)))
        self.gate = Gate(*gate) if gate else None
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("feature_mean", torch.zeros(WIDTH))
        self.register_buffer("feature_std", torch.ones(WIDTH))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    @property
    def square(self) -> int:
        """Side in pixels of the pictures as they are read; their centre 7/8 are resized to the crop."""
        return square(self.crop)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How pictures are prepared, as plain data for the metadata of a model."""
        return {"square": self.square, "middle": 7 / 8, "crop": self.crop, "mean": MEAN, "std": STD}

    @property
    def architecture(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "classes": self.classes,
            "unfrozen": self.unfrozen,
            "backbone": self.backbone,
            "crop": self.crop,
            "reduced": self.reduced,
            "gate": list(self.gate.sizes) if self.gate else None,
        }

    @property
    def frozen(self) -> tuple[str, ...]:
        """The parts that a checkpoint names by their hash only."""
        still = BLOCKS - self.unfrozen if self.backbone else 0
        return tuple(f"features.{i}" for i in range(still))

    def load_frozen(self) -> None:
        """Fill the features with those of the backbone."""
        if self.backbone:
            self.load_backbone(weights.find(self.backbone))

    def load_backbone(self, path: str | Path) -> None:
        """Fill the features from a .safetensors or .pth file with torchvision's names for MobileNetV2.

        Raises:
            ValueError: the file is not one.
        """
        try:
            tensors = load_state(path) if Path(path).suffix == ".pth" else load_file(path)
            state = {n.removeprefix("features."): v for n, v in tensors.items() if n.startswith("features.")}
            self.features.load_state_dict(state)
        except (SafetensorError, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path} does not hold the features of MobileNetV2: {reason}") from error

    def train(self, mode: bool = True) -> "LeafNet":
        """Frozen blocks stay in eval mode: their batch norms must not change."""
        super().train(mode)
        for block in self._still():
            block.eval()
        return self

    def _still(self) -> list[nn.Module]:
        return list(self.features[: BLOCKS - self.unfrozen])  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.standardise(self.embed(x) if x.ndim == 4 else x))

    def standardise(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, WIDTH), standardised as `set_scale` says."""
        return (embeddings - self.feature_mean) / self.feature_std

    def set_scale(self, embeddings: Tensor) -> None:
        """Standardise by the mean and standard deviation of embeddings (N, WIDTH)."""
        self.feature_mean.copy_(embeddings.mean(0))
        self.feature_std.copy_(embeddings.std(0, unbiased=False) + 1e-3)

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, WIDTH); in eval mode averaged with the mirrored picture's."""
        embedding = pooled(self.maps(images))
        return embedding if self.training else (embedding + pooled(self.maps(images.flip(3)))) / 2

    def maps(self, images: Tensor, features: nn.Sequential | None = None) -> list[list[Tensor]]:
        """The maps of the `LAYERS` for pictures (B, 3, H, W) in [0, 1], then for their reduced copies.

        The last map of each is (B, 1280, H / 32, W / 32).

        Args:
            features: `folded` features, to save time.
        """
        sizes = [images]
        if self.reduced:  # two taps skip no pixel down to half of the size
            sizes.append(F.interpolate(images, (self.reduced, self.reduced), mode="bilinear"))
        return [_maps(features or self.features, self.normalised(x)) for x in sizes]

    def normalised(self, images: Tensor) -> Tensor:
        """Pictures in [0, 1], normalised for the features."""
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def folded(self) -> nn.Sequential:
        """A faster copy of the features for inference: each batch norm is folded into its convolution."""
        features = copy.deepcopy(self.features).eval().requires_grad_(False)
        for parent in [*features.modules()]:
            for (name, conv), (after, norm) in pairwise([*parent.named_children()]):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                    setattr(parent, after, nn.Identity())
        return features.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures or embeddings -> calibrated probabilities (B, C), out-of-distribution scores (B,).

        Up to a score of 1, a picture counts as known.

        Raises:
            ValueError: the gate has not been fitted.
        """
        if self.gate is None:
            raise ValueError("the model has no gate yet: it is fitted at the end of the training")
        embeddings = self.standardise(self.embed(x) if x.ndim == 4 else x)
        return (self.classifier(embeddings) / self.temperature).softmax(1), self.gate(embeddings)


def square(crop: int) -> int:
    """Side in pixels of the pictures that a network with this crop reads; 256 show a leaf's outline."""
    return max(256, round(crop * 8 / 7))


def _maps(features: nn.Sequential, x: Tensor) -> list[Tensor]:
    """The maps of the `LAYERS` for pictures (B, 3, H, W) as the features expect them."""
    outputs = []
    for number, block in enumerate(features):
        x = block(x)
        if number in LAYERS:
            outputs.append(x)
    return outputs


def pooled(sizes: list[list[Tensor]]) -> Tensor:
    """Embeddings (B, WIDTH) of the maps of the `LAYERS`, averaged over the sizes of a picture."""
    embeddings = []
    for *inner, last in sizes:
        stds = [(x.var((2, 3), unbiased=False) + 1e-6).sqrt() for x in inner]
        embeddings.append(torch.cat([x.mean((2, 3)) for x in inner] + stds + [last.mean((2, 3))], 1))
    return torch.stack(embeddings).mean(0)


def _features() -> nn.Sequential:
    """The features of torchvision's MobileNetV2 with its initial weights, in channels-last order."""
    torchvision_cpu.prepare()
    from torchvision.models import mobilenet_v2

    return mobilenet_v2().features.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
