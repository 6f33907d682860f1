"""Restores a page of any size: the network in tiles, then strength, protection, gate and kind of output."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core import devices
from vision_core.images import Picture
from vision_core.restoration import classical, gate, tiles
from vision_core.restoration.gate import Quality, Verdict
from vision_core.restoration.hybrid import HybridRestorer
from vision_core.restoration.networks import Restorer

Output = Literal["color", "grey", "binary"]
WHOLE, HALF = 0.25, 0.5  # of a page's size: of the first look, at its light alone, and of the last
LARGE, SMALLEST = 512, 128  # the shorter side of pages that either is tried for
BYTES_PER_PIXEL = 400  # what the networks need for a pixel of a tile; measured by benchmarks/restoration.py


@dataclass(frozen=True)
class Options:
    """How to restore.

    Args:
        strength: share of the change that is made, 0 to 1.
        output: "color", "grey", or "binary": ink black on white, by Sauvola's threshold.
        gate: keep the original where restoring does not help.
        sharpen: an unsharp mask after restoring, as the original project did.
        method: "network", or "classical": CLAHE and unsharp mask, "denoise": non-local means.
        memory: of what grows with the page and the tiles, in MB.
        scale: of the page that the network sees, above 0 and up to 1; what it changes there is enlarged and
            added. None lets the gate choose: the light of the whole page at a quarter of its size, since a
            shade that is wider than the crops of the training is none there; then all at its own size, or
            at half of it where only that helps, since the network takes strokes of more than 5 pixels for
            stains.
        device: see `devices.pick`.
    """

    strength: float = 1.0
    output: Output = "color"
    gate: bool = True
    sharpen: bool = False
    method: Literal["network", "classical", "denoise"] = "network"
    memory: float = 1024
    scale: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength is {self.strength}; 0 to 1 was expected")
        if self.output not in get_args(Output):
            raise ValueError(f"output is {self.output!r}; {', '.join(get_args(Output))} was expected")
        if self.method not in ("network", "classical", "denoise"):
            raise ValueError(f"method is {self.method!r}; network, classical or denoise was expected")
        if self.scale is not None and not 0 < self.scale <= 1:
            raise ValueError(f"scale is {self.scale}; a number above 0 and up to 1 was expected")
        if not self.memory > 0:
            raise ValueError(f"memory is {self.memory}; a number of MB above 0 was expected")


@dataclass(frozen=True)
class Restored:
    """What became of a page.

    Args:
        picture: what to save.
        restored: uint8 (H, W, 3), before gate and kind of output.
        verdict: the gate's.
        used: whether `picture` is made from the restored page: the gate accepts it, or was not asked.
        seconds: it took.
    """

    picture: Picture
    restored: np.ndarray
    verdict: Verdict
    used: bool
    seconds: float


def restore(
    picture: Picture,
    network: Restorer | None = None,
    options: Options | None = None,
    protect: np.ndarray | None = None,
) -> Restored:
    """Restore one page; resolution, profile, transparency and notes of the picture stay.

    Args:
        network: see `networks.load`; needed unless another method was asked for.
        protect: uint8 (H, W), 255 where the original must stay.

    Raises:
        ValueError: no network, a mask of another size, or a page that the memory is too small for.
    """
    options = options or Options()
    began = time.perf_counter()
    changed, verdict = _tried(picture.rgb, network, options, None)
    done = finish(picture, changed, options, protect, verdict)
    return replace(done, seconds=time.perf_counter() - began)


def finish(
    picture: Picture,
    changed: np.ndarray,
    options: Options,
    protect: np.ndarray | None = None,
    known: Verdict | None = None,
) -> Restored:
    """What `restore` does after the network: sharpening, strength, protection, gate and kind of output.

    Args:
        changed: what `change` made of the picture, uint8 (H, W, 3); stays as it is.
        known: what the gate said of that, where it was asked.
    """
    began = time.perf_counter()
    page, made = picture.rgb, changed
    if protect is not None and (protect.shape != page.shape[:2] or protect.dtype != np.uint8):
        raise ValueError(f"the mask is {protect.dtype} {protect.shape}, the page {page.shape[:2]}")
    if options.sharpen:
        changed = classical.sharpen(changed)
    if options.strength < 1:
        changed = blend(page, changed, options.strength)
    if protect is not None:
        changed = blend(page, changed, 1 - protect[..., None].astype(np.float32) / 255)
    verdict = known if known is not None and changed is made else gate.judge(page, changed)
    used = verdict.accepted or not options.gate
    chosen, kind = changed if used else page, options.output
    match options.output:
        case "grey":
            chosen = classical.grey(chosen)
        case "binary" if used or picture.kind != "binary":  # a kept black-and-white page is that already
            chosen = classical.sauvola(chosen)
        case "color" if picture.kind != "color":  # a page that holds no colour gets none
            chosen, kind = (classical.grey(chosen), "grey") if used else (chosen, picture.kind)
    kept = picture if options.output == "color" else picture.in_8_bits()
    done = replace(kept.with_rgb(chosen), kind=kind)
    return Restored(done, changed, verdict, used, time.perf_counter() - began)


def blend(original: np.ndarray, changed: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """`share` of the changed page and the rest of the original; where it is 0, bit for bit the original."""
    mixed = original + share * (changed.astype(np.float32) - original)
    return mixed.clip(0, 255).round().astype(np.uint8)


def uncertainty(
    page: np.ndarray,
    network: Restorer,
    options: Options | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Where the network guesses: how far it disagrees with itself on the page mirrored and shifted.

    uint8 (H, W, 3) -> uint8 (H, W): the standard deviation over four views, of the channel where it is
    largest, in 8-bit steps.
    """
    run, grid = _prepare(page, network, options or Options(), views=4)

    def spread(batch: Tensor) -> Tensor:
        plain = run(batch)
        moved = run(F.pad(batch, (3, 0, 5, 0), "reflect")[:, :, : batch.shape[2], : batch.shape[3]])
        shifted = plain.clone()  # what the shift moved out of the tile has one view less
        shifted[:, :, :-5, :-3] = moved[:, :, 5:, 3:]
        views = [plain, run(batch.flip(3)).flip(3), run(batch.flip(2)).flip(2), shifted]
        return torch.stack(views).std(0, correction=0)

    return tiles.process(page, grid, spread, tell).max(2)


