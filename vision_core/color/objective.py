"""The training objective of a colour map: settings, batches and loss terms."""

import math
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.color import losses
from vision_core.color.network import MAX_HIDDEN, MAX_LAYERS, Head
from vision_core.color.palette import CountedColors, Palette
from vision_core.color.spaces import Array, srgb_to_lab
from vision_core.devices import generator
from vision_core.settings import BATCH_SIZE, COUNT, TrainingSettings, setting

NEIGHBOURS, DISTANCE = 32, 1 / 32  # colours per batch for the smoothness term, and their step size
DIRECTIONS = 16  # of the sliced distance, drawn anew for each epoch
PAIRS, KEPT = 64, 0.08  # pairs of neighbours per batch, and their tolerated distance in CIELAB / 100
WIDE, NARROW = 0.25, 0.06  # width of the soft histogram at the start, and after 70 % of the training


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms; terms with weight 0 are reported, but not trained on."""

    distribution: float = 3.0
    usage: float = 1.0
    nearest: float = 0.25
    structure: float = 50.0
    smoothness: float = 4.0
    entropy: float = 0.0
    grain: float = 12.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"the weight of {name} is {value}, expected a number of 0 or more")


@dataclass(frozen=True)
class Settings(TrainingSettings):
    """Training settings. An epoch is a single batch of counted colours."""

    epochs: int = setting(1000, "Training steps of one batch each.", least=1, most=COUNT)
    batch: int = setting(512, least=16, most=BATCH_SIZE)
    lr: float = setting(1e-3, "Learning rate of Adam.", above=0, most=10)
    cosine: bool = setting(
        True, "Cosine decay of the learning rate to a fiftieth, or none.", option="--cosine/--constant-lr"
    )
    patience: int = setting(
        0, "Stop after this many epochs without improvement; 0: never.", least=0, most=COUNT
    )
    layers: int = setting(5, least=1, most=MAX_LAYERS)
    hidden: int = setting(256, least=1, most=MAX_HIDDEN)
    # "rgb" has the smaller LUT error and the better structure
    head: Head = setting("rgb", "rgb, or palette: a softmax over the palette.")
    temperature: float = setting(0.5, above=0, most=10)
    weights: LossWeights = field(default_factory=LossWeights)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "Precision of the network; auto is bfloat16 if that is measured to be fast."
    )


@dataclass(frozen=True)
class Task:
    """The data of the loss terms, as sRGB in [0, 1] or CIELAB / 100."""

    colors: Tensor  # (N, 3) sRGB
    cumulative: Tensor  # (N,) float64
    palette: Tensor  # (K, 3) CIELAB / 100
    shares: Tensor  # (K,)
    target: Tensor  # (N, 3) CIELAB / 100
    pairs: Tensor  # (P, 2, 3) sRGB, similar neighbours; P may be 0
    misplaced: Tensor | None  # (N, K): 1 where the user rated the mapping as misplaced


def task(
    counted: CountedColors,
    palette: Palette,
    device: torch.device,
    shares: np.ndarray | None = None,
    misplaced: np.ndarray | None = None,
    before: np.ndarray | None = None,
) -> Task:
    """The task of mapping the counted colours to the palette.

    Args:
        shares: target proportions (K,); by default those of the palette.
        misplaced: bool (K,), palette colours that should move away from where they are in `before`.
        before: uint8 (N, 3), the current outputs for the counted colours.
    """
    colors = torch.from_numpy(counted.colors.astype(np.float32) / 255)
    lab = _points(colors).numpy()
    palette_lab = _points(torch.from_numpy(palette.colors.astype(np.float32) / 255)).numpy()
    target_shares = palette.shares if shares is None else shares / shares.sum()
    mask = None
    if misplaced is not None and before is not None and misplaced.any():
        outputs = _points(before.astype(np.float32) / 255)
        nearest = ((outputs[:, None] - palette_lab) ** 2).sum(axis=2).argmin(axis=1)
        mask = torch.from_numpy(np.eye(len(palette.colors), dtype=np.float32)[nearest] * misplaced).to(device)
    target = transport(lab, counted.counts, palette_lab, target_shares)
    return Task(
        colors=colors,
        cumulative=torch.from_numpy(counted.counts).cumsum(0).double(),
        palette=torch.from_numpy(palette_lab).to(device),
        shares=torch.from_numpy(target_shares.astype(np.float32)).to(device),
        target=torch.from_numpy(target.astype(np.float32)).to(device),
        pairs=torch.from_numpy(counted.pairs.astype(np.float32) / 255),
        misplaced=mask,
    )


def transport(lab: np.ndarray, counts: np.ndarray, palette: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The targets of the structure term: monotone transport of each colour of `lab` (N, 3).

    Lightness is matched by quantiles (interpolated linearly, which preserves gradients), a and b by mean and
    spread.
    """
    weights = counts / counts.sum()
    order, palette_order = lab[:, 0].argsort(kind="stable"), palette[:, 0].argsort(kind="stable")
    rank = np.empty(len(lab))
    rank[order] = weights[order].cumsum() - weights[order] / 2
    middle = shares[palette_order].cumsum() - shares[palette_order] / 2
    lightness = np.interp(rank, middle, palette[palette_order, 0])
    center, palette_center = weights @ lab[:, 1:], shares @ palette[:, 1:]
    spread = math.sqrt(weights @ ((lab[:, 1:] - center) ** 2).sum(axis=1))
    palette_spread = math.sqrt(shares @ ((palette[:, 1:] - palette_center) ** 2).sum(axis=1))
    chroma = (lab[:, 1:] - center) * min(palette_spread / max(spread, 1e-6), 3) + palette_center
    return np.column_stack([lightness, chroma])


