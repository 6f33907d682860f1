"""Tests of filling: patches, thin holes, materials."""

import cv2
import numpy as np
import pytest
import torch
from small_models import finish

from vision_core.devices import seeded
from vision_core.editing import masks, materials
from vision_core.editing.fill import coarse, denoise, inpainting, patches
from vision_core.editing.fill.filler import Filler
from vision_core.editing.fill.push_pull import push_pull
from vision_core.pictures import images


@pytest.fixture(scope="module")
def stripes() -> np.ndarray:
    rows, columns = np.mgrid[:96, :120]
    level = 128 + 80 * np.sign(np.sin((columns + rows) / 3.0))
    return np.repeat(level[..., None], 3, 2).astype(np.uint8)


def test_lost_pixels_are_continued_better_than_by_means_of_their_neighbours():
    rows, columns = np.mgrid[:64, :96]
    level = 128 + 60 * np.sin(columns / 7) * np.cos(rows / 9)
    picture = np.repeat(level[..., None], 3, 2).round().astype(np.uint8)
    hole = np.random.default_rng(0).random((64, 96)) < 0.7
    broken = np.where(hole[..., None], 0, picture).astype(np.uint8)
    filled, _ = finish(inpainting.Classical().paint(broken, hole))
    plain = inpainting.fill(broken, hole)
    errors = [np.abs(result[hole].astype(int) - picture[hole]).mean() for result in (filled, plain)]
    assert (filled[~hole] == picture[~hole]).all() and errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("version", range(len(patches.VERSIONS)))
def test_patches_continue_a_pattern(stripes, version):
    hole = masks.box(96, 120, 45, 35, 75, 65)
    broken = np.where(hole[..., None], 0, stripes).astype(np.uint8)
    filled = patches.fill(broken, hole, version=version)
    assert (filled[~hole] == stripes[~hole]).all()
    assert np.abs(filled[hole].astype(int) - stripes[hole]).mean() < 20  # any smooth filling is 80 off
    again = patches.fill(stripes, hole, version=version)
    assert (again == filled).all()  # what the hole held does not matter, and the seed decides


def test_a_large_hole_is_filled_with_true_pixels(stripes, monkeypatch):
    monkeypatch.setattr(patches, "DEEPEST", 900)
    wide = np.kron(stripes, np.ones((2, 2, 1), np.uint8))
    hole = masks.box(192, 240, 80, 60, 160, 140)
    filled = patches.fill(np.where(hole[..., None], 0, wide).astype(np.uint8), hole)
    assert filled[hole].std() > 60 and (filled[~hole] == wide[~hole]).all()


def test_nothing_is_copied_from_where_it_may_not_be():
    rgb = np.random.default_rng(0).integers(90, 110, (100, 140, 3), dtype=np.uint8)
    rgb[30:80, 80:120, 0] = 255  # another thing, right beside the hole
    hole, thing = masks.box(100, 140, 45, 35, 80, 75), masks.box(100, 140, 80, 30, 120, 80)
    free, barred = (patches.fill(rgb, hole, avoid=avoid)[hole] for avoid in (None, thing))
    assert (free[:, 0] > 200).any() and not (barred[:, 0] > 200).any()
    assert patches.fill(rgb, hole, avoid=~hole).shape == rgb.shape  # with nothing left, it may be taken


def test_a_guide_decides_from_where_the_patches_come(monkeypatch):
    monkeypatch.setattr(patches, "WEIGHT", 1.0)
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 30, (90, 150, 3), dtype=np.uint8)
    rgb[:, 75:] += 180  # dark to the left, light to the right
    hole = masks.box(90, 150, 55, 25, 95, 65)
    means = []
    for light in (15, 195):
        guide = np.where(hole[::3, ::3, None], np.uint8(light), rgb[::3, ::3])
        filled = patches.fill(rgb, hole, guide=guide)
        assert (filled[~hole] == rgb[~hole]).all()
        means.append(filled[hole].mean())
    assert means[1] > means[0] + 50


