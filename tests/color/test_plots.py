"""Tests of figures: correct numbers, small files, no network."""

import re

import numpy as np
import pytest
from skimage import data

from vision_core.color import lowpoly, plots, training_plots
from vision_core.color.palette import CountedColors, Palette, cluster, count_colors, extract, nearest
from vision_core.color.palette_files import to_hex
from vision_core.color.spaces import encode
from vision_core.events import Step
from vision_core.plots import save

PALETTE = Palette(
    np.array([(250, 240, 230), (200, 30, 20), (10, 20, 60)], np.uint8), np.array([0.5, 0.45, 0.05])
)
SPACES = ["rgb", "lab", "oklab"]


@pytest.fixture(scope="module")
def photo() -> CountedColors:
    return count_colors(data.astronaut())


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    losses = [{"total": 3.0 / (i + 1), "nearest": 1.0 / (i + 1), "entropy": 0.5} for i in range(1234)]
    return [Step(i + 1, 1234, terms, 0.0) for i, terms in enumerate(losses)]


@pytest.fixture(scope="module")
def figures(photo, steps) -> dict:
    """One of every view."""
    palette = extract(photo)
    mesh = lowpoly.triangulate(data.astronaut()[::4, ::4], 30, 20)
    views = training_plots.six(photo, palette, nearest(photo.colors, palette), steps, "lab")
    return views | {
        "clusters": plots.clusters(cluster(photo), palette),
        "bars": plots.palette_bars({"source": palette, "target": PALETTE}),
        "dual": plots.dual_palette(palette),
        "wheel": plots.color_wheel(palette),
        "wireframe": plots.wireframe(mesh),
    }


@pytest.mark.parametrize("space", SPACES)
def test_cloud_shows_colours_where_they_are(photo, space):
    few = CountedColors(photo.colors[:50], photo.counts[:50])
    (trace,) = plots.cloud(few, space).data
    shown = np.stack([trace.x, trace.y, trace.z], 1)
    expected = few.colors if space == "rgb" else encode(few.colors, space)[:, [1, 2, 0]]
    assert np.allclose(shown, expected, atol=1e-5)
    assert list(trace.marker.color) == to_hex(few.colors)
    with pytest.raises(ValueError, match="'hsv' is unknown"):
        plots.cloud(few, "hsv")


def test_cloud_is_bounded():
    colors = np.random.default_rng(0).integers(0, 256, (30_000, 3), dtype=np.uint8)
    (trace,) = plots.cloud(CountedColors(colors, np.ones(30_000, int))).data
    assert len(trace.x) == plots.POINTS
    assert len(set(trace.marker.color)) > 0.9 * plots.POINTS


def test_bars_are_as_wide_as_the_shares():
    fig = plots.palette_bars({"a <b>": PALETTE})
    assert [trace.x[0] for trace in fig.data] == PALETTE.shares.tolist()
    assert [trace.marker.color for trace in fig.data] == to_hex(PALETTE.colors)
    assert [bool(trace.text) for trace in fig.data] == [True, True, False]
    assert [trace.textfont.color for trace in fig.data] == ["#111111", "#ffffff", "#ffffff"]


def test_dual_palette_has_the_five_largest_with_shares_of_their_own():
    palette = extract(data.astronaut())
    fig = plots.dual_palette(palette)
    rows = {name: [t for t in fig.data if t.y[0] == name] for name in ("all 10", "top 5")}
    assert [t.marker.color for t in rows["all 10"]] == to_hex(palette.colors)
    largest = set(np.argsort(palette.shares)[-5:])
    assert {t.marker.color for t in rows["top 5"]} == {to_hex(palette.colors)[i] for i in largest}
    assert sum(t.x[0] for t in rows["top 5"]) == pytest.approx(1)


def test_color_wheel_is_the_plane_of_a_and_b():
    trace = plots.color_wheel(PALETTE).data[1]
    angle = np.radians(trace.theta)
    plane = np.stack([trace.r * np.cos(angle), trace.r * np.sin(angle)], 1)
    assert np.allclose(plane, encode(PALETTE.colors, "lab")[:, 1:], atol=1e-4)
    assert (np.diff(trace.marker.size) < 0).all()


def test_wireframe_has_every_side():
    mesh = lowpoly.triangulate(data.astronaut()[::4, ::4], 30, 20)
    (trace,) = plots.wireframe(mesh).data
    x, y = trace.x.reshape(-1, 3), trace.y.reshape(-1, 3)
    assert len(x) == len(lowpoly.edges(mesh))
    assert np.isnan(x[:, 2]).all()
    assert np.array_equal(np.stack([x[:, :2], y[:, :2]], 2), mesh.points[lowpoly.edges(mesh)])


def test_six_training_figures(figures, photo):
    names = ["source", "palette", "output", "total_loss", "losses", "mappings"]
    assert list(figures)[:6] == names
    assert all(figures[name].layout.title.text for name in names)
    assert [trace.name for trace in figures["output"].data] == ["picture", "palette"]


def test_terms_of_the_loss_are_means_without_the_total(steps):
    nearest_line, entropy = training_plots.component_losses(steps).data
    assert (nearest_line.name, entropy.name) == ("nearest", "entropy")
    assert nearest_line.y[-1] == pytest.approx(np.mean([s.losses["nearest"] for s in steps[1224:]]))
    assert nearest_line.x[-1] == 1234


def test_mappings_draw_arrows_from_old_to_new(photo):
    mapped = 255 - photo.colors
    fig = training_plots.mappings(photo, mapped, PALETTE, number=7)
    assert len(fig.layout.annotations) == 7
    start = np.array([(a.ax, a.ay) for a in fig.layout.annotations])
    end = np.array([(a.x, a.y) for a in fig.layout.annotations])
    plane, mapped_plane = (encode(colors, "lab")[:, 1:] for colors in (photo.colors, mapped))
    for a, b in zip(start, end, strict=True):
        index = np.abs(plane - a).sum(1).argmin()
        assert np.allclose(mapped_plane[index], b, atol=1e-4)


@pytest.mark.browser
def test_pages_open_on_a_telephone(tmp_path, figures, browser):
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request", lambda request: problems.append(request.url) if request.url.startswith("http") else None
    )
    for name in ("bars", "wheel", "losses", "mappings"):  # drawn without WebGL
        save(figures[name], tmp_path / f"{name}.html")
        page.goto((tmp_path / f"{name}.html").as_uri())
        page.wait_for_selector(".main-svg")
        assert page.locator("[data-title*='hare']").count() == 0  # no "Share" button
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", ground)[:3]) < 60
    page.close()
    assert problems == []
