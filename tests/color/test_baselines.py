"""Tests that classic methods reach the statistics that define them."""

import numpy as np
import ot
import pytest
from skimage import data

from vision_core.color import baselines
from vision_core.color.palette import Palette
from vision_core.color.spaces import decode, encode

ALL = [baselines.reinhard, baselines.mkl, baselines.histogram_matching, baselines.optimal_transport]


def muted(center: tuple[float, float, float], seed: int, size: int = 60) -> np.ndarray:
    """A picture whose Lab colours are normal around `center` and stay well inside the gamut."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(3, 3)) * 3
    return decode((np.array(center) + rng.normal(size=(size * size, 3)) @ mix).reshape(size, size, 3), "lab")


def lab(rgb: np.ndarray) -> np.ndarray:
    return encode(rgb.reshape(-1, 3), "lab").astype(np.float64)


SOURCE, TARGET = muted((60, 5, -5), 0), muted((50, -5, 10), 1)


def test_reinhard_reaches_mean_and_deviation():
    result = lab(baselines.reinhard(SOURCE, TARGET))
    assert np.abs(result.mean(0) - lab(TARGET).mean(0)).max() < 0.1
    assert np.abs(result.std(0) - lab(TARGET).std(0)).max() < 0.1


def test_mkl_reaches_mean_and_covariance():
    result = lab(baselines.mkl(SOURCE, TARGET))
    assert np.abs(result.mean(0) - lab(TARGET).mean(0)).max() < 0.1
    assert np.abs(np.cov(result.T) - np.cov(lab(TARGET).T)).max() < 0.03 * np.cov(lab(TARGET).T).max()


def test_mkl_is_pots_map_between_normal_distributions():
    matrix, shift = ot.gaussian.empirical_bures_wasserstein_mapping(lab(SOURCE), lab(TARGET), reg=1e-6)
    expected = decode(lab(SOURCE) @ matrix + shift, "lab").reshape(SOURCE.shape)
    assert np.abs(baselines.mkl(SOURCE, TARGET).astype(int) - expected).max() <= 1


def test_histogram_matching_reaches_every_quantile():
    result, quantiles = baselines.histogram_matching(SOURCE, TARGET), np.linspace(0.05, 0.95, 19)
    for channel in range(3):
        ours, theirs = (np.quantile(x[..., channel], quantiles) for x in (result, TARGET))
        assert np.abs(ours - theirs).max() <= 1


def test_optimal_transport_reaches_the_distribution():
    result = lab(baselines.optimal_transport(SOURCE, TARGET))
    before = ot.sliced_wasserstein_distance(lab(SOURCE), lab(TARGET), seed=0)
    after = ot.sliced_wasserstein_distance(result, lab(TARGET), seed=0)
    assert after < 0.05 * before


def test_optimal_transport_is_reproducible_and_seeded(monkeypatch):
    monkeypatch.setattr(baselines, "SAMPLE", 200)
    source, target = data.astronaut()[::8, ::8], data.coffee()[::8, ::8]
    first = baselines.optimal_transport(source, target)
    assert np.array_equal(first, baselines.optimal_transport(source, target))
    assert not np.array_equal(first, baselines.optimal_transport(source, target, seed=1))


def test_nearest_color_is_brute_force():
    source = data.astronaut()[::8, ::8]
    palette = Palette(source[[3, 9, 40], [7, 30, 20]], np.full(3, 1 / 3))
    distances = np.linalg.norm(lab(source)[:, None] - encode(palette.colors, "lab"), axis=2)
    expected = palette.colors[distances.argmin(1)].reshape(source.shape)
    assert np.array_equal(baselines.nearest_color(source, palette), expected)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    "source",
    [np.full((5, 4, 3), 90, np.uint8), np.zeros((1, 1, 3), np.uint8), data.astronaut()[:3, :50]],
    ids=["flat", "pixel", "strip"],
)
@pytest.mark.parametrize(
    "target", [np.full((3, 3, 3), 200, np.uint8), data.coffee()[:20, :30]], ids=["flat", "photo"]
)
def test_flat_and_small_pictures_work(method, source, target):
    result = method(source, target)
    assert result.dtype == np.uint8
    assert result.shape == source.shape
    if (target == 200).all():
        assert np.abs(result.astype(int) - 200).max() <= 1


@pytest.mark.parametrize("method", ALL)
def test_a_picture_moved_to_itself_stays(method):
    picture = data.astronaut()[::8, ::8]
    assert np.abs(method(picture, picture).astype(int) - picture).max() <= 1


def test_a_sky_keeps_its_colours_and_takes_on_some_of_the_lightness_of_the_old_one():
    sky, dark, sand = muted((80, -5, -20), 0), muted((40, 0, -10), 1), muted((60, 10, 30), 2)
    picture, place = np.concatenate([dark, sand]), np.zeros((120, 60), bool)
    place[:60] = True
    before, after = (
        encode(p, "lab").mean((0, 1)) for p in (sky, baselines.surroundings(sky, picture, place))
    )
    assert abs(after[1:] - before[1:]).max() < 1 and before[0] - 13 < after[0] < before[0] - 8
    inner = np.zeros((120, 60), bool)
    inner[40:80, 20:40] = True  # a thing among others takes on their colours
    thing = encode(baselines.surroundings(sky, picture, inner), "lab").mean((0, 1))
    assert thing[2] > before[2] + 5
