"""Tests of `color.transfer`; LUT, file and picture agree."""

import numpy as np
import pytest

from vision_core import color
from vision_core.color import compare, lut, lut_files
from vision_core.color.palette import count_colors
from vision_core.files import bundled
from vision_core.pictures import images
from vision_core.weights import find

EXAMPLES = bundled("assets") / "color"
QUICK = color.Settings(epochs=40, layers=2, hidden=32, batch=128, precision="float32")


@pytest.fixture(scope="module")
def shipped() -> color.ColorMap:
    return color.load(find("color"))


@pytest.fixture(scope="module")
def result(shipped) -> color.Transfer:
    return color.transfer(EXAMPLES / "astronaut.jpg", EXAMPLES / "coffee.jpg", model=shipped)


def test_the_shipped_map_keeps_what_is_promised(result):
    source = images.read(EXAMPLES / "astronaut.jpg").rgb
    from vision_core.color.baselines import nearest_color
    from vision_core.color.metrics import measure

    plain = measure(source, nearest_color(source, result.palette), result.palette)
    assert result.metrics["total_variation"] <= 0.10
    assert result.metrics["missing"] == []
    assert result.metrics["sliced_wasserstein"] < plain["sliced_wasserstein"]
    assert result.metrics["ssim"] >= plain["ssim"]


def test_picture_lut_and_cube_file_agree(result, shipped, tmp_path):
    source = images.read(EXAMPLES / "astronaut.jpg").rgb
    lut_files.write(tmp_path / "map.cube", result.lut)
    again = lut.apply(lut_files.read(tmp_path / "map.cube"), source)
    assert np.abs(again.astype(int) - result.picture.rgb).max() <= 1
    network = shipped.recolor_colors(source.reshape(-1, 3)).reshape(source.shape)
    gap = np.abs(network.astype(int) - result.picture.rgb).max(axis=2)
    assert np.percentile(gap, 99) <= 2


def test_strength_zero_changes_nothing(shipped):
    result = color.transfer(
        EXAMPLES / "cat.jpg", EXAMPLES / "coffee.jpg", model=shipped, strength=0, lightness_strength=0
    )
    source = images.read(EXAMPLES / "cat.jpg").rgb
    assert np.abs(result.picture.rgb.astype(int) - source).max() <= 1


def test_colours_never_seen_are_told(shipped):
    known, unknown = (images.read(EXAMPLES / f"{name}.jpg") for name in ("astronaut", "flower"))
    assert shipped.warnings(known) == ()
    assert shipped.unseen(count_colors(known.rgb)) == 0
    (sentence,) = shipped.warnings(unknown)
    assert "not trained on" in sentence


def test_training_to_a_palette_and_reusing_the_file(tmp_path):
    rgb = images.read(EXAMPLES / "cat.jpg").rgb[::8, ::8]
    expected = color.Palette(np.array([[250, 240, 220], [30, 40, 60]], np.uint8), np.array([0.5, 0.5]))
    first = color.transfer(images.Picture(rgb), expected, settings=QUICK, save_to=tmp_path / "m.pth")
    again = color.transfer(images.Picture(rgb), expected, model=tmp_path / "m.pth")
    assert np.array_equal(first.picture.rgb, again.picture.rgb)
    assert np.array_equal(first.low_poly, again.low_poly)
    assert first.low_poly.shape == rgb.shape


def test_alpha_survives(shipped):
    rgb = images.read(EXAMPLES / "cat.jpg").rgb[:40, :50]
    alpha = np.arange(2000, dtype=np.uint8).reshape(40, 50)
    result = color.transfer(images.Picture(rgb, alpha=alpha), EXAMPLES / "coffee.jpg", model=shipped)
    assert result.picture.alpha is alpha


def test_the_comparison_measures_every_method(shipped):
    source = images.read(EXAMPLES / "astronaut.jpg").rgb[::4, ::4]
    target = images.read(EXAMPLES / "coffee.jpg").rgb[::4, ::4]
    entries = compare.compare(source, shipped.palette, shipped, target)
    assert [entry.name for entry in entries] == [
        "Trained map",
        "Nearest colour",
        "Reinhard",
        "Monge-Kantorovich",
        "Histogram matching",
        "Optimal transport",
    ]
    rows = compare.table(entries)
    assert rows[1]["delta_e"] == 0  # nearest colour gives palette colours only
    assert rows[0]["total_variation"] < min(row["total_variation"] for row in rows[1:5])
    sheet = compare.grid({entry.name: entry.image for entry in entries}, columns=3, width=100)
    assert sheet.shape[1] == 3 * 112 + 12
