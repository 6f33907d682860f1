"""Tests of the suite: responses, headers, request checks, start-up errors."""

import errno
import io
import json
import logging
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from server import served

from apps import landing, suite
from apps.shared import logs, visits
from vision_core.files import bundled

PAGES = ["/", "/digits/", "/color-transfer/", "/image-editing/", "/restoration/"]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The running suite, its visitors in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("suite")))
        with TestClient(suite.create(["testserver"]), base_url="http://localhost") as running:
            yield running


@pytest.mark.parametrize("path", [*PAGES, "/healthz", "/digits/icon.svg", "/favicon.ico"])
def test_every_part_answers_with_safe_headers(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "frame-ancestors 'self'"
    assert response.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("path", [*PAGES, "/healthz", "/color-transfer/config"])
def test_a_name_that_is_not_ours_is_refused_everywhere(client, path):
    assert client.get(path, headers={"host": "evil.example"}).status_code == 421
    assert client.get("/healthz", headers={"host": "testserver"}).status_code == 200


def test_health_names_the_version(client):
    assert client.get("/healthz").json() == {"status": "ok", "version": suite.vision_core.__version__}


def test_landing_shows_a_picture_for_each_system(client):
    page = client.get("/").text
    for card in landing.CARDS:
        assert card.title in page and (bundled("assets") / "landing" / card.picture).exists()
        assert client.get(f"/pictures/{card.picture}").status_code == 200
    assert page.count("not built yet") == sum(not card.link for card in landing.CARDS)


@pytest.mark.parametrize(
    "path", ["/nowhere", "/digits/nowhere", "/color-transfer/nowhere", "/pictures/x.jpg"]
)
def test_an_unknown_address_is_a_page_for_a_person_and_json_for_a_program(client, path):
    response = client.get(path, headers={"accept": "text/html"})
    assert (
        response.status_code == 404
        and 'href="/"' in response.text
        and "nothing at this address" in response.text
    )
    assert "<!doctype" not in client.get(path, headers={"accept": "application/json"}).text.lower()


def test_files_outside_are_not_served(client):
    assert client.get("/pictures/../../pyproject.toml").status_code == 404
    assert client.get("/color-transfer/gradio_api/file=/etc/passwd").status_code in (403, 404)


def upload(client) -> str:
    """The path of a file uploaded to the colour page."""
    sent = client.post("/color-transfer/gradio_api/upload", files={"files": ("a.png", io.BytesIO(b"x"))})
    return sent.json()[0]


@pytest.mark.parametrize(
    "route", ["queue/join", "run/choose_source", "call/choose_source", "api/choose_source"]
)
def test_a_request_that_names_a_folder_never_reaches_gradio(client, route):
    path = upload(client)
    body = {"data": [None, {"path": path.rpartition("/")[0]}], "fn_index": 0, "session_hash": "x"}
    response = client.post(f"/color-transfer/gradio_api/{route}", json=body)
    assert response.status_code == 400 and "not uploaded here" in response.json()["detail"]


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_a_client_cannot_name_a_file_of_the_server(client, meta):
    secret = str(bundled("assets") / "color" / "cat.jpg")
    body = {"data": [None, {"path": secret, **meta}], "session_hash": "stranger"}
    for route in ("queue/join", "run/choose_source"):
        assert client.post(f"/color-transfer/gradio_api/{route}", json=body).status_code == 400


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("edit", [None], "not a click"),
        ("choose_target", [None, None, 10**400, 3], None),
        ("count_again", [None, "x", None], None),
        ("begin", [None, "rgb", 10**400, 0, 1e-3, 0, *[1] * 7], "choose a picture"),
        ("follow", [None, None, {}, 3], None),
        ("stop", [None], "no result yet"),
        ("act", [None, 1], "not a click"),
    ],
)
def test_bad_arguments_of_a_client_are_sentences(client, caplog, capfd, name, arguments, sentence):
    page = client.get("/color-transfer/config").json()
    [function] = [each["id"] for each in page["dependencies"] if each["api_name"] == name]
    who = f"client-{name}"
    body = {"data": arguments, "fn_index": function, "session_hash": who}
    sent = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
    assert client.post("/color-transfer/gradio_api/queue/join", **sent).status_code == 200
    with client.stream("GET", f"/color-transfer/gradio_api/queue/data?session_hash={who}") as events:
        completed = next(line for line in events.iter_lines() if "process_completed" in line)
    assert (sentence in completed) if sentence else ('"success":true' in completed.replace(" ", ""))
    assert "our side" not in completed and "Traceback" not in caplog.text + capfd.readouterr().err


