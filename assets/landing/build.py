"""Writes the landing page's pictures: results of the systems, and screenshots of the suite as it runs.

`make pictures`, with Chromium and playwright, and a suite with some trainings at http://127.0.0.1:7860.
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from vision_core import editing, leaves, restoration
from vision_core.color import transfer
from vision_core.pictures import images

HERE = Path(__file__).parent
ASSETS = HERE.parent
SIZE = (1280, 800)


def main(address: str = "http://127.0.0.1:7860") -> None:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shot(browser, f"{address}/digits/#e=3&s=7.5", "digits", ".matrix button")
        # of a suite that has some trainings
        shot(browser, f"{address}/dashboard/training", "dashboard", ".js-plotly-plot")
        browser.close()
    for draw in (color, edited, restored, explained):
        draw()


def shot(browser: Browser, address: str, name: str, ready: str) -> None:
    """One page at 1280 x 800, a moment after `ready` is there."""
    page: Page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
    page.goto(address, wait_until="load")
    page.wait_for_selector(ready, state="attached", timeout=120_000)
    page.wait_for_timeout(8000)
    save(Image.open(BytesIO(page.screenshot())).convert("RGB"), name)
    page.close()


def color() -> None:
    """The palace before and with the colours of the dahlia."""
    source = images.read(ASSETS / "color" / "palace.jpg")
    compare(source.rgb, transfer(source, ASSETS / "color" / "flower.jpg").picture.rgb, "color-transfer")


def edited() -> None:
    """A rocket on its pad, and the pad after it was removed."""
    source = images.read(ASSETS / "color" / "rocket.jpg")
    mask = editing.marked(source, "box:300,118,348,412", None, "remove")
    *_, done = editing.perform(source, "remove", editing.painter("classical"), mask=mask, seed=1)
    height, width = mask.shape
    left, half = (width - height * 4 // 5) // 2, height * 4 // 5
    both = [Image.fromarray(rgb[:, left : left + half]) for rgb in (source.rgb, done.result.picture.rgb)]
    beside = Image.new("RGB", (2 * half + 6, height), "white")
    beside.paste(both[0], (0, 0))
    beside.paste(both[1], (half + 6, 0))
    save(beside, "editing")


def restored() -> None:
    """A faded page before and after."""
    source = images.read(ASSETS / "restoration" / "faded.jpg")
    network, _ = restoration.load()
    done = restoration.restore(source, network, restoration.Options(gate=False))
    compare(source.rgb, done.picture.rgb, "restoration")


def explained() -> None:
    """A leaf, and where the classifier looked."""
    found = leaves.explain(leaves.load()[0], images.read(ASSETS / "leaves" / "apple-rust.jpg"))
    compare(found.shown, found.overlay, "leaves")


def compare(before: np.ndarray, after: np.ndarray, name: str) -> None:
    """The middle of two pictures of one size in one, left and right of a slanted cut."""
    height, width = before.shape[:2]
    mask = Image.new("L", (width, height), 0)
    shown = min(height, width * SIZE[1] // SIZE[0])
    first = (height - shown) // 2
    for y in range(height):
        cut = round(width * (0.58 - 0.16 * (y - first) / shown))
        mask.paste(255, (cut, y, width, y + 1))
    both = Image.composite(Image.fromarray(after), Image.fromarray(before), mask)
    save(both.crop((0, first, width, first + shown)).resize((800, 500), Image.Resampling.LANCZOS), name)


def save(image: Image.Image, name: str) -> None:
    image.thumbnail((800, 500), Image.Resampling.LANCZOS)
    image.save(HERE / f"{name}.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
