"""Tests of the request checks: host names, slow bodies, file paths."""

import asyncio
import gc
import json
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path

import gradio as gr
import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import JSONResponse

from apps.shared import doors, logs, wiring
from vision_core import files


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:7860", True),
        ("127.0.0.1:7860", True),
        ("[::1]:7860", True),
        ("192.168.1.5", True),
        ("app.localhost", True),
        ("me-app.hf.space", True),
        ("MY.example:80", True),
        ("evil.example", False),
        ("evil.example:7860", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_only_our_own_names_are_answered_to(monkeypatch, host, allowed):
    monkeypatch.setenv("SPACE_HOST", "me-app.hf.space")
    app = FastAPI()
    app.get("/")(lambda: "here")
    client = TestClient(doors.KnownHost(app, allowed=["my.example"]), base_url="http://localhost")
    assert client.get("/", headers={"host": host}).status_code == (200 if allowed else 421)


@pytest.mark.parametrize("kind", ["static/", "assets/", "svelte/", "gradio_api/proxy="])
@pytest.mark.parametrize("name", ["x" * 256, "x" * 5000, "%00", "a%00b", "a%0Ab"])
def test_a_path_that_no_file_can_have_is_not_found(kind, name):
    with gr.Blocks() as page:
        gr.Textbox()
    client = TestClient(doors.SoundPath(gr.mount_gradio_app(FastAPI(), page, "/page")))
    assert client.get(f"/page/{kind}{name}").status_code == 404
    assert client.get("/page/" + "x" * 255).status_code == 404
    assert client.get("/page/config").status_code == 200


def test_what_gradio_fails_at_is_a_bad_request_and_our_own_faults_stay_faults():
    with gr.Blocks() as page:
        gr.Button().click(lambda: None, api_name="known")
        gr.Button().click(lambda: "no file", None, gr.File(), api_name="wrong", queue=False)
    logs.quiet_gradio()
    app = FastAPI()
    app.get("/broken")(lambda: files.read_json("there is no such file"))
    client = TestClient(
        doors.BadRequest(gr.mount_gradio_app(app, page, "/page")), raise_server_exceptions=False
    )
    assert client.get("/broken").status_code == 500
    assert client.post("/page/gradio_api/run/wrong", json={"data": []}).status_code == 500
    calls = client.post("/page/gradio_api/call/unknown", json={"data": []})
    assert calls.status_code == 400 and "does not know" in calls.text
    long = f"multipart/form-data; boundary={'b' * 3000}"
    forms = client.post("/page/gradio_api/upload", content=b"x", headers={"content-type": long})
    assert forms.status_code == 400
    assert client.get("/page/config").status_code == 200


def test_what_the_system_refuses_is_the_servers_fault(tmp_path, monkeypatch, caplog):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    app = FastAPI()
    app.get("/full")(lambda: Path("/dev/full").write_bytes(b"x"))
    wiring.mount(app, Echo, "/echo/")
    client = TestClient(doors.BadRequest(app), raise_server_exceptions=False)

    def upload(size: int) -> tuple[int, str]:
        response = client.post("/echo/gradio_api/upload", files={"files": ("x.png", bytes(size))})
        return response.status_code, response.text

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        assert upload(1000)[0] == 200
        assert upload(100_000) == (500, "The server could not do that.\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "OSError: File too large" in caplog.messages[-1]
    full = client.get("/full")
    assert (full.status_code, full.text) == (507, "The server's disk is full: please come back later.\n")


def test_a_websocket_of_a_stranger_is_closed():
    async def connect(host: bytes) -> list[str]:
        sent: list[str] = []

        async def app(scope, receive, send):
            sent.append("connected")

        async def send(message):
            sent.append(message["type"])

        scope = {"type": "websocket", "headers": [(b"host", host)]}
        await doors.KnownHost(app)(scope, None, send)
        return sent

    assert asyncio.run(connect(b"evil.example")) == ["websocket.close"]
    assert asyncio.run(connect(b"localhost:1")) == ["connected"]


def slow(parts: list[tuple[float, bytes, bool]]):
    """A `receive` that waits before each part of the body, then for ever."""
    waiting = list(parts)

    async def receive():
        if not waiting:
            await asyncio.sleep(60)
        seconds, body, more = waiting.pop(0)
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": body, "more_body": more}

    return receive


def received(parts) -> list[str]:
    """The events that an app behind `TimelyBody` receives."""
    got: list[str] = []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            got.append(message["type"])
            if message["type"] == "http.disconnect" or not message["more_body"]:
                return

    scope = {"type": "http", "method": "POST", "headers": []}
    asyncio.run(doors.TimelyBody(app)(scope, slow(parts), None))
    return got


def test_a_body_that_stands_still_or_drips_is_ended(monkeypatch):
    assert received([(0, b"a", True), (0, b"b", False)]) == ["http.request"] * 2
    monkeypatch.setenv("VISION_CORE_MAX_IDLE_SECONDS", "1")
    assert received([(0, b"a", True)]) == ["http.request", "http.disconnect"]
    monkeypatch.setenv("VISION_CORE_MAX_BODY_SECONDS", "1")
    assert received([(0.06, b"a", True)] * 50)[-1] == "http.disconnect"


@pytest.mark.parametrize(
    ("name", "stays"),
    [("evil.example", False), ("6.6.6.6", False), ("localhost:7860", True), ("my.example", True)],
)
def test_a_forwarded_host_stays_only_where_it_is_a_name_of_ours(name, stays):
    async def names(scope, receive, send):
        await JSONResponse(Request(scope).headers.get("x-forwarded-host"))(scope, receive, send)

    client = TestClient(doors.KnownHost(names, allowed=["my.example"]), base_url="http://localhost")
    assert client.get("/", headers={"x-forwarded-host": name}).json() == (name if stays else None)


@pytest.fixture
def uploads(tmp_path):
    """A folder of uploads with one file, and a client of an app behind the door."""
    folder = tmp_path / "uploads"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.png").write_bytes(b"picture")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "secret")

    async def echo(scope, receive, send):
        data = await Request(scope, receive).json()
        await JSONResponse(data)(scope, receive, send)

    return folder, TestClient(doors.OnlyUploads(echo, folder))


def test_an_upload_may_be_named_however_deep(uploads):
    folder, client = uploads
    body = {"data": [None, {"a": [{"path": str(folder / "deep" / "a.png"), "meta": {}}]}], "fn_index": 1}
    assert client.post("/queue/join", json=body).json() == body


@pytest.mark.parametrize("path", ["deep", "", "link", "../secret", "deep/../../secret", "gone.png", "a\0b"])
@pytest.mark.parametrize("route", ["/queue/join", "/run/predict", "/call/look"])
def test_a_folder_a_link_and_a_stranger_are_refused(uploads, path, route):
    folder, client = uploads
    response = client.post(route, json={"data": [[{"x": {"path": f"{folder}/{path}"}}]]})
    assert response.status_code == 400 and response.json() == {"detail": doors.STRANGER}


@pytest.mark.parametrize("path", [7, ["a"], {"path": "/etc/passwd"}, True, "x" * 100_000])
def test_a_path_that_is_none_is_refused(uploads, path):
    assert uploads[1].post("/queue/join", json={"data": [{"path": path}]}).status_code == 400


def test_a_request_as_large_as_an_upload_is_refused(uploads, monkeypatch):
    monkeypatch.setattr(doors, "JSON_BYTES", 1000)
    assert uploads[1].post("/queue/join", content=json.dumps(["x" * 2000])).status_code == 413


def test_a_browser_keeps_its_key():
    app = FastAPI()
    page = "<p>page</p>"
    from fastapi.responses import HTMLResponse

    app.get("/", response_class=HTMLResponse)(lambda: page)
    client = TestClient(doors.BrowserKey(app))
    first = client.get("/")
    assert len(first.cookies[doors.BROWSER_COOKIE]) == 32 and "HttpOnly" in first.headers["set-cookie"]
    assert "set-cookie" not in client.get("/").headers


class Echo:
    """A minimal app."""

    files = APIRouter()

    @staticmethod
    def build() -> gr.Blocks:
        with gr.Blocks() as page:
            words = gr.Textbox()
            gr.Button().click(lambda text: text, words, words, api_name="echo")
        return page.queue()


class Counter:
    """An app that counts the texts of each page, and changes a component."""

    files = APIRouter()

    @staticmethod
    def build() -> gr.Blocks:
        with gr.Blocks() as page:
            words, count = gr.Textbox(), gr.State(0)
            add = lambda text, count: (gr.Textbox(text, info=str(count + 1)), count + 1)  # noqa: E731
            gr.Button().click(add, [words, count], [words, count], queue=False)
        return page.queue()


def test_little_is_kept_of_an_open_page_whatever_it_sends(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wiring.mount(app := FastAPI(), Counter, "/count")
    client = TestClient(app)

    def ask(text: str, page: str) -> list[int]:
        sent = {"data": [text, None], "fn_index": 0, "session_hash": page}
        return client.post("/count/gradio_api/run/predict", json=sent).raise_for_status().json()["data"]

    ask("", "first")
    tracemalloc.start()
    shown = [ask("x" * 1_000_000, page)[0]["info"] for page in ("a", "b", "a", "c", "a")]
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert shown == ["1", "1", "2", "1", "3"]  # each page has a state of its own
    assert kept < 1_000_000


def test_a_name_of_a_page_that_would_fill_the_memory_is_refused(echo):
    sent = {"data": ["text"], "fn_index": 0, "session_hash": "x" * 1000}
    for route in ("join", "../run/echo", "../call/echo"):
        response = httpx.post(f"{echo}/{route}", json=sent)
        assert response.status_code == 400 and "at most 100 characters" in response.text


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """The address of an app that returns its input."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    app = FastAPI()
    app.add_middleware(doors.BadRequest)
    wiring.mount(app, Echo, "/echo/")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/echo/gradio_api/queue"
    server.should_exit = True
    thread.join(20)


def test_a_click_after_the_last_answer_is_answered_at_once_and_then_the_stream_ends(echo, monkeypatch):
    monkeypatch.setattr(doors, "STREAM_SECONDS", 600)  # an answer that waited for its end would never come

    def ask(text: str) -> str:
        event = {"data": [text], "fn_index": 0, "session_hash": "me"}
        return httpx.post(f"{echo}/join", json=event).json()["event_id"]

    texts, ids, messages = ["first", "second", "third"], [], []
    ids.append(ask(texts[0]))
    with httpx.stream("GET", f"{echo}/data", params={"session_hash": "me"}, timeout=30) as stream:
        for line in filter(None, stream.iter_lines()):
            messages.append(json.loads(line.removeprefix("data: ")))
            if messages[-1]["msg"] != "process_completed":
                continue
            if len(ids) == len(texts):
                monkeypatch.setattr(doors, "STREAM_SECONDS", 0.1)
            else:
                ids.append(ask(texts[len(ids)]))  # as a page does that believes the stream open
    answers = [(m["event_id"], m["output"]["data"][0]) for m in messages if m["msg"] == "process_completed"]
    assert answers == list(zip(ids, texts, strict=True))
    assert [m["msg"] for m in messages].index("close_stream") == len(messages) - 1


@pytest.mark.parametrize(
    ("route", "missing", "message"),
    [
        ("queue/join", {"fn_index": 0, "session_hash": "me"}, "0 of 1 inputs"),
        ("call/echo", {}, "0 of 1 inputs"),
        ("run/echo", {"fn_index": 0}, "does not know such a request"),
    ],
)
def test_too_few_inputs_are_a_bad_request_and_one_line_of_the_log(echo, caplog, route, missing, message):
    logs.install()
    response = httpx.post(f"{echo.removesuffix('queue')}{route}", json={"data": [], **missing})
    assert response.status_code == 400 and message in response.text
    assert len(caplog.messages) == 1 and not caplog.records[0].exc_info


def test_a_stream_that_was_left_takes_no_answer_from_the_next(echo, monkeypatch):
    monkeypatch.setattr(doors, "STREAM_SECONDS", 600)
    for text in ("first", "second", "third"):
        event = {"data": [text], "fn_index": 0, "session_hash": "me"}
        httpx.post(f"{echo}/join", json=event)
        with httpx.stream("GET", f"{echo}/data", params={"session_hash": "me"}, timeout=20) as stream:
            completed = next(line for line in stream.iter_lines() if "process_completed" in line)
        assert json.loads(completed.removeprefix("data: "))["output"]["data"] == [text]
        time.sleep(0.1)
