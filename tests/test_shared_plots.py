"""Tests of the style of figures: means of loss curves, distinct lines, no network."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from vision_core import plots

STEPS = list(range(1, 1235))
LOSSES = {"total": [3.0 / n for n in STEPS], "usage": [0.5] * len(STEPS)}


def test_total_loss_keeps_the_running_mean():
    raw, smooth = plots.total_loss(STEPS, LOSSES["total"]).data
    assert raw.x[0] == 1 and len(raw.x) <= plots.POINTS
    assert smooth.y[0] == pytest.approx(np.mean(LOSSES["total"][:24]))
    assert raw.x[0] < smooth.x[0] < 24  # a mean stands in the middle of what it is the mean of


def test_terms_are_means_over_parts_of_the_training():
    total, usage = plots.loss_terms(STEPS, LOSSES).data
    assert (total.name, usage.name) == ("total", "usage") and np.allclose(usage.y, 0.5)
    assert total.y[-1] == pytest.approx(np.mean(LOSSES["total"][1224:])) and total.x[-1] == 1234
    assert total.line.width > usage.line.width


@pytest.mark.parametrize("number", [0, 1, 3])
def test_curves_of_a_training_that_hardly_began(number):
    assert len(plots.total_loss(STEPS[:number], LOSSES["total"][:number]).data) == 2
    terms = {name: values[:number] for name, values in LOSSES.items()}
    assert [len(trace.y) for trace in plots.loss_terms(STEPS[:number], terms).data] == [number, number]


def test_no_two_lines_look_alike():
    styles = [tuple(plots.line(number).items()) for number in range(40)]
    assert len(set(styles)) == 40
    colors = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in plots.LINES[:8]]) / 255
    lab = rgb2lab(colors)
    pairs = [deltaE_ciede2000(lab[i], lab[j]) for i in range(8) for j in range(i)]
    assert min(pairs) > 12  # the terms of a loss; 2 is hardly seen


def test_a_saved_page_needs_no_network_and_no_cloud(tmp_path):
    plots.save(plots.figure("Red & <script>alert(1)</script>"), tmp_path / "alone.html")
    alone = (tmp_path / "alone.html").read_text()
    assert "<title>Red &amp; &lt;script&gt;" in alone
    assert '"showSendToCloud": false' in alone and len(alone) > 3_000_000


@pytest.mark.browser
def test_a_plot_keeps_200_pixels_on_a_phone_whatever_its_legend(browser, tmp_path):
    names = ("distribution", "usage", "nearest", "structure", "smoothness", "entropy", "grain", "total")
    terms = {name: [3.0, 2.0, 1.0] for name in names}
    plots.save(plots.with_room(plots.loss_terms([1, 2, 3], terms, height=340)), tmp_path / "terms.html")
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto((tmp_path / "terms.html").as_uri(), wait_until="commit")
    page.wait_for_selector(".legend .traces >> nth=7", state="attached", timeout=120_000)
    plot, legend = page.locator(".nsewdrag").bounding_box(), page.locator(".legend .bg").bounding_box()
    assert plot["height"] >= 200 and legend["y"] > plot["y"] + plot["height"]
    page.close()
