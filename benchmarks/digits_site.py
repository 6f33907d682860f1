"""Times the scripts of the digit explorer in Chromium per frame, while drawing and while changing epochs.

A drawing frame paints and normalises the stroke, classifies it with every epoch and redraws the visible
views.
"""

import functools
import shutil
import statistics
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SITE = Path(__file__).parents[1] / "apps" / "digits_site"
FORWARD = """async () => {
  const [net, data] = await Promise.all([import("./js/network.js"), import("./js/data.js")]);
  const { epochs, samples, norm } = await data.fetchExport("data/digits.json");
  const out = net.activations(), pixels = samples[7][0];
  const time = (n, run) => {
    const start = performance.now();
    for (let i = 0; i < n; i++) run(i);
    return (performance.now() - start) / n;
  };
  return [time(2000, (i) => net.forward(epochs[i % epochs.length].weights, pixels, norm, out)),
          time(100, () => net.readByAll(epochs, pixels, norm, out))];
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def draw(page: Page) -> None:
    box = page.locator("#pad").bounding_box()
    assert box
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    for x, y in ((220, 60), (150, 250)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=40)
    page.mouse.up()


def scrub(page: Page) -> None:
    for key in ("ArrowLeft", "ArrowRight"):
        for _ in range(20):
            page.keyboard.press(key)
            page.wait_for_timeout(20)


def report(page: Page, name: str, act) -> None:
    page.evaluate("durations.length = 0")
    act(page)
    page.wait_for_timeout(200)
    times = sorted(page.evaluate("durations"))
    median, slow = statistics.median(times), times[int(0.9 * len(times))]
    print(f"{name:28} median {median:5.2f} ms   p90 {slow:5.2f} ms   {len(times)} frames")


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        page.locator("#main").wait_for()
        forward, every = page.evaluate(FORWARD)
        print(f"forward pass {forward:.3f} ms, all epochs {every:.2f} ms")
        page.evaluate(
            "() => { window.durations = []; new PerformanceObserver((list) => list.getEntriesByName('frame')"
            ".forEach((e) => durations.push(e.duration))).observe({ type: 'measure' }); }"
        )
        draw(page)
        report(page, "drawing", draw)
        report(page, "epochs, top of the page", scrub)
        for panel in ("inside", "compare", "weights", "confusion", "occlusion"):
            page.locator(f"#{panel}").scroll_into_view_if_needed()
            page.wait_for_timeout(600)
            report(page, f"epochs, at '{panel}'", scrub)
        browser.close()
    server.shutdown()
