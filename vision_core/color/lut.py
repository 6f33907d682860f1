"""3D lookup tables: any colour map as a grid of N x N x N colours, applied to pictures at the speed of C.

A LUT is float32 (N, N, N, 3) with values in [0, 1], indexed [blue, green, red], so that red runs fastest when
it is flattened, as in .cube files, HaldCLUTs and Pillow. Input and output are sRGB-encoded.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageFilter

from vision_core.color.spaces import oklab_to_linear, oklab_to_srgb, srgb_to_oklab

BAND = 1 << 20  # pixels that a thread handles at a time
MAX_NODES = 256  # of the .cube format
PILLOW_NODES = 65  # the most that Pillow's filter takes; larger tables are sampled by SciPy, ten times slower

ColorMap = Callable[[np.ndarray], np.ndarray]  # float32 (M, 3) in [0, 1] -> the same


def check(lut: np.ndarray) -> np.ndarray:
    """The LUT itself, or a ValueError that names what is wrong with it."""
    size = lut.shape[0] if lut.ndim else 0
    if lut.dtype != np.float32 or lut.shape != (size, size, size, 3) or not 2 <= size <= MAX_NODES:
        raise ValueError(
            f"LUT is {lut.dtype} {lut.shape}, expected float32 (N, N, N, 3), N of 2 to {MAX_NODES}"
        )
    if not np.isfinite(lut).all():
        raise ValueError("LUT has values that are not numbers")
    if lut.min() < 0 or lut.max() > 1:
        raise ValueError(f"LUT values run from {lut.min():.3g} to {lut.max():.3g}, expected 0 to 1")
    return lut


def identity(size: int) -> np.ndarray:
    """The LUT (size, size, size, 3) that changes nothing."""
    if not 2 <= size <= MAX_NODES:
        raise ValueError(f"a LUT of {size} nodes, expected 2 to {MAX_NODES}")
    axis = np.linspace(0, 1, size, dtype=np.float32)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.stack([red, green, blue], -1)


def bake(function: ColorMap, size: int = 33, colors: np.ndarray | None = None) -> np.ndarray:
    """Evaluate a colour map at every node, 2,048 colours at a time; values outside [0, 1] are clipped.

    Args:
        colors: uint8 (M, 3): only the nodes around these are evaluated, the others stay the identity. A
            picture touches about a twentieth of the nodes, which makes its own LUT quick to bake.
    """
    lut = identity(size)
    wanted = np.ones((size,) * 3, bool) if colors is None else _around(colors, size)
    nodes = lut[wanted]
    parts = np.array_split(
        nodes, len(nodes) // 2048 + 1
    )  # their activations stay in the cache: twice as fast
    values = np.concatenate([function(part) for part in parts])
    if values.shape != nodes.shape or not np.isfinite(values).all():
        raise ValueError(
            f"the colour map gave {values.shape} for {nodes.shape}, or values that are not numbers"
        )
    lut[wanted] = values.astype(np.float32).clip(0, 1)
    return lut


def _around(colors: np.ndarray, size: int) -> np.ndarray:
    """bool (size, size, size) [b, g, r]: the corners of the cells that the colours, uint8 (M, 3), lie in."""
    cells = np.zeros((size,) * 3, bool)
    low = np.maximum((colors.astype(np.int64) * (size - 1) + 254) // 255 - 1, 0)
    cells[low[:, 2], low[:, 1], low[:, 0]] = True
    for axis in range(3):
        cells |= np.roll(cells, 1, axis)  # no cell begins at the last node: nothing comes round
    return cells


def with_strength(lut: np.ndarray, color: float = 1.0, lightness: float = 1.0) -> np.ndarray:
    """The LUT between identity (0) and full effect (1), separately for colour and lightness.

    OKLab's a, b and its L are interpolated separately. Where the mix leaves the gamut, its chroma is reduced
    until it fits, so that lightness and hue stay as asked.
    """
    if not (0 <= color <= 1 and 0 <= lightness <= 1):
        raise ValueError(f"strengths are {color} (colour) and {lightness} (lightness), expected 0 to 1")
    if color == lightness == 1:
        return check(lut)
    start = srgb_to_oklab(identity(len(check(lut))))
    mixed = start + (srgb_to_oklab(lut) - start) * np.array([lightness, color, color], np.float32)
    return _into_gamut(mixed.reshape(-1, 3)).reshape(lut.shape)


def sample(lut: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Trilinear interpolation at colours (M, 3) in [0, 1] -> float32 (M, 3)."""
    from scipy.ndimage import map_coordinates

    at = (colors[:, ::-1].T * (len(lut) - 1)).astype(np.float64)  # blue, green, red
    channels = [map_coordinates(lut[..., i], at, order=1, mode="nearest") for i in range(3)]
    return np.stack(channels, 1)


def apply(lut: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Put a picture, uint8 (H, W, 3), through the LUT -> uint8 (H, W, 3).

    Bands of rows run on all cores; every pixel is computed by itself, so the bands do not change the result.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"picture is {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3)")
    if len(check(lut)) <= PILLOW_NODES:
        table = ImageFilter.Color3DLUT(len(lut), lut)

        def convert(part: np.ndarray) -> np.ndarray:
            return np.asarray(Image.fromarray(part).filter(table))
    else:

        def convert(part: np.ndarray) -> np.ndarray:
            colors = sample(lut, part.reshape(-1, 3).astype(np.float32) / 255)
            return np.rint(colors * 255).astype(np.uint8).reshape(part.shape)

    out = np.empty_like(rgb)
    rows = max(1, BAND // rgb.shape[1])

    def band(start: int) -> None:
        out[start : start + rows] = convert(rgb[start : start + rows])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(band, range(0, len(rgb), rows)))  # the list raises what a thread raised
    return out


def distance(lut: np.ndarray, function: ColorMap, colors: np.ndarray) -> dict[str, float]:
    """How far the LUT is from the map it was baked from, at colours uint8 (M, 3).

    Returns:
        "max", "mean" and "p99" (99th percentile) of each colour's largest channel difference, in 1/255.
    """
    points = colors.astype(np.float32) / 255
    difference = 255 * np.abs(sample(check(lut), points) - function(points).clip(0, 1)).max(1)
    return {
        "max": float(difference.max()),
        "mean": float(difference.mean()),
        "p99": float(np.percentile(difference, 99)),
    }


def _into_gamut(lab: np.ndarray) -> np.ndarray:
    """OKLab (M, 3) -> sRGB (M, 3), by bisecting the largest chroma that keeps lightness and hue."""

    def outside(points: np.ndarray) -> np.ndarray:
        light = oklab_to_linear(points)
        return (light.min(1) < -1e-4) | (light.max(1) > 1 + 1e-4)

    far = np.flatnonzero(outside(lab))
    low, high = np.zeros(len(far), lab.dtype), np.ones(len(far), lab.dtype)
    scaled = lab[far]
    for _ in range(10):
        middle = (low + high) / 2
        scaled[:, 1:] = lab[far, 1:] * middle[:, None]
        over = outside(scaled)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    result = lab.copy()
    result[far, 1:] *= low[:, None]
    return oklab_to_srgb(result)
