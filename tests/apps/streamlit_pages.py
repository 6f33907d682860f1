"""Runs pages of the dashboard as scripts."""

import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[2] / "apps" / "dashboard" / "app.py"


def visit(page: str, **query: str) -> AppTest:
    """A fresh session, as after a reload of the page at this address."""
    app = AppTest.from_file(str(APP), default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page(page)
    return checked(app.run())


def checked(app: AppTest) -> AppTest:
    assert [e.message for e in app.exception] == []
    return app


def told(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.error, *app.info, *app.warning])


def metrics(app: AppTest) -> dict[str, str]:
    return {element.label: element.value for element in app.metric}


def wait_for(what, seconds: float = 120):
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return value
