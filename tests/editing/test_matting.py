"""Tests of cutting things out of photographs, against compositions of known shares."""

import cv2
import numpy as np
import pytest

from vision_core import editing
from vision_core.editing import masks, matting
from vision_core.pictures.images import Picture

HEIGHT, WIDTH = 240, 320


@pytest.fixture(scope="module")
def composition():
    """A soft, striped blob with thin spikes: (its share in [0, 1], the same picture on two grounds)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    away, angle = np.hypot(rows - 120, columns - 160), np.arctan2(rows - 120, columns - 160)
    share = (away < 60 + 8 * np.sin(5 * angle)) | ((away < 90) & (np.abs(np.sin(9 * angle)) < 0.03))
    share = cv2.GaussianBlur(share.astype(np.float32), (0, 0), 1)[..., None]
    thing = np.where((rows // 6 % 2)[..., None], (120, 70, 40), (150, 95, 60))
    sky = np.stack([90 + rows / 4, 130 + columns / 8, 230 - rows / 4], 2)
    evening = np.stack([240 - rows / 3, 150 - rows / 3, 60 + columns / 8], 2)
    pictures = [(share * thing + (1 - share) * ground).round().astype(np.uint8) for ground in (sky, evening)]
    return share[..., 0], *pictures, evening.round().astype(np.uint8)


def error(picture, truth, where):
    return np.abs(picture.astype(float) - truth)[where].mean()


@pytest.mark.parametrize("margin", [2, 7])
def test_a_new_ground_meets_the_soft_edge_of_a_thing(composition, margin):
    share, before, truth, new = composition
    marked = masks.grow(cv2.GaussianBlur(share, (0, 0), 2) > 0.5, 1)  # without the spikes, a pixel too wide
    hole, near = masks.grow(~marked, margin), masks.grow(marked, 8) & ~masks.grow(marked, -8)
    cut = matting.cut(before, hole, ~marked, new)
    plain = np.where(marked[..., None], before, new)
    assert (cut[~hole] == before[~hole]).all()
    assert error(cut, truth, near) < 0.35 * error(plain, truth, near)
    outline = masks.grow(marked, -12)  # within, nothing of the thing is lost
    assert (cut[outline] == before[outline]).all()


def test_where_both_sides_look_alike_the_selection_is_the_edge():
    rgb = np.random.default_rng(0).normal(128, 30, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    marked, new = masks.box(HEIGHT, WIDTH, 100, 60, 220, 180), np.zeros_like(rgb)
    cut = matting.cut(rgb, masks.grow(~marked, 6), ~marked, new)
    assert error(cut, rgb, masks.grow(marked, -2)) < 3 and error(cut, new, ~masks.grow(marked, 2)) < 3


def test_thin_things_and_narrow_gaps_survive():
    rgb = np.full((HEIGHT, WIDTH, 3), (90, 140, 220), np.uint8)
    for column in range(100, 220, 12):
        rgb[40:200, column : column + 5] = (40, 40, 40)  # a fence
    bars = (rgb == 40).all(2)
    new = np.full_like(rgb, (250, 180, 60))
    cut = matting.cut(rgb, masks.grow(~bars, 7), ~bars, new)  # no bar lies outside the margin
    assert error(cut, np.where(bars[..., None], rgb, new), slice(None)) < 1


def test_a_sky_is_replaced_around_a_thing_that_narrows(composition):
    share, before, truth, evening = composition
    sky = cv2.GaussianBlur(share, (0, 0), 1) < 0.5
    edit = list(
        editing.perform(Picture(before), "replace", editing.painter(material=Picture(evening)), mask=sky)
    )[-1].result
    assert error(edit.picture.rgb, truth, edit.mask) < 4
    assert (edit.picture.rgb[~edit.mask] == before[~edit.mask]).all()


def test_a_cut_out_stands_in_the_place_of_the_thing_that_it_replaces():
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ground = np.stack([90 + rows / 4, 130 + columns / 8, 230 - rows / 4], 2).round().astype(np.uint8)
    old = masks.box(HEIGHT, WIDTH, 140, 60, 170, 200)  # narrow and tall, with a foot at its left
    old[180:200, 100:140] = True
    rgb = np.where(old[..., None], np.uint8((200, 30, 30)), ground)
    disc = np.hypot(*(np.mgrid[:80, :80] - 39.5)) < 38
    other = Picture(np.full((80, 80, 3), (240, 240, 40), np.uint8), alpha=np.uint8(255) * disc)
    edit = list(editing.perform(Picture(rgb), "replace", editing.painter(material=other), mask=old))[
        -1
    ].result
    result, yellow = edit.picture.rgb, (np.abs(edit.picture.rgb.astype(int) - (240, 240, 40)) < 9).all(2)
    inside = np.hypot(rows - 164.5, columns - 134.5) < 31  # at the foot, in the middle of the old thing
    assert yellow[inside].all() and not yellow[np.hypot(rows - 164.5, columns - 134.5) > 36].any()
    gone = old & ~yellow & (np.hypot(rows - 164.5, columns - 134.5) > 38)
    assert error(result, ground, gone) < 12
    assert (result[~edit.mask] == rgb[~edit.mask]).all() and edit.mask[inside].all()
