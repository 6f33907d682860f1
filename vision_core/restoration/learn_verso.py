"""Fits the classifier of `verso` on pages with another one showing through, and on faded and damaged ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vision_core.restoration import classifier, ink, mixtures, verso
from vision_core.restoration.network import PageRestorer
from vision_core.restoration.restore import Options, predicted
from vision_core.restoration.sheets import Image, tensor

HIDDEN = 16
DAMAGED = 0.35  # share of the pages with damage of other kinds, too
OWN, FOREIGN, UNSURE = 0.5, 0.15, 0.5  # shares of true and of unsure pixels of the strokes that are used
WORSE = 0.5  # subtracted from the threshold: lost writing is worse than writing that stays
STEPS = 3000


@dataclass(frozen=True)
class Examples:
    """Features (N, F) of strokes, whether they are the page's own writing (N,), and their weight (N,)."""

    features: np.ndarray
    own: np.ndarray
    weight: np.ndarray


def gather(network: PageRestorer, pages: Sequence[Image], versions: int, seed: int) -> Examples:
    """Collect the strokes that the network finds on `versions` damaged versions of each page."""
    parts = []
    for number in range(versions * len(pages)):
        rng = np.random.default_rng((seed, number))
        page, other = pages[number % len(pages)], pages[int(rng.integers(len(pages)))]
        page, truth = damaged(rng, page, other)
        described = verso.describe(page, predicted(page, network, Options())[1])
        if described is None:
            continue
        count = len(described.features) + 1
        area, written, unsure = (
            np.bincount(described.labels.ravel(), weights=each.ravel(), minlength=count)[1:]
            for each in (np.ones(truth.shape), truth == 255, truth == ink.UNSURE)
        )
        own, unsure = written / area, unsure / area
        used = (unsure < UNSURE) & ((own > OWN) | (own < FOREIGN))
        parts.append((described.features[used], own[used] > OWN, area[used] / area.sum()))
    return Examples(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def fit(examples: Examples, unseen: Examples, path: Path, seed: int = 0) -> dict[str, float]:
    """Fit and write the classifier.

    Returns:
        the shares of a page's own writing that is kept, and of the other side's that is removed, in `unseen`.
    """
    weight = examples.weight / examples.weight.mean()
    model = classifier.fit(examples.features, examples.own, weight, HIDDEN, seed, STEPS)
    model = replace(model, threshold=-WORSE)
    model.write(path)
    kept = model.logits(unseen.features) > 0
    return {
        "own_kept": round(float(np.average(kept[unseen.own], weights=unseen.weight[unseen.own])), 4),
        "other_removed": round(float(np.average(~kept[~unseen.own], weights=unseen.weight[~unseen.own])), 4),
    }


def damaged(rng: np.random.Generator, page: Image, other: Image) -> tuple[Image, Image]:
    """A page, uint8 (H, W, 3), clean, faded in parts or with `other` showing through.

    Returns:
        the page and its ink, uint8 (H, W), see `ink`.
    """
    truth = ink.of_clean_page(page)
    kind = rng.choice(["clean", "faded", "verso"], p=[0.2, 0.35, 0.45])
    if kind == "faded":
        page = _faded(rng, page)
    elif kind == "verso":
        page, truth = _shown(rng, page, truth, other)
    if rng.random() < DAMAGED:
        clean = tensor(page.astype(np.float32) / 255)
        damaged, _ = mixtures.apply(clean, mixtures.usual(rng), None, rng, usual=True)
        page = damaged.permute(1, 2, 0).contiguous().numpy()
    return page, truth


def _faded(rng: np.random.Generator, page: Image) -> Image:
    """In parts of the page the ink loses 40 to 80 % of its darkness, and none of its sharpness."""
    import cv2

    height, width = page.shape[:2]
    paper = ink.paper_of(page)
    side = int(rng.integers(3, 9))
    field = cv2.resize(
        rng.random((side, side)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    where = 1 / (1 + np.exp(-(field - rng.uniform(0.25, 0.75)) / rng.uniform(0.02, 0.2)))
    keep = 1 - where * (1 - rng.uniform(0.2, 0.6))
    depth = (paper - page) / paper
    grain = rng.normal(0, rng.uniform(0, 2), (height, width, 1))
    faded = paper * (1 - np.where(depth > 0, depth * keep[..., None], depth)) + grain
    return faded.clip(0, 255).round().astype(np.uint8)


def _shown(rng: np.random.Generator, page: Image, truth: Image, other: Image) -> tuple[Image, Image]:
    """Another page, mirrored, shows at 12 to 60 % of the ink's darkness; of most pages a part is empty."""
    import cv2

    height, width = page.shape[:2]
    own = _darkness(page)
    base, truth = page.astype(np.float32), truth.copy()
    if rng.random() < 0.6:
        top, left = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
        bottom, right = rng.uniform(top + 0.25, 1), rng.uniform(left + 0.3, 1)
        outside = np.ones((height, width), bool)
        outside[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = False
        written = cv2.dilate((own > 0.08).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        grain = rng.normal(0, 2, (height, width, 1))
        base = np.where((written & outside)[..., None], ink.paper_of(page, 31) + grain, base)
        truth[outside] = 0
    back = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)[:, ::-1]
    shown = _darkness(np.ascontiguousarray(np.rot90(back, 2) if rng.random() < 0.25 else back))
    share = rng.uniform(0.12, 0.6) * ink.typical_depth(own) / max(ink.typical_depth(shown), 0.1)
    shown = cv2.GaussianBlur(shown, (0, 0), rng.uniform(0.4, 2.0)) * share
    color = rng.uniform(0.8, 1.15, 3)
    both = base * (1 - (shown[..., None] * color).clip(0, 0.95))
    return both.clip(0, 255).round().astype(np.uint8), truth


def _darkness(page: Image) -> np.ndarray:
    import cv2

    luma, paper = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY), ink.paper_of(page).mean(2)
    return ((paper - cv2.GaussianBlur(luma, (0, 0), 0.7)) / paper).clip(0, 1)
