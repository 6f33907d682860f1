"""Tests of composition: pixels outside the mask never change."""

import numpy as np
import pytest

from vision_core.editing import compose, masks
from vision_core.editing.regions import Box


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def random_mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    for _ in range(rng.integers(1, 4)):
        top, left = rng.integers(0, height), rng.integers(0, width)
        mask[top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)] = True
    return mask


@pytest.mark.parametrize("seed", range(40))
def test_every_pixel_off_the_mask_is_bit_identical(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 70, 2)
    rgb, mask = noise(rng, height, width), random_mask(rng, height, width)
    feather = float(rng.choice([0, 1, 2.5, 8]))
    where = compose.window(mask, rng.uniform(0, 1), int(rng.integers(0, 40)), bool(rng.integers(2)))
    painted = noise(rng, *rng.integers(1, 50, 2))
    result = compose.paste(rgb, painted, where, mask, feather)
    assert (result[~mask] == rgb[~mask]).all()
    fitted = compose.resize(painted, where.bottom - where.top, where.right - where.left)
    rows, columns = np.nonzero(~mask)
    if rows.size:
        gaps = np.hypot(
            *(np.mgrid[:height, :width][:, None].reshape(2, 1, -1) - np.array([rows, columns])[..., None])
        )
        deep = gaps.min(0).reshape(height, width)
    else:
        deep = np.full(mask.shape, np.inf)
    whole = mask & (deep >= min(feather, deep.max()))  # where the edit shows alone
    assert whole.any() and (result[whole] == fitted[whole[where.slices]]).all()


def test_window_holds_the_mask_and_its_context():
    mask = masks.box(100, 200, 40, 30, 60, 40)
    assert compose.window(mask, padding=0.5) == Box(30, 20, 70, 50)
    assert compose.window(mask, padding=0.5, square=True) == Box(30, 15, 70, 55)
    assert compose.window(mask, least=64) == Box(18, 3, 82, 67)
    assert compose.window(masks.box(100, 200, 0, 0, 10, 10), padding=1, square=True) == Box(0, 0, 30, 30)
    with pytest.raises(ValueError, match="empty"):
        compose.window(~np.ones((4, 4), bool))


def test_thin_masks_survive_a_smaller_painter():
    mask = np.zeros((400, 400), bool)
    mask[:, 200] = True
    assert compose.resize(mask, 64, 64).any(1).all()


def test_a_painters_colour_shift_is_undone():
    rng = np.random.default_rng(1)
    rgb = noise(rng, 60, 60) // 3 + 60
    mask = masks.shape("circle", 60, 60)
    shifted = (rgb * 0.9 + np.array([12, -5, 20])).round().clip(0, 255).astype(np.uint8)
    assert np.abs(compose.match_colors(shifted, rgb, mask).astype(int) - rgb).max() <= 2


def test_poisson_meets_the_picture_at_the_edge():
    ramp = np.broadcast_to(np.linspace(40, 200, 80)[None, :, None], (80, 80, 3)).astype(np.uint8)
    mask = masks.shape("center", 80, 80, 0.4)
    mask[0:10, 30:50] = True  # a part at the picture's border, where there is nothing to meet
    painted = np.where(mask[..., None], ramp - 30, ramp - 30).astype(np.uint8)
    assert np.abs(compose.poisson(painted, ramp, mask).astype(int) - ramp)[mask].max() <= 3


def test_an_extended_picture_stands_unchanged_on_its_canvas():
    rgb = noise(np.random.default_rng(2), 20, 30)
    canvas, mask = compose.extend(rgb, left=50, bottom=7, seam=2)
    assert canvas.shape == (27, 80, 3) and (canvas[:20, 50:] == rgb).all()
    assert mask[:, :52].all() and mask[18:].all() and not mask[:18, 52:].any()
    assert (canvas[:20, 20:50] == rgb[:, ::-1]).all()  # the new part mirrors the old
    with pytest.raises(ValueError, match="nothing to extend: add pixels"):
        compose.extend(rgb)
    for wrong in ({"left": -1, "top": 2}, {"top": 3, "seam": 10}):
        with pytest.raises(ValueError, match="cannot extend"):
            compose.extend(rgb, **wrong)


def test_blend_refuses_other_sizes():
    with pytest.raises(ValueError, match="sizes differ"):
        compose.blend(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), np.ones((4, 4), bool))
    with pytest.raises(ValueError, match="feather"):
        compose.opacity(np.ones((4, 4), bool), float("nan"))
