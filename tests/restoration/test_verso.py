"""Tests of the removal of writing that shows through from the other side."""

import cv2
import numpy as np
import pytest

from vision_core.pictures.images import Picture
from vision_core.restoration import learn_verso, text, verso
from vision_core.restoration.classifier import Classifier
from vision_core.restoration.restore import Change, Options, finish

SIDE = 512
PAPER = np.array([214, 196, 160], np.float32)


def sheet(darkness: np.ndarray) -> np.ndarray:
    """Grainy paper with ink of this darkness, (H, W) in [0, 1]."""
    grain = np.random.default_rng(9).normal(0, 2, (*darkness.shape, 1))
    return (PAPER * (1 - darkness[..., None]) + grain).clip(0, 255).round().astype(np.uint8)


def predicted(*inks: tuple[np.ndarray, float]) -> np.ndarray:
    """Predicted ink, uint8 (H, W), of several masks and their probabilities."""
    return (255 * np.maximum.reduce([mask * likely for mask, likely in inks])).round().astype(np.uint8)


@pytest.fixture(scope="module")
def writing() -> tuple[np.ndarray, np.ndarray]:
    """The writing of a page, on its upper half, and of the page behind it: (H, W) in [0, 1]."""
    own, behind = (text.mask(np.random.default_rng(seed), SIDE).squeeze() for seed in (1, 2))
    own[SIDE // 2 :] = 0
    return own, behind[:, ::-1]


def test_the_other_side_is_removed_and_the_page_stays(writing):
    own, behind = writing
    blurred = cv2.GaussianBlur(np.ascontiguousarray(behind), (0, 0), 1.5)
    page, clean = (sheet(1 - (1 - 0.7 * own) * (1 - 0.22 * other)) for other in (blurred, 0 * blurred))
    ink = predicted((own, 0.97), (behind, 0.8))
    restored, left, share = verso.remove(page, page, ink)
    assert share > 0.3
    mine, theirs = own > 0.5, (behind > 0.5) & (cv2.dilate(own, np.ones((9, 9))) < 0.1)
    assert (left[mine] > 128).mean() > 0.98
    assert (left[theirs] > 128).mean() < 0.1
    errors = [np.abs(each.astype(float) - clean)[theirs].mean() for each in (page, restored)]
    assert errors[1] < errors[0] / 4
    assert (restored[mine] == page[mine]).mean() > 0.98


def test_faded_writing_stays(writing):
    own, behind = writing
    page = sheet(np.maximum(0.7 * own, 0.28 * behind))  # pale, but as sharp
    ink = predicted((own, 0.97), (behind, 0.92))
    restored, left, share = verso.remove(page, page, ink)
    assert share < verso.MANY
    assert (left[behind > 0.5] > 128).mean() > 0.95
    assert np.abs(restored.astype(int) - page).mean() < 0.5


def test_large_pages_are_compared_at_a_smaller_size(writing):
    own, behind = (cv2.resize(np.ascontiguousarray(part), None, fx=4, fy=4) for part in writing)
    blurred = cv2.GaussianBlur(behind, (0, 0), 6)
    page = sheet(1 - (1 - 0.7 * own) * (1 - 0.22 * blurred))
    assert max(page.shape) > verso.SIDE
    _, left, _ = verso.remove(page, page, predicted((own, 0.97), (behind, 0.8)))
    mine, theirs = own > 0.5, (behind > 0.5) & (cv2.dilate(own, np.ones((33, 33))) < 0.1)
    assert (left[mine] > 128).mean() > 0.98 and (left[theirs] > 128).mean() < 0.1


def test_a_page_of_one_ink_or_none_comes_back_as_it_was(writing):
    own, _ = writing
    for page, ink in ((sheet(0.7 * own), predicted((own, 0.97))), (sheet(0 * own), predicted((own, 0)))):
        restored, left, share = verso.remove(page, page, ink)
        assert np.array_equal(restored, page) and np.array_equal(left, ink) and share == 0


def test_the_verdict_says_what_was_removed(writing):
    own, _ = writing
    page = sheet(0.7 * own)
    ink = predicted((own, 0.97))
    for share, output, said in ((0.4, "binary", True), (0.4, "color", False), (0.05, "binary", False)):
        result = finish(Picture(page), Change(page, ink, verso=share), Options(output=output))
        assert ("showed through from the other side" in result.verdict.reason) == said


def test_versions_of_a_page_keep_the_truth_of_its_ink(writing):
    own, behind = writing
    page, other = sheet(0.7 * own), sheet(0.7 * np.ascontiguousarray(behind))
    for seed in range(8):
        version, truth = learn_verso.damaged(np.random.default_rng(seed), page, other)
        assert version.shape == page.shape and version.dtype == np.uint8
        assert not ((truth == 255) & (cv2.dilate(own, np.ones((9, 9))) < 0.1)).any()


def test_fitting_tells_what_it_keeps_and_removes_of_other_pages(tmp_path):
    rng = np.random.default_rng(0)
    own = rng.random(4000) < 0.5
    features = rng.normal(0, 1, (4000, verso.FEATURES)) + 1.5 * own[:, None] * (np.arange(verso.FEATURES) < 2)
    parts = [
        learn_verso.Examples(features[half].astype(np.float32), own[half], np.full(half.sum(), 1.0))
        for half in (np.arange(4000) < 2000, np.arange(4000) >= 2000)
    ]
    report = learn_verso.fit(*parts, tmp_path / "verso.json")
    kept = Classifier.read(tmp_path / "verso.json").logits(parts[1].features) > 0
    assert (
        report["own_kept"] == pytest.approx(kept[parts[1].own].mean(), abs=1e-4) and report["own_kept"] > 0.85
    )
    assert report["other_removed"] == pytest.approx((~kept[~parts[1].own]).mean(), abs=1e-4)
    assert report["other_removed"] > 0.7
