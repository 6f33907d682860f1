"""Tests of the editing page in a browser: selection, edits, reload, text, accessibility."""

import os
import re
import sys
from pathlib import Path

import pytest
from accessibility import violations, violations_by_scheme
from server import served

from vision_core.editing import masks, packed, recipe
from vision_core.editing.editor import reach
from vision_core.pictures import images

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "editing"))
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The app alone in a process of its own, with untrained networks of the small world."""
    import small_models

    place = small_models.small_world(tmp_path_factory.mktemp("models"))
    environment = {"TMPDIR": str(tmp_path_factory.mktemp("app")), "VISION_CORE_EDITING": str(place)}
    with served("image_editing", environment) as url:
        yield url


@pytest.fixture
def visitor(opened, address):
    """Opens the app as another visitor, with an example chosen."""

    def open_app(example: str = "cat", **options):
        page = opened(address, **options)
        page.locator(f".vc-examples [data-value={example}]").click()
        page.wait_for_selector(".vc-canvas img")
        return page

    return open_app


def drag(page, tool: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A stroke over the picture, from and to shares of its sides."""
    page.locator(f"#mask-tools label:has(input[value={tool}])").click()
    page.locator(".vc-canvas").scroll_into_view_if_needed()
    box = page.locator(".vc-canvas").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


COVERED = """() => {
    const box = document.querySelector('#start').getBoundingClientRect(), found = [];
    for (let x = box.left + 4; x < box.right; x += 8) for (let y = box.top + 4; y < box.bottom; y += 6) {
        const over = document.elementFromPoint(x, y);
        if (!over.closest('#start')) found.push(over.outerHTML.slice(0, 80));
    }
    return [...new Set(found)];
}"""


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_nothing_shows_through_the_button_that_stays_in_view(visitor, viewport):
    page = visitor(viewport=viewport)
    for top in range(0, 900, 15):
        page.evaluate(f"scrollTo(0, {top})")
        assert page.evaluate(COVERED) == []


STATES = """() => {
    window.states = [];
    const look = () => {
        const button = document.querySelector('#start');
        const state = button.disabled ? 'working' : button.ariaBusy === 'true' ? 'busy' : 'idle';
        if (states.at(-1) !== state) states.push(state);
        requestAnimationFrame(look);
    };
    look();
}"""


def test_a_newcomer_marks_edits_reloads_and_takes_the_exact_picture_home(visitor, tmp_path):
    page = visitor()
    drag(page, "box", (0.1, 0.2), (0.3, 0.5))
    page.wait_for_selector(".vc-marked >> text=/% of the picture is marked/")
    first = page.locator(".vc-marked").inner_text()
    drag(page, "brush", (0.6, 0.6), (0.8, 0.7))
    page.wait_for_function("text => document.querySelector('.vc-marked').innerText !== text", arg=first)
    page.locator("[data-act=undo]").click()
    page.wait_for_selector(f".vc-marked >> text={first}")
    page.keyboard.press("Control+y")
    page.wait_for_function("text => document.querySelector('.vc-marked').innerText !== text", arg=first)
    page.keyboard.press("Control+z")
    page.wait_for_selector(f".vc-marked >> text={first}")
    page.evaluate(STATES)
    page.evaluate("scrollTo(0, 150)")  # the page is about to become shorter: nothing may move
    spot = page.locator(".vc-canvas").bounding_box()
    page.locator("#start").click()
    page.wait_for_selector("#get-png")
    assert page.evaluate("states.slice(0, 3)") == ["idle", "busy", "working"]  # without a gap
    page.wait_for_selector("#result img")
    place = page.locator("#result").bounding_box()  # the result is where the mark was
    assert all(abs(spot[side] - place[side]) <= 4 for side in place), (spot, place)
    assert not page.locator(".vc-canvas").is_visible()
    links = page.locator("#downloads a")
    for number in range(links.count()):  # more versions are being made: the page is still there afterwards
        with page.expect_download() as download:
            links.nth(number).click()
        assert download.value.suggested_filename.startswith("cat-")
    page.wait_for_selector("#progress >> text=/bit-identical/")
    words = page.locator("#progress").inner_text()
    page.reload()
    page.wait_for_selector("#get-png")
    assert page.locator("#progress").inner_text() == words
    page.locator("#mark").click()
    page.wait_for_selector(".vc-over")
    assert page.locator(".vc-marked").inner_text() == first and page.locator("#source img").count()
    page.locator("#history button").click()
    with page.expect_download() as download:
        page.locator("#get-png").click()
    download.value.save_as(tmp_path / "edited.png")
    source, edited = (images.read(p).rgb for p in (ROOT / "assets/color/cat.jpg", tmp_path / "edited.png"))
    stored = recipe.read(tmp_path / "edited.png")
    marked = packed.unpack_mask(stored.mask)
    height, width = source.shape[:2]
    box = masks.box(
        height, width, *(round(n) for n in (0.1 * width, 0.2 * height, 0.3 * width, 0.5 * height))
    )
    assert (
        marked[masks.grow(box, -4)].all() and marked.mean() < 4 * box.mean()
    )  # the dashed line is around it
    rest = ~reach(
        images.Picture(source),
        stored.task,
        marked,
        stored.options["edge"],
        with_shadow=stored.options["shadow"],
    )
    assert (source[rest] == edited[rest]).all() and (source != edited).any()