@pytest.mark.parametrize("size", [(96, 96), (300, 200), (40, 700), (20, 30)])
def test_the_coarse_filling_keeps_what_is_known_and_ignores_what_the_hole_held(size):
    rng, (height, width) = np.random.default_rng(0), size
    rgb = images.shrink(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), max(size))
    hole = masks.box(height, width, width // 3, height // 3, width // 2, height // 2 + 1)
    with seeded(0):
        network = Filler((8, 12), (1, 1), (1,)).eval()
        torch.nn.init.normal_(network.unet.head.weight, std=0.1)
    filled = coarse.fill(network, rgb, hole)
    other = coarse.fill(network, np.where(hole[..., None], 255 - rgb, rgb), hole)
    assert max(filled.shape) == coarse.SIDE and (filled == other).all()
    plain = cv2.resize(rgb, filled.shape[1::-1], interpolation=cv2.INTER_AREA)
    clear = cv2.resize(hole.astype(np.float32), filled.shape[1::-1], interpolation=cv2.INTER_AREA) == 0
    assert np.abs(filled[clear].astype(int) - plain[clear]).max() <= 1
    mirrored = coarse.fill(network, rgb[:, ::-1].copy(), hole[:, ::-1].copy())[:, ::-1]
    assert np.abs(mirrored.astype(int) - filled).max() <= 1


def test_strips_along_a_side_are_not_guided(monkeypatch):
    monkeypatch.setattr(coarse, "shipped", lambda: Filler((8, 12), (1, 1), (1,)).eval())
    rgb = np.zeros((40, 60, 3), np.uint8)
    assert coarse.guide(rgb, masks.box(40, 60, 0, 0, 12, 40)) is None
    guide = coarse.guide(rgb, masks.box(40, 60, 0, 5, 12, 40))
    assert guide is not None and guide.shape == (64, 96, 3)


def test_a_hole_without_surroundings_is_refused():
    with pytest.raises(ValueError, match="too little"):
        patches.fill(np.zeros((20, 20, 3), np.uint8), masks.box(20, 20, 2, 2, 18, 18))


def test_push_pull_keeps_what_is_known_and_a_plane_in_the_holes():
    ramp = torch.linspace(0, 1, 64)[None, None, None].expand(1, 3, 48, 64)
    hole = (torch.rand(1, 1, 48, 64, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    filled = push_pull(ramp, hole)
    known = hole.expand_as(ramp) == 0
    assert torch.equal(filled[known], ramp[known])
    assert (filled - ramp).abs().max() < 0.06
    with pytest.raises(ValueError, match="expected"):
        push_pull(ramp, hole[0])


def test_classical_painting_leaves_the_rest(stripes):
    hole = masks.brush(96, 120, [[(5, 5), (100, 9)]], 2) | masks.box(96, 120, 45, 40, 75, 70)
    result, previews = finish(inpainting.Classical().paint(stripes, hole))
    assert (result[~hole] == stripes[~hole]).all() and (result[hole] != 0).any() and previews
    assert np.abs(result[hole].astype(int) - stripes[hole]).mean() < 30


def test_thin_and_wide_parts_are_told_apart():
    thin, wide = masks.brush(100, 100, [[(5, 5), (90, 5)]], 3), masks.box(100, 100, 30, 40, 70, 80)
    result, parts = inpainting.split(thin | wide)
    parts = list(parts)
    assert (result == thin).all() and len(parts) == 1 and (parts[0] == wide).all()
    crossing = masks.brush(100, 100, [[(5, 5), (90, 90)], [(5, 90), (90, 5)]], 7.5)
    result, parts = inpainting.split(crossing)
    parts = list(parts)
    assert (result == crossing).all() and not parts


def test_the_denoiser_keeps_pictures_and_takes_noise_away(stripes):
    clean = images.to_tensor(stripes)
    assert (denoise.denoise(clean, 0.0, (1, 1)) - clean).abs().max() < 1e-5
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    errors = [(result - clean).square().mean() for result in (denoise.denoise(noisy, 0.1), noisy)]
    assert errors[0] < 0.3 * errors[1]


def test_a_prior_beats_averages_across_a_pattern_and_tiles_leave_the_rest():
    rows, columns = np.mgrid[:96, :360]  # more than one tile
    wide = np.repeat((128 + 25 * np.sin((columns + rows) / 1.5))[..., None], 3, 2).round().astype(np.uint8)
    hole = masks.brush(96, 360, [[(5, 20), (350, 70)]], 3)
    plain = inpainting.fill(wide, hole)
    filled, events = finish(denoise.fill(wide, hole, plain))
    errors = [np.abs(result[hole].astype(int) - wide[hole]).mean() for result in (filled, plain)]
    assert (filled[~hole] == wide[~hole]).all() and errors[0] < 0.75 * errors[1]
    assert events[-2].step == events[-2].total == 40


def test_a_tint_changes_the_main_colour_and_keeps_shade_and_other_colours():
    rgb = np.full((40, 60, 3), 128, np.uint8)
    rgb[:, :20] = np.linspace(60, 220, 40)[:, None, None] * [1, 0.1, 0.1]  # red, darker above
    rgb[:, 20:30] = (30, 60, 200)
    hole = np.zeros((40, 60), bool)
    hole[:, :40] = True
    painted, _ = finish(materials.tint("#1ea03c").paint(rgb, hole))
    green = painted[:, :20].astype(int)
    assert (green[..., 1] > green[..., 0] + 20).all() and (green[..., 1] > green[..., 2] + 20).all()
    assert green[-1, 0, 1] > green[0, 0, 1] + 60
    assert np.abs(painted[:, 20:40].astype(int) - rgb[:, 20:40]).max() <= 1  # blue and grey
    grey = hole & (rgb == 128).all(2)
    painted, _ = finish(materials.tint("#1ea03c").paint(rgb, grey))
    assert np.abs(painted[grey].astype(int) - (30, 160, 60)).max() <= 1
    with pytest.raises(ValueError, match="no colour"):
        materials.tint("green")


def test_materials_fill_as_they_say():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    hole = masks.box(40, 60, 10, 10, 40, 30)
    painted, _ = finish(materials.color("#102030").paint(rgb, hole))
    assert (painted == (16, 32, 48)).all()
    half, _ = finish(materials.color("#000000").paint(rgb, hole, strength=0.5))
    assert np.abs(half.astype(float) - rgb / 2).max() <= 1
    red = np.full((10, 10, 3), (255, 0, 0), np.uint8)
    fitted, _ = finish(materials.picture(red, fit=True).paint(rgb, hole))
    assert (fitted[10:30, 15:35] == (255, 0, 0)).all() and (fitted[10:30, 10:15] == rgb[10:30, 10:15]).all()
    clear, _ = finish(materials.picture(red, np.zeros((10, 10), np.uint8)).paint(rgb, hole))
    assert (clear == rgb).all()
    with pytest.raises(ValueError, match="no colour"):
        materials.color("red")


def test_another_picture_is_moved_and_scaled():
    rgb, hole = np.zeros((40, 60, 3), np.uint8), masks.box(40, 60, 10, 10, 50, 30)
    red = np.full((10, 10, 3), (255, 0, 0), np.uint8)
    opaque = np.full((10, 10), 255, np.uint8)
    moved, _ = finish(materials.picture(red, opaque, True, right=0.25, down=0.5, scale=0.5).paint(rgb, hole))
    rows, columns = np.nonzero(moved[..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
        30,
        39,
        35,
        44,
    )  # at the foot of the box, and half of its height below
    away, _ = finish(materials.picture(red, opaque, True, right=2).paint(rgb, hole))
    assert not away.any()
    with pytest.raises(ValueError, match="scaled by 0"):
        materials.picture(red, scale=0)


def test_a_blur_has_an_amount_and_grows_with_the_distance():
    rgb = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    hole = ~masks.box(120, 160, 0, 0, 20, 120)
    weak, strong = (finish(materials.blur(amount).paint(rgb, hole))[0] for amount in (0.005, 0.05))
    assert weak[:, 60:].std() > 2 * strong[:, 60:].std()
    assert strong[:, 24:40].std() > strong[:, 120:].std()
    with pytest.raises(ValueError, match="blur is 0"):
        materials.blur(0)


def test_a_blurred_background_does_not_glow():
    rgb = np.zeros((60, 60, 3), np.uint8)
    rgb[20:40, 20:40] = 255  # the sharp thing, outside the hole
    hole = ~masks.box(60, 60, 20, 20, 40, 40)
    blurred, _ = finish(materials.blur(0.1).paint(rgb, hole))
    assert blurred[hole].max() == 0


def test_a_blur_keeps_the_level_of_the_ground_around_a_wide_thing_and_in_narrow_gaps():
    rgb, thing = np.full((300, 500, 3), 90, np.uint8), masks.box(300, 500, 60, 40, 440, 300)
    thing[40:, 200:208] = False  # two things, nearly touching
    rgb[thing] = (255, 40, 40)
    rgb[masks.grow(thing, 2) & ~thing] = (180, 60, 60)  # their soft edge
    blurred, _ = finish(materials.blur(0.02).paint(rgb, ~thing))
    assert np.abs(blurred[~thing].astype(int) - 90).max() <= 2
