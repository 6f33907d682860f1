"""3D LUTs: interpolation against an independent oracle, strengths, splitting."""

import numpy as np
import pytest
from skimage import data

from vision_core.color import lut as luts
from vision_core.color.palette import count_colors
from vision_core.color.spaces import srgb_to_oklab


def sunset(colors: np.ndarray) -> np.ndarray:
    """A smooth map that treats the three channels differently and mixes them."""
    red, green, blue = colors.T
    return np.stack([red**0.8, 0.1 + 0.8 * green * (0.5 + red / 2), 0.9 * blue**1.5 * (1 - 0.4 * red)], 1)


def random_lut(size: int = 9) -> np.ndarray:
    return np.random.default_rng(0).random((size, size, size, 3), dtype=np.float32)


def test_identity_is_indexed_blue_green_red():
    lut = luts.identity(3)
    assert lut.dtype == np.float32
    assert lut[2, 1, 0].tolist() == [0, 0.5, 1]
    assert lut.reshape(-1, 3)[1].tolist() == [0.5, 0, 0]


@pytest.mark.parametrize("size", [2, 17, 33, 64, 65])
def test_identity_changes_no_picture(size):
    rgb = data.astronaut()[100:200]
    assert np.array_equal(luts.apply(luts.identity(size), rgb), rgb)


def test_bake_evaluates_the_function_at_every_node():
    lut = luts.bake(sunset, 41)  # more than one chunk
    for index in ((0, 0, 0), (40, 3, 17), (12, 40, 5)):
        expected = sunset(np.array([index[::-1]]) / 40)[0]
        assert lut[index] == pytest.approx(expected, abs=1e-6)
    assert luts.bake(lambda colors: colors * 3 - 1, 5).max() == 1


