"""Palettes: exact counts, true shares, determinism, editing."""

import numpy as np
import pytest
from skimage import data

from vision_core.color.palette import (
    CountedColors,
    Palette,
    assign,
    cluster,
    count_colors,
    drop,
    extract,
    nearest,
    neighbours,
    replace,
    shares,
)
from vision_core.color.spaces import encode

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def flag(*stripes: tuple[tuple[int, int, int], int]) -> np.ndarray:
    """A picture of flat stripes, each of a colour and a width."""
    return np.concatenate([np.full((10, width, 3), color, np.uint8) for color, width in stripes], 1)


def test_counts_are_those_of_a_dictionary():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (60, 70, 3), dtype=np.uint8) & 0b11110011
    rgb[:20] = rng.integers(0, 20, (20, 70, 3))
    counted = count_colors(rgb)
    bins: dict[tuple[int, ...], list[np.ndarray]] = {}

    def label(color: np.ndarray) -> tuple[int, ...]:
        return (-1, *color) if color.max() < 16 else tuple(color >> 2)

    for color in rgb.reshape(-1, 3):
        bins.setdefault(label(color), []).append(color)
    assert len(counted.counts) == len(bins)
    for color, count in zip(counted.colors, counted.counts, strict=True):
        members = bins[label(color)]
        assert count == len(members)
        assert np.abs(color - np.mean(members, 0)).max() <= 0.5


def test_a_large_picture_is_counted_whole():
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 4, (1500, 1001, 3), dtype=np.uint8) * 85
    rgb[700, 500] = (10, 20, 30)  # one pixel, between those that the colours are averaged over
    counted = count_colors(rgb, bits=7)
    codes, counts = np.unique(rgb.astype(int) @ (1 << 16, 1 << 8, 1), return_counts=True)
    order = np.lexsort(counted.colors.T[::-1])
    assert np.array_equal(counted.counts[order], counts)
    expected = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)
    assert np.abs(counted.colors[order].astype(int) - expected).max() <= 1


def test_views_and_shapes_do_not_matter():
    rgb = data.coffee()
    counted = count_colors(rgb[:, ::-1])
    assert np.array_equal(counted.counts, count_colors(rgb.reshape(-1, 1, 3)).counts)
    assert counted.counts.sum() == rgb.shape[0] * rgb.shape[1]


@pytest.mark.parametrize("space", ["oklab", "lab"])
def test_flat_colours_are_found_exactly_with_their_shares(space):
    palette = extract(flag((RED, 5), (WHITE, 2), (BLUE, 3)), space=space)
    assert [tuple(color) for color in palette.colors] == [WHITE, RED, BLUE]
    assert palette.shares == pytest.approx([0.2, 0.5, 0.3])


def test_one_colour_and_one_pixel_work():
    for size in ((1, 1), (1, 20000), (40, 30)):
        palette = extract(np.full((*size, 3), (12, 34, 56), np.uint8))
        assert palette.colors.tolist() == [[12, 34, 56]]
        assert palette.shares.tolist() == [1.0]


@pytest.mark.parametrize("space", ["oklab", "lab"])
def test_a_photograph(space):
    rgb = data.astronaut()
    palette = extract(rgb, space=space)
    again = extract(rgb.copy(), space=space)
    assert np.array_equal(palette.colors, again.colors)
    assert np.array_equal(palette.shares, again.shares)
    assert palette.colors.shape == (10, 3)
    assert (np.diff(encode(palette.colors, "oklab")[:, 0]) <= 0).all()

    points = encode(rgb.reshape(-1, 3), space)
    distances = np.linalg.norm(points[:, None] - encode(palette.colors, space), axis=2)
    exact = np.bincount(distances.argmin(1), minlength=10) / len(points)
    assert palette.shares == pytest.approx(exact, abs=0.004)


def test_the_main_colour_is_chosen_and_the_rest_is_far_from_it():
    rng = np.random.default_rng(0)
    cloud = rng.integers(60, 70, (100, 90, 3), dtype=np.uint8)
    rgb = np.concatenate([cloud, flag((WHITE, 1), (RED, 1), (GREEN, 1)).repeat(10, 0)], 1)
    palette = extract(rgb, colors=4)
    result = {tuple(color) for color in palette.colors}
    assert {WHITE, RED, GREEN} <= result
    assert palette.shares.max() > 0.9


def test_locked_colours_stay_and_count_among_the_rest():
    locked = np.array([(1, 2, 3), (200, 100, 50)], np.uint8)
    palette = extract(data.astronaut(), colors=6, keep=locked)
    colors = [tuple(color) for color in palette.colors]
    assert len(colors) == 6
    assert {(1, 2, 3), (200, 100, 50)} <= set(colors)
    assert palette.shares.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="1 colours with 2 locked"):
        extract(data.astronaut(), colors=1, keep=locked)


