"""Tests of the suite in a browser: first visit, reload, Stop, bad uploads, accessibility."""

import re
from pathlib import Path

import numpy as np
import pytest
from accessibility import violations, violations_by_scheme
from PIL import Image
from server import served

from vision_core.color import lut, lut_files
from vision_core.pictures import images

ROOT = Path(__file__).parents[2]
PATIENCE = 120_000  # ms; a busy machine is no failure
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = {
    "/": "main",
    "/nowhere": "h1",
    "/color-transfer/": ".vc-examples button",
    "/digits/": ".matrix button[aria-label*='correctly']",
    "/dashboard/": "iframe",
    "/dashboard/training": "text=Start training",
}

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The suite in a process of its own, on a free port, its visitors and runs in a folder of its own."""
    folder = str(tmp_path_factory.mktemp("suite"))
    with served(None, {"TMPDIR": folder, "VISION_CORE_RUNS": folder}) as url:
        yield url


@pytest.fixture
def visitor(opened, address):
    """Opens the colour app as another visitor, with both example pictures chosen."""

    def open_app(source: int = 0, target: int = 0):
        page = opened(f"{address}/color-transfer/")
        examples = page.locator(".vc-examples")
        examples.nth(0).locator("button").nth(source).click()
        examples.nth(1).locator("button").nth(target).click()
        page.wait_for_selector("#palette .vc-swatches button")
        page.wait_for_selector("text=512 x 512 pixels" if source == 0 else ".vc-note >> text=pixels")
        return page

    return open_app


def fill(page, field, value: str) -> None:
    """Type a value as a person does, who sees when it is gone again.

    Gradio resets a field that is filled in the moment in which it draws the part of the page around it.
    """
    while field.input_value() != value:
        field.fill(value)
        page.keyboard.press("Tab")
        page.wait_for_timeout(500)


def start(page, epochs: int | None = None) -> None:
    if epochs is not None:
        page.get_by_text("Training settings").click()
        fill(page, page.get_by_label("number input for Epochs"), str(epochs))
    page.locator("#start").click()


def test_a_newcomer_sees_a_first_picture_at_once_and_takes_a_cube_file_home(visitor, tmp_path):
    page = visitor()
    start(page, 20)
    page.wait_for_selector("#result img", timeout=PATIENCE)
    assert "histogram matching" in page.locator("#progress").inner_text()
    page.evaluate("scrollTo(0, 0)")
    one_screen = [
        page.locator(at).bounding_box() for at in ("#source", "#target", "#start", "#result", "#stop")
    ]
    assert all(box["y"] >= 0 and box["y"] + box["height"] < DESKTOP["height"] for box in one_screen)
    page.wait_for_selector("#facts li")
    assert "20 of 20 epochs" in page.locator("#progress").inner_text()
    saved = {}
    for name in ("recoloured-png", "colours-cube"):
        with page.expect_download() as download:
            page.locator(f"#get-{name}").click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    source = images.read(ROOT / "assets/color/astronaut.jpg").rgb
    table = lut_files.read(saved["colours-cube"])
    difference = np.abs(lut.apply(table, source).astype(int) - images.read(saved["recoloured-png"]).rgb)
    assert np.percentile(difference, 99.9) <= 1 and np.abs(table - lut.identity(len(table))).mean() > 0.01

    page.wait_for_selector("text=More photographs")  # the page has drawn what a finished result brings
    while not page.locator("#get-colours-cube[href*='color=0.0']").count():  # no slider was dragged
        fill(page, page.locator("#strength input[type=number]"), "0")
        page.wait_for_timeout(500)


def test_a_reload_comes_back_to_the_training_and_to_its_result(visitor):
    page = visitor()
    colors = page.locator("#palette b").all_inner_texts()
    start(page, 5000)
    page.wait_for_selector(".vc-progress")
    links = page.locator("#downloads a")
    for number in range(
        links.count()
    ):  # while it trains: a click on a link without `download` leaves the page
        with page.expect_download() as download:
            links.nth(number).click()
        assert "-" in download.value.suggested_filename or download.value.suggested_filename.endswith(".cube")
    assert page.locator("#stop").is_visible()
    page.reload()
    page.wait_for_selector(".vc-progress")
    assert page.locator("#palette b").all_inner_texts() == colors
    assert page.locator("#source img").count() and page.locator("#stop").is_visible()
    page.locator("#stop").click()
    page.wait_for_selector("#progress >> text=/Stopped/")
    page.wait_for_selector("#facts li")
    fill(page, page.locator("#lightness input[type=number]"), "0.4")
    page.wait_for_selector("#get-colours-cube[href*='lightness=0.4']")
    words = page.locator("#progress").inner_text()
    page.reload()
    page.wait_for_selector("#facts li")
    assert page.locator("#progress").inner_text() == words
    assert page.locator("#start").is_enabled() and not page.locator("#stop").is_visible()
    page.wait_for_selector("#get-colours-cube[href*='lightness=0.4']")
    stranger = visitor(source=2, target=1)
    assert stranger.locator("#facts li").count() == 0 and stranger.locator("#result img").count() == 0
    assert stranger.locator("#palette b").all_inner_texts() != colors


def test_one_click_is_enough_to_replace_a_colour(visitor):
    page = visitor()
    page.locator(".vc-swatches button").nth(2).click()
    page.wait_for_selector(".vc-swatches button:nth-child(3)[aria-pressed=true]")
    page.locator(".vc-editor input").fill("#123456")
    page.get_by_role("button", name="Replace with this colour").click()
    page.wait_for_selector(".vc-swatches b >> text=#123456")
    page.get_by_role("button", name="Lock").click()
    page.get_by_role("button", name="Unlock").wait_for()


def test_a_refused_training_can_be_tried_again(browser, address):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/color-transfer/")
    page.wait_for_function("new URLSearchParams(location.search).has('visit')")
    page.locator("#start").click()
    page.wait_for_selector("text=Please choose a picture to recolour first")
    page.wait_for_selector("#start:enabled")
    assert not page.locator("#result-section").is_visible()
    page.close()


@pytest.mark.parametrize("kind", ["text", "bomb"])
def test_a_bad_upload_is_answered_with_a_sentence(browser, address, tmp_path, kind):
    file = tmp_path / "upload.png"
    if kind == "text":
        file.write_text("no picture at all")
    else:
        Image.new("1", (12000, 12000)).save(file)
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/color-transfer/")
    page.wait_for_selector("#start")
    page.locator("input[type=file]").first.set_input_files(file)
    sentence = "is not an image we can read" if kind == "text" else "12,000 x 12,000 pixels"
    page.wait_for_selector(f"text={sentence}")
    page.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious_on_any_page(browser, address, viewport):
    context = browser.new_context(viewport=viewport)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    problems = []
    for path, ready in PAGES.items():
        page.goto(address + path)
        page.wait_for_selector(ready, state="attached")  # the matrix may lie below what a phone shows
        # colours are the same on a phone: there, sizes and names are what is asked
        schemes = violations_by_scheme(page) if viewport == DESKTOP else {"light": violations(page)}
        for scheme, issues in schemes.items():
            problems += [f"{path}, {scheme}: {text}" for text in issues]
        if viewport == PHONE:
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
    context.close()
    assert problems == []


def test_axe_finds_nothing_serious_on_a_result_with_everything_open(visitor):
    page = visitor()
    page.get_by_text("Use a saved model, or a .cube").click()
    saved = page.locator("input[type=file][accept*=cube]")
    saved.set_input_files(ROOT / "models/color/astronaut-coffee.safetensors")
    page.wait_for_selector("text=astronaut-coffee")
    page.locator("#reuse").click()
    page.wait_for_selector("#facts li")
    for section in (
        "Palette settings",
        "Training settings",
        "More photographs",
        "Low poly",
        "Rate the colours",
        "How it learned",
    ):
        page.get_by_role("button", name=re.compile(section)).first.click()
    page.wait_for_selector("#tune")
    page.wait_for_selector("#lowpoly img")  # drawn when its section is opened
    page.wait_for_selector("#figure .js-plotly-plot")  # before, Gradio's own placeholder is there
    assert violations_by_scheme(page) == {"light": [], "dark": []}


def test_every_page_links_home(browser, address):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    for path in ("/color-transfer/", "/digits/", "/dashboard/", "/nowhere"):
        page.goto(address + path)
        page.locator("a[href='/'], a[href='../']").first.click()
        page.wait_for_selector("text=Five small vision systems")
    page.close()


def test_the_digits_page_survives_a_moment_without_room(browser, address):
    page = browser.new_page(viewport=DESKTOP)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(f"{address}/digits/")
    page.wait_for_selector("#main svg rect.cell")
    page.evaluate("document.querySelector('#main').style.width = '0px'")
    page.wait_for_timeout(500)
    page.evaluate("document.querySelector('#main').style.width = ''")
    page.wait_for_timeout(500)
    assert problems == []
    assert page.locator(".matrix button[aria-label*='correctly']").count() == 10  # laid out again, and filled
    page.close()