def walked(lut: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Tetrahedral interpolation, as one would explain it: from the cell's corner along the axes, the longest
    way first; each corner passed moves the colour by its share of the way.
    """
    at = color * (len(lut) - 1)
    corner = np.minimum(at.astype(int), len(lut) - 2)
    result = lut[tuple(corner[::-1])].astype(float)
    for axis in np.argsort(corner - at, kind="stable"):
        after = corner.copy()
        after[axis] += 1
        result += (at - np.minimum(at.astype(int), len(lut) - 2))[axis] * (
            lut[tuple(after[::-1])].astype(float) - lut[tuple(corner[::-1])]
        )
        corner = after
    return result


def test_sample_walks_along_the_tetrahedra():
    lut, colors = random_lut() * 3 - 1, np.random.default_rng(1).random((50, 3)).astype(np.float32)
    assert np.abs(luts.sample(lut, colors) - [walked(lut, color) for color in colors]).max() < 1e-5
    corners = luts.identity(9).reshape(-1, 3)
    assert np.abs(luts.sample(lut, corners) - lut.reshape(-1, 3)).max() < 1e-5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [2, 9, 65, 130])  # OpenColorIO ends at 129
def test_apply_agrees_with_sampling(size, dtype):
    white = np.iinfo(dtype).max
    rgb = (data.astronaut()[::8, ::8] / 255 * white).astype(dtype)
    grid = (random_lut(size) * 1.5 - 0.25).astype(np.float32)
    curves = np.linspace(-0.1, 1.2, 40, dtype=np.float32)[:, None] ** 2 * np.ones(3, np.float32)
    ends = np.array([-0.1, 0, 0.2], np.float32), np.array([1, 1.5, 0.9], np.float32)
    for lut in (grid, luts.Shaped(grid, curves, *ends)):
        exact = white * luts.sample(lut, rgb.reshape(-1, 3).astype(np.float32) / white).clip(0, 1)
        # a step of 1e-6 in the grid is one of 2e-4 in such a colour
        assert np.abs(luts.apply(lut, rgb) - exact.reshape(rgb.shape)).max() < 0.51 + white * 1e-6 * size


@pytest.mark.parametrize("size", [2, 17, 33, 64, 65])
def test_identity_keeps_every_level_of_sixteen_bits(size):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    rgb = np.stack([levels, levels[::-1], levels.T], 2)
    assert np.array_equal(luts.apply(luts.identity(size), rgb), rgb)


@pytest.mark.parametrize("size", [9, 130])
def test_splitting_does_not_change_the_result(size, monkeypatch):
    lut, rgb = random_lut(size), data.astronaut()[:101, 3:]
    whole = luts.apply(lut, rgb)
    for pixels in (1, 5000, 37 * rgb.shape[1]):
        monkeypatch.setattr(luts, "BAND", pixels)
        assert np.array_equal(luts.apply(lut, rgb), whole)
    assert np.array_equal(luts.apply(lut, rgb[::-1, ::-1]), whole[::-1, ::-1])
    assert np.array_equal(luts.apply(lut, rgb[:1, :1]), whole[:1, :1])


def test_strengths_at_their_ends():
    lut = luts.bake(sunset, 17)
    assert np.array_equal(luts.with_strength(lut), lut)
    assert np.abs(luts.with_strength(lut, 0, 0) - luts.identity(17)).max() < 1e-4
    assert np.abs(luts.with_strength(lut, 1 - 1e-9, 1) - lut).max() < 1e-4


def test_strengths_act_apart():
    lut, nodes = luts.bake(sunset, 17), srgb_to_oklab(luts.identity(17))
    full = srgb_to_oklab(lut)
    bright = nodes[..., 0] > 0.1  # OKLab's lightness is steep at black: a rounding there is large
    only_color = srgb_to_oklab(luts.with_strength(lut, 1, 0))
    assert np.abs(only_color - nodes)[bright, 0].max() < 1e-3
    only_light = srgb_to_oklab(luts.with_strength(lut, 0, 1))
    assert np.abs(only_light - full)[bright, 0].max() < 1e-3
    half = luts.with_strength(lut, 0.5, 0.5)
    inside = (half > 0.02).all(-1) & (half < 0.98).all(-1)
    assert inside.mean() > 0.5
    assert np.abs(srgb_to_oklab(half) - (nodes + full) / 2)[inside].max() < 1e-5


def test_gamut_clipping_keeps_the_hue():
    unclipped = srgb_to_oklab(luts.bake(sunset, 9))
    mixed = srgb_to_oklab(luts.with_strength(luts.bake(sunset, 9), 1, 0))
    bright = srgb_to_oklab(luts.identity(9))[..., 0] > 0.1
    (a, b), (wanted_a, wanted_b) = mixed[bright][:, 1:].T, unclipped[bright][:, 1:].T
    assert np.abs(a * wanted_b - b * wanted_a).max() < 1e-4  # parallel
    assert (a * wanted_a + b * wanted_b).min() > -1e-6  # and not turned around
    shorter = np.hypot(a, b) < np.hypot(wanted_a, wanted_b) - 0.01
    assert 0.05 < shorter.mean() < 0.9  # of some nodes the chroma had to go


def test_distance_is_zero_for_a_linear_map_and_grows_with_curvature():
    colors = data.astronaut()[::8, ::8].reshape(-1, 3)

    def linear(x: np.ndarray) -> np.ndarray:
        return 0.1 + 0.5 * x + 0.3 * x[:, [1, 2, 0]]

    def wavy(x: np.ndarray) -> np.ndarray:
        return 0.5 + 0.4 * np.sin(40 * x)

    assert luts.distance(luts.bake(linear, 5), linear, colors)["max"] < 0.001
    coarse, fine = (luts.distance(luts.bake(wavy, size), wavy, colors) for size in (17, 65))
    assert coarse["mean"] < coarse["p99"] <= coarse["max"]
    assert fine["p99"] < coarse["p99"] / 8
    off_by_two = luts.distance(luts.identity(5), lambda x: x * 0.9, np.array([[200, 0, 0]], np.uint8))
    assert off_by_two["max"] == pytest.approx(20, abs=0.01)


def test_what_is_not_a_lut_is_refused():
    rgb = np.zeros((4, 4, 3), np.uint8)
    broken = luts.identity(4)
    broken[0, 0, 0, 0] = np.nan
    for lut, message in (
        (np.zeros((3, 3, 3, 3)), "float64"),
        (np.zeros((3, 3, 4, 3), np.float32), r"\(3, 3, 4, 3\)"),
        (np.zeros((1, 1, 1, 3), np.float32), "2 to 256"),
        (broken, "not finite"),
        (luts.identity(4) * 200, "run from 0 to 200"),
    ):
        with pytest.raises(ValueError, match=message):
            luts.apply(lut, rgb)
    with pytest.raises(ValueError, match=r"float64 \(4, 4, 3\)"):
        luts.apply(luts.identity(4), rgb / 255)
    with pytest.raises(ValueError, match="257 nodes"):
        luts.identity(257)
    with pytest.raises(ValueError, match="not finite"):
        luts.bake(lambda colors: colors * np.nan, 3)
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            luts.with_strength(luts.identity(3), strength)


def test_the_strength_of_a_lut_that_overshoots_or_has_curves():
    """At full strength it is the LUT itself; a mix is of what it shows, not of its hidden nodes."""
    rgb = data.astronaut()[::4, ::4]
    over = (luts.identity(5) * 1.6 - 0.3).astype(np.float32)
    ends = np.full(3, -0.3, np.float32), np.full(3, 1.3, np.float32)
    shaped = luts.Shaped(luts.identity(3), np.array([[0] * 3, [1] * 3], np.float32), *ends)
    for lut in (over, shaped):
        assert luts.with_strength(lut, 1, 1) is lut
        full = luts.apply(lut, rgb).astype(int)
        assert np.abs(luts.apply(luts.with_strength(lut, 1 - 1e-9, 1), rgb) - full).max() <= 3
        assert np.abs(luts.apply(luts.with_strength(lut, 0, 0), rgb).astype(int) - rgb).max() <= 1


@pytest.mark.parametrize("size", [2, 17, 33, 64, 65])
def test_the_nodes_around_a_pictures_colours_are_all_it_needs(size):
    """Evaluated elsewhere too, the LUT makes the same picture."""
    rng = np.random.default_rng(size)
    picture = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    picture[0, :4] = [[0, 0, 0], [255, 255, 255], [255, 0, 128], [4, 8, 12]]

    def curve(rgb: np.ndarray) -> np.ndarray:
        return 1 - rgb**2

    part = luts.bake(curve, size, picture.reshape(-1, 3))
    assert np.array_equal(luts.apply(part, picture), luts.apply(luts.bake(curve, size), picture))
    counted = count_colors(picture).colors  # a bin of 4 levels lies inside one cell of 65 nodes
    if size == 65:
        assert np.array_equal(luts.bake(curve, size, counted), part)
        few = luts.bake(curve, size, picture[:1, :4].reshape(-1, 3))
        assert (few != luts.identity(size)).any(axis=-1).sum() <= 4 * 8
