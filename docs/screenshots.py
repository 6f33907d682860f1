"""Takes the pictures of README.md and docs: trains digits and leaves, uses the suite's pages.

python docs/screenshots.py [NAME...]     restoration and text need no training
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "img"
SEVEN = [(0.27, 0.24), (0.45, 0.21), (0.7, 0.22), (0.66, 0.36), (0.58, 0.5), (0.5, 0.66), (0.46, 0.83)]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(address: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"{address} did not answer")


def color(page: Page, address: str) -> None:
    """A newcomer's path: the first example, the button, the results."""
    page.goto(f"{address}/color-transfer/")
    page.get_by_role("button", name="Transfer colours").wait_for(timeout=60_000)
    page.wait_for_timeout(3000)
    examples = page.locator(".vc-examples")
    examples.nth(0).locator("button").nth(0).click()
    examples.nth(1).locator("button").nth(0).click()
    page.locator("#palette .vc-swatches").wait_for()
    page.wait_for_timeout(3000)
    page.locator("#start").click()
    page.locator(".vc-progress").wait_for(timeout=120_000)
    page.wait_for_timeout(3000)
    page.screenshot(path=IMAGES / "color-training.png", full_page=True)
    page.locator("#facts li").first.wait_for(timeout=240_000)
    page.wait_for_timeout(3000)
    page.evaluate("scrollTo(0, 0)")
    page.set_viewport_size({"width": 1280, "height": 960})
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / "color.png", clip={"x": 60, "y": 0, "width": 1160, "height": 960})
    page.set_viewport_size({"width": 1280, "height": 860})


def trainings(runs: Path) -> None:
    """Two runs of the digit network and one of the leaf classifier for the dashboard to show."""
    for name, options in (("default", []), ("falling-rate", ["--lr", "0.003", "--cosine", "--augment"])):
        out = str(runs / "digits" / name)
        command("digits", "train", "--out", out, *options)
    leaves, out = str(runs / "data" / "drawn-240-seed-1"), str(runs / "leaves" / "drawn")
    command("leaves", "generate", "--out", leaves, "--images", "240", "--seed", "1", "--size", "128")
    command("leaves", "train", leaves, "--out", out, "--cache-features", "--epochs", "5")


def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "vision_core", *words], check=True)


def leaves(page: Page, address: str) -> None:
    """The curves of a training, and what its classifier is wrong about."""
    page.goto(f"{address}/dashboard/train")
    page.get_by_text("Curves as CSV").wait_for(timeout=60_000)
    page.wait_for_timeout(4000)
    page.screenshot(path=IMAGES / "leaves-train.png")
    page.goto(f"{address}/dashboard/evaluate")
    page.get_by_text("Validation pictures").click()
    page.get_by_text("Measure", exact=True).wait_for(timeout=120_000)
    page.set_viewport_size({"width": 1280, "height": 1160})
    page.wait_for_timeout(9000)
    page.screenshot(
        path=IMAGES / "leaves-evaluate.png", clip={"x": 0, "y": 270, "width": 1280, "height": 890}
    )
    page.set_viewport_size({"width": 1280, "height": 860})


def dashboard(page: Page, address: str) -> None:
    page.goto(f"{address}/dashboard/training")
    page.get_by_text("Test accuracy").first.wait_for(timeout=60_000)
    page.wait_for_timeout(4000)
    page.screenshot(path=IMAGES / "dashboard.png")


def digits(page: Page, address: str) -> None:
    """A test 7 that the network learns to read, then a drawn one and what epoch 3 makes of it."""
    page.goto(f"{address}/digits/#e=3&s=7.5")
    page.wait_for_timeout(5000)
    page.screenshot(path=IMAGES / "digits.png")
    pad = page.locator("#pad").bounding_box()
    assert pad
    spots = [(pad["x"] + x * pad["width"], pad["y"] + y * pad["height"]) for x, y in SEVEN]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=8)
    page.mouse.up()
    page.wait_for_timeout(800)
    page.screenshot(path=IMAGES / "digits-draw.png")
    for panel in ("inside", "compare", "misread"):
        page.locator(f"#{panel}").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#transport').style.position = 'static'")  # it covers an edge
        page.wait_for_timeout(900)
        page.locator(f"#{panel}").screenshot(path=IMAGES / f"digits-{panel}.png")


