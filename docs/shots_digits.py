"""Takes the pictures of docs/digits.md: serves the explorer, draws a 7, and writes docs/img/digits-*.png."""

import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
SEVEN = [(0.27, 0.24), (0.45, 0.21), (0.7, 0.22), (0.66, 0.36), (0.58, 0.5), (0.5, 0.66), (0.46, 0.83)]


def draw(page: Page) -> None:
    box = page.locator("#pad").bounding_box()
    assert box
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=8)
    page.mouse.up()
    page.wait_for_timeout(800)


with sync_playwright() as p:
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(ROOT / "apps" / "digits_site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{server.server_address[1]}/"
    browser = p.chromium.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
    )
    images = ROOT / "docs" / "img"
    images.mkdir(exist_ok=True)

    page = browser.new_page(viewport={"width": 1280, "height": 790})
    page.goto(site)
    page.locator("#main").wait_for()
    draw(page)
    page.screenshot(path=images / "digits-draw.png")
    for _ in range(17):
        page.keyboard.press("ArrowLeft")
    for panel in ("every", "inside", "compare", "weights", "confusion", "misread", "occlusion"):
        page.locator(f"#{panel}").scroll_into_view_if_needed()
        page.evaluate(
            "document.querySelector('#transport').style.position = 'static'"
        )  # else it covers a panel's edge
        page.wait_for_timeout(900)
        page.locator(f"#{panel}").screenshot(path=images / f"digits-{panel}.png")
    page.close()

    page = browser.new_page(viewport={"width": 1280, "height": 790}, color_scheme="dark")
    page.goto(site + "#e=13&m=2")
    page.locator("#main").wait_for()
    page.wait_for_timeout(800)
    page.screenshot(path=images / "digits-dark.png")
    page.close()

    page = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    page.goto(site)
    page.locator("#main").wait_for()
    draw(page)
    page.screenshot(path=images / "digits-phone.png")
    browser.close()
    server.shutdown()
