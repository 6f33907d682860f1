"""Samples, loss and validation for the light networks.

Half of the pages are undamaged. The loss is the mean squared error of the page under the predicted light,
computed from means, variances and covariances of 12 x 12 blocks, so that pages are read once only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core import devices
from vision_core.restoration import mixtures, sheets, text
from vision_core.restoration.damage import LUMA
from vision_core.restoration.degrade import KINDS
from vision_core.restoration.light import consulted
from vision_core.restoration.network import PageRestorer
from vision_core.restoration.thumbnail import thumbnail

BLOCKS = 12  # rows and columns of the blocks in the loss
SAMPLES = 8_000  # five times as many from the same pages gain little
FLOOR = 1e-4  # added to squared errors before their logarithm: 40 dB is good enough
DETAIL = 1e-3  # squared error that the detail leaves behind, added to that of the light in the loss
SHARES = {
    "mixture": 0.3,
    "usual": 0.07,
    "shade": 0.15,
    "sheet": 0.12,
    "kinds": 0.1,
    "clean": 0.2,
    "strange": 0.06,
}
SHADED = 0.65  # share of the sheets; the others are evenly lit
GREY, GREY_SHEETS = 0.12, 0.5  # share of pages, and of sheets, that are scans without colour
SHEET = 384  # side of a generated sheet of paper of any tone
SHADOWS = 0.35  # share of the pages in uneven light that also have a shadow with an edge
BETWEEN = 0.5  # share of pages with a paper between their own and another page's: there are few pages
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Lights:
    """Samples by number, cached: the thumbnail of a damaged page, and moments for the loss.

    A sample is float16 (14, 24, 24) and (15, 12, 12): in each block the mean, for each colour, of the page in
    the damaged light and of the clean one, then their variances, then their covariance.
    """

    pages: Sequence[np.ndarray]
    photographs: Sequence[np.ndarray] = ()
    between: float = 0.0  # share of the pages whose paper lies between their own and another page's
    _made: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def sample(self, seed: int, kind: str = "any") -> tuple[Tensor, Tensor]:
        """`kind` is "mixture", "shade", "sheet", "clean" or "strange" for validation, "any" for training."""
        if kind != "any":
            return self._make(np.random.default_rng(seed), kind)
        if seed not in self._made:
            rng = np.random.default_rng(seed)
            self._made[seed] = self._make(rng, str(rng.choice(list(SHARES), p=list(SHARES.values()))))
        return self._made[seed]

    def _make(self, rng: np.random.Generator, kind: str) -> tuple[Tensor, Tensor]:
        if kind == "sheet":
            clean, _ = sheets.written(rng, text.mask(rng, SHEET))
        else:
            clean = self._region(rng)
        if kind == "strange":
            clean = self._strange(rng, clean)
        if kind != "strange" and rng.random() < (GREY_SHEETS if kind == "sheet" else GREY):
            clean = np.repeat(clean @ np.array(LUMA, np.float32)[:, None], 3, 2)
        if kind == "usual":
            steps = mixtures.usual(rng)
        elif kind == "shade":
            steps = mixtures.draw(rng, ["uneven_light"]) | (mixtures.usual(rng) if rng.random() < 0.4 else {})
            steps = {name: steps[name] for name in KINDS if name in steps}
        elif kind == "kinds":
            common = ["fading", "yellow_tint", "uneven_light"]
            count = int(rng.integers(1, 4))
            kinds = rng.choice(common if rng.random() < 0.6 else list(KINDS), count).tolist()
            steps = {name: value for name, value in mixtures.draw(rng, kinds).items()}
            steps = {name: steps[name] for name in KINDS if name in steps}
        elif kind == "sheet" and rng.random() < SHADED:
            steps = mixtures.draw(rng, ["uneven_light", "noise"] if rng.random() < 0.5 else ["uneven_light"])
        else:
            steps = {}
        if kind == "mixture":
            damaged, lit = mixtures.original(clean, rng)
        else:
            damaged, lit = mixtures.apply(sheets.tensor(clean), steps, None, rng, usual=True)
        if "uneven_light" in steps and rng.random() < SHADOWS:
            shadow = torch.from_numpy(_shadow(rng, *clean.shape[:2]))
            damaged, lit = ((part * shadow).round().byte() for part in (damaged, lit))
        statistics = thumbnail(damaged.permute(1, 2, 0).contiguous().numpy())
        moments = _moments(lit.permute(1, 2, 0).float().numpy() / 255, clean)
        return torch.from_numpy(statistics).half(), torch.from_numpy(moments).half()

    def _region(self, rng: np.random.Generator) -> np.ndarray:
        """A whole page reduced in size, or a square of it, float32 (H, W, 3) in [0, 1]."""
        page = self.pages[int(rng.integers(len(self.pages)))]
        tone = np.ones(3, np.float32)
        if rng.random() < self.between:
            other = self.pages[int(rng.integers(len(self.pages)))]
            tone = (_paper(other) / _paper(page)) ** rng.uniform(0, 1)
        return (self._cut(rng, page) * tone.astype(np.float32)).clip(0, 1)

    def _cut(self, rng: np.random.Generator, page: np.ndarray) -> np.ndarray:
        import cv2

        if rng.random() < 0.5:
            side = int(min(rng.integers(256, 512), *page.shape[:2]))
            return (sheets.cut(rng, page, side, 1.0) / 255).astype(np.float32)
        scale = min(1.0, sheets.log_uniform(rng, 420, 800) / max(page.shape[:2]))
        size = [round(scale * length) for length in page.shape[1::-1]]
        whole = cv2.resize(page, size, interpolation=cv2.INTER_AREA)
        edges = [int(rng.integers(0, 1 + length // 12)) for length in (*whole.shape[:2], *whole.shape[:2])]
        whole = whole[edges[0] : len(whole) - edges[2], edges[1] : whole.shape[1] - edges[3]]
        return np.ascontiguousarray(whole[:, :: int(rng.choice([1, -1]))], np.float32) / 255

    def _strange(self, rng: np.random.Generator, clean: np.ndarray) -> np.ndarray:
        """Out-of-distribution: writing on a card of a colour that aged paper never has, or a photograph."""
        if self.photographs and rng.random() < 0.35:
            photograph = self.photographs[int(rng.integers(len(self.photographs)))]
            return (sheets.cut(rng, photograph, 384, 1.0) / 255).astype(np.float32)
        paper = _paper(clean)
        while True:
            color = rng.uniform(0.15, 0.95, 3)
            if (
                color[1] > 1.04 * color[0]
                or color[2] > 1.02 * color[1]
                or color.max() < 0.42
                or np.ptp(color) > 0.45
            ):
                return (clean * (color / paper)).clip(0, 1).astype(np.float32)


def _shadow(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Transmission of a shadow of a hand, phone or fold, with a soft edge, float32 (H, W) in (0, 1]."""
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
    y, x = (np.linspace(-0.5, 0.5, side, dtype=np.float32) for side in (height, width))
    across = y[:, None] * np.sin(angle) + x[None] * np.cos(angle) - at
    depth, softness = rng.uniform(0.1, 0.5), sheets.log_uniform(rng, 0.02, 0.2)
    return (1 - depth / (1 + np.exp(-across / softness))).astype(np.float32)


