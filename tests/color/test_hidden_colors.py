"""Tests that colours of transparent pixels influence no result."""

import numpy as np
import pytest
from command_line import run
from PIL import Image

from vision_core.color import lowpoly
from vision_core.color.palette import count_picture
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.weights import find

MAGENTA, GREEN = (255, 0, 255), (0, 255, 0)
MODEL = str(find("color"))


def cutout(hidden: tuple[int, int, int]) -> Picture:
    """A coloured disc on nothing; a soft rim; `hidden` is what is stored where nothing is seen."""
    y, x = np.mgrid[:90, :120]
    rgb = np.stack([60 + x, 200 - y, 40 + (x * 3 + y * 5) % 90], 2).astype(np.uint8)
    alpha = ((38 - np.hypot(y - 45, x - 60)) * 40).clip(0, 255).astype(np.uint8)
    rgb[alpha == 0] = hidden
    return Picture(rgb, alpha)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, hidden in (("a", MAGENTA), ("b", GREEN)):
        images.save(cutout(hidden), f"{name}.png")
    return tmp_path


def test_the_nearest_visible_colour_stands_in():
    picture = cutout(MAGENTA)
    alpha = picture.alpha
    assert alpha is not None
    shown, y, x = alpha > 0, *np.nonzero(alpha == 0)
    assert np.array_equal(picture.seen[shown], picture.rgb[shown])
    ys, xs = np.nonzero(shown)
    for at in range(0, len(y), 997):  # by looking at all of them
        away = np.hypot(ys - y[at], xs - x[at])
        candidates = picture.rgb[ys[away <= away.min() + 0.5], xs[away <= away.min() + 0.5]]
        assert (candidates == picture.seen[y[at], x[at]]).all(1).any()
    nothing = Picture(picture.rgb, np.zeros_like(alpha))
    assert (nothing.seen == 255).all() and (nothing.on_white().rgb == 255).all()
    opaque = Picture(picture.rgb)
    assert opaque.seen is opaque.rgb and opaque.on_white() is opaque


def test_counted_colours_and_pairs_of_a_training():
    a, b = (count_picture(cutout(hidden)) for hidden in (MAGENTA, GREEN))
    assert np.array_equal(a.colors, b.colors) and np.array_equal(a.pairs, b.pairs)


@pytest.mark.parametrize(
    "words",
    [
        ("color", "lowpoly", "{}.png", "--out", "{}-out.png"),
        ("color", "lowpoly", "{}.png", "--out", "{}-out.svg"),
        ("color", "lowpoly", "{}.png", "--out", "{}-out.png", "--wireframe"),
        ("color", "compare", "{}.png", "{}.png", "--model", MODEL, "--out", "{}-out.png"),
        ("color", "apply", "{}.png", "--model", MODEL, "--out", "{}-out.jpg"),
        ("edit", "task", "extend", "{}.png", "--left", 9, "--top", 12, "--out", "{}-out.png"),
        ("edit", "task", "complete", "{}.png", "--out", "{}-out.png"),
        (
            "edit",
            "task",
            "background",
            "{}.png",
            "--mask",
            "circle",
            "--material",
            "blur",
            "--out",
            "{}-out.png",
        ),
        (
            "edit",
            "task",
            "replace",
            "{}.png",
            "--mask",
            "center",
            "--material",
            "{}.png",
            "--out",
            "{}-out.png",
        ),
    ],
    ids=lambda words: " ".join(map(str, words[:3])),
)
def test_no_result_shows_or_follows_them(folder, words):
    for name in ("a", "b"):
        run(*(str(word).format(name) for word in words))
    out = [path for path in sorted(folder.glob("*-out.*")) if path.suffix != ".json"]
    if out[0].suffix == ".svg":
        assert out[0].read_bytes() == out[1].read_bytes()
        return
    a, b = (images.read(path) for path in out)
    assert np.array_equal(a.seen, b.seen) and np.array_equal(a.on_white().rgb, b.on_white().rgb)
    assert a.alpha is None or np.array_equal(a.alpha, b.alpha)


def test_low_poly_of_a_cutout_is_a_cutout():
    picture = cutout(MAGENTA)
    alpha = picture.alpha
    assert alpha is not None
    mesh = lowpoly.triangulate(picture.seen, density=10, alpha=alpha)
    pixels = lowpoly.draw(mesh, lowpoly.triangle_colors(mesh, picture.seen), alpha)
    assert pixels.alpha is not None
    assert np.abs(pixels.alpha.astype(int) - alpha).mean() < 40  # triangles do not follow a disc exactly
    assert pixels.alpha[45, 60] == 255 and pixels.alpha[2, 2] == 0
    svg = lowpoly.render_svg(mesh, lowpoly.triangle_colors(mesh, picture.seen), alpha)
    assert "<rect" not in svg and svg.count("<path") < len(mesh.triangles) and "opacity" in svg


def test_a_jpeg_of_a_cutout_is_laid_on_white_and_says_so(folder):
    output = run("color", "apply", "a.png", "--model", MODEL, "--out", "white.jpg")
    assert any("laid on white" in note for note in output["written"]["white.jpg"])
    assert np.asarray(Image.open("white.jpg"))[0, 0].min() > 250
    output = run("color", "apply", "a.png", "--model", MODEL, "--out", "clear.webp")
    assert not any("white" in note for note in output["written"]["clear.webp"])
    alpha = images.read("clear.webp").alpha
    assert np.array_equal(alpha, cutout(MAGENTA).alpha)
