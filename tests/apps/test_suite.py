"""The suite as one app: what each address answers, its headers, and a port in use."""

import socket

import pytest
from fastapi.testclient import TestClient

from apps import landing, suite
from vision_core.files import bundled


@pytest.fixture(scope="module")
def client():
    return TestClient(suite.create())


@pytest.mark.parametrize("path", ["/", "/healthz", "/digits/", "/digits/icon.svg", "/color-transfer/"])
def test_every_part_answers_with_safe_headers(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_health_names_the_version(client):
    assert client.get("/healthz").json() == {"status": "ok", "version": suite.vision_core.__version__}


def test_landing_shows_a_picture_for_each_system(client):
    page = client.get("/").text
    for card in landing.CARDS:
        assert card.title in page and (bundled("assets") / "landing" / card.picture).exists()
        assert client.get(f"/pictures/{card.picture}").status_code == 200
    assert page.count("not built yet") == sum(not card.link for card in landing.CARDS)


def test_files_outside_are_not_served(client):
    assert client.get("/pictures/../../pyproject.toml").status_code == 404
    assert client.get("/color-transfer/gradio_api/file=/etc/passwd").status_code in (403, 404)


def test_a_port_in_use_is_a_sentence():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ValueError, match="cannot listen on 127"),
    ):
        suite.serve(port=taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_loopback(host, loopback):
    assert suite._loopback(host) == loopback
