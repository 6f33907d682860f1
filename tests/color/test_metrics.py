"""Tests of metrics against POT, SciPy and hand-computed numbers."""

import numpy as np
import ot
import pytest
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from vision_core.color import metrics
from vision_core.color.baselines import nearest_color
from vision_core.color.palette import Palette, count_colors, extract
from vision_core.color.spaces import encode

BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)
PALETTE = Palette(np.array([WHITE, RED, BLACK], np.uint8), np.array([0.5, 0.3, 0.2]))


def stripes(*widths: int) -> np.ndarray:
    """A picture of the palette's colours, each as many columns wide."""
    return np.repeat(PALETTE.colors, widths, axis=0)[None].repeat(10, 0)


def test_the_palette_itself_is_perfect():
    picture = stripes(5, 3, 2)
    scores = metrics.measure(picture, picture, PALETTE, picture)
    assert scores["colors_used"] == scores["colors"] == 3
    assert scores["missing"] == []
    assert scores["used_shares"] == [0.5, 0.3, 0.2]
    for name in ("total_variation", "sliced_wasserstein", "sliced_wasserstein_target", "delta_e"):
        assert scores[name] == pytest.approx(0, abs=1e-6)
    assert scores["ssim"] == pytest.approx(1)


def test_shares_are_compared():
    scores = metrics.measure(stripes(1, 3, 6), stripes(2, 0, 8), PALETTE)
    assert scores["used_shares"] == [0.2, 0, 0.8]
    assert scores["colors_used"] == 2
    assert scores["missing"] == [1]
    assert scores["total_variation"] == pytest.approx((0.3 + 0.3 + 0.6) / 2)
    assert "sliced_wasserstein_target" not in scores


def test_a_colour_of_less_than_one_percent_is_not_in_use():
    scores = metrics.measure(stripes(100, 1, 99), stripes(100, 1, 99), PALETTE)
    assert scores["colors_used"] == 2


def test_sliced_wasserstein_is_that_of_pot():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 3)), rng.normal(1, 2, size=(40, 3))
    a, b = rng.random(300), rng.random(40)
    a, b = a / a.sum(), b / b.sum()
    directions = np.random.default_rng(0).normal(size=(metrics.DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    expected = ot.sliced_wasserstein_distance(x, y, a, b, projections=directions.T, p=1)
    assert metrics.sliced_wasserstein(x, a, y, b) == pytest.approx(expected, rel=1e-9)


def test_sliced_wasserstein_of_a_shift_is_half_its_length():
    x = np.random.default_rng(1).normal(size=(50, 3))
    moved = metrics.sliced_wasserstein(x, np.ones(50), x + np.array([0, 0, 10]), np.ones(50))
    assert moved == pytest.approx(5, rel=0.15)  # the mean of |cos| over the sphere is 1/2


def test_delta_e_is_the_mean_over_all_pixels():
    picture = data.astronaut()[::4, ::4]
    palette = extract(picture)
    scores = metrics.measure(picture, picture, palette)
    lab, colors = rgb2lab(picture).reshape(-1, 3), encode(palette.colors, "lab")
    index = np.linalg.norm(lab[:, None] - colors, axis=2).argmin(1)
    assert scores["delta_e"] == pytest.approx(deltaE_ciede2000(lab, colors[index]).mean(), rel=0.02)
    assert metrics.measure(picture, nearest_color(picture, palette), palette)["delta_e"] < 0.05


def test_ssim_is_that_of_scikit_image_and_falls_with_noise():
    picture = data.astronaut()[::2, ::2]
    noise = np.random.default_rng(0).integers(-40, 40, picture.shape)
    noisy = (picture + noise).clip(0, 255).astype(np.uint8)
    expected = structural_similarity(rgb2lab(picture)[..., 0], rgb2lab(noisy)[..., 0], data_range=100)
    assert metrics.lightness_ssim(picture, noisy) == pytest.approx(expected, abs=1e-3)
    assert 0.1 < expected < 0.9
    swapped = picture[..., [0, 2, 1]]  # other colours of nearly the same lightness keep the structure
    assert metrics.lightness_ssim(picture, swapped) > expected


def test_ssim_of_large_and_tiny_pictures(monkeypatch):
    picture = data.astronaut()
    noisy = np.where(np.random.default_rng(0).random((512, 512, 1)) < 0.1, 0, picture).astype(np.uint8)
    whole = metrics.lightness_ssim(picture, noisy)
    monkeypatch.setattr(metrics, "SSIM_PIXELS", 100_000)
    assert metrics.lightness_ssim(picture, noisy) == pytest.approx(whole, abs=0.1)
    assert metrics.lightness_ssim(picture[:6], noisy[:6]) is None


def test_the_target_is_compared_pixel_by_pixel():
    source, target = data.astronaut()[::8, ::8], data.coffee()[::8, ::8]
    palette = extract(target)
    scores = metrics.measure(source, source, palette, target)
    one, two = count_colors(source), count_colors(target)
    expected = ot.sliced_wasserstein_distance(
        rgb2lab(one.colors / 255),
        rgb2lab(two.colors / 255),
        one.counts / one.counts.sum(),
        two.counts / two.counts.sum(),
        n_projections=300,
        seed=0,
        p=1,
    )
    assert scores["sliced_wasserstein_target"] == pytest.approx(expected, rel=0.05)


def test_sizes_must_match():
    with pytest.raises(ValueError, match=r"\(10, 10, 3\) and output \(10, 9, 3\)"):
        metrics.measure(stripes(5, 3, 2), stripes(5, 3, 1), PALETTE)


def test_grain_counts_alike_neighbours_that_are_torn_apart():
    source = np.full((20, 30, 3), 100, np.uint8)
    source[:, 1::2] += 6  # columns that differ by some 2 in lightness; below each other all is equal
    assert metrics.grain(source, source) == {"grain": 0.0, "amplification": pytest.approx(1)}
    output = source.copy()
    output[:, 15::2] = 255  # half of the columns: 14 of 29 steps stay, 15 are torn
    torn = metrics.grain(source, output)
    assert torn["grain"] == pytest.approx(15 / 29)
    grey, other, white = encode(np.array([[100] * 3, [106] * 3, [255] * 3], np.uint8), "lab")[:, 0]
    ratio = (white - grey) / (other - grey)
    assert torn["amplification"] == pytest.approx((14 + 15 * ratio) / 29, rel=1e-4)
    assert metrics.grain(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8))["grain"] == 0
