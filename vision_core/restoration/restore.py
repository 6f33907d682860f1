"""Restores a page of any size: tiled network, illumination, gate, strength and output format."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core import devices
from vision_core.pictures.images import Picture
from vision_core.restoration import binary, classical, gate, tiles, verso
from vision_core.restoration.gate import Verdict
from vision_core.restoration.light import Answer, read_light
from vision_core.restoration.network import PageRestorer
from vision_core.restoration.networks import Restorer
from vision_core.restoration.thumbnail import thumbnail

Output = Literal["color", "grey", "binary", "soft"]
BYTES_PER_PIXEL = 400  # memory of the networks per pixel of a tile; see benchmarks/restoration.py


@dataclass(frozen=True)
class Options:
    """Options of a restoration.

    Args:
        strength: share of the change to apply, 0 to 1.
        output: "color", "grey", "binary" (one bit, ink black on white) or "soft" (grey ink on white, for
            screens).
        gate: keep the original in regions where restoring does not help.
        sharpen: apply an unsharp mask to the result.
        method: "network", "classical" (CLAHE and unsharp mask) or "denoise" (non-local means).
        memory: limit in MB for the page and the tiles.
        light: 0 keeps the illumination, 0.5 corrects it as far as the network is confident, 1 fully.
        caution: confidence required by the gate, 0 to 1; lower values restore more.
        threshold: for black on white: "ink" (predicted by the network), "sauvola", "wolf" or "otsu".
        crop: remove the surroundings of the page, such as a table or a cover.
        device: see `devices.pick`.
    """

    strength: float = 1.0
    output: Output = "color"
    gate: bool = True
    sharpen: bool = False
    method: Literal["network", "classical", "denoise"] = "network"
    memory: float = 1024
    light: float = 0.5
    caution: float = 0.5
    threshold: binary.Threshold = "ink"
    device: str = "auto"
    crop: bool = False

    def __post_init__(self) -> None:
        for name in ("strength", "caution", "light"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} is {value}; 0 to 1 was expected")
        for name, choices in (
            ("output", get_args(Output)),
            ("method", ("network", "classical", "denoise")),
            ("threshold", get_args(binary.Threshold)),
        ):
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} is {value!r}; {', '.join(choices)} was expected")
        if not self.memory > 0:
            raise ValueError(f"memory is {self.memory}; a number of MB above 0 was expected")


@dataclass(frozen=True)
class Change:
    """The output of a method, before the gate.

    Args:
        detail: uint8 (H, W, 3), the page with restored detail and its original illumination.
        ink: uint8 (H, W), probability of ink times 255; None if the method does not predict it.
        light: the illumination correction; None if the method does not predict it.
        verso: share of the ink that was removed, because it shows through from the other side.
    """

    detail: np.ndarray
    ink: np.ndarray | None = None
    light: Answer | None = None
    verso: float = 0.0


@dataclass(frozen=True)
class Restored:
    """A restored page.

    Args:
        picture: the result.
        restored: uint8 (H, W, 3), the restored page before the gate and the output format.
        verdict: the decision of the gate.
        used: whether `picture` is based on the restored page: the gate accepted it, or is off.
        seconds: duration.
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
    """Restore one page, preserving resolution, profile, transparency and notes of the picture.

    Args:
        network: see `networks.load`; required by the method "network".
        protect: uint8 (H, W), 255 where the original must be kept.

    Raises:
        ValueError: the network is missing, the mask has another size, or the page needs more memory.
    """
    options = options or Options()
    began = time.perf_counter()
    result = finish(picture, change(picture.rgb, network, options), options, protect)
    return replace(result, seconds=time.perf_counter() - began)


def change(
    page: np.ndarray,
    network: Restorer | None,
    options: Options,
    tell: Callable[[int, int], None] | None = None,
) -> Change:
    """Apply `options.method` to a page, uint8 (H, W, 3); see `tiles.process` for `tell`."""
    match options.method:
        case "classical":
            return Change(classical.clahe_unsharp(page))
        case "denoise":
            return Change(classical.non_local_means(page))
    if network is None:
        raise ValueError("the method network needs a network; load one, or choose another method")
    if not isinstance(network, PageRestorer):
        run, grid = _prepare(page, network, options)
        return Change(tiles.process(page, grid, run, tell))
    detail, ink, light = predicted(page, network, options, tell)
    detail, ink, share = verso.remove(page, detail, ink)
    return Change(detail, ink, light, share)


