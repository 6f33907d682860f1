"""Tests of finding weights in models/, the cache and a local server with the protocol of the Hub."""

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
FILES = {
    "net.pth": CONTENT,
    "broken.pth": CONTENT,
    "model_index.json": b"{}",
    "unet/config.json": b'{"layers": 2}',
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FIND = """
import json, sys
from vision_core.weights import Weights, find, locate
entry = Weights(**json.loads(sys.argv[1]))
print(locate(entry) is not None)
try:
    found = find("big", table={"big": entry})
    contents = json.loads(sys.argv[2])
    print(all((found / part).read_bytes() == bytes.fromhex(text) for part, text in contents.items()))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


class Hub(BaseHTTPRequestHandler):
    """The files of one repository, as the model hub answers for them."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        self.server.asked.append((self.command, self.path))  # pyright: ignore[reportAttributeAccessIssue]
        name = self.path.removeprefix("/someone/net/resolve/main/")
        known = name in FILES
        self.send_response(200 if known else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        if not known:
            self.send_header("X-Error-Code", "EntryNotFound")
        body = FILES.get(name, b"")
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


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(file: str = "net.pth", content: bytes = CONTENT) -> dict:
    about = {"licence": "MIT", "source": "a test", "repo": "someone/net", "revision": "main"}
    return {"file": file, "sha256": sha256(content), **about}


def folder(*names: str) -> dict:
    return {**entry(), "file": "big", "sha256": {name: sha256(FILES[name]) for name in names}}


def find_in(home: Path, port: int, entries: dict, offline: bool = False) -> list[str]:
    """Whether it was here and what `find` said, in a fresh process, for the hub reads its settings once."""
    env = os.environ | {
        "HF_HOME": str(home),
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "NO_PROXY": "127.0.0.1",
    }
    env["HF_HUB_OFFLINE"] = str(int(offline))
    env["HF_HUB_DISABLE_XET"] = "1"
    is_folder = isinstance(entries["sha256"], dict)
    contents = (
        {name: FILES.get(name, b"").hex() for name in entries["sha256"]} if is_folder else {"": CONTENT.hex()}
    )
    command = [sys.executable, "-c", FIND, json.dumps(entries), json.dumps(contents)]
    process = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


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
    _, message = find_in(tmp_path, hub.server_address[1], entry(content=b"others"))
    assert (
        message.startswith("ValueError: ")
        and "is not the 'big' of this release" in message
        and "delete it" in message
    )


def test_a_damaged_download_is_named_and_fetched_again_once_it_is_deleted(tmp_path, hub):
    port = hub.server_address[1]
    find_in(tmp_path, port, entry())
    blob = next(path for path in tmp_path.rglob("blobs/*") if path.is_file())
    blob.write_bytes(CONTENT[:-1] + b"!")
    _, message = find_in(tmp_path, port, entry())
    assert (
        message.startswith(f"ValueError: {blob} is not the 'big' of this release") and "delete it" in message
    )
    blob.unlink()
    assert find_in(tmp_path, port, entry()) == ["False", "True"]


def test_a_folder_of_files_is_fetched_whole(tmp_path, hub):
    port = hub.server_address[1]
    some, whole = folder("unet/config.json"), folder("unet/config.json", "model_index.json", "net.pth")
    assert find_in(tmp_path, port, some) == ["False", "True"]
    assert find_in(tmp_path, port, whole) == ["False", "True"]  # what is there in part is completed
    assert [command for command, _ in hub.asked].count("GET") == 3
    assert find_in(tmp_path, port, whole, offline=True) == ["True", "True"]
    whole["sha256"]["unet/config.json"] = sha256(b"others")
    _, message = find_in(tmp_path, port, whole)
    assert message.startswith("ValueError: ") and "is not the 'big' of this release" in message
    gone = folder("net.pth")
    gone["sha256"]["vae/missing.json"] = sha256(b"")
    assert find_in(tmp_path, port, gone)[1].startswith("WeightsMissing: the weights 'big' are not on")


def test_a_hash_is_computed_once_for_each_state_of_a_file(tmp_path):
    """Python reports every file it opens; the absolute name stands for one below models/."""
    file = tmp_path / "net.pth"
    table = {"net": Weights(str(file), sha256(CONTENT), "MIT", "a test")}
    opened = []
    watching = True
    sys.addaudithook(lambda event, args: opened.append(args[0]) if watching and event == "open" else None)
    file.write_bytes(CONTENT)
    for _ in range(3):
        assert find("net", table=table) == file
    assert opened.count(str(file)) == 2  # written once, read once
    file.write_bytes(CONTENT[:-1] + b"!")
    os.utime(file, ns=(0, 1))
    with pytest.raises(ValueError, match=r"net\.pth is not the 'net' of this release .*restore it"):
        find("net", table=table)
    watching = False


@pytest.mark.parametrize("file", ["missing.pth", "broken.pth"])
def test_what_cannot_be_fetched_names_the_remedy(tmp_path, hub, file):
    here, message = find_in(tmp_path, hub.server_address[1], entry(file))
    assert here == "False" and message.startswith("WeightsMissing: the weights 'big' are not on this machine")
    assert f"connect once, or put {file} of someone/net into models/" in message


def test_our_own_weights_are_in_the_release():
    for name, entry in WEIGHTS.items():
        if entry.url:  # fetched by whoever wants them
            continue
        path = find(name)
        assert path == locate(entry)
        assert {part: sha256((path / part).read_bytes()) for part in entry.parts} == entry.parts
        assert entry.licence and entry.source


def test_an_explicit_path_wins(tmp_path):
    (tmp_path / "mine.pth").write_bytes(b"mine")
    assert find("digits", tmp_path / "mine.pth") == tmp_path / "mine.pth"
    for path in (tmp_path, tmp_path / "nothing", "a\0b"):
        with pytest.raises(ValueError, match="there is no weights file"):
            find("digits", path)
    table = {"big": Weights(**folder("net.pth"))}
    assert find("big", tmp_path, table) == tmp_path
    with pytest.raises(ValueError, match="there is no weights folder"):
        find("big", tmp_path / "mine.pth", table)


def test_names_and_files_that_are_not_there():
    with pytest.raises(ValueError, match=r"there are no weights 'digit', expected one of .*digits"):
        find("digit")
    lost = Weights("digits/lost.pth", "0" * 64, "MIT", "a test")
    with pytest.raises(WeightsMissing, match=r"belong in models/digits/lost\.pth"):
        find("lost", table={"lost": lost})


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "models").rglob("*.safetensors")), ids=str
)
def test_what_is_shipped_names_no_folder_of_who_trained_it(path):
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    assert b'"/' not in header and b":\\\\" not in header


def test_a_file_of_a_url_is_fetched_with_its_progress_and_checked_by_the_hash_in_its_name(
    tmp_path, hub, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    url = f"http://127.0.0.1:{hub.server_address[1]}/someone/net/resolve/main/"
    good = {"big": Weights("net.pth", sha256(CONTENT)[:8], "MIT", "a test", url=url)}
    *steps, result = weights.fetch("big", good)
    assert steps[-1].step == steps[-1].total == len(CONTENT) and result.result.read_bytes() == CONTENT
    hub.asked.clear()
    assert find("big", table=good) == result.result and hub.asked == []
    with pytest.raises(ValueError, match=r"is not the 'big' of this release .* delete it to fetch it again"):
        find("big", table={"big": Weights("net.pth", "0" * 8, "MIT", "a test", url=url)})
    cut = {"big": Weights("broken.pth", sha256(CONTENT)[:8], "MIT", "a test", url=url)}
    with pytest.raises(WeightsMissing, match=r"could not be fetched \(.*put broken.pth of http"):
        find("big", table=cut)
    assert locate(cut["big"]) is None
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsMissing, match="HF_HUB_OFFLINE is set"):
        find("big", table=cut)