def test_a_download_needs_the_key_of_its_visit(client):
    page = "/color-transfer/files"
    strange = visits.new("color").key
    for address in (
        f"{page}/{strange}/look-001/recoloured.png",
        f"{page}/..%2f../look-001/x",
        f"{page}/x/y/z",
    ):
        response = client.get(address)
        assert response.status_code == 404 and "Traceback" not in response.text


def test_an_app_alone_answers_at_the_top():
    with TestClient(suite.create(only="color_transfer"), base_url="http://localhost") as client:
        assert "Colour transfer" in client.get("/").text
        assert client.get("/healthz").status_code == 200


def junk(address: str) -> None:
    """Hostile requests: unknown sessions and functions, aborted uploads, random bytes."""
    gradio = f"{address}/color-transfer/gradio_api"
    for path in ("queue/data?session_hash=nobody", "call/begin/nothing"):
        with suppress(httpx.RemoteProtocolError):
            httpx.get(f"{gradio}/{path}", timeout=60)
    for body in ({"fn_index": 99999}, {"fn_index": 3}, {"fn_index": "x"}, []):
        for path in ("queue/join", "run/begin"):
            body = {"data": [{"a": 1}], "session_hash": "q", **body} if isinstance(body, dict) else body
            httpx.post(f"{gradio}/{path}", json=body, timeout=60)
    head = "POST /color-transfer/gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n"
    part = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + "a" * 100_000
    upgrade = (
        "GET /dashboard/_stcore/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: streamlit\r\n\r\n"
    )
    unmasked = bytes(4)
    for first, then in (
        (f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n{part}", b""),
        ("\x16\x03\x01\x02\r\n\r\n", b""),
        (upgrade, b"\x82\x84" + unmasked + b"junk"),
        (upgrade, b"\x81\x84" + unmasked + b"text"),
        (upgrade, b"junk" * 50),
    ):
        with socket.create_connection(("127.0.0.1", urlsplit(address).port or 80)) as stranger:
            stranger.sendall(first.encode("latin-1"))
            if then:
                assert stranger.recv(4000).startswith(b"HTTP/1.1 101")
                stranger.sendall(then)
                stranger.settimeout(2)
                with suppress(OSError):
                    stranger.recv(4000)


@pytest.mark.slow
def test_what_strangers_send_is_one_line_each_in_the_log(tmp_path):
    log = tmp_path / "log.txt"
    with served(None, {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}, log) as address:
        junk(address)
        assert httpx.get(f"{address}/healthz").status_code == 200
    text = log.read_text()
    assert "Traceback" not in text and 'File "' not in text
    for kind in ("404", "ClientDisconnect", "KeyError: 99999", "Invalid HTTP request", "DecodeError"):
        assert kind in text, kind
    assert len(text.splitlines()) < 25


def test_a_fault_of_ours_keeps_its_traceback(caplog, monkeypatch):
    logs.install()
    try:
        visits.make_room(None)  # pyright: ignore[reportArgumentType]  # a mistake inside code of ours
    except AttributeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    try:
        json.loads("{")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    ours, theirs = caplog.records
    assert ours.exc_info and not theirs.exc_info
    assert "(JSONDecodeError: Expecting property name" in theirs.getMessage()


def test_a_port_in_use_is_a_sentence():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ValueError, match="cannot listen on 127"),
    ):
        suite.serve(port=taken.getsockname()[1])


def test_a_refusal_of_the_system_says_what_was_refused_and_what_to_do():
    def build():
        raise OSError(errno.EACCES, "Permission denied")  # as a semaphore without a usable /dev/shm does

    with pytest.raises(ValueError, match=r"Permission denied.*/dev/shm must be there and writable"):
        suite.run(build, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_loopback(host, loopback):
    assert suite._loopback(host) == loopback
