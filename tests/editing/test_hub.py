"""Tests of downloads from the Hub: interrupted, resumed, missing, offline."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from hub_server import Hub, sha

SD = "stable-diffusion-v1-5/stable-diffusion-inpainting"
UNET = "unet/diffusion_pytorch_model.safetensors"

FETCH = """
import json, sys
from vision_core.editing import hub
repo, needed = sys.argv[1:3]
try:
    plan = hub.missing(repo)
    events, work = [], hub.fetch(repo)
    while True:
        try:
            events.append(next(work).step)
        except StopIteration as end:
            break
    print(json.dumps({"plan": plan, "events": events, "folder": str(hub.folder(repo, needed))}))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
"""

CANCEL = """
import json, sys, threading, time
from pathlib import Path
from vision_core.editing import hub
from vision_core.weights import WeightsMissing
repo, needed = sys.argv[1:3]
work = hub.fetch(repo)
while next(work).step != 2:  # the small file is here, the large one on its way
    pass
next(work)
began = time.monotonic()
work.close()
spent = time.monotonic() - began
try:
    hub.folder(repo, needed)
except WeightsMissing as error:
    text = str(error)
while any("(run)" in thread.name for thread in threading.enumerate()):
    time.sleep(0.05)
halves = [str(p) for p in Path(hub._unfinished(repo).parent).rglob("*.incomplete")]
print(json.dumps({"spent": spent, "text": text, "left": hub.missing(repo), "halves": halves}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repo")
    (folder / "unet").mkdir()
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(bytes(range(256)) * 4000)
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    hub = Hub({SD: folder})
    yield hub
    hub.close()


def around(server: Hub, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HF_HOME": str(home),
        "HF_ENDPOINT": server.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
    }


def fetch(server: Hub, home: Path, repo: str = SD, program: str = FETCH, **env: str):
    process = subprocess.run(
        [sys.executable, "-c", program, repo, "model_index.json"],
        env={**around(server, home), **env},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_broken_line_and_no_line_are_one_sentence(server, tmp_path, monkeypatch):
    server.cut = 600_000
    cut = fetch(server, tmp_path)
    server.cut = None
    assert cut["error"] == "WeightsMissing" and "try again" in cut["text"]
    from vision_core.editing import hub
    from vision_core.weights import WeightsMissing

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(WeightsMissing, match="fetched only in part"):
        hub.folder(SD, "model_index.json")
    offline = fetch(server, tmp_path, HF_HUB_OFFLINE="1")
    assert offline["error"] == "WeightsMissing" and "HF_HUB_OFFLINE is set" in offline["text"]


@pytest.mark.slow
def test_a_file_of_another_hash_is_refused_and_a_slow_line_waited_for(server, tmp_path):
    server.wrong = True
    wrong = fetch(server, tmp_path)
    server.wrong = False
    assert wrong["error"] == "WeightsMissing"
    assert "another hash" in wrong["text"] and not list(tmp_path.rglob("model_index.json"))
    server.slow = 1.5
    slow = fetch(server, tmp_path)
    server.slow = 0.0
    assert list(slow["plan"]) == ["model_index.json", UNET]
    assert slow["events"][0] == 0 and slow["events"][-1] == sum(slow["plan"].values())


def complete(server: Hub, folder: Path) -> bool:
    """Whether what was fetched is what the server holds, byte for byte, and no half of a file is left."""
    halves = list(folder.parents[1].rglob("*.incomplete"))
    return not halves and all(
        sha(folder / name) == sha(server.repos[SD] / name) for name in ("model_index.json", UNET)
    )


@pytest.mark.slow
def test_cancelled_within_a_file_and_gone_on_with(server, tmp_path):
    server.drip = 1.0  # 10 s for the large file
    result = fetch(server, tmp_path, program=CANCEL)
    server.drip = 0.0
    assert result["spent"] < 5 and "fetched only in part: vision-core edit fetch" in result["text"]
    assert list(result["left"]) == [UNET] and not result["halves"]
    server.sent.clear()
    again = fetch(server, tmp_path)
    assert complete(server, Path(again["folder"])) and list(again["plan"]) == [UNET]
    assert {name for name, _ in server.sent} == {Path(UNET).name}


def command_line(server: Hub, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vision_core", "edit", "fetch", SD],
        env=around(server, home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )


@pytest.mark.slow
@pytest.mark.parametrize(("end", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_command_that_is_interrupted_or_killed_goes_on(server, tmp_path, end, status):
    server.sent.clear()
    server.drip = 1.0
    work = command_line(server, tmp_path)
    until = time.monotonic() + 60
    while not any(name == Path(UNET).name for name, _ in server.sent) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    work.send_signal(end)
    out, message = work.communicate(timeout=60)
    server.drip = 0.0
    assert work.returncode == status and not out and "Traceback" not in message
    if end == signal.SIGINT:
        kept = f"fetched files of {SD} are kept, and the same command continues"
        assert message.splitlines()[-1] == f"vision-core: interrupted; {kept}"
    blobs = tmp_path / "hub" / f"models--{SD.replace('/', '--')}" / "blobs"
    assert len([blob for blob in blobs.iterdir() if blob.suffix != ".incomplete"]) == 1
    again = command_line(server, tmp_path)
    out, message = again.communicate(timeout=120)
    assert again.returncode == 0, message
    assert complete(server, Path(out.split(" fetched to ")[1].strip()))


@pytest.mark.slow
def test_cancelled_before_the_last_look_is_looked_at_again(server, tmp_path):
    """All files are there, one with another byte, and the mark still says that a download goes on."""
    folder = Path(fetch(server, tmp_path)["folder"])
    mark = folder.parents[1] / "unfinished"
    mark.touch()
    blob = (folder / UNET).resolve()
    blob.write_bytes(b"?" + blob.read_bytes()[1:])
    wrong = fetch(server, tmp_path)
    assert wrong["error"] == "WeightsMissing" and "another hash" in wrong["text"] and mark.exists()
    out, message = command_line(server, tmp_path).communicate(timeout=120)
    assert complete(server, folder) and not mark.exists() and "fetched to" in out, message


@pytest.mark.slow
def test_nothing_there_is_one_sentence(server, tmp_path):
    unknown = fetch(server, tmp_path, "nobody/nothing")
    assert unknown["error"] == "ValueError" and "no repository nobody/nothing" in unknown["text"]
    wrong = fetch(server, tmp_path, "not a name!")
    assert wrong["error"] == "ValueError" and "neither a folder" in wrong["text"]


def test_a_model_not_fetched_says_how(tmp_path, monkeypatch):
    from vision_core.editing import hub
    from vision_core.weights import WeightsMissing

    with pytest.raises(WeightsMissing, match="vision-core edit fetch facebook/dino-never"):
        hub.folder("facebook/dino-never", "config.json")
    with pytest.raises(ValueError, match="holds no config"):
        hub.folder(tmp_path, "config.json")


OPEN_WORDS = """
import json
import numpy as np
from vision_core.editing import hub
from vision_core.editing.find import eyes, open_words
rgb = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
try:
    eyes.shared().named(rgb, "a fence")
except ValueError as error:
    before = str(error)
for _ in hub.fetch(open_words.DEFAULT):
    pass
model = open_words.at_hand()
levels = [model.level(rgb, text) for text in ("a fence", "a fence", "a zebra")]
found = eyes.shared().named(rgb, "a fence")
print(json.dumps({
    "before": before, "said": found.message, "score": found.score, "size": levels[0].shape,
    "same": float(abs(levels[0] - levels[1]).max()), "other": float(abs(levels[0] - levels[2]).max()),
    "mask": None if found.mask is None else found.mask.shape,
}))
"""


@pytest.mark.slow
def test_any_word_is_understood_once_a_model_was_fetched(tmp_path):
    from small_models import clipseg

    hub = Hub({"CIDAS/clipseg-rd64-refined": clipseg(tmp_path / "model")})
    try:
        process = subprocess.run(
            [sys.executable, "-c", OPEN_WORDS],
            env=around(hub, tmp_path / "home"),
            capture_output=True,
            text=True,
            timeout=200,
        )
    finally:
        hub.close()
    assert process.returncode == 0, process.stderr
    output = json.loads(process.stdout.splitlines()[-1])
    assert "edit fetch CIDAS/clipseg-rd64-refined" in output["before"]
    assert output["size"] == [352, 352] and output["same"] == 0 < output["other"]
    assert output["mask"] == ([60, 90] if output["score"] >= 0.5 else None) and "a fence" in output["said"]
