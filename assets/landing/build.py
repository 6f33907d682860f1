"""Writes the landing page's pictures: screenshots of the suite as it runs. Needs Chromium and playwright.

python -m apps.suite & python assets/landing/build.py
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from vision_core.color import transfer
from vision_core.pictures import images

HERE = Path(__file__).parent
SIZE = (1280, 800)


def main(address: str = "http://127.0.0.1:7860") -> None:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shot(browser, f"{address}/digits/#e=3&s=7.5", "digits")
        shot(browser, f"{address}/dashboard/training", "dashboard")  # of a suite that has some trainings
        browser.close()
    color()


def shot(browser: Browser, address: str, name: str) -> None:
    """One page at 1280 x 800, once it is quiet."""
    page: Page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
    page.goto(address, wait_until="load")
    page.wait_for_timeout(8000)
    save(Image.open(BytesIO(page.screenshot())).convert("RGB"), name)
    page.close()


def color() -> None:
    """The palace before and, right of a slanted cut, with the colours of the dahlia."""
    examples = HERE.parent / "color"
    source = images.read(examples / "palace.jpg")
    result = transfer(source, examples / "flower.jpg")
    before, after = Image.fromarray(source.rgb), Image.fromarray(result.picture.rgb)
    width, height = before.size
    mask = Image.new("L", before.size, 0)
    for y in range(height):
        cut = round(width * (0.58 - 0.16 * y / height))
        mask.paste(255, (cut, y, width, y + 1))
    top = (height - width * SIZE[1] // SIZE[0]) // 2
    save(Image.composite(after, before, mask).crop((0, top, width, height - top)), "color-transfer")


def save(image: Image.Image, name: str) -> None:
    image.thumbnail((800, 500), Image.Resampling.LANCZOS)
    image.save(HERE / f"{name}.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
