"""Whether restoring has helped: the original project's quality score and gate, made to see through noise."""

from dataclasses import dataclass

import numpy as np

from vision_core.restoration.classical import grey, median


@dataclass(frozen=True)
class Quality:
    """What can be said of a page without knowing the clean one; `score` is about 0..1."""

    sharpness: float  # variance of the Laplacian, 8-bit units squared
    contrast: float  # of strokes: deviation / mean of the luma in 32 pixels, median along the edges
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
    """`accepted`: the restored page is better, else the original; `reason`: why, as half a sentence.

    `needed`: something to speak of was changed.
    """

    accepted: bool
    needed: bool
    reason: str
    before: Quality
    after: Quality
    change: float  # mean absolute change, 0..255


LEAST_CHANGE = 2.0  # mean absolute change of a page, 0..255, below which it is what it was
LEAST_LOCAL = 12.0  # ... unless somewhere 16 x 16 pixels changed by that much: a hole, a spot
LEAST_LIKENESS = 0.5
LEAST_WRITTEN = 32.0  # mean square of `_strokes`; grain on blank paper has up to 19, writing 65 to 1,700
CLEARLY = 0.02  # more separation: sharpness or contrast may fall for it, as they do out of the shade
MOST_THINNED = 0.025  # of `_thinned`; from a look at the pages of benchmarks that are kept for evaluation


def quality(rgb: np.ndarray) -> Quality:
    """Measure a page, uint8 (H, W, 3), through a median of 3 x 3: grain must not count as sharpness."""
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


def judge(original: np.ndarray, restored: np.ndarray, before: Quality | None = None) -> Verdict:
    """Compare two pages, uint8 (H, W, 3): is the restored one worth taking?

    It is not if nothing to speak of was changed, if the writing is no longer the same, if ink and paper are
    harder to tell apart, if strokes have become thinner, or if the page has lost more than a tenth of its
    sharpness or contrast while ink and paper are hardly easier to tell apart. On a page with no writing only
    the first and the third count.

    Args:
        before: the quality of the original, where it is known.
    """
    before, after = before or quality(original), quality(restored)
    difference = np.abs(original.astype(np.int16) - restored).mean(2)
    change = float(difference.mean())
    was, now = _strokes(original), _strokes(restored)
    written = (was**2).mean() > LEAST_WRITTEN
    needed = change >= LEAST_CHANGE or _strongest(difference) >= LEAST_LOCAL
    if not needed:
        accepted, reason = False, f"the page needs nothing (mean change {change:.1f} of 255)"
    elif written and (alike := _likeness(was, now)) < LEAST_LIKENESS:
        accepted, reason = False, f"the writing would have changed (likeness {alike:.2f})"
    elif after.separation < before.separation:
        accepted, reason = False, "ink and paper would be harder to tell apart"
    elif written and (thinned := _thinned(original, restored)) > MOST_THINNED:
        accepted, reason = False, f"strokes would become thinner (by {thinned:.0%} of the ink)"
    elif not written or after.separation > before.separation + CLEARLY:
        accepted, reason = True, _helped(change, before, after)
    elif after.sharpness < 0.9 * before.sharpness and after.contrast < before.contrast:
        accepted, reason = False, f"sharpness would fall to {after.sharpness / before.sharpness:.0%}"
    elif after.contrast < 0.9 * before.contrast and after.sharpness < before.sharpness:
        accepted, reason = False, f"contrast would fall to {after.contrast / before.contrast:.0%}"
    else:
        accepted, reason = True, _helped(change, before, after)
    return Verdict(accepted, needed, reason, before, after, change)


def _helped(change: float, before: Quality, after: Quality) -> str:
    scores = f"{before.score:.2f} -> {after.score:.2f}"
    return f"mean change {change:.1f} of 255, quality score {scores}"


def _strongest(difference: np.ndarray) -> float:
    """The largest mean of (H, W) over 16 x 16 pixels."""
    import cv2

    return float(cv2.blur(difference.astype(np.float32), (16, 16)).max())


def _contrast(relative: np.ndarray, edges: np.ndarray) -> float:
    """The median along edges: most of them are strokes, and the few of a stain do not count."""
    found = relative[edges > 0]
    return float(np.median(found if found.size else relative))


def _thinned(original: np.ndarray, restored: np.ndarray) -> float:
    """How much of the ink (Otsu) vanishes from the edges of strokes, 0..1.

    Its share of the ink, times its share of all ink that vanishes: what vanishes elsewhere is dirt. Ink is
    what is dark beside its surroundings, or whatever leaves the shade would have become thinner.
    """
    import cv2

    was, now = (_ink(_evened(grey(page)[..., 0])) for page in (original, restored))
    gone = was & ~now
    beside = float((gone & (cv2.dilate(now.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)).sum())
    return beside / max(1, int(was.sum())) * beside / max(1, int(gone.sum()))


def _evened(luma: np.ndarray) -> np.ndarray:
    """uint8 (H, W) -> the same in an even light: 160 times the ratio to the mean of 81 x 81 pixels around."""
    import cv2

    values = luma.astype(np.float32)
    return (160 * values / cv2.blur(values, (81, 81)).clip(1)).clip(0, 255).astype(np.uint8)


def _ink(luma: np.ndarray) -> np.ndarray:
    """Source: Otsu 1979, "A Threshold Selection Method from Gray-Level Histograms"."""
    import cv2

    threshold, _ = cv2.threshold(luma, 0, 255, cv2.THRESH_OTSU)
    return luma <= threshold


def _separation(luma: np.ndarray) -> float:
    spread = float(luma.var())
    if spread == 0:
        return 1.0
    ink = _ink(luma)
    share = float(ink.mean())
    return share * (1 - share) * float(luma[ink].mean() - luma[~ink].mean()) ** 2 / spread


def _strokes(rgb: np.ndarray) -> np.ndarray:
    """The local contrast at half size, float32: what is written, where it is written."""
    import cv2

    if min(rgb.shape[:2]) < 4:
        return np.zeros((1, 1), np.float32)
    luma = cv2.resize(grey(median(rgb))[..., 0], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    values = luma.astype(np.float32)
    return values - cv2.blur(values, (17, 17))


def _likeness(was: np.ndarray, now: np.ndarray) -> float:
    """Correlation of the strokes of two pages; 0 where none are left."""
    norm = np.sqrt((was**2).mean() * (now**2).mean())
    return float((was * now).mean() / norm) if norm > 0 else 0.0