def predicted(
    page: np.ndarray, network: PageRestorer, options: Options, tell: Callable[[int, int], None] | None = None
) -> tuple[np.ndarray, np.ndarray, Answer]:
    """The network's own detail, uint8 (H, W, 3), ink, uint8 (H, W), and illumination of a page."""
    light, inside = read_light(page, network)
    run, grid = _prepare(page, network, options, statistics=thumbnail(inside))
    both = tiles.process(page, grid, run, tell, channels=4)
    return np.ascontiguousarray(both[..., :3]), np.ascontiguousarray(both[..., 3]), light


def finish(
    picture: Picture, changed: Change, options: Options, protect: np.ndarray | None = None
) -> Restored:
    """Apply gate, illumination, sharpening, strength, protection and output format to the output of `change`.

    Args:
        changed: the output of `change`; not modified.
    """
    began = time.perf_counter()
    page = picture.rgb
    if protect is not None and (protect.shape != page.shape[:2] or protect.dtype != np.uint8):
        raise ValueError(f"the mask is {protect.dtype} {protect.shape}, the page {page.shape[:2]}")
    whole = _lit(changed.detail, changed, options)
    verdict = gate.judge(page, whole, changed.detail, changed.ink, options.caution)
    used, kind = verdict.accepted or not options.gate, "color"
    if changed.verso >= verso.MANY and (used or options.output in ("binary", "soft")):
        removed = f"{changed.verso:.0%} of the strokes showed through from the other side and were removed"
        verdict = replace(verdict, reason=f"{verdict.reason}; {removed}")
    source, detail = page, changed.detail
    if picture.wide is not None and options.output == "color":
        source, detail = _in_16_bits(page, detail, np.ascontiguousarray(picture.wide[..., :3]))
    chosen = source
    if used:
        accepted = gate.mixed(source, detail, verdict.taken) if options.gate else detail
        chosen = _adjusted(source, _lit(accepted, changed, options), options, protect)
    whole = _adjusted(page, whole, options, protect)
    match options.output:
        case "grey":
            chosen, kind = classical.grey(chosen), "grey"
        case "binary" if picture.kind == "binary" and not used:
            kind = "binary"  # already
        case "binary" | "soft":
            chosen, kind, note = binary.page(chosen, changed.ink, options.threshold, options.output == "soft")
            if note:
                verdict = replace(verdict, reason=f"{verdict.reason}; {note}")
        case "color" if picture.kind != "color":  # grey pages stay grey
            chosen, kind = (classical.grey(chosen), "grey") if used else (chosen, picture.kind)
    base = picture if options.output == "color" else picture.in_8_bits()
    output = replace(base.mapped(lambda _: chosen), kind=kind)
    if options.crop and changed.light is not None and changed.light.page is not None:
        output = _cropped(output, changed.light.box)
    return Restored(output, whole, verdict, used, time.perf_counter() - began)


def _cropped(picture: Picture, box: tuple[int, int, int, int]) -> Picture:
    """Crop to the page, with a note."""
    top, left, bottom, right = box
    height, width, _ = picture.rgb.shape
    note = f"cropped to the page: {right - left:,} x {bottom - top:,} of {width:,} x {height:,} pixels"
    parts = {
        name: None if part is None else np.ascontiguousarray(part[top:bottom, left:right])
        for name, part in (("rgb", picture.rgb), ("alpha", picture.alpha), ("wide", picture.wide))
    }
    return replace(picture, **parts, notes=(*picture.notes, note))  # pyright: ignore[reportArgumentType]