def test_drop_gives_its_pixels_to_the_next_colour():
    counted = count_colors(flag((WHITE, 6), ((250, 250, 250), 1), (BLUE, 3)))
    palette = extract(counted)
    assert drop(palette, 1, counted).shares == pytest.approx([0.7, 0.3])
    assert drop(palette, 1).shares == pytest.approx([6 / 9, 3 / 9])
    with pytest.raises(ValueError, match="no number 3"):
        drop(palette, 3)
    with pytest.raises(ValueError, match="only colour"):
        drop(drop(drop(palette, 0), 0), 0)


def test_replace_keeps_the_share_or_counts_anew():
    counted = count_colors(flag((WHITE, 6), (BLUE, 4)))
    palette = extract(counted)
    red = replace(palette, 1, RED)
    assert red.colors.tolist() == [list(WHITE), list(RED)]
    assert red.shares == pytest.approx([0.6, 0.4])
    assert palette.colors.tolist() == [list(WHITE), list(BLUE)]  # the argument is left as it was
    counted = count_colors(flag((GREEN, 6), (RED, 4)))  # in CIELAB green is nearer to red than to blue
    assert replace(extract(counted), 0, BLUE, counted).shares == pytest.approx([0, 1])
    with pytest.raises(ValueError, match="256"):
        replace(palette, 0, (0, 0, 256))


def test_nearest_is_brute_force():
    rng = np.random.default_rng(3)
    colors = rng.integers(0, 256, (200, 3), dtype=np.uint8)
    palette = Palette(colors[:7], np.full(7, 1 / 7))
    for space in ("oklab", "lab"):
        distances = np.linalg.norm(encode(colors, space)[:, None] - encode(colors[:7], space), axis=2)
        assert np.array_equal(assign(colors, colors[:7], space), distances.argmin(1))
        assert np.array_equal(nearest(colors, palette, space), colors[distances.argmin(1)])
    assert np.array_equal(nearest(colors[:7], palette), colors[:7])


def test_shares_weigh_by_count():
    counted = CountedColors(np.array([RED, BLUE], np.uint8), np.array([1, 3]))
    assert shares(np.array([BLUE, GREEN, RED], np.uint8), counted).tolist() == [0.75, 0, 0.25]


@pytest.mark.parametrize(
    ("colors", "weights", "message"),
    [
        (np.zeros((0, 3), np.uint8), np.zeros(0), "K >= 1"),
        (np.zeros((2, 3)), np.full(2, 0.5), "float64"),
        (np.zeros((2, 3), np.uint8), np.ones(1), "1 shares for 2"),
        (np.zeros((2, 3), np.uint8), np.ones(2), "sum to 1"),
        (np.zeros((2, 3), np.uint8), np.array([1.5, -0.5]), "0 or more"),
        (np.zeros((2, 3), np.uint8), np.array([np.nan, 1]), "nan"),
    ],
)
def test_a_wrong_palette_is_refused(colors, weights, message):
    with pytest.raises(ValueError, match=message):
        Palette(colors, weights)


def test_wrong_pictures_and_settings_are_refused():
    with pytest.raises(ValueError, match=r"float64 \(4, 4, 3\)"):
        extract(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"\(0, 4, 3\)"):
        count_colors(np.zeros((0, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="bits is 8"):
        count_colors(np.zeros((4, 4, 3), np.uint8), bits=8)
    with pytest.raises(ValueError, match="25 clusters and 0 colours"):
        extract(np.zeros((4, 4, 3), np.uint8), colors=0)


def test_clusters_are_as_tight_as_those_of_scikit_learn():
    from sklearn.cluster import KMeans

    counted = count_colors(data.coffee())
    points = encode(counted.colors, "lab").astype(np.float64)

    def spread(centres: np.ndarray) -> float:
        nearest_square = ((points[:, None] - centres) ** 2).sum(2).min(1)
        return (counted.counts @ nearest_square) / counted.counts.sum()

    other = KMeans(25, max_iter=50, random_state=0).fit(points, sample_weight=counted.counts)
    result = cluster(counted)
    assert spread(encode(result.colors, "lab")) < 1.06 * spread(other.cluster_centers_)
    assert result.shares.sum() == pytest.approx(1) and result.shares.min() > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (3, 4)])
def test_neighbours_are_all_pairs_once(shape):
    first, second = neighbours(shape, 100)
    row, column = np.indices(shape).reshape(2, -1)
    distance = abs(row[first] - row[second]) + abs(column[first] - column[second])
    assert (distance == 1).all()
    height, width = shape
    assert len({*zip(first, second, strict=True)}) == len(first) == 2 * height * width - height - width


def test_some_neighbours_of_a_large_picture_are_drawn():
    first, second = neighbours((700, 900), 5000)
    assert len(first) == 5000 and first.min() >= 0 and second.max() < 700 * 900
    assert set(np.unique(second - first)) == {1, 900}