def test_picture_tools_and_button_fit_into_a_small_window_and_quick_keys_are_all_obeyed(visitor):
    page = visitor("coffee", viewport={"width": 1280, "height": 800})
    page.wait_for_selector("#found >> text=/Ready/")
    for selector in ("#mask-tools", ".vc-canvas", ".vc-editor >> nth=0", "#start"):
        place = page.locator(selector).bounding_box()
        assert place["y"] >= 0 and place["y"] + place["height"] <= 800, selector
    for number in range(5):
        before = page.locator(".vc-marked").inner_text()
        drag(page, "brush", (0.1, 0.1 + 0.15 * number), (0.3 + 0.1 * number, 0.1 + 0.15 * number))
        page.wait_for_function("text => document.querySelector('.vc-marked').innerText !== text", arg=before)
    for _ in range(5):
        page.keyboard.press("Control+z")
    page.wait_for_selector(".vc-marked >> text=nothing is marked")


def test_an_edit_by_text_shows_candidates_and_keeps_the_chosen_one(visitor):
    page = visitor("scene")
    page.get_by_role("tab", name="By text").click()
    assert page.locator("#caption textarea, #caption input").first.input_value()
    page.locator("#prompt textarea, #prompt input").first.fill("a tree with pink flowers")
    page.locator("#regions").click()
    page.wait_for_selector("#chips button")
    page.get_by_role("button", name=re.compile("^Seed, blending")).click()
    page.locator("#edit-text").click()
    page.wait_for_selector("#stop:visible, #candidates button")
    page.wait_for_selector("#progress >> text=/regions were tried/")
    other = page.locator("#candidates button[aria-pressed=false]").first
    picked = other.get_attribute("data-value")
    other.click()
    page.wait_for_selector(f"#candidates button[data-value='{picked}'][aria-pressed=true]")
    page.reload()
    page.wait_for_selector(f"#candidates button[data-value='{picked}'][aria-pressed=true]")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious_with_everything_open(visitor, viewport):
    page = visitor("scene", viewport=viewport)
    drag(page, "box", (0.1, 0.2), (0.3, 0.5))
    page.wait_for_selector(".vc-over")
    page.locator("#start").click()
    page.wait_for_selector("#get-png")
    page.wait_for_selector("#progress >> text=/bit-identical/")
    page.get_by_role("button", name=re.compile("^3 · What")).click()
    page.get_by_role("tab", name="By text").click()
    page.locator("#regions").click()
    page.wait_for_selector("#chips button")
    page.get_by_role("button", name=re.compile("^2 · What")).click()
    page.wait_for_selector(".vc-canvas:visible")
    tools = page.locator("#mask-tools .vc-radios label").all()
    assert len(tools) == 7
    assert all(
        (box := tool.bounding_box()) and box["x"] + box["width"] <= viewport["width"] for tool in tools
    )
    for section in ("A shape, numbers", "Regions", "Seed, blending", "Take the settings", "Teach it on"):
        page.get_by_role("button", name=re.compile(f"^{section}")).first.click()
    page.wait_for_selector("#teach")
    page.locator("#scenes").click()
    page.wait_for_selector(".vc-lessons li")
    # colours are the same on a phone: there, sizes and names are what is asked
    issues = violations_by_scheme(page).values() if viewport == DESKTOP else [violations(page)]
    assert not any(issues)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/editing-{viewport['width']}.png", full_page=True)
