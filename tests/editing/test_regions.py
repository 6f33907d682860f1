"""Tests of anchors, boxes and masks."""

import numpy as np
import pytest

from vision_core.editing import masks, regions
from vision_core.editing.regions import Box


def test_rows_and_columns_are_not_swapped():
    saliency = np.zeros((20, 40))
    saliency[4, 30] = 1
    (anchor,) = regions.anchors(saliency, 1)
    assert (anchor.x, anchor.y) == (30.5 / 40, 4.5 / 20) and anchor.saliency == 1
    box = regions.box(anchor, 0.25, 200, 400)
    assert box == Box(280, 20, 330, 70)


@pytest.mark.parametrize("seed", range(10))
def test_anchors_keep_apart_and_boxes_inside(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(8, 40, 2)
    boxes = regions.anchors(rng.random((height, width)), 9, spacing=0.12)
    points = np.array([(a.y * height, a.x * width) for a in boxes])
    gaps = np.hypot(*(points[:, None] - points).transpose(2, 0, 1)) + np.eye(9) * 1e9
    assert gaps.min() >= 0.12 * np.hypot(height, width)
    values = [a.saliency for a in boxes]
    assert values == sorted(values, reverse=True) and values[0] == 1
    for anchor in boxes:
        for size in regions.window_sizes():
            box = regions.box(anchor, size, 111, 70)
            assert 0 <= box.left < box.right <= 70 and 0 <= box.top < box.bottom <= 111
            assert box.right - box.left == box.bottom - box.top == round(size * 70)
            assert box.left <= anchor.x * 70 <= box.right and box.top <= anchor.y * 111 <= box.bottom


def test_a_small_map_still_gives_all_anchors():
    assert len({(a.x, a.y) for a in regions.anchors(np.eye(3), 9)}) == 9
    with pytest.raises(ValueError, match="10 anchors"):
        regions.anchors(np.eye(3), 10)
    with pytest.raises(ValueError, match="finite"):
        regions.anchors(np.full((3, 3), np.nan), 1)


def test_window_sizes_are_the_originals():
    assert [len(regions.window_sizes(most)) for most in (6, 15, 16)] == [2, 6, 7]
    assert regions.window_sizes()[0] == 0.25 and regions.window_sizes()[-1] == 0.875
    with pytest.raises(ValueError, match="17"):
        regions.window_sizes(17)


SHARES = {
    "center": 4 / 9,
    "rectangle": 1 / 16,
    "circle": np.pi / 9 * 0.75,
    "corners": 2 / 9,
    "multiple": 1 / 8,
    "ellipses": np.pi * 0.25 * 0.75 * 0.25 / 4 * 2,
}


@pytest.mark.parametrize("kind", masks.KINDS)
def test_masks_cover_what_their_formulas_say(kind):
    mask = masks.shape(kind, 300, 400)
    assert mask.mean() == pytest.approx(SHARES[kind], rel=0.02)
    assert masks.shape(kind, 1, 1, 1).shape == (1, 1)


def test_masks_are_checked():
    assert masks.check(np.array([[0, 127, 128, 255]], np.uint8), 1, 4).tolist() == [
        [False, False, True, True]
    ]
    for wrong, message in [
        (np.zeros((2, 2), bool), "empty"),
        (np.ones((2, 3), bool), r"\(2, 3\); this picture needs \(2, 2\)"),
        (np.full((2, 2), np.nan), "not numbers"),
        (np.ones((2, 2), int), "int64"),
    ]:
        with pytest.raises(ValueError, match=message):
            masks.check(wrong, 2, 2)
    with pytest.raises(ValueError, match="no mask is called 'star'"):
        masks.shape("star", 3, 3)
    with pytest.raises(ValueError, match="does not lie"):
        masks.box(10, 10, 5, 5, 11, 8)


def test_a_saved_mask_reads_back(tmp_path):
    mask = masks.brush(40, 60, [[(5, 5), (30, 20)], [(50, 30)]], 3)
    masks.save(mask, tmp_path / "mask.png")
    assert (masks.read(tmp_path / "mask.png", 40, 60) == mask).all()
    with pytest.raises(ValueError, match="60 x 40 pixels, but the picture has 40 x 60"):
        masks.read(tmp_path / "mask.png", 60, 40)


def test_growing_is_euclidean_and_shrinking_its_mirror():
    dot = np.zeros((21, 21), bool)
    dot[10, 10] = True
    rows, columns = np.mgrid[:21, :21]
    assert (masks.grow(dot, 5) == (np.hypot(rows - 10, columns - 10) <= 5)).all()
    assert (masks.grow(~masks.grow(dot, 5), -1) == ~masks.grow(dot, 6)).all()
    ring = masks.grow(dot, 6) & ~masks.grow(dot, 4)
    assert (masks.fill_enclosed(ring) == masks.grow(dot, 6)).all()
