"""Tests of low poly: labels, mean colours, no gaps, valid SVG."""

from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import minimum_filter
from scipy.spatial import Delaunay
from skimage import data

from vision_core.color import lowpoly
from vision_core.color.palette_files import to_hex

SIZES = [(1, 1), (1, 50), (40, 1), (3, 200), (97, 64)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mesh_of(*points: tuple[float, float], size: tuple[int, int]) -> lowpoly.Mesh:
    array = np.array(points, float)
    return lowpoly.Mesh(array, Delaunay(array).simplices, size)


@pytest.mark.parametrize("scatter", [False, True])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pixel_lies_in_its_triangle(height, width, scatter):
    mesh = lowpoly.triangulate(noise(height, width), threshold=10, density=3, scatter=scatter)
    assert mesh.labels.shape == (height, width)
    y, x = np.mgrid[:height, :width] + 0.5
    a, b, c = np.moveaxis(mesh.points[mesh.triangles[mesh.labels]], 2, 0)  # each (H, W, 2)
    pixel = np.stack([x, y], -1)

    def side(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        u, v = end - start, pixel - start
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    sides = np.stack([side(a, b), side(b, c), side(c, a)])
    assert ((sides >= -1e-9).all(0) | (sides <= 1e-9).all(0)).all()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_triangles_tile_the_canvas(height, width):
    mesh = lowpoly.triangulate(noise(height, width), threshold=10, density=3)
    a, b, c = np.moveaxis(mesh.points[mesh.triangles], 1, 0)
    areas = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert areas.sum() == pytest.approx(height * width)


def test_colours_are_means_and_never_one_pixel():
    rgb = data.astronaut()[:128, :160]
    mesh = lowpoly.triangulate(rgb, threshold=20, density=10)
    colors = lowpoly.triangle_colors(mesh, rgb)
    held = np.unique(mesh.labels)
    assert len(held) > 300
    for triangle in held:
        assert np.abs(rgb[mesh.labels == triangle].mean(0) - colors[triangle]).max() <= 0.5 + 1e-9


def test_a_triangle_without_pixels_takes_the_pixel_under_it():
    sliver = [(2.6, 2.6), (2.9, 2.6), (2.75, 2.9)]
    mesh = mesh_of((0, 0), (5, 0), (0, 5), (5, 5), *sliver, size=(5, 5))
    empty = np.setdiff1d(np.arange(len(mesh.triangles)), mesh.labels)
    assert len(empty) >= 1
    rgb = noise(5, 5)
    colors = lowpoly.triangle_colors(mesh, rgb)
    centers = np.floor(mesh.points[mesh.triangles[empty]].mean(1)).astype(int)
    assert np.array_equal(colors[empty], rgb[centers[:, 1], centers[:, 0]])


@pytest.mark.parametrize("smooth_pixels", [0, 10**7])
def test_png_has_no_gaps(monkeypatch, smooth_pixels):
    monkeypatch.setattr(lowpoly, "SMOOTH_PIXELS", smooth_pixels)
    rgb = data.astronaut()[::2, ::3]
    mesh = lowpoly.triangulate(rgb, threshold=20, density=5)
    white = np.full((len(mesh.triangles), 3), 255, np.uint8)
    assert (lowpoly.render_png(mesh, white) == 255).all()
    colors = lowpoly.triangle_colors(mesh, rgb)
    flat = lowpoly.render_png(mesh, colors)
    same = (flat == colors[mesh.labels]).all(-1).mean()
    assert same == 1 if smooth_pixels == 0 else 0.5 < same < 1


def test_smooth_edges_lie_between_the_colours():
    mesh = mesh_of((0, 0), (20, 0), (0, 20), (20, 20), size=(20, 20))
    colors = np.array([(0, 0, 0), (200, 200, 200)], np.uint8)
    picture = lowpoly.render_png(mesh, colors)
    border = picture[(picture > 0) & (picture < 200)]
    assert border.size / 3 == 20  # on the diagonal only
    assert picture.mean() == pytest.approx(100, abs=6)


def test_svg_has_every_triangle_with_a_stroke_of_its_fill():
    rgb = data.astronaut()[:100, :120]
    mesh = lowpoly.triangulate(rgb, threshold=20, density=10)
    colors = lowpoly.triangle_colors(mesh, rgb)
    root = ElementTree.fromstring(lowpoly.render_svg(mesh, colors))
    assert root.attrib == {"width": "120", "height": "100", "viewBox": "0 0 120 100"}
    ground, group = root
    assert ground.get("fill") == to_hex(np.rint(colors.mean(0)).astype(np.uint8)[None])[0]
    assert group.attrib == {"stroke-linejoin": "round"}
    assert [path.get("fill") for path in group] == to_hex(colors) == [path.get("stroke") for path in group]
    numbers = [path.get("d").translate(str.maketrans("MLz", "   ")).split() for path in group]
    corners = np.array(numbers, float).reshape(-1, 3, 2)
    assert np.abs(corners - mesh.points[mesh.triangles]).max() < 1e-3


@pytest.mark.browser
def test_svg_has_no_hairlines_in_a_browser(browser):
    rgb = data.astronaut()[::2, ::2]
    mesh = lowpoly.triangulate(rgb, threshold=20, density=60)
    page = browser.new_page(viewport={"width": 256, "height": 256})

    def drawn(colors: np.ndarray) -> np.ndarray:
        svg = lowpoly.render_svg(mesh, colors)
        page.set_content(f'<body style="margin:0;background:#f0f;line-height:0">{svg}</body>')
        return np.asarray(Image.open(BytesIO(page.screenshot())).convert("RGB")).astype(int)

    right = mesh.points[mesh.triangles, 0].mean(1) > 128
    white = minimum_filter(right[mesh.labels], 5)  # white triangles on all sides, grey ground below
    halves = np.where(right[:, None], 255, 0).repeat(3, 1).astype(np.uint8)
    assert drawn(halves)[white].min() > 255 - 16  # 45 without the stroke
    colors = lowpoly.triangle_colors(mesh, rgb)
    assert np.abs(drawn(colors) - lowpoly.render_png(mesh, colors)).mean() < 5
    page.close()


def test_points_follow_the_edges():
    rgb = np.zeros((60, 200, 3), np.uint8)
    rgb[:, 150:] = 255
    bare = lowpoly.triangulate(rgb, threshold=255)
    mesh = lowpoly.triangulate(rgb, threshold=50, density=4)
    added = mesh.points[~(mesh.points[:, None] == bare.points).all(-1).any(1)]
    assert 40 <= len(added) <= 80
    assert np.abs(added[:, 0] - 150).max() <= 3
    scattered = lowpoly.triangulate(rgb, threshold=50, density=4, scatter=True)
    assert len(scattered.points) == len(mesh.points)
    assert np.ptp(scattered.points[:, 0]) == 200
    assert (np.abs(scattered.points[:, 0] - 150) > 20).sum() > len(bare.points)


def test_seed_threshold_and_density():
    rgb = data.astronaut()[::2, ::2]
    mesh = lowpoly.triangulate(rgb)
    assert np.array_equal(lowpoly.triangulate(rgb).points, mesh.points)
    assert not np.array_equal(lowpoly.triangulate(rgb, seed=1).points, mesh.points)
    counts = [len(lowpoly.triangulate(rgb, threshold=t).points) for t in (0, 30, 100, 255)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 2 * counts[3]
    grid = counts[3]
    half, full = (len(lowpoly.triangulate(rgb, density=d).points) - grid for d in (20, 10))
    assert half == pytest.approx(full / 2, rel=0.02)


def test_a_flat_picture_is_a_grid_of_its_colour():
    rgb = np.full((90, 160, 3), (10, 200, 30), np.uint8)
    mesh = lowpoly.triangulate(rgb)
    colors = lowpoly.triangle_colors(mesh, rgb)
    assert (colors == (10, 200, 30)).all()
    assert np.array_equal(lowpoly.render_png(mesh, colors), rgb)


def test_the_style_does_not_change_with_the_size(monkeypatch):
    photo = Image.fromarray(data.astronaut())
    monkeypatch.setattr(lowpoly, "EDGE_PIXELS", 512 * 512)
    small = lowpoly.triangulate(np.asarray(photo), threshold=30, density=20)
    large = lowpoly.triangulate(np.asarray(photo.resize((1536, 1537))), threshold=30, density=20)
    assert len(large.triangles) == pytest.approx(len(small.triangles), rel=0.3)
    assert large.points.max(0).tolist() == [1536, 1537]


def test_points_are_bounded(monkeypatch):
    monkeypatch.setattr(lowpoly, "MAX_POINTS", 500)
    mesh = lowpoly.triangulate(noise(100, 100), threshold=0, density=1)
    assert 500 < len(mesh.points) < 600


def test_wireframe_draws_each_side_once():
    mesh = mesh_of((0, 0), (20, 0), (0, 20), (20, 20), size=(20, 20))
    assert len(lowpoly.edges(mesh)) == 5
    picture = lowpoly.wireframe(mesh, line="#000000")
    assert picture.shape == (20, 20, 3)
    assert (picture[[0, -1]] < 255).all()
    inside = picture[2:-2, 2:-2]
    assert 0.02 < (inside < 255).mean() < 0.3
    svg = lowpoly.wireframe_svg(mesh)
    assert svg.count("M") == svg.count("L") == 5 and 'viewBox="0 0 20 20"' in svg


def test_bad_input_is_named():
    rgb = noise(5, 6)
    mesh = lowpoly.triangulate(rgb)
    for threshold, density in ((-1, 60), (256, 60), (50, 0.5), (float("nan"), 60), (50, float("nan"))):
        with pytest.raises(ValueError, match="expected 0 to 255 and at least 1"):
            lowpoly.triangulate(rgb, threshold, density)
    with pytest.raises(ValueError, match="float64"):
        lowpoly.triangulate(rgb / 255)
    with pytest.raises(ValueError, match=r"expects uint8 \(5, 6, 3\)"):
        lowpoly.triangle_colors(mesh, noise(6, 5))
    for render in (lowpoly.render_png, lowpoly.render_svg):
        with pytest.raises(ValueError, match=r"\(1, 3\), expected uint8"):
            render(mesh, np.zeros((1, 3), np.uint8))