def attention(page: np.ndarray, network: Restorer, block: int = -1) -> np.ndarray:
    """How much attention each patch of a page gets in a block, mean of heads and of those who look.

    uint8 (H, W, 3), at most 576 a side -> float32 (rows, columns), mean 1.

    Raises:
        ValueError: a larger page, or no such block.
    """
    if max(page.shape[:2]) > tiles.LARGEST:
        raise ValueError(f"attention is shown for crops of at most {tiles.LARGEST} pixels, not {page.shape}")
    fixed = not isinstance(network, HybridRestorer)
    height, width, _ = page.shape
    grid = tiles.plan(height, width, network.multiple, fixed, BYTES_PER_PIXEL, 4096)
    rows = tiles.mirrored(page.shape[0], grid.height)
    tile = page[rows][:, tiles.mirrored(page.shape[1], grid.width)]
    with torch.inference_mode():
        maps = network.attention(torch.from_numpy(tile.transpose(2, 0, 1).copy())[None].float() / 255)
    if not -len(maps) <= block < len(maps):
        raise ValueError(f"there is no block {block}: the network has {len(maps)}")
    found = maps[block][0].mean((0, 1))  # (N,)
    side = network.patch_side
    shaped = found.view(grid.height // side, grid.width // side) * len(found)
    return shaped[: -(-page.shape[0] // side), : -(-page.shape[1] // side)].numpy()


def difference(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """What was changed: uint8 (H, W), the largest difference of the three channels."""
    if original.shape != restored.shape:
        raise ValueError(f"original {original.shape} and restored {restored.shape} must match")
    return np.abs(original.astype(np.int16) - restored).max(2).astype(np.uint8)


def change(
    page: np.ndarray,
    network: Restorer | None,
    options: Options,
    tell: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The page by `options.method` alone, uint8 (H, W, 3) -> the same; see `tiles.process` for `tell`."""
    return _tried(page, network, options, tell)[0]


def _tried(
    page: np.ndarray,
    network: Restorer | None,
    options: Options,
    tell: Callable[[int, int], None] | None,
) -> tuple[np.ndarray, Verdict | None]:
    """What `change` gives, and what the gate says of it where it had to be asked."""
    match options.method:
        case "classical":
            return classical.clahe_unsharp(page), None
        case "denoise":
            return classical.non_local_means(page), None
    if network is None:
        raise ValueError("restoring takes a network; load one, or choose another method")
    if options.scale is not None:
        return _change(page, network, options, options.scale, tell), None
    if not isinstance(network, HybridRestorer) or min(page.shape[:2]) < LARGE:
        return _looked(page, network, options, tell)
    lit = _change(page, network, options, WHOLE, tell, network.relit)
    first = gate.judge(page, lit)
    if not first.accepted:
        return _looked(page, network, options, tell, first.before)
    changed, verdict = _looked(lit, network, options, tell, first.after)
    if verdict.accepted and (both := gate.judge(page, changed, first.before)).accepted:
        return changed, both
    return lit, first


def _looked(
    page: np.ndarray,
    network: Restorer,
    options: Options,
    tell: Callable[[int, int], None] | None,
    before: Quality | None = None,
) -> tuple[np.ndarray, Verdict]:
    """What the network makes of a page at its own size, or at half of it where only that helps."""
    changed = _change(page, network, options, 1, tell)
    verdict = gate.judge(page, changed, before)
    if verdict.accepted or not verdict.needed or min(page.shape[:2]) < SMALLEST:
        return changed, verdict
    smaller = _change(page, network, options, HALF, tell)
    last = gate.judge(page, smaller, verdict.before)
    clearly = last.after.separation > last.before.separation + gate.CLEARLY
    return (smaller, last) if last.accepted and clearly else (changed, verdict)


def _change(
    page: np.ndarray,
    network: Restorer,
    options: Options,
    scale: float,
    tell: Callable[[int, int], None] | None,
    part: Callable[[Tensor], Tensor] | None = None,
) -> np.ndarray:
    """What the network, or `part` of it, makes of a page at `scale` of its size, in the page's own size."""
    import cv2

    height, width, _ = page.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    seen = page if size == (width, height) else cv2.resize(page, size, interpolation=cv2.INTER_AREA)
    run, grid = _prepare(seen, network, options, part=part)
    changed = tiles.process(seen, grid, run, tell)
    if seen is page:
        return changed
    difference = cv2.resize(changed.astype(np.int16) - seen, (width, height), interpolation=cv2.INTER_LINEAR)
    return (page + difference).clip(0, 255).astype(np.uint8)


def _prepare(
    page: np.ndarray,
    network: Restorer,
    options: Options,
    views: int = 1,
    part: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Callable[[Tensor], Tensor], tiles.Grid]:
    """The network as a function of tiles on the CPU, and the grid for the page."""
    device = devices.pick(options.device)
    dtype = devices.autocast_dtype(device)
    network = network.eval().to(device, memory_format=torch.channels_last)  # pyright: ignore
    fixed = not isinstance(network, HybridRestorer)
    height, width, _ = page.shape
    needed = BYTES_PER_PIXEL + 12 * views
    grid = tiles.plan(height, width, network.multiple, fixed, needed, options.memory)

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        batch = batch.to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return (part or network)(batch).float().cpu()

    return run, grid
