"""Removes writing that shows through from the other side, where the network took it for ink.

Each connected stroke is compared with the darkest strokes of its page. Writing that shows through is paler
and less sharp, and the network is less certain of it; faded writing is paler, too, but as sharp as the rest.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vision_core import weights
from vision_core.restoration.binary import written
from vision_core.restoration.classifier import Classifier
from vision_core.restoration.ink import paper_of

SIDE = 1600  # pixels of the longer side at which strokes are compared
FEATURES = 6
CERTAIN = 0.88  # probability of the strokes among which the darkest are looked for
PALE = 0.65  # strokes below this share of their darkness are pale
FEW = 50  # strokes; fewer do not show what is dark and sharp on a page
LEAST = 0.01  # share of the ink; fewer pale strokes are not described
PALE_SHARPNESS = 3  # the feature with the sharpness of the pale strokes, the same for all strokes of a page
SHARPER = 0.1  # pale strokes that are sharper than the dark ones by this logarithm are faded
LONGEST = 5  # shapes longer than the page's longer side divided by this are not writing
MANY = 0.1  # share of the ink; fewer strokes of the other side are left in the picture
NEAR, CELL = 40, 8  # standard deviation of a stroke's neighbourhood, and its grid, in pixels
SOFT, FAINT = 3, 0.3  # pixels beside a stroke that are darker than this share of it belong to it
AROUND = 8.0  # standard deviation in pixels of the surroundings that give the colour of the paper
BAND = 512  # rows painted at once


@dataclass(frozen=True)
class Strokes:
    """The strokes of a page.

    Args:
        labels: int32 (H, W), the number of the stroke of each pixel, from 1; 0 is paper.
        features: (N, FEATURES).
        paper: float32 (H, W, 3), the local colour of the paper.
        depth: float32 (H, W), the darkness relative to the paper, from 0 to 1.
        boxes: int32 (1 + N, 5), of OpenCV's `connectedComponentsWithStats`.
        centres: float (N, 2), x and y.
    """

    labels: np.ndarray
    features: np.ndarray
    paper: np.ndarray
    depth: np.ndarray
    boxes: np.ndarray
    centres: np.ndarray


def describe(page: np.ndarray, ink: np.ndarray) -> Strokes | None:
    """The strokes of a page, uint8 (H, W, 3), by its predicted ink, uint8 (H, W); None if there are none.

    The features of a stroke are the logarithms of its darkness and sharpness and the logit of its ink,
    relative to the darkest strokes of the page; the means of the last two over all pale strokes of the page;
    and the logit.
    """
    import cv2

    count, labels, boxes, centres = cv2.connectedComponentsWithStats(
        written(ink).astype(np.uint8), connectivity=8
    )
    if count < 2:
        return None
    area = boxes[1:, cv2.CC_STAT_AREA].astype(np.float64)
    paper = paper_of(page)
    # red and blue ink are dark in some channel
    depth = ((paper - cv2.GaussianBlur(page, (0, 0), 0.7)) / paper).max(2).clip(0, 1)
    slope = np.hypot(*(cv2.Sobel(depth, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (0, 1)))
    steepest = cv2.dilate(slope, np.ones((5, 5), np.uint8))
    inner = cv2.erode((labels > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    edge = (labels > 0) & (inner == 0)

    def mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
        sizes = np.bincount(labels[where], minlength=count)[1:].clip(1)
        return np.bincount(labels[where], weights=values[where], minlength=count)[1:] / sizes

    darkness = mean(depth, labels > 0).clip(1e-3)
    sharpness = mean(steepest, edge).clip(1e-4) / darkness.clip(0.02)
    likely = (mean(ink, labels > 0) / 255).clip(0.05, 0.99)
    logit = np.log(likely / (1 - likely))
    limited = area.clip(max=np.quantile(area, 0.98))
    certain = (likely > CERTAIN) if (likely > CERTAIN).any() else np.ones_like(likely, bool)
    darkest = _quantile(darkness, limited * certain, 0.95)
    dark = certain & (darkness > 0.7 * darkest) & (darkness < 1.3 * darkest)
    pale = darkness < PALE * darkest
    logs = np.stack(
        [
            np.log(darkness / darkest),
            np.log(sharpness / np.average(sharpness[dark], weights=area[dark])),
            logit - np.average(logit[dark], weights=area[dark]),
        ],
        1,
    )
    described = limited[pale].sum() > LEAST * limited.sum()
    means = np.average(logs[pale, 1:], axis=0, weights=limited[pale]) if described else np.zeros(2)
    features = np.column_stack([logs, np.tile(means, (len(area), 1)), logit])
    return Strokes(labels, features.astype(np.float32), paper, depth, boxes, centres[1:])


@lru_cache(1)
def _classifier() -> Classifier:
    return Classifier.read(weights.find("restoration-verso"))


def remove(page: np.ndarray, restored: np.ndarray, ink: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Remove the other side's writing from a restored page and its ink.

    Args:
        page: uint8 (H, W, 3), from which `restored` and its ink, uint8 (H, W), were predicted.

    Returns:
        the restored page, with paper in place of that writing, the ink without it, and its share of the ink;
        with a share below `MANY`, only the ink changes.
    """
    import cv2

    height, width = ink.shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small, seen = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (page, ink))
    described = describe(small, seen)
    if described is None or len(described.features) < FEW:
        return restored, ink, 0.0
    logits = _agreed(described, _classifier().logits(described.features))
    own = np.concatenate([[True], logits > 0])
    faded = described.features[0, PALE_SHARPNESS] > SHARPER
    if own.all() or faded:
        return restored, ink, 0.0
    labels = described.labels
    shown, kept = (((labels > 0) & which[labels]).astype(np.uint8) for which in (~own, own))
    kept = cv2.dilate(kept, np.ones((5, 5), np.uint8))
    around = cv2.dilate(shown, np.ones((3, 3), np.uint8)) * (kept == 0) | shown
    elsewhere = cv2.resize(around, (width, height), interpolation=cv2.INTER_NEAREST) == 0
    left = ink * elsewhere
    length = described.boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    writing = ~own & (length < max(size) / LONGEST)  # no edges of the sheet and other long shapes
    area = described.boxes[1:, cv2.CC_STAT_AREA]
    share = float(area[writing[1:]].sum() / area.sum())
    if share < MANY:
        return restored, left, share
    return _painted(restored, described, writing[labels], kept), left, share


