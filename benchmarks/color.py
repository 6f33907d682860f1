"""Compares colour transfer with classic methods, and its training with that of the original project.

    python benchmarks/color.py [SOURCE TARGET ...] [--heads] [--epochs N]

Without pictures it uses the bundled examples. `--heads` also trains the palette head. Fewer than the default
1,000 epochs are only useful as a smoke test.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from vision_core import color
from vision_core.color import lut, objective
from vision_core.color.compare import compare
from vision_core.color.metrics import measure
from vision_core.color.palette import Palette
from vision_core.events import Done
from vision_core.files import bundled
from vision_core.pictures import images

PAIRS = (("astronaut", "coffee"), ("coffee", "palace"), ("cat", "flower"), ("palace", "astronaut"))


class OriginalNet(nn.Sequential):
    """The network of the original project, with BatchNorm instead of LayerNorm."""

    def __init__(self) -> None:
        sizes = [3, 256, 256, 256, 256, 256]
        blocks = [
            part for i, o in pairwise(sizes) for part in (nn.Linear(i, o), nn.ReLU(), nn.BatchNorm1d(o))
        ]
        super().__init__(*blocks, nn.Linear(256, 3), nn.Sigmoid())


def original_histogram(colors: torch.Tensor) -> torch.Tensor:
    """16 x 16 x 16 hard counts, filled one colour at a time; integer indices leave no gradient."""
    counts = torch.zeros(16, 16, 16)
    for r, g, b in (colors.detach() * 15.999).long().clamp(0, 15):
        counts[r, g, b] += 1
    return counts / counts.sum()


def original_step(
    net: nn.Module, optimizer: torch.optim.Optimizer, pixels: torch.Tensor, palette: torch.Tensor
) -> None:
    """One epoch of the original, re-stated.

    Two shuffles of all pixels, RGB distances, smoothness without gradient.
    """
    net.train()
    batch = pixels[torch.randperm(len(pixels))[:512]]
    output = net(batch)
    histogram = (original_histogram(output) - original_histogram(palette)).abs().mean()
    nearest = torch.cdist(output, palette).min(dim=1).values.mean()
    with torch.no_grad():
        some = pixels[torch.randperm(len(pixels))[:1000]]
        noisy = (some + 0.01 * torch.randn_like(some)).clamp(0, 1)
        smooth = (net(some) - net(noisy)).norm(dim=1).mean()
    loss = histogram + 0.5 * nearest + 0.1 * smooth
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def original(source: np.ndarray, palette: Palette, epochs: int) -> tuple[nn.Module, float]:
    """Train like the original project; returns also the seconds."""
    torch.manual_seed(0)
    net, start = OriginalNet(), time.perf_counter()
    pixels = torch.from_numpy(source.reshape(-1, 3)).float() / 255
    colors = torch.from_numpy(palette.colors).float() / 255
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(epochs):
        original_step(net, optimizer, pixels, colors)
    return net.eval(), time.perf_counter() - start


def train(
    source: np.ndarray, palette: Palette, epochs: int, head: Literal["rgb", "palette"] = "rgb"
) -> tuple[color.ColorMap, float]:
    """Train with default settings except for the epochs; returns also the seconds."""
    start = time.perf_counter()
    settings = color.Settings(epochs=epochs, head=head)
    result = next(e.result for e in color.train(source, palette, settings) if isinstance(e, Done))
    return result, time.perf_counter() - start


def row(name: str, metrics: dict, seconds: float, note: str = "") -> str:
    missing = len(metrics["missing"])
    ssim = metrics["ssim"] if metrics["ssim"] is not None else float("nan")
    return (
        f"  {name:20} TV {metrics['total_variation']:.3f}"
        f"  colours {metrics['colors_used']:2}/{metrics['colors']}"
        f" ({missing} missing)  SWD {metrics['sliced_wasserstein']:5.2f}"
        f"  SWD to picture {metrics.get('sliced_wasserstein_target', float('nan')):5.2f}"
        f"  dE {metrics['delta_e']:5.2f}  SSIM {ssim:.3f}  grain {metrics['grain']:6.2%}"
        f"  amplification {metrics['amplification']:.2f}  {seconds:6.2f} s{note}"
    )


def quality(name: str, source: np.ndarray, target: np.ndarray, epochs: int, heads: bool) -> None:
    """Compare the methods, optionally with the palette head, on one pair."""
    palette = color.extract(target)
    trained, seconds = train(source, palette, epochs)
    gap = lut.distance(trained.lut(), trained, source.reshape(-1, 3))
    print(f"{name}: {source.shape[1]} x {source.shape[0]}; LUT of 65 to network: p99 {gap['p99']:.2f}/255")
    for entry in compare(source, palette, trained, target, seconds):
        print(row(entry.name, entry.metrics, entry.seconds))
    if heads:
        other, seconds = train(source, palette, epochs, "palette")
        output = lut.apply(other.lut(), source)
        gap = lut.distance(other.lut(), other, source.reshape(-1, 3))
        print(
            row(
                "Palette head",
                measure(source, output, palette, target),
                seconds,
                f"  p99 {gap['p99']:.2f}/255",
            )
        )


def speed(source: np.ndarray, palette: Palette, epochs: int) -> None:
    """Time both trainings at three picture sizes."""
    alone = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in products(epochs).items())
    print(f"The matrix products of {epochs:,} epochs alone: {alone}")
    print(f"{epochs:,} epochs, and the original's (20 of its epochs timed, times {epochs / 20:g}):")
    for factor in (1, 2, 4):
        picture = np.tile(source, (factor, factor, 1))
        _, ours = train(picture, palette, epochs)
        theirs = original(picture, palette, 20)[1] * epochs / 20
        size = picture.shape[0] * picture.shape[1] / 1e6
        print(f"  {size:5.2f} Mpx: ours {ours:6.1f} s, original {theirs:6.1f} s, ratio {theirs / ours:5.1f}")


def products(epochs: int) -> dict[str, float]:
    """Seconds of the matrix products between the hidden layers, by precision."""
    rows = color.Settings().batch + 2 * objective.PAIRS + 2 * objective.NEIGHBOURS
    table = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.ones(rows, 256, dtype=dtype), torch.ones(256, 256, dtype=dtype)
        best = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(4):  # forward, and the gradients of input and weight
                x @ weight, x @ weight.T, x.T @ x
            best = min(best, time.perf_counter() - start)
        table[str(dtype).removeprefix("torch.")] = best * epochs
    return table


def collapse(source: np.ndarray, palette: Palette, epochs: int) -> None:
    """Train with the losses of the original project."""
    net, seconds = original(source, palette, epochs)
    baked = lut.bake(lambda x: net(torch.from_numpy(x)).detach().numpy(), 65)
    print(row(f"Original, {epochs:,} ep.", measure(source, lut.apply(baked, source), palette), seconds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--heads", action="store_true")
    parser.add_argument("--epochs", type=int, default=color.Settings().epochs)
    options = parser.parse_args()
    examples = bundled("assets") / "color"
    pairs = [(examples / f"{a}.jpg", examples / f"{b}.jpg") for a, b in PAIRS]
    if options.pictures:
        pairs = list(zip(options.pictures[::2], options.pictures[1::2], strict=True))
    print(f"{torch.get_num_threads()} threads")
    loaded = [(f"{a.stem} -> {b.stem}", images.read(a).rgb, images.read(b).rgb) for a, b in pairs]
    for name, source, target in loaded:
        quality(name, source, target, options.epochs, options.heads)
    source, palette = loaded[0][1], color.extract(loaded[0][2])
    collapse(source, palette, options.epochs)
    speed(source, palette, options.epochs)


if __name__ == "__main__":
    main()
