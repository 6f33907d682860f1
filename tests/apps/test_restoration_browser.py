"""Tests of the restoration page in a browser: zoom, protection, download, reload, accessibility."""

import re
from pathlib import Path

import numpy as np
import pytest
from accessibility import violations
from PIL import Image
from server import served

from vision_core.pictures import images
from vision_core.restoration import Options, restore

ROOT = Path(__file__).parents[2]
STAINED = ROOT / "assets" / "restoration" / "stained.jpg"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TABS = {"One page": "#restore", "Many": "#restore-many", "Lab": "#damage", "Train": "#train"}

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The app alone in a process of its own."""
    with served("restoration", {"TMPDIR": str(tmp_path_factory.mktemp("app"))}) as url:
        yield url


@pytest.fixture
def visitor(opened, address):
    """Opens the page as another visitor."""
    return lambda viewport=DESKTOP, scheme="light": opened(
        f"{address}/", viewport=viewport, color_scheme=scheme
    )


def restore_example(page) -> None:
    """The stained example by a method that needs no weights, without the gate."""
    page.locator("#examples button[data-value=stained]").click()
    page.wait_for_selector("#page-words >> text=720 x 960 pixels")
    page.locator("button.label-wrap", has_text="How").click()
    page.locator("#method").get_by_text("CLAHE").click()
    page.locator("#restore").click()
    page.wait_for_selector(".vc-viewer")
    page.locator("#gate input").uncheck()
    page.wait_for_selector("#get-restored[href*='gate=0']")


def test_a_newcomer_restores_zooms_protects_downloads_and_comes_back(visitor, tmp_path):
    page = visitor()
    restore_example(page)
    stage = page.locator(".vc-stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    spot = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    page.mouse.dblclick(*spot)
    page.wait_for_selector(".vc-stage.zoomed")
    where = "images => images.map(i => i.getBoundingClientRect()).map(box => [box.x, box.y, box.width])"
    before, after = page.locator(".vc-layer > img:not([hidden])").evaluate_all(where)
    assert before == after and before[2] > 720  # one spot, enlarged
    page.keyboard.press("Tab")
    stage.focus()
    page.keyboard.press("ArrowRight")
    moved = page.locator(".vc-layer > img:not([hidden])").evaluate_all(where)
    assert moved[0] == moved[1] and moved != [before, after]
    page.keyboard.press("0")
    page.locator("[data-over=changed]").click()
    page.wait_for_function("document.querySelector('img.changed').naturalWidth === 720")

    page.locator("[data-do=brush]").click()
    page.mouse.move(spot[0] + 100, spot[1])
    page.mouse.down()
    page.mouse.move(spot[0] + 180, spot[1] + 30, steps=5)
    page.mouse.up()
    page.wait_for_selector("#get-restored[href*='mask=1']")
    with page.expect_download() as download:
        page.locator("#get-restored").click()
    download.value.save_as(tmp_path / "restored.png")
    decoded, original = images.read(tmp_path / "restored.png").rgb, images.read(STAINED)
    expected = restore(original, None, Options(method="classical", gate=False)).picture.rgb
    kept, changed = (np.all(decoded == other, 2) for other in (original.rgb, expected))
    strongly = np.abs(original.rgb.astype(int) - expected).max(2) > 10
    assert 1000 < (kept & strongly).sum() < decoded.shape[0] * decoded.shape[1] / 10
    assert (changed | kept).mean() > 0.99 and changed.mean() > 0.8

    page.get_by_role("tab", name="Lab").click()
    page.locator("#damage").click()
    page.wait_for_selector("#lab-words .vc-progress, #lab-words .vc-note")
    page.get_by_role("tab", name="One page").click()
    links = page.locator("#downloads a")
    for number in range(links.count()):  # while that works: a link without `download` would leave the page
        with page.expect_download() as download:
            links.nth(number).click()
        assert download.value.suggested_filename.startswith("stained-")

    page.reload()
    page.wait_for_selector(".vc-viewer[data-mask*=mask-overlay]")
    assert page.locator("#preview img").count()
    stranger = visitor()
    assert stranger.locator(".vc-viewer").count() == 0


def test_the_page_stays_in_view_while_it_is_restored_and_says_that_it_is_made_anew(visitor):
    page = visitor({"width": 1280, "height": 700})
    page.evaluate("""() => {
        window.away = [];
        const look = () => {
            const preview = document.querySelector('#preview')?.getBoundingClientRect();
            const first = !document.querySelector('.vc-viewer');
            if (first && document.querySelector('#progress .vc-progress')) away.push(preview.bottom < 0);
            requestAnimationFrame(look);
        };
        look();
    }""")
    restore_example(page)
    assert not any(page.evaluate("away"))
    page.wait_for_function("document.querySelector('.vc-stage').ariaBusy === 'false'")
    page.evaluate("""() => {
        window.busy = [];
        const [stage, after] = ['.vc-stage', '.vc-layer img'].map((name) => document.querySelector(name));
        const note = () => busy.push([stage.ariaBusy, after.src.includes('output=color')]);
        new MutationObserver(note).observe(document.querySelector('#viewer'),
            {subtree: true, attributes: true, attributeFilter: ['aria-busy']});
    }""")
    page.locator("#output").get_by_text("grey").click()
    page.wait_for_selector("#get-restored[href*='output=grey']")
    page.wait_for_function("document.querySelector('.vc-stage').ariaBusy === 'false'")
    assert page.evaluate("busy")[0] == ["true", True]  # while the old page is still there


def test_the_bar_of_many_pages_is_in_view(visitor):
    page = visitor({"width": 1280, "height": 700})
    page.get_by_role("tab", name="Many").click()
    page.locator("#many input[type=file]").set_input_files(STAINED)
    page.locator("#many >> text=stained.jpg").wait_for()
    page.evaluate("""() => {
        window.seen = false;
        const look = () => {
            const bar = document.querySelector('#many-words .vc-progress')?.getBoundingClientRect();
            seen ||= bar && bar.top > 0 && bar.bottom < innerHeight;
            requestAnimationFrame(look);
        };
        look();
    }""")
    page.locator("#restore-many").click()
    page.wait_for_selector("#many-words >> text=pages are ready")
    assert page.evaluate("seen")


def test_a_bad_file_is_answered_with_a_sentence(visitor, tmp_path):
    (tmp_path / "page.pdf").write_bytes(b"%PDF no pages")
    Image.new("1", (12000, 12000)).save(tmp_path / "page.png")
    page = visitor()
    for name, sentence in (("page.pdf", "is not a PDF we can read"), ("page.png", "12,000 x 12,000 pixels")):
        page.locator("#page-file input[type=file]").set_input_files(tmp_path / name)
        page.wait_for_selector(f"text={sentence}")
        page.reload()
        page.wait_for_selector("#examples button")


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")])
def test_axe_finds_nothing_serious_on_any_tab(visitor, viewport, scheme):
    page = visitor(viewport, scheme)
    restore_example(page)
    page.locator("[data-do=brush]").click()
    issues = {}
    for tab, ready in TABS.items():
        page.get_by_role("tab", name=re.compile(tab)).click()
        page.wait_for_selector(f"{ready}:visible")
        page.wait_for_timeout(800)
        issues[tab] = violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], tab
    assert {tab: problems for tab, problems in issues.items() if problems} == {}
