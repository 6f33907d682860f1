"""The suite used in a real browser: a newcomer's path, Stop, two visitors at once, bad uploads."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision_core import images
from vision_core.color import lut, lut_files

ROOT = Path(__file__).parents[2]
PATIENCE = 120_000  # ms; a busy machine is no failure

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def address():
    """The suite in a process of its own, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "apps.suite", "--port", str(port)], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None, "the suite ended"
            time.sleep(0.2)
    yield url
    process.terminate()
    process.wait(20)


@pytest.fixture
def visitor(browser, address):
    """Opens the colour app as another visitor, with both example pictures chosen."""
    contexts = []

    def open_app(source: int = 0, target: int = 6):
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/color-transfer/")
        page.locator("button.gallery-item").nth(source).click()
        page.locator("button.gallery-item").nth(target).click()
        page.wait_for_selector("#palette button")
        return page

    yield open_app
    for context in contexts:
        context.close()


def start(page, epochs: int) -> None:
    page.get_by_text("Training settings").click()
    field = page.get_by_label("number input for Epochs")
    while field.input_value() != str(epochs):  # Gradio resets a field in the moment after its panel opens
        field.fill(str(epochs))
        page.keyboard.press("Tab")
        page.wait_for_timeout(500)
    page.locator("#start").click()
    page.wait_for_selector(".vc-progress")


def test_a_newcomer_gets_from_the_landing_page_to_a_cube_file(browser, address, visitor, tmp_path):
    page = browser.new_page()
    page.goto(address)
    assert page.locator("li").count() == 6 and page.locator(".tag").count() == 3
    loaded = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
    page.wait_for_function(loaded, timeout=PATIENCE)
    page.get_by_role("link", name="Colour transfer").click()
    page.wait_for_selector("#start", timeout=PATIENCE)
    page.close()

    page = visitor()
    start(page, 20)
    page.wait_for_selector("#facts li")
    assert "Trained 20 of 20 epochs" in page.locator("#progress").inner_text()
    saved = {}
    for name in ("png", "cube"):
        with page.expect_download() as download:
            page.locator(f"#{name}").click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    source = images.read(ROOT / "assets/color/astronaut.jpg").rgb
    table = lut_files.read(saved["cube"])
    difference = np.abs(lut.apply(table, source).astype(int) - images.read(saved["png"]).rgb)
    assert np.percentile(difference, 99.9) <= 1 and np.abs(table - lut.identity(len(table))).mean() > 0.01


def test_a_refused_training_can_be_tried_again(browser, address):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/color-transfer/")
    page.locator("#start").click()
    page.wait_for_selector("text=Please choose a picture to recolour first")
    page.wait_for_selector("#start:enabled")
    page.wait_for_selector("#stop", state="hidden")
    page.wait_for_function("!document.querySelector('#progress').innerText.includes('Waiting')")
    page.close()


def test_stop_gives_a_result_and_nobody_else_sees_it(visitor):
    one, other = visitor(), visitor(source=2, target=8)
    start(one, 5000)
    one.locator("#stop").click()
    one.wait_for_selector("#progress >> text=Stopped as you asked")
    one.wait_for_selector("#facts li")
    words = one.locator("#progress").inner_text()
    assert int(words.split("after ")[1].split(" of ")[0].replace(",", "")) < 5000
    assert other.locator("#facts li").count() == 0 and other.locator("#result img").count() == 0
    colors = [page.locator("#palette button b").all_inner_texts() for page in (one, other)]
    assert colors[0] != colors[1]
    assert one.locator("#start").is_enabled() and not one.locator("#stop").is_visible()


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
@pytest.mark.parametrize(("handler", "place"), [("look", 0), ("from_file", 0), ("use_model", 1)])
def test_a_client_cannot_name_a_file_of_the_server(address, meta, handler, place):
    """Asked as no browser would: the events' own address, with the path of a file that was never uploaded."""
    page = f"{address}/color-transfer"
    with urllib.request.urlopen(f"{page}/config") as answer:
        functions = {each["api_name"]: each["id"] for each in json.load(answer)["dependencies"]}
    data = [None, None]
    data[place] = {"path": str(ROOT / "assets/color/cat.jpg"), **meta}
    asked = {"data": data[: place + 1], "fn_index": functions[handler], "session_hash": "stranger"}
    headers = {"content-type": "application/json"}
    join = urllib.request.Request(f"{page}/gradio_api/queue/join", json.dumps(asked).encode(), headers)
    urllib.request.urlopen(join).close()
    with urllib.request.urlopen(f"{page}/gradio_api/queue/data?session_hash=stranger") as events:
        said = next(line for line in events if b"process_completed" in line).decode()
    assert '"success":false' in said and "pixels" not in said and "cat.jpg" not in said


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
    sentence = "is not an image we can read" if kind == "text" else "12000 x 12000 pixels"
    page.wait_for_selector(f"text={sentence}")
    page.close()
