"""3D lookup tables (LUTs): colour maps sampled on a grid of N x N x N colours, and their fast application.

A LUT is float32 (N, N, N, 3), indexed [blue, green, red], so that red varies fastest in memory, as in .cube
files, HaldCLUTs and Pillow. Input and output are sRGB-encoded. Nodes may lie outside of [0, 1]; only the
interpolated colour is clipped. `Shaped` adds a curve for each channel before the grid.

Source of the interpolation: Kasson et al. 1995, "Performing color space conversions with three-dimensional
linear interpolation"; the tetrahedra are those of ffmpeg and OpenColorIO.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from vision_core.color.spaces import oklab_to_linear, oklab_to_srgb, srgb_to_oklab

BAND = 1 << 20  # pixels per task of a thread
SAMPLED = 1 << 18  # colours per chunk of NumPy interpolation: 40 MB
MAX_NODES = 256  # of the .cube format
OCIO_NODES = 129  # OpenColorIO's limit; larger tables are sampled by NumPy, some 40 times slower
RESHAPED = 65  # minimum nodes of a grid resampled from curves and a grid
MAX_VALUE = 100.0  # of a node; rejects integer tables, e.g. of 0 to 1023

ColorMap = Callable[[np.ndarray], np.ndarray]  # maps float32 (M, 3) in [0, 1]


@dataclass(frozen=True, eq=False)
class Shaped:
    """A LUT behind per-channel curves, whose outputs from 0 to 1 are the coordinates in the grid.

    Args:
        grid: float32 (N, N, N, 3).
        curves: float32 (M, 3), one column per channel, at M evenly spaced inputs.
        low, high: float32 (3,), inputs of the first and the last row; low < high.
    """

    grid: np.ndarray
    curves: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __post_init__(self) -> None:
        curves, low, high = self.curves, self.low, self.high
        if curves.dtype != np.float32 or curves.ndim != 2 or curves.shape[1] != 3 or len(curves) < 2:
            raise ValueError(f"curves are {curves.dtype} {curves.shape}, expected float32 (M, 3), M >= 2")
        if low.shape != (3,) or high.shape != (3,) or not (low < high).all():
            raise ValueError(f"the curves run from {low.tolist()} to {high.tolist()}")
        if not np.isfinite(curves).all():
            raise ValueError("the curves have values that are not finite")

    def positions(self, colors: np.ndarray) -> np.ndarray:
        """Grid coordinates of colours: (M, 3) -> float32 (M, 3), possibly outside of [0, 1]."""
        channels = [
            np.interp(
                colors[:, i], np.linspace(self.low[i], self.high[i], len(self.curves)), self.curves[:, i]
            )
            for i in range(3)
        ]
        return np.stack(channels, 1).astype(np.float32)


Lut = np.ndarray | Shaped
AnyLut = TypeVar("AnyLut", bound=Lut)


def check(lut: np.ndarray) -> np.ndarray:
    """Validate a grid and return it; raises `ValueError` if it is not a LUT."""
    size = lut.shape[0] if lut.ndim else 0
    if lut.dtype != np.float32 or lut.shape != (size, size, size, 3) or not 2 <= size <= MAX_NODES:
        raise ValueError(
            f"LUT is {lut.dtype} {lut.shape}, expected float32 (N, N, N, 3), N of 2 to {MAX_NODES}"
        )
    if not np.isfinite(lut).all():
        raise ValueError("LUT has values that are not finite")
    if max(-lut.min(), lut.max()) > MAX_VALUE:
        raise ValueError(f"LUT values run from {lut.min():.4g} to {lut.max():.4g}, expected about 0 to 1")
    return lut


def identity(size: int) -> np.ndarray:
    """The identity LUT, (size, size, size, 3)."""
    if not 2 <= size <= MAX_NODES:
        raise ValueError(f"a LUT of {size} nodes, expected 2 to {MAX_NODES}")
    axis = np.linspace(0, 1, size, dtype=np.float32)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.stack([red, green, blue], -1)


def bake(function: ColorMap, size: int = 33, colors: np.ndarray | None = None) -> np.ndarray:
    """Evaluate a colour map at every node; values outside [0, 1] are clipped.

    Args:
        colors: uint8 (M, 3); if given, only the nodes around these colours are evaluated and the others are
            those of the identity. A picture needs about a twentieth of the nodes, so its LUT bakes quickly.
    """
    lut = identity(size)
    needed = np.ones((size,) * 3, bool) if colors is None else _around(colors, size)
    nodes = lut[needed]
    # chunks of 2,048 colours keep the activations in the cache: twice as fast
    parts = np.array_split(nodes, len(nodes) // 2048 + 1)
    values = np.concatenate([function(part) for part in parts])
    if values.shape != nodes.shape or not np.isfinite(values).all():
        raise ValueError(f"the colour map returned {values.shape} for {nodes.shape}, or values not finite")
    lut[needed] = values.astype(np.float32).clip(0, 1)
    return lut


def _around(colors: np.ndarray, size: int) -> np.ndarray:
    """bool (size, size, size) [b, g, r]: the corners of the cells that contain the colours, uint8 (M, 3)."""
    cells = np.zeros((size,) * 3, bool)
    low = np.maximum((colors.astype(np.int64) * (size - 1) + 254) // 255 - 1, 0)
    cells[low[:, 2], low[:, 1], low[:, 0]] = True
    for axis in range(3):
        cells |= np.roll(cells, 1, axis)  # no wrap-around: no cell starts at the last node
    return cells


def with_strength(lut: AnyLut, color: float = 1.0, lightness: float = 1.0) -> AnyLut | np.ndarray:
    """Blend between the identity (0) and the LUT (1), separately for colour and lightness.

    OKLab's a, b and its L are interpolated separately. Colours out of gamut have their chroma reduced, which
    preserves lightness and hue.
    """
    if not (0 <= color <= 1 and 0 <= lightness <= 1):
        raise ValueError(f"strengths are {color} (colour) and {lightness} (lightness), expected 0 to 1")
    if color == lightness == 1:
        return lut
    grid = plain(lut).clip(0, 1)
    start = srgb_to_oklab(identity(len(grid)))
    mixed = start + (srgb_to_oklab(grid) - start) * np.array([lightness, color, color], np.float32)
    return _into_gamut(mixed.reshape(-1, 3)).reshape(grid.shape)


def plain(lut: Lut) -> np.ndarray:
    """A single grid in [0, 1]: the LUT itself, or resampled if it has curves or nodes out of range."""
    grid = check(lut.grid if isinstance(lut, Shaped) else lut)
    if grid is lut and grid.min() >= 0 and grid.max() <= 1:
        return grid
    size = (
        len(grid) if len(grid) >= RESHAPED else (len(grid) - 1) * (-(-(RESHAPED - 1) // (len(grid) - 1))) + 1
    )
    return sample(lut, identity(size).reshape(-1, 3)).clip(0, 1).reshape(size, size, size, 3)


def sample(lut: Lut, colors: np.ndarray) -> np.ndarray:
    """Tetrahedral interpolation at colours (M, 3) in [0, 1] -> float32 (M, 3), not clipped."""
    parts = np.array_split(colors, len(colors) // SAMPLED + 1)
    return np.concatenate([_sample(lut, part) for part in parts])


def _sample(lut: Lut, colors: np.ndarray) -> np.ndarray:
    """Interpolate between the four corners on the path along the axes, largest coordinate first."""
    grid = lut.grid if isinstance(lut, Shaped) else lut
    places = lut.positions(colors) if isinstance(lut, Shaped) else colors
    at = places.astype(np.float32).clip(0, 1) * np.float32(len(grid) - 1)
    low = np.minimum(at.astype(np.int64), len(grid) - 2)
    inside = at - low.astype(np.float32)
    order = np.argsort(-inside, axis=1, kind="stable")
    first, second, third = np.take_along_axis(inside, order, 1).T
    strides = np.array([1, len(grid), len(grid) ** 2])  # of red, green, blue
    steps = np.cumsum(strides[order], 1)  # (M, 3)
    corners = (low @ strides)[:, None] + np.concatenate([np.zeros((len(at), 1), np.int64), steps], 1)
    weights = np.stack([1 - first, first - second, second - third, third], 1)
    return np.einsum("mk,mkc->mc", weights, grid.reshape(-1, 3)[corners])


def apply(lut: Lut, rgb: np.ndarray) -> np.ndarray:
    """Apply the LUT to a picture, uint8 or uint16 (H, W, 3), in parallel bands of rows.

    Colours are interpolated first and clipped afterwards.
    """
    if rgb.dtype not in (np.uint8, np.uint16) or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"picture is {rgb.dtype} {rgb.shape}, expected uint8 or uint16 (H, W, 3)")
    grid = check(lut.grid if isinstance(lut, Shaped) else lut)
    convert = _by_ocio(lut, rgb.dtype) if len(grid) <= OCIO_NODES else _by_sampling(lut, rgb.dtype)
    out = np.empty(rgb.shape, rgb.dtype)
    rows = max(1, BAND // rgb.shape[1])

    def band(start: int) -> None:
        convert(np.ascontiguousarray(rgb[start : start + rows]), out[start : start + rows])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(band, range(0, len(rgb), rows)))  # consumed, to raise exceptions of the threads
    return out


Convert = Callable[[np.ndarray, np.ndarray], None]


def _by_sampling(lut: Lut, dtype: np.dtype) -> Convert:
    white = np.iinfo(dtype).max

    def convert(source: np.ndarray, out: np.ndarray) -> None:
        colors = sample(lut, source.reshape(-1, 3).astype(np.float32) / white)
        out[...] = np.rint(colors.clip(0, 1) * white).reshape(source.shape)

    return convert


def _by_ocio(lut: Lut, dtype: np.dtype) -> Convert:
    import PyOpenColorIO

    ocio: Any = PyOpenColorIO  # its type stubs are incomplete
    grid = lut.grid if isinstance(lut, Shaped) else lut
    steps = ocio.GroupTransform()
    if isinstance(lut, Shaped):
        low, span = lut.low.astype(float), (lut.high - lut.low).astype(float)
        scale = ocio.MatrixTransform(matrix=np.diag([*(1 / span), 1.0]).ravel().tolist())
        scale.setOffset([*(-low / span).tolist(), 0.0])
        curves = ocio.Lut1DTransform(length=len(lut.curves), inputHalfDomain=False)
        curves.setInterpolation(ocio.INTERP_LINEAR)
        curves.setData(np.ascontiguousarray(lut.curves).ravel())
        steps.appendTransform(scale)
        steps.appendTransform(curves)
    table = ocio.Lut3DTransform(gridSize=len(grid), interpolation=ocio.INTERP_TETRAHEDRAL)
    # in OpenColorIO, blue varies fastest
    table.setData(np.ascontiguousarray(grid.transpose(2, 1, 0, 3)).ravel())
    steps.appendTransform(table)
    depth = ocio.BIT_DEPTH_UINT8 if dtype == np.uint8 else ocio.BIT_DEPTH_UINT16
    processor = ocio.Config.CreateRaw().getProcessor(steps)
    cpu = processor.getOptimizedCPUProcessor(depth, depth, ocio.OPTIMIZATION_NONE)

    def convert(source: np.ndarray, out: np.ndarray) -> None:
        height, width = source.shape[:2]
        layout = (width, height, ocio.CHANNEL_ORDERING_RGB, depth, dtype.itemsize, 3 * dtype.itemsize)
        layout += (3 * dtype.itemsize * width,)
        cpu.apply(ocio.PackedImageDesc(source, *layout), ocio.PackedImageDesc(out, *layout))

    return convert


def distance(lut: np.ndarray, function: ColorMap, colors: np.ndarray) -> dict[str, float]:
    """Error of the LUT relative to the map it was baked from, at colours uint8 (M, 3).

    Returns:
        "max", "mean" and "p99" (99th percentile) of the largest channel difference per colour, in 1/255.
    """
    points = colors.astype(np.float32) / 255
    difference = 255 * np.abs(sample(check(lut), points) - function(points).clip(0, 1)).max(1)
    return {
        "max": float(difference.max()),
        "mean": float(difference.mean()),
        "p99": float(np.percentile(difference, 99)),
    }


def _into_gamut(lab: np.ndarray) -> np.ndarray:
    """OKLab (M, 3) -> sRGB (M, 3), with the largest chroma in gamut, found by bisection."""

    def outside(points: np.ndarray) -> np.ndarray:
        light = oklab_to_linear(points)
        return (light.min(1) < -1e-4) | (light.max(1) > 1 + 1e-4)

    beyond = np.flatnonzero(outside(lab))
    low, high = np.zeros(len(beyond), lab.dtype), np.ones(len(beyond), lab.dtype)
    scaled = lab[beyond]
    for _ in range(10):
        middle = (low + high) / 2
        scaled[:, 1:] = lab[beyond, 1:] * middle[:, None]
        over = outside(scaled)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    result = lab.copy()
    result[beyond, 1:] *= low[:, None]
    return oklab_to_srgb(result)