def _paper(page: np.ndarray) -> np.ndarray:
    """The colour of a page's paper, (3,) in the units of the page."""
    return np.quantile(page[::8, ::8].reshape(-1, 3), 0.8, axis=0).clip(0.05)


def _moments(lit: np.ndarray, clean: np.ndarray) -> np.ndarray:
    import cv2

    both = np.dstack([lit, clean])
    stack = np.dstack([both, both**2, lit * clean])
    means = np.dstack(
        [
            cv2.resize(stack[..., i : i + 3], (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
            for i in range(0, 15, 3)
        ]
    )
    lit_mean, clean_mean = means[..., :3], means[..., 3:6]
    means[..., 6:9] -= lit_mean**2
    means[..., 9:12] -= clean_mean**2
    means[..., 12:] -= lit_mean * clean_mean
    return means.transpose(2, 0, 1)


def cost(light: Tensor, moments: Tensor) -> Tensor:
    """Mean squared errors (B,) of pages under lights (B, 6, h, w), from their moments (B, 15, 12, 12)."""
    gain, offset = F.interpolate(light, (BLOCKS, BLOCKS), mode="bicubic", align_corners=False).split(3, 1)
    lit, clean, lit_spread, clean_spread, common = moments.float().split(3, 1)
    shift = gain * lit + offset - clean
    within = gain**2 * lit_spread - 2 * gain * common + clean_spread
    return (shift**2 + within).mean((1, 2, 3)).clamp(min=0)


def terms(model: PageRestorer, batch: Batch) -> dict[str, Tensor]:
    """The log error of each page, and the error of the network's own estimate of it."""
    thumbnails, moments = batch
    light, expected = model.light(thumbnails.float())
    squared = cost(light, moments)
    own = torch.log(cost(_unchanged(light), moments) + FLOOR)
    targets = torch.stack([torch.log(squared + FLOOR), own], 1).detach()
    rough = light.diff(dim=2).square().mean() + light.diff(dim=3).square().mean()
    return {
        "error": torch.log(squared + DETAIL).mean(),
        "doubt": F.smooth_l1_loss(expected, targets),
        "rough": rough,
    }


def _unchanged(light: Tensor) -> Tensor:
    return light.new_tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]).view(1, 6, 1, 1).expand(len(light), -1, 1, 1)


