"""Weights come from models/, the hub's cache or the hub; here the hub is a real server on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vision_core import weights
from vision_core.weights import WEIGHTS, Weights, WeightsMissing, find, locate

CONTENT = b"trained for a long time " * 1000
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FIND = """
import json, sys
from vision_core.weights import Weights, find, locate
entry = Weights(**json.loads(sys.argv[1]))
print(locate(entry) is not None)
try:
    print(find("big", table={"big": entry}).read_bytes() == bytes.fromhex(sys.argv[2]))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


class Hub(BaseHTTPRequestHandler):
    """Two files of one repository, as the model hub answers for them."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        self.server.asked.append((self.command, self.path))  # pyright: ignore[reportAttributeAccessIssue]
        name = self.path.rpartition("/")[2]
        known = self.path.startswith("/someone/net/resolve/main/") and name in ("net.pth", "broken.pth")
        self.send_response(200 if known else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        if not known:
            self.send_header("X-Error-Code", "EntryNotFound")
        body = CONTENT if known else b""
        self.send_header("ETag", f'"{hashlib.sha256(name.encode()).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body[: len(body) // 2] if name == "broken.pth" else body)
            self.close_connection = True

    def log_message(self, format, *args) -> None:
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []  # pyright: ignore[reportAttributeAccessIssue]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def entry(file: str = "net.pth", content: bytes = CONTENT) -> dict:
    digest = hashlib.sha256(content).hexdigest()
    return {
        "file": file,
        "sha256": digest,
        "licence": "MIT",
        "source": "a test",
        "repo": "someone/net",
        "revision": "main",
    }


def find_in(home: Path, port: int, wanted: dict, offline: bool = False) -> list[str]:
    """Whether it was here and what `find` said, in a fresh process, for the hub reads its settings once."""
    env = os.environ | {
        "HF_HOME": str(home),
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "NO_PROXY": "127.0.0.1",
    }
    env["HF_HUB_OFFLINE"] = str(int(offline))
    env["HF_HUB_DISABLE_XET"] = "1"
    command = [sys.executable, "-c", FIND, json.dumps(wanted), CONTENT.hex()]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_downloads_once_and_then_needs_no_network(tmp_path, hub):
    port = hub.server_address[1]
    assert find_in(tmp_path, port, entry(), offline=True)[1].startswith("WeightsMissing: the weights 'big'")
    assert hub.asked == []
    assert find_in(tmp_path, port, entry()) == ["False", "True"]
    assert [command for command, _ in hub.asked].count("GET") == 1
    hub.asked.clear()
    assert find_in(tmp_path, port, entry(), offline=True) == ["True", "True"]
    assert find_in(tmp_path, port, entry()) == ["True", "True"]
    assert hub.asked == []


def test_other_bytes_than_the_table_s_are_refused(tmp_path, hub):
    _, said = find_in(tmp_path, hub.server_address[1], entry(content=b"others"))
    assert (
        said.startswith("ValueError: ") and "is not the 'big' of this release" in said and "delete it" in said
    )


@pytest.mark.parametrize("file", ["missing.pth", "broken.pth"])
def test_what_cannot_be_fetched_names_the_remedy(tmp_path, hub, file):
    here, said = find_in(tmp_path, hub.server_address[1], entry(file))
    assert here == "False" and said.startswith("WeightsMissing: the weights 'big' are not on this machine")
    assert f"connect once, or put {file} of someone/net into models/" in said


def test_our_own_weights_are_in_the_release():
    for name, known in WEIGHTS.items():
        path = find(name)
        assert path == locate(known) and hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256
        assert known.licence and known.source


def test_an_explicit_path_wins(tmp_path):
    (tmp_path / "mine.pth").write_bytes(b"mine")
    assert find("digits", tmp_path / "mine.pth") == tmp_path / "mine.pth"
    for path in (tmp_path, tmp_path / "nothing", "a\0b"):
        with pytest.raises(ValueError, match="there is no weights file"):
            find("digits", path)


def test_names_and_files_that_are_not_there():
    with pytest.raises(ValueError, match=r"no weights are called 'digit'; there are .*digits"):
        find("digit")
    lost = Weights("digits/lost.pth", "0" * 64, "MIT", "a test")
    with pytest.raises(WeightsMissing, match=r"belong in models/digits/lost\.pth"):
        find("lost", table={"lost": lost})


def test_a_changed_file_in_models_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "bundled", lambda name: tmp_path)
    (tmp_path / "net.pth").write_bytes(CONTENT)
    mine = {"net": Weights("net.pth", hashlib.sha256(CONTENT).hexdigest(), "MIT", "a test")}
    assert find("net", table=mine) == tmp_path / "net.pth"
    (tmp_path / "net.pth").write_bytes(CONTENT + b"!")
    with pytest.raises(ValueError, match=r"is not the 'net' of this release .*restore it"):
        find("net", table=mine)