def draw(task: Task, settings: Settings, epoch: int) -> tuple[Tensor, ...]:
    """The batch of an epoch: indices, jittered colours, steps (B, 3), progress (B,) and pairs (P, 2, 3).

    Sampling is stratified: one colour from each of B equal parts of the pixels, so that the shares in a batch
    are close to those of the picture. The pairs are omitted if the task has none.
    """
    random, size = generator(settings.seed, epoch), settings.batch
    at = (torch.randperm(size, generator=random) + torch.rand(size, generator=random).double()) / size
    index = torch.searchsorted(task.cumulative, at * task.cumulative[-1]).clamp(max=len(task.cumulative) - 1)
    jitter = (torch.rand(size, 3, generator=random) - 0.5) * (4 / 255)
    step = F.normalize(torch.randn(size, 3, generator=random), dim=1) * DISTANCE
    progress = torch.full((size,), epoch / settings.epochs)
    pairs = torch.randint(max(len(task.pairs), 1), (PAIRS,), generator=random)
    batch = index, task.colors[index].add(jitter).clamp(0, 1), step, progress
    return (*batch, task.pairs[pairs]) if len(task.pairs) else batch


def _points(rgb: Array) -> Array:
    """sRGB in [0, 1] -> CIELAB / 100, the space of palettes and metrics."""
    return srgb_to_lab(rgb) / 100


def terms(network: nn.Module, batch: tuple[Tensor, ...], task: Task, settings: Settings) -> dict[str, Tensor]:
    """The losses of a batch by name, see `losses`; "placement" only if colours are misplaced."""
    index, colors, step, progress, *rest = batch
    pairs = rest[0] if rest else colors.new_zeros(0, 2, 3)
    index = index.to(task.target.device)
    near = min(NEIGHBOURS, len(colors))
    with torch.autocast(colors.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        inputs = [colors, pairs.flatten(0, 1), colors[:near] + step[:near], colors[:near] - step[:near]]
        outputs = network(torch.cat(inputs)).float()
    seen, plus, minus = outputs.split([len(outputs) - 2 * near, near, near])
    output = seen[: len(colors)]
    points, torn = _points(seen).split([len(colors), 2 * len(pairs)])
    directions = F.normalize(step[:DIRECTIONS], dim=1)
    width = max(NARROW, WIDE * (1 - float(progress[0]) / 0.7))
    choice = losses.assignment(points, task.palette, width)
    values = {
        "distribution": losses.sliced_wasserstein(points, task.palette, task.shares, directions),
        "usage": losses.usage(choice, task.shares),
        "nearest": losses.nearest_color(points, task.palette),
        "structure": losses.structure(points, task.target[index]),
        "smoothness": losses.curvature(output[:near], plus, minus),
        "entropy": losses.entropy(choice),
    }
    if len(pairs):
        values["grain"] = losses.tearing(torn.view(-1, 2, 3), KEPT)
    if task.misplaced is not None:
        values["placement"] = (choice * task.misplaced[index]).sum(dim=1).mean()
    return values
