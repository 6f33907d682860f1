"""Times damaging, restoring in tiles and a training step against the speed of the machine.

    python benchmarks/restoration.py [FFDNET.safetensors PAGES]

With the weights of FFDNet (colour, from the KAIR model zoo) and a folder of clean pages, also compares the
embedded network with FFDNet on noise, the only kind of damage that FFDNet is made for.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vision_core import devices
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import (
    Options,
    PageRestorer,
    build,
    degrade,
    draw,
    draw_mixture,
    load,
    metrics,
    pages,
    restore,
)
from vision_core.restoration import data as page_data
from vision_core.restoration.restore import BYTES_PER_PIXEL
from vision_core.restoration.thumbnail import CHANNELS, FIELDS
from vision_core.restoration.tiles import plan

HEIGHT, WIDTH = 2316, 1463


def timed(act: Callable[[], object], repeat: int = 3) -> float:
    """The fewest seconds of `repeat` calls."""
    act()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def damage() -> None:
    crops = torch.stack([pages.crop(number, 256) for number in range(32)])
    for name, make in (("mixtures", draw_mixture), ("all kinds", draw)):
        recipes = [make(seed) for seed in range(32)]
        rate = 32 / timed(lambda r=recipes: degrade(crops, r))
        print(f"damage, {name}: {rate:.0f} crops of 256 x 256 a second")


def bare(network: PageRestorer, tile: Tensor, dtype: torch.dtype) -> float:
    """Seconds of the convolutions and matrix products of `network` for `tile`."""
    work: list[Callable[[], object]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        x = inputs[0].detach().to(dtype)
        assert isinstance(module, nn.Conv2d | nn.Linear)
        weight = module.weight.detach().to(dtype)
        if isinstance(module, nn.Conv2d):
            stride, padding, groups = module.stride, module.padding, module.groups
            x = x.contiguous(memory_format=torch.channels_last)
            work.append(lambda: F.conv2d(x, weight, None, stride, padding, 1, groups))
        else:
            work.append(lambda: F.linear(x, weight))

    hooks = [
        module.register_forward_hook(note)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        network.detail(tile, torch.rand(len(tile), CHANNELS, FIELDS, FIELDS))
        for hook in hooks:
            hook.remove()
        return timed(lambda: [act() for act in work])


def page() -> None:
    network, _ = load()
    assert isinstance(network, PageRestorer)
    rgb = pages.page(0, width=WIDTH, height=HEIGHT).pixels.permute(1, 2, 0).contiguous().numpy()
    seconds = timed(lambda: restore(Picture(rgb), network), 2)
    grid = plan(HEIGHT, WIDTH, network.multiple, False, BYTES_PER_PIXEL)
    tile = torch.rand(grid.batch, 3, grid.height, grid.width).contiguous(memory_format=torch.channels_last)
    alone = bare(network, tile, devices.autocast_dtype(torch.device("cpu"))) * grid.tiles / grid.batch
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"a page of {WIDTH} x {HEIGHT}: {seconds:.1f} s, {grid.tiles} tiles of {grid.height} x {grid.width};"
        f" its products and convolutions alone {alone:.1f} s ({seconds / alone:.2f} times); "
        f"peak memory of the process {peak:.2f} GB"
    )


def training() -> None:
    """Throughput of a training step of the base size, relative to the fastest matrix product."""
    dtype = devices.autocast_dtype(torch.device("cpu"))
    matrix = torch.ones(2048, 2048, dtype=dtype)
    fastest = 2 * 2048**3 / timed(lambda: matrix @ matrix)
    network = build("base").train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    clean = torch.rand(4, 3, 256, 256)

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = F.l1_loss(network(clean).float(), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    speed = counter.get_total_flops() / timed(step, 2)
    print(
        f"training the base size in {dtype}: {speed / 1e9:.0f} GFLOP/s, "
        f"{speed / fastest:.2f} of a matrix product's {fastest / 1e9:.0f}"
    )


def ffdnet(weights: Path, folder: Path) -> None:
    state = load_file(weights)
    layers = sorted({int(name.split(".")[1]) for name in state})

    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        x = F.pixel_unshuffle(noisy, 2)
        x = torch.cat([x, torch.full_like(x[:, :1], sigma)], 1)
        for layer in layers:
            x = F.conv2d(x, state[f"model.{layer}.weight"], state[f"model.{layer}.bias"], padding=1)
            x = F.relu(x) if layer != layers[-1] else x
        return F.pixel_shuffle(x, 2)

    _, held_out = page_data.split(page_data.read(folder))
    network, _ = load()
    generator = devices.generator(0)
    for severity in (1, 3, 5):
        clean = torch.stack([page_data.crop(held_out[i % len(held_out)], 256, generator) for i in range(8)])
        recipes = [draw(seed, ("noise",), severity) for seed in range(8)]
        noisy = degrade(clean, recipes)
        best = [denoise(x[None], r["steps"][0]["sigma"]) for x, r in zip(noisy, recipes, strict=True)]
        ours = [restore(Picture(images.from_tensor(x[None])), network, Options(gate=False)) for x in noisy]
        rows = (noisy, torch.cat(best).clamp(0, 1), torch.cat([images.to_tensor(r.restored) for r in ours]))
        figures = [f"{metrics.psnr(row, clean).mean():.2f}" for row in rows]
        print(f"noise {severity}: damaged, FFDNet (known sigma), ours: {', '.join(figures)} dB")


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads")
    damage()
    page()
    training()
    if len(sys.argv) == 3:
        ffdnet(Path(sys.argv[1]), Path(sys.argv[2]))
