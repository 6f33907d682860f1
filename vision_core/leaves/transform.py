"""Measurements of a leaf without a network: its mask, region, shape, landmarks and colours.

The steps follow plant phenotyping, with PlantCV's names, and use scikit-image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from vision_core.leaves.masks import leaf_mask
from vision_core.pictures.images import Picture

STEPS = ("original", "blur", "mask", "roi", "analysis", "landmarks")
CHANNELS = ("red", "green", "blue", "hue", "saturation", "value", "lightness", "green-magenta", "blue-yellow")
BINS = 64
_RED, _BLUE, _PINK, _ORANGE = (214, 40, 40), (33, 102, 172), (200, 40, 160), (240, 140, 20)


@dataclass(frozen=True)
class Leaf:
    """The steps as uint8 (H, W, 3) by name, the mask bool (H, W), measurements, and colour histograms.

    `histograms` gives for each of nine channels the share of the leaf's pixels in 64 bins.
    """

    steps: dict[str, np.ndarray]
    mask: np.ndarray
    shape: dict[str, Any]
    landmarks: dict[str, list[list[float]]]
    histograms: dict[str, list[float]]


def transform(picture: Picture) -> Leaf:
    """All steps for a picture of one leaf on a plain background.

    Raises:
        ValueError: no leaf can be separated from the background.
    """
    from skimage.measure import regionprops

    rgb = picture.rgb
    mask = leaf_mask(rgb)
    region = regionprops(mask.astype(np.uint8))[0]
    landmarks = _landmarks(mask)
    steps = {
        "original": rgb,
        "blur": _blurred(mask),
        "mask": np.where(mask[..., None], rgb, np.uint8(255)),
        "roi": _framed(rgb, mask, region.bbox),
        "analysis": _outlined(rgb, mask, region),
        "landmarks": _dotted(rgb, landmarks),
    }
    return Leaf(steps, mask, _shape(rgb, mask, region), landmarks, _histograms(rgb, mask))


def _blurred(mask: np.ndarray) -> np.ndarray:
    grey = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(max(mask.shape) / 60))
    return np.array(grey.convert("RGB"))


def _framed(rgb: np.ndarray, mask: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
    tinted = rgb.copy()
    tinted[mask] = (0.55 * rgb[mask] + 0.45 * np.array([40, 200, 60])).astype(np.uint8)
    image = Image.fromarray(tinted)
    top, left, bottom, right = box
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), outline=_BLUE, width=_line(rgb))
    return np.array(image)


def _line(rgb: np.ndarray) -> int:
    return max(1, round(max(rgb.shape) / 100))


def _outlined(rgb: np.ndarray, mask: np.ndarray, region: Any) -> np.ndarray:
    """The outline, and the two axes of the ellipse of the same moments."""
    width = _line(rgb)
    inner = np.asarray(ndimage.binary_erosion(mask, iterations=width), bool)
    outlined = rgb.copy()
    outlined[mask & ~inner] = _PINK
    image = Image.fromarray(outlined)
    draw, (y, x) = ImageDraw.Draw(image), region.centroid
    for length, angle in (
        (region.axis_major_length, region.orientation),
        (region.axis_minor_length, region.orientation + np.pi / 2),
    ):
        dx, dy = np.sin(angle) * length / 2, np.cos(angle) * length / 2
        draw.line((x - dx, y - dy, x + dx, y + dy), fill=_BLUE, width=width)
    return np.array(image)


def _landmarks(mask: np.ndarray, count: int = 20) -> dict[str, list[list[float]]]:
    """Points (x, y) along the leaf from left to right: its upper edge, its lower edge, and halfway."""
    columns = np.flatnonzero(mask.any(0))
    chosen = columns[np.linspace(0, len(columns) - 1, min(count, len(columns))).round().astype(int)]
    top = mask[:, chosen].argmax(0)
    bottom = mask.shape[0] - 1 - mask[::-1, chosen].argmax(0)
    rows = {"top": top, "bottom": bottom, "middle": (top + bottom) / 2}
    return {name: np.stack([chosen, y], 1).astype(float).tolist() for name, y in rows.items()}


def _dotted(rgb: np.ndarray, landmarks: dict[str, list[list[float]]]) -> np.ndarray:
    image, radius = Image.fromarray(rgb), 1.5 * _line(rgb)
    draw = ImageDraw.Draw(image)
    for (_, points), color in zip(landmarks.items(), (_BLUE, _RED, _ORANGE), strict=True):
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return np.array(image)


def _shape(rgb: np.ndarray, mask: np.ndarray, region: Any) -> dict[str, Any]:
    from skimage.color import rgb2hsv

    hue, saturation, _ = np.moveaxis(rgb2hsv(rgb[mask][:, None]), -1, 0)[..., 0]
    green = (hue > 0.17) & (hue < 0.47) & (saturation > 0.12)
    top, left, bottom, right = region.bbox
    return {
        "area": float(region.area),
        "share_of_picture": float(region.area / mask.size),
        "perimeter": float(region.perimeter),
        "width": right - left,
        "height": bottom - top,
        "solidity": float(region.solidity),
        "eccentricity": float(region.eccentricity),
        "mean_color": [round(float(v), 1) for v in rgb[mask].mean(0)],
        "not_green": float(1 - green.mean()),
    }


def _histograms(rgb: np.ndarray, mask: np.ndarray) -> dict[str, list[float]]:
    from skimage.color import rgb2hsv, rgb2lab

    pixels = rgb[mask][:, None]
    lab = rgb2lab(pixels) / (100, 256, 256) + (0, 0.5, 0.5)
    planes = np.concatenate([pixels / 255, rgb2hsv(pixels), lab], -1)[:, 0]
    return {
        name: (np.histogram(planes[:, i], BINS, (0, 1))[0] / len(planes)).tolist()
        for i, name in enumerate(CHANNELS)
    }
