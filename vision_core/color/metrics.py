"""Objective quality metrics of a colour transfer."""

import math
from typing import Any

import numpy as np

from vision_core.color.palette import ALIKE, Palette, assign, count_colors, neighbours
from vision_core.color.spaces import encode

DIRECTIONS = 64
SSIM_PIXELS = 2_000_000
PAIRS = 1 << 19  # maximum pairs of neighbouring pixels sampled by `grain`
TORN = 15.0  # Lab distance from which neighbours look like two colours
IN_USE = 0.01  # a palette colour is used when more than this share of the pixels is nearest to it


def measure(
    source: np.ndarray, output: np.ndarray, palette: Palette, target: np.ndarray | None = None
) -> dict[str, Any]:
    """Compare `output`, uint8 (H, W, 3), with its source, the palette and the target picture.

    All metrics but SSIM and grain are computed in CIELAB on colours counted with 6 bits per channel:
    - `used_shares` (K,): share of the pixels nearest to each palette colour; `colors_used`: number of colours
      with more than 1 %; `missing`: indices of palette colours with share >= 2 % that have less.
    - `total_variation`: half the sum of |used share - palette share|; 0 is perfect, 1 disjoint.
    - `sliced_wasserstein`: distance to the palette weighted by its shares; `sliced_wasserstein_target`: to
      the pixels of the target, if given. Mean over 64 directions, in Lab units.
    - `delta_e`: mean CIEDE2000 to the nearest palette colour.
    - `ssim`: structural similarity of L* between output and source; None for sides below 7 pixels.
    - `grain`, `amplification`: see `grain`.
    """
    from skimage.color import deltaE_ciede2000

    if source.shape != output.shape:
        raise ValueError(f"source {source.shape} and output {output.shape} must be of the same size")
    counted = count_colors(output)
    weights, lab = counted.counts / counted.counts.sum(), encode(counted.colors, "lab")
    palette_lab = encode(palette.colors, "lab")
    index = assign(counted.colors, palette.colors, "lab")
    used = np.bincount(index, weights, minlength=len(palette.colors))
    result: dict[str, Any] = {
        "colors_used": int((used > IN_USE).sum()),
        "colors": len(palette.colors),
        "missing": np.flatnonzero((palette.shares >= 0.02) & (used <= IN_USE)).tolist(),
        "used_shares": [round(float(share), 6) for share in used],
        "total_variation": float(np.abs(used - palette.shares).sum() / 2),
        "sliced_wasserstein": sliced_wasserstein(lab, weights, palette_lab, palette.shares),
    }
    if target is not None:
        other = count_colors(target)
        result["sliced_wasserstein_target"] = sliced_wasserstein(
            lab, weights, encode(other.colors, "lab"), other.counts
        )
    result["delta_e"] = float(weights @ deltaE_ciede2000(lab, palette_lab[index]))
    result["ssim"] = lightness_ssim(source, output)
    return result | grain(source, output)


def sliced_wasserstein(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray, seed: int = 0) -> float:
    """Mean 1-Wasserstein distance between weighted points (N, 3) and (M, 3) along 64 random directions."""
    from scipy.stats import wasserstein_distance

    directions = np.random.default_rng(seed).normal(size=(DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return float(np.mean([wasserstein_distance(x @ d, y @ d, a, b) for d in directions]))


def lightness_ssim(source: np.ndarray, output: np.ndarray) -> float | None:
    """SSIM of CIELAB lightness, uint8 (H, W, 3); above two megapixels, of every n-th row and column."""
    if min(source.shape[:2]) < 7:
        return None
    from skimage.metrics import structural_similarity

    before, after = (_lightness(picture) for picture in (source, output))
    return float(structural_similarity(before, after, data_range=100))  # pyright: ignore[reportArgumentType]


def grain(source: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """Measure speckle on pairs of neighbouring pixels that look similar in the source, uint8 (H, W, 3).

    Similar means a Lab distance of 1 to 4. `grain` is the share of these pairs whose distance in the output
    exceeds 15, `amplification` the mean ratio of their distances after and before. Both are 0 without pairs.
    """
    at = neighbours(source.shape[:2], PAIRS)
    first, second = (source.reshape(-1, 3)[index] for index in at)
    before = np.linalg.norm(encode(first, "lab") - encode(second, "lab"), axis=1)
    alike = (before >= ALIKE[0]) & (before <= ALIKE[1])
    if not alike.any():
        return {"grain": 0.0, "amplification": 0.0}
    first, second = (encode(output.reshape(-1, 3)[index[alike]], "lab") for index in at)
    after = np.linalg.norm(first - second, axis=1)
    return {"grain": float((after > TORN).mean()), "amplification": float((after / before[alike]).mean())}


def _lightness(rgb: np.ndarray) -> np.ndarray:
    step = math.ceil(math.sqrt(rgb.shape[0] * rgb.shape[1] / SSIM_PIXELS))
    return encode(rgb[::step, ::step], "lab")[..., 0]
