"""Tests of the digit explorer: its JavaScript in Node, the page in a browser."""

import functools
import hashlib
import json
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "apps" / "digits_site"
SEVEN = [(0.3, 0.22), (0.5, 0.21), (0.7, 0.22), (0.62, 0.42), (0.53, 0.62), (0.45, 0.82)]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_units():
    """Parity with PyTorch in every epoch, reading and refusing exports, drawing, links, wording."""
    files = sorted(map(str, ROOT.glob("tests/js/*.test.mjs")))
    process = subprocess.run(["node", "--test", *files], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-2000:]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """(URL, folder) of a copy of the page behind Python's file server, a shorter training beside its own."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(SITE, folder, dirs_exist_ok=True)
    index, binary = _shortened(5)
    (folder / "data" / "mine.json").write_text(index)
    (folder / "data" / "mine.bin").write_bytes(binary)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", folder
    server.shutdown()
    server.server_close()
    thread.join()


def _shortened(epochs: int) -> tuple[str, bytes]:
    """An export of the shipped training up to epoch `epochs`: (index, binary)."""
    index = json.loads((SITE / "data" / "digits.json").read_text())
    per_epoch = index["bytes"] // len(index["epochs"])
    kept = [record for record in index["epochs"] if record["epoch"] <= epochs]
    binary = (SITE / "data" / "digits.bin").read_bytes()[: len(kept) * per_epoch]
    index |= {"epochs": kept, "misread": [], "binary": "mine.bin", "bytes": len(binary)}
    index["sha256"] = hashlib.sha256(binary).hexdigest()
    index["training"]["data"] = "<img src=x onerror=alert(1)>"  # names from a file must stay text
    return json.dumps(index), binary


@pytest.fixture
def visit(browser, site):
    """`visit(address, **context options) -> page`; nothing may go wrong, or be asked of another site."""
    contexts, complaints = [], []

    def go(address="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("request", lambda r: None if r.url.startswith(site[0]) else complaints.append(r.url))
        page.goto(site[0] + address)
        page.locator("#main").wait_for()
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def draw(page, points=SEVEN):
    box = page.locator("#pad").bounding_box()
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=5)
    page.mouse.up()


def expect_text(page, selector, text):
    page.wait_for_function(
        "([at, text]) => document.querySelector(at).textContent.replaceAll('\\u00a0', ' ').includes(text)",
        arg=[selector, text],
    )


def hash_of(page, part):
    page.wait_for_function("part => location.hash.includes(part)", arg=part)
    return page.evaluate("location.hash")


@pytest.mark.browser
def test_draw_a_seven_and_play_until_it_is_understood(visit):
    page = visit()
    expect_text(page, "#sure", "Draw something")
    assert page.locator("#answer").text_content() == ""
    draw(page)
    expect_text(page, "#answer", "7")
    assert page.locator("#bars .best .digit").text_content() == "7"
    strip = page.locator("#strip span").all_text_contents()
    assert len(strip) == 21 + 6 and strip[-1] == "7"  # six moments of the first epoch
    since = max((i + 1 for i, digit in enumerate(strip) if digit != "7"), default=0)
    names = page.locator("#other option").all_text_contents()
    assert names[:8] == ["epoch 0", *(f"batch {n}" for n in (1, 2, 5, 10, 20, 50)), "epoch 1"]
    expect_text(page, "#story", f"From {names[since]} on it reads 7" if since else "reads 7 from the start")
    expect_text(page, "#live", "At epoch 20 it reads 7")
    page.select_option("#speed", "4")
    page.click("#play")
    expect_text(page, ".epoch-label", "epoch 0")  # at the end, playing begins anew
    first = page.locator("#bars .value").all_text_contents()
    expect_text(page, ".epoch-label", "epoch 2")
    assert page.locator("#bars .value").all_text_contents() != first
    page.click("#play")
    expect_text(page, "#play", "Play")
    page.keyboard.press("End")
    expect_text(page, ".epoch-label", "epoch 20 of 20")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect_text(page, ".epoch-label", "batch 1 of the first epoch")


@pytest.mark.browser
def test_clear_undo_redo_and_erase(visit):
    page = visit()
    draw(page)
    expect_text(page, "#answer", "7")
    page.click("#clear")
    expect_text(page, "#sure", "Draw something")
    page.keyboard.press("u")
    expect_text(page, "#answer", "7")
    page.keyboard.press("Control+z")
    expect_text(page, "#sure", "Draw something")
    page.click("#redo")
    expect_text(page, "#answer", "7")
    page.click("#erase")
    page.fill("#brush", "60")
    draw(page)
    expect_text(page, "#sure", "Draw something")


@pytest.mark.browser
def test_drawing_over_a_sample_leaves_the_sample_whole(visit):
    page = visit("#e=20&s=3.4")
    picture = "document.querySelector('#normal').toDataURL()"
    expect_text(page, "#pad-note", "A test 3")
    before = page.evaluate(picture)
    draw(page)
    expect_text(page, "#answer", "7")
    assert page.evaluate(picture) != before
    hash_of(page, "d=")
    page.goto(page.url.split("#")[0] + "#e=20&s=3.4")
    expect_text(page, "#pad-note", "A test 3")
    assert page.evaluate(picture) == before


@pytest.mark.browser
def test_drawing_over_a_sample_begins_anew_and_undo_brings_the_old_drawing_back(visit):
    page = visit()
    draw(page)
    expect_text(page, "#answer", "7")
    page.keyboard.press("0")
    expect_text(page, "#pad-note", "A test 0")
    draw(page, [(0.5, 0.15), (0.5, 0.85)])
    expect_text(page, "#answer", "1")
    page.keyboard.press("u")
    expect_text(page, "#sure", "Draw something")
    page.keyboard.press("u")
    expect_text(page, "#answer", "7")


@pytest.mark.browser
def test_the_address_restores_the_state(visit):
    page = visit()
    draw(page)
    page.click("label:has(#centred)")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.select_option("#other", label="epoch 9")
    address = hash_of(page, "vs=9")
    assert "e=0.01" in address and "c=0" in address
    there = visit(address)
    expect_text(there, ".epoch-label", "batch 1 of the first epoch")
    there.locator("#compare").scroll_into_view_if_needed()
    expect_text(there, "#compare .side:nth-child(2) h3", "B: epoch 9")
    assert there.locator("#other option:checked").text_content() == "epoch 9"
    assert not there.locator("#centred").is_checked()
    pad = "document.querySelector('#pad').toDataURL()"
    assert there.evaluate(pad) == page.evaluate(pad)
    assert there.locator("#bars").inner_text() == page.locator("#bars").inner_text()


@pytest.mark.browser
def test_centring_decides_what_a_digit_in_the_corner_is(visit):
    page = visit()
    draw(page, [(0.35 * x - 0.05, 0.35 * y) for x, y in SEVEN])
    expect_text(page, "#answer", "7")
    centred = page.locator("#bars").inner_text()
    page.keyboard.press("m")
    page.wait_for_function("before => document.querySelector('#bars').innerText !== before", arg=centred)
    assert page.locator("#raw-figure.used").count() == 1
    page.keyboard.press("m")
    page.wait_for_function("before => document.querySelector('#bars').innerText === before", arg=centred)


@pytest.mark.browser
def test_own_training_is_shown_and_a_broken_one_refused(visit, site, tmp_path):
    folder = site[1] / "data"
    page = visit()
    draw(page)
    page.set_input_files("#files", [folder / "mine.json", folder / "mine.bin"])
    expect_text(page, ".epoch-label", "epoch 5 of 5")
    expect_text(page, "#answer", "7")  # the drawing stays
    expect_text(page, "#provenance", "<img src=x")

    cut = tmp_path / "cut.json"
    cut.write_text((folder / "mine.json").read_text()[:9000])
    page.set_input_files("#files", [cut, folder / "mine.bin"])
    expect_text(page, "#problem", "not complete JSON")
    assert page.locator("#problem").is_visible()
    short = tmp_path / "mine.bin"
    short.write_bytes(b"short")
    page.set_input_files("#files", [folder / "mine.json", short])
    expect_text(page, "#problem", "5 bytes where 656,496 were expected")
    altered = bytearray((folder / "mine.bin").read_bytes())
    altered[7] ^= 1
    short.write_bytes(altered)
    page.set_input_files("#files", [folder / "mine.json", short])
    expect_text(page, "#problem", "checksum")
    page.set_input_files("#files", [folder / "mine.json"])
    expect_text(page, "#problem", "choose it together with mine.bin. The page keeps the current network.")
    expect_text(page, ".epoch-label", "epoch 5 of 5")

    page.click("#shipped")
    expect_text(page, ".epoch-label", "of 20")
    assert page.locator("#problem").is_hidden()


@pytest.mark.browser
def test_own_training_by_address(visit):
    expect_text(visit("?data=data/mine.json"), ".epoch-label", "epoch 5 of 5")
    page = visit("?data=https://elsewhere.example/x.json")
    expect_text(page, "#problem", "must come from this site, not from elsewhere.example")
    expect_text(page, ".epoch-label", "epoch 20 of 20")


@pytest.mark.browser
def test_every_panel_answers(visit):
    page = visit()
    draw(page)
    page.locator("#every svg").click(position={"x": 40, "y": 100})
    expect_text(page, ".epoch-label", "epoch 0")
    spoken = page.locator("#every svg").get_attribute("aria-label")
    assert "; batch 5: " in spoken and "; epoch 1: " in spoken and "epoch b" not in spoken
    box = page.locator("#curves svg").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 14, box["y"] + 60)
    expect_text(page, ".epoch-label", "epoch 20")
    page.locator(".maps.conv2 .pixels:not(.kernel)").nth(2).hover()
    expect_text(page, "#inside [data-readout]", "conv2, map 3")
    assert page.locator(".field").is_visible()
    page.locator("#confusion .cell.right").nth(3).click()
    expect_text(page, "#confusion [data-readout]", "of a 3 read correctly")
    page.keyboard.press("ArrowLeft")  # moves in the table, not in time
    page.keyboard.press("Enter")
    expect_text(page, "#confusion [data-readout]", "Epoch 20")
    expect_text(page, "#confusion [data-readout]", "of a 3 misread as 2")
    page.locator("#occlusion").scroll_into_view_if_needed()
    expect_text(page, "#occlusion .readout", "7")
    page.locator("#misread button").nth(1).click()
    expect_text(page, "#sure", "wrong, it is a")
    expect_text(page, "#story", "never learned it for good")
    page.keyboard.press("5")
    expect_text(page, "#pad-note", "A test 5")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    expect_text(page, "#answer", "7")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (768, "dark"), (390, "light")])
def test_nothing_scrolls_sideways(visit, width, scheme):
    page = visit("#e=3&s=7.2", viewport={"width": width, "height": 844}, color_scheme=scheme)
    expect_text(page, "#pad-note", "A test 7")
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.browser
def test_on_a_phone_the_challenge_is_where_one_draws(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.locator("#fool").scroll_into_view_if_needed()
    page.locator("#fool").tap()
    expect_text(page, "#pad-note", "Draw no digit: a face, a letter, a scribble.")
    draw(page, [(0.2, 0.2), (0.8, 0.8), (0.2, 0.8), (0.8, 0.2)])  # does not scroll
    page.wait_for_function("/Fooled|Highest/.test(document.querySelector('#pad-note').innerText)")
    assert page.evaluate("document.querySelector('#pad').getBoundingClientRect().top") >= 0


def test_drawing_by_touch_does_not_scroll(visit):
    page = visit(viewport={"width": 390, "height": 600}, has_touch=True, is_mobile=True)
    box = page.locator("#pad").bounding_box()
    touch = page.context.new_cdp_session(page)

    def send(kind, *points):
        spots = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    send("touchStart", SEVEN[0])
    for (x0, y0), (x1, y1) in pairwise(SEVEN):
        for t in (0.25, 0.5, 0.75, 1.0):
            send("touchMove", (x0 + t * (x1 - x0), y0 + t * (y1 - y0)))
    send("touchEnd")
    expect_text(page, "#answer", "7")
    assert page.evaluate("scrollY") == 0


@pytest.mark.browser
def test_works_inside_a_frame(visit, site):
    (site[1] / "host.html").write_text(
        '<link rel="icon" href="icon.svg"><div id="main"><iframe '
        'src="index.html?theme=dark#e=2&s=0.0" width="900" height="700"></iframe></div>'
    )
    frame = visit("host.html").frame_locator("iframe")
    frame.locator(".epoch-label b").filter(has_text="2").wait_for()
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    frame.locator("#play").click()
    frame.locator(".epoch-label b").filter(has_text="4").wait_for()
