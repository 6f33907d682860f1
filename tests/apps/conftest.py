"""Fixtures for the apps: a folder for visits, and the dashboard served for a browser."""

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "apps" / "dashboard" / "app.py"


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory):
    """A temporary folder of the module's own, where the apps keep visits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("visitors")))
        yield


@pytest.fixture
def opened(browser):
    """`opened(address, **context options) -> page`: the address of an app, opened by another visitor."""
    contexts = []

    def open_page(address: str, **options):
        options = {"viewport": {"width": 1280, "height": 900}, "accept_downloads": True, **options}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)  # ms; a busy machine is no failure
        page.goto(address)
        page.wait_for_function("new URLSearchParams(location.search).has('visit')")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def served(root):
    """The dashboard's address, served by `streamlit run`; each module's `root` holds the runs it shows."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port)]
    process = subprocess.Popen([*command, "--server.address", "127.0.0.1"], stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"

    def healthy() -> bool:
        try:
            return urllib.request.urlopen(address + "_stcore/health").status == 200
        except OSError:
            return False

    end = time.monotonic() + 60
    while not healthy():
        assert time.monotonic() < end, "the dashboard did not answer"
        time.sleep(0.1)
    yield address
    process.terminate()
    process.wait(20)
