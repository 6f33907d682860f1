"""The gate, which decides for each region whether restoring helps, and a no-reference quality score."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from vision_core import weights
from vision_core.restoration.classical import grey, median
from vision_core.restoration.classifier import Classifier
from vision_core.restoration.evidence import CELL, cells


@dataclass(frozen=True)
class Quality:
    """Quality measures that need no clean reference; `score` is about 0 to 1."""

    sharpness: float  # variance of the Laplacian, 8-bit units squared
    contrast: float  # standard deviation / mean of the luma in 32 pixels, median over edge pixels
    edges: float  # share of pixels on an edge
    brightness: float  # mean luma / 255
    separation: float  # of ink and paper at Otsu's threshold: variance between the two / all of it, 0..1

    @property
    def score(self) -> float:
        """0.35 sharpness / 500 + 0.25 contrast + 0.3 edges / 0.15 + 0.1 brightness near 0.7."""
        return (
            0.35 * min(1, self.sharpness / 500)
            + 0.25 * min(1, self.contrast / 0.25)
            + 0.30 * min(1, self.edges / 0.15)
            + 0.10 * (1 - abs(self.brightness - 0.7) / 0.7)
        )


@dataclass(frozen=True)
class Verdict:
    """The decision about a restored page.

    Args:
        accepted: whether the restored page is used, at least in part.
        needed: whether the change is noticeable.
        reason: explanation for the user.
        change: mean absolute change, 0 to 255.
        taken: float32 (h, w), for each cell of 32 x 32 pixels the weight of the restored page.
    """

    accepted: bool
    needed: bool
    reason: str
    before: Quality
    after: Quality
    change: float
    taken: np.ndarray = field(repr=False)


LEAST_CHANGE = 2.0  # mean absolute change, 0 to 255, below which a page counts as unchanged,
LEAST_LOCAL = 12.0  # unless 16 x 16 pixels changed by this much, as at a hole or spot,
DOT, LEAST_DOTS = 64.0, 1e-3  # or this share of single pixels changed by this much, as for dead pixels
LEAST_TAKEN = 0.02  # share of the change; less is ignored


def judge(
    original: np.ndarray,
    restored: np.ndarray,
    detail: np.ndarray | None = None,
    ink: np.ndarray | None = None,
    caution: float = 0.5,
) -> Verdict:
    """Decide where to use the restored page; both uint8 (H, W, 3).

    Args:
        detail: the restored page with the original illumination, which the gate does not judge.
        ink: uint8 (H, W), predicted ink of the original.
        caution: required confidence, 0 to 1.
    """
    before, after = quality(original), quality(restored)
    difference = np.abs(original.astype(np.int16) - restored).mean(2)
    change = float(difference.mean())
    dots = float((difference > DOT).mean())
    needed = change >= LEAST_CHANGE or _strongest(difference) >= LEAST_LOCAL or dots >= LEAST_DOTS
    weights = shares(original, restored if detail is None else detail, ink, caution)
    if not needed:
        reason = f"it would hardly change (the average pixel by {change:.1f} of 255)"
        return Verdict(False, needed, reason, before, after, change, weights)
    changes = _by_cells(difference, weights.shape)
    share = float((changes * weights).sum() / max(changes.sum(), 1e-9))
    lit = detail is not None and _light_alone(restored, detail) >= LEAST_CHANGE
    if share >= LEAST_TAKEN:
        light = ", the light was corrected" if lit else ""
        part = "" if share > 0.97 else f", and {share:.0%} of the repairs were used"
        reason = f"the average pixel changed by {change:.1f} of 255{light}{part}"
    elif lit:
        reason = f"only the light was corrected: the average pixel changed by {change:.1f} of 255"
    else:
        reason = "nowhere is it sure that restoring helps: writing could change or vanish"
    return Verdict(share >= LEAST_TAKEN or lit, needed, reason, before, after, change, weights)


def shares(
    original: np.ndarray, restored: np.ndarray, ink: np.ndarray | None = None, caution: float = 0.5
) -> np.ndarray:
    """Weight of the restored page in each cell, float32 (h, w) in [0, 1]."""
    evidence = cells(original, restored, ink)
    likely = _model().logits(evidence)
    return share(likely - 6 * (caution - 0.5))


def share(likely: np.ndarray) -> np.ndarray:
    """Map logits to weights: 0 or 1, except in a narrow band around 0."""
    return 1 / (1 + np.exp(-np.clip(4 * likely, -30, 30)))


def mixed(original: np.ndarray, restored: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Blend the two pages by the weights of the cells, interpolated.

    uint8 or uint16 (H, W, 3), like the inputs.
    """
    import cv2

    height, width, _ = original.shape
    rows, columns = weights.shape
    large = cv2.resize(
        weights.astype(np.float32), (columns * CELL, rows * CELL), interpolation=cv2.INTER_LINEAR
    )
    share = ((large[:height, :width, None] - 0.02) / 0.96).clip(0, 1)  # exact at weights near 0 and 1
    out = original + share * (restored.astype(np.float32) - original)
    return out.clip(0, np.iinfo(original.dtype).max).round().astype(original.dtype)


@lru_cache(1)
def _model() -> Classifier:
    return Classifier.read(weights.find("restoration-gate"))


def quality(rgb: np.ndarray) -> Quality:
    """Measure a page, uint8 (H, W, 3), after a 3 x 3 median: noise must not count as sharpness."""
    import cv2

    luma = np.ascontiguousarray(grey(median(rgb))[..., 0])
    edges = cv2.Canny(luma, 60, 160)
    values = luma.astype(np.float32)
    mean = cv2.blur(values, (32, 32))
    spread = np.sqrt(np.maximum(cv2.blur(values**2, (32, 32)) - mean**2, 0))
    return Quality(
        float(cv2.Laplacian(values, cv2.CV_32F).var()),
        _contrast(spread / np.maximum(mean, 1), edges),
        float((edges > 0).mean()),
        float(values.mean() / 255),
        _separation(grey(rgb)[..., 0]),
    )


def _light_alone(restored: np.ndarray, detail: np.ndarray) -> float:
    """Mean absolute change of the illumination, 0 to 255."""
    return float(np.abs(restored[::4, ::4].astype(np.int16) - detail[::4, ::4]).mean())


def _strongest(difference: np.ndarray) -> float:
    """The largest mean of (H, W) over 16 x 16 pixels."""
    import cv2

    return float(cv2.blur(difference.astype(np.float32), (16, 16)).max())


def _by_cells(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    import cv2

    return cv2.resize(values.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)


def _contrast(relative: np.ndarray, edges: np.ndarray) -> float:
    """Median over edge pixels: most belong to strokes, few to stains."""
    contrasts = relative[edges > 0]
    return float(np.median(contrasts if contrasts.size else relative))


def _separation(luma: np.ndarray) -> float:
    import cv2

    spread = float(luma.var())
    if spread == 0:
        return 1.0
    threshold, _ = cv2.threshold(luma, 0, 255, cv2.THRESH_OTSU)
    ink = luma <= threshold
    share = float(ink.mean())
    return share * (1 - share) * float(luma[ink].mean() - luma[~ink].mean()) ** 2 / spread