def _painted(restored: np.ndarray, described: Strokes, shown: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The restored page with paper over the other side's strokes.

    Args:
        shown: bool (h, w), those strokes, at the size at which they were described.
        kept: uint8 (h, w), above 0 on and beside the page's own strokes, which stay.
    """
    import cv2

    (height, width), size = restored.shape[:2], kept.shape[::-1]
    painted = _traces(described, shown, kept)
    smaller = cv2.resize(restored, size, interpolation=cv2.INTER_AREA)
    paper = _paper_between(smaller, painted | kept, described.paper)
    soft = cv2.GaussianBlur(cv2.dilate(painted, np.ones((3, 3), np.uint8)) * np.float32(255), (0, 0), 0.8)
    soft[kept > 0] = 0
    cover, fill = (
        cv2.resize(part.round().astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
        for part in (soft, paper)
    )
    result = restored.copy()
    for top in range(0, height, BAND):
        rows = slice(top, top + BAND)
        weight = cover[rows, :, None].astype(np.float32) / 255
        mixed = restored[rows] + weight * (fill[rows].astype(np.float32) - restored[rows])
        result[rows] = mixed.round().astype(np.uint8)
    return result


def _agreed(described: Strokes, logits: np.ndarray) -> np.ndarray:
    """The logits of strokes (N,), averaged with those of the pale strokes around for pale ones."""
    import cv2

    pale = described.features[:, 0] < np.log(PALE)
    height, width = described.labels.shape
    places = (described.centres // CELL).astype(int)
    area = described.boxes[1:, cv2.CC_STAT_AREA] * pale
    sums = []
    for values in (area * logits.clip(-6, 6), area):
        grid = np.zeros((height // CELL + 1, width // CELL + 1))
        np.add.at(grid, (places[:, 1], places[:, 0]), values)
        sums.append(cv2.GaussianBlur(grid, (0, 0), NEAR / CELL)[places[:, 1], places[:, 0]])
    return np.where(pale, (logits + sums[0] / sums[1].clip(1e-9)) / 2, logits)


def _traces(described: Strokes, shown: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The other side's strokes, bool (H, W), with their soft edges, except beside the page's own: uint8."""
    import cv2

    near = cv2.dilate(shown.astype(np.uint8), np.ones((2 * SOFT + 1, 2 * SOFT + 1), np.uint8)) > 0
    faint = FAINT * float(np.median(described.depth[shown]))
    return ((shown | (near & (described.depth > faint))) & (kept == 0)).astype(np.uint8)


def _paper_between(page: np.ndarray, written: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """The paper, float32 (H, W, 3), where uint8 `written` (H, W) is above 0: the mean of what is around it.

    Args:
        paper: used where all is written.
    """
    import cv2

    free = (cv2.dilate(written, np.ones((3, 3), np.uint8)) == 0).astype(np.float32)
    total = cv2.GaussianBlur(free, (0, 0), AROUND)[..., None]
    mean = cv2.GaussianBlur(page * free[..., None], (0, 0), AROUND) / total.clip(1e-3)
    return np.where(total > 0.01, mean, paper).clip(0, 255)


def _quantile(values: np.ndarray, counts: np.ndarray, share: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(counts[order])
    return float(values[order][np.searchsorted(total, share * total[-1])])