def restoration(page: Page, address: str) -> None:
    """The stained example, restored with the network."""
    page.goto(f"{address}/restoration/")
    page.locator("#examples button[data-value=stained]").click()
    page.wait_for_selector("#page-words >> text=720 x 960 pixels")
    page.locator("#restore").click()
    page.wait_for_selector(".vc-viewer")
    page.wait_for_timeout(1500)
    page.screenshot(path=IMAGES / "restoration.jpg", full_page=True, quality=82)


def editing(page: Page, address: str) -> None:
    """A cup that is selected by a box; its background is blurred."""
    page.goto(f"{address}/image-editing/")
    page.locator(".vc-examples [data-value=coffee]").click()
    page.wait_for_selector("#found >> text=/Ready/")
    page.locator("#mask-tools label:has(input[value=around])").click()
    canvas = page.locator(".vc-canvas").bounding_box()
    assert canvas
    for x, y, move in ((0.12, 0.03, page.mouse.down), (0.82, 0.98, page.mouse.up)):
        page.mouse.move(canvas["x"] + x * canvas["width"], canvas["y"] + y * canvas["height"], steps=4)
        move()
    page.wait_for_selector(".vc-over")
    page.locator("#task label:has(input[value=background])").click()
    page.wait_for_timeout(2000)
    marked = page.screenshot(full_page=True)
    page.locator("#start").click()
    page.wait_for_selector("#progress >> text=/bit-identical/")
    page.wait_for_timeout(1500)
    page.evaluate("scrollTo(0, 0)")
    views = [Image.open(BytesIO(view)) for view in (marked, page.screenshot(full_page=True))]
    sheet = Image.new("RGB", (views[0].width, sum(view.height for view in views)), "white")
    sheet.paste(views[0])
    sheet.paste(views[1], (0, views[0].height))
    sheet.save(IMAGES / "editing.jpg", quality=82)


def text(page: Page, address: str) -> None:
    """An edit by text in a scene of the small world: where it looked, what it tried, what it chose."""
    page.goto(f"{address}/image-editing/")
    page.locator(".vc-examples [data-value=scene]").click()
    page.wait_for_selector(".vc-canvas img")
    page.get_by_role("tab", name="By text").click()
    page.locator("#prompt textarea, #prompt input").first.fill("a tree with pink flowers")
    page.locator("#regions").click()
    page.wait_for_selector("#chips button")
    page.locator("#edit-text").click()
    page.wait_for_selector("#progress >> text=/regions were tried/")
    page.get_by_role("button", name="3 · What to do").click()
    page.wait_for_timeout(1500)
    page.screenshot(path=IMAGES / "editing-text.jpg", full_page=True, quality=82)


PAGES = {page.__name__: page for page in (digits, dashboard, leaves, color, restoration, editing, text)}


def main() -> None:
    wanted = sys.argv[1:] or list(PAGES)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as scratch:
        runs = Path(scratch)
        if {"digits", "dashboard"} & set(wanted):
            trainings(runs)
        server = subprocess.Popen(
            [sys.executable, "-m", "vision_core", "serve", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "VISION_CORE_RUNS": scratch},
        )
        try:
            wait_for(f"{address}/healthz")
            with sync_playwright() as p:
                browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 860})
                page.set_default_timeout(600_000)
                if not sys.argv[1:]:
                    page.goto(address)
                    page.wait_for_timeout(5000)
                    page.screenshot(path=IMAGES / "landing.png", full_page=True)
                for name in wanted:
                    PAGES[name](page, address)
                browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