def _in_16_bits(page: np.ndarray, detail: np.ndarray, wide: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The page in uint16, and the same with the difference of `detail` and `page`, both uint8."""
    change = 257 * (detail.astype(np.int32) - page)
    return wide, (wide + change).clip(0, 65535).astype(np.uint16)


def _lit(page: np.ndarray, changed: Change, options: Options) -> np.ndarray:
    return page if changed.light is None else changed.light.applied(page, options.light)


def _adjusted(
    page: np.ndarray, changed: np.ndarray, options: Options, protect: np.ndarray | None
) -> np.ndarray:
    if options.sharpen:
        changed = classical.sharpen(changed)
    if options.strength < 1:
        changed = blend(page, changed, options.strength)
    if protect is not None:
        changed = blend(page, changed, 1 - protect[..., None].astype(np.float32) / 255)
    return changed


def blend(original: np.ndarray, changed: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Interpolate from the original to the changed page; bit-identical to the original where `share` is 0.

    uint8 or uint16, like the inputs.
    """
    mixed = original + share * (changed.astype(np.float32) - original)
    return mixed.clip(0, np.iinfo(original.dtype).max).round().astype(original.dtype)


def uncertainty(
    page: np.ndarray,
    network: Restorer,
    options: Options | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Uncertainty of the network by test-time augmentation: its variation over mirrored and shifted views.

    uint8 (H, W, 3) -> uint8 (H, W): maximum over the channels of the standard deviation over four views, in
    8-bit steps.
    """
    run, grid = _prepare(page, network, options or Options(), views=4, statistics=thumbnail(page))

    def spread(batch: Tensor) -> Tensor:
        plain = run(batch)
        moved = run(F.pad(batch, (3, 0, 5, 0), "reflect")[:, :, : batch.shape[2], : batch.shape[3]])
        shifted = plain.clone()  # pixels shifted out of the tile have one view less
        shifted[:, :, :-5, :-3] = moved[:, :, 5:, 3:]
        views = [plain, run(batch.flip(3)).flip(3), run(batch.flip(2)).flip(2), shifted]
        return torch.stack(views).std(0, correction=0)[:, :3]

    return tiles.process(page, grid, spread, tell).max(2)


def attention(page: np.ndarray, network: Any, block: int = -1) -> np.ndarray:
    """Attention received by each patch of a page in a block of a ViT, averaged over heads and queries.

    uint8 (S, S, 3) of the network's size -> float32 (rows, columns), mean 1.

    Raises:
        ValueError: another network or size, or the block does not exist.
    """
    if isinstance(network, PageRestorer):
        raise ValueError("this network has no attention to show; the ViT sizes have")
    batch = torch.from_numpy(np.ascontiguousarray(page.transpose(2, 0, 1)))[None].float() / 255
    with torch.inference_mode():
        maps = network.eval().attention(batch)
    if not -len(maps) <= block < len(maps):
        raise ValueError(f"there is no block {block}: the network has {len(maps)}")
    weights = maps[block][0].mean((0, 1))  # (N,)
    side = page.shape[0] // network.patch_side
    return weights.view(side, side).mul(len(weights)).numpy()


def difference(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Absolute difference of two pages, uint8 (H, W): the maximum over the channels."""
    if original.shape != restored.shape:
        raise ValueError(f"original {original.shape} and restored {restored.shape} must match")
    return np.abs(original.astype(np.int16) - restored).max(2).astype(np.uint8)


def _prepare(
    page: np.ndarray,
    network: Restorer,
    options: Options,
    views: int = 1,
    statistics: np.ndarray | None = None,
) -> tuple[Callable[[Tensor], Tensor], tiles.Grid]:
    """The network as a function of tiles on the CPU, and the grid of the page."""
    device = devices.pick(options.device)
    network = network.eval().to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    height, width, _ = page.shape
    fixed = not isinstance(network, PageRestorer)
    needed = BYTES_PER_PIXEL + 16 * views
    grid = tiles.plan(height, width, network.multiple, fixed, needed, options.memory)
    glance = None if statistics is None else torch.from_numpy(statistics)[None].to(device)

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        batch = batch.to(device).contiguous(memory_format=torch.channels_last)
        with devices.autocast(device):
            if not isinstance(network, PageRestorer):
                return network(batch).float().cpu()
            assert glance is not None
            restored, ink = network.detail(batch, glance.expand(len(batch), -1, -1, -1))
        return torch.cat([restored.float(), torch.sigmoid(ink.float())], 1).cpu()

    return run, grid