class Lesson:
    """The task of a light network, for `training.run`: `count` batches of `size` pages an epoch."""

    best: ClassVar[dict[str, Literal["max", "min"]]] = {"val_score": "max"}
    weights: ClassVar = {"error": 1.0, "doubt": 0.3, "rough": 0.1}

    def __init__(self, lights: Lights, unseen: Lights, seed: int, size: int, count: int) -> None:
        self.lights, self.seed, self.size, self.count = lights, seed, size, count
        self.validation = LightValidation(unseen, seed)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, from cached samples; they depend on seed and epoch only."""
        generator = devices.generator(self.seed, epoch)
        numbers = torch.randint(SAMPLES, (self.count, self.size), generator=generator)
        turns = torch.randint(4, (self.count,), generator=generator)
        for row, turn in zip(numbers.tolist(), turns.tolist(), strict=True):
            thumbnails, moments = zip(
                *(self.lights.sample(self.seed + number) for number in row), strict=True
            )
            mirrored = [axis for axis in (2, 3) if turn & axis - 1]
            yield torch.stack(thumbnails).flip(mirrored), torch.stack(moments).flip(mirrored)

    def terms(self, model: PageRestorer, batch: Batch) -> dict[str, Tensor]:
        return terms(model, batch)

    def measure(self, model: PageRestorer, preview: Path | None = None) -> dict[str, Any]:
        return self.validation.measure(model)


class LightValidation:
    """Held-out pages, the same in every run: with the original's mixtures, clean, and out-of-distribution."""

    def __init__(self, lights: Lights, seed: int, number: int = 96) -> None:
        self.parts: dict[str, Batch] = {}
        for kind in ("mixture", "shade", "sheet", "clean", "strange"):
            samples = [lights.sample(10**6 + seed + n, kind) for n in range(number)]
            self.parts[kind] = (
                torch.stack([seen for seen, _ in samples]),
                torch.stack([moments for _, moments in samples]),
            )

    def measure(self, model: PageRestorer) -> dict[str, Any]:
        """PSNR in dB of the light alone: of mixtures (with their gain), clean and out-of-distribution pages.

        `val_score`, which selects weights, is the mean, with mixtures twice and at most 40 dB.
        """
        metrics: dict[str, Any] = {}
        scores: list[Tensor] = []
        device = next(model.parameters()).device
        for kind, (thumbnails, moments) in self.parts.items():
            light, sure = (part.cpu() for part in consulted(model, thumbnails.float().to(device)))
            sure = sure[:, None, None, None]
            chosen = sure * light + (1 - sure) * _unchanged(light)
            after, before = (-10 * torch.log10(cost(x, moments) + FLOOR) for x in (chosen, _unchanged(light)))
            metrics[f"val_{kind}"] = after.mean().item()
            if kind in ("shade", "sheet"):
                metrics[f"val_{kind}_gain"] = (after - before).mean().item()
            if kind == "mixture":
                metrics["val_gain"] = (after - before).mean().item()
                metrics["val_gain_always"] = (
                    (-10 * torch.log10(cost(light, moments) + FLOOR) - before).mean().item()
                )
                metrics["val_worse"] = (after < before - 1).float().mean().item()
                scores.append(after)
            elif kind != "shade":
                metrics[f"val_{kind}_below_34"] = (after < 34).float().mean().item()
            scores.append(after)
        return {"val_score": torch.cat(scores).mean().item(), **metrics}
