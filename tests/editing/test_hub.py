"""Large models from the hub: fetched, cut off, resumed, missing, offline; over the hub's own protocol."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub

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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repo")
    (folder / "unet").mkdir()
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(bytes(range(256)) * 4000)
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    hub = Hub({"stable-diffusion-v1-5/stable-diffusion-inpainting": folder})
    yield hub
    hub.close()


def fetch(
    server: Hub, home: Path, repo: str = "stable-diffusion-v1-5/stable-diffusion-inpainting", **env: str
):
    asked = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "0",
             "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1", **env}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", FETCH, repo, "model_index.json"],
        env=asked,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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
        hub.folder("stable-diffusion-v1-5/stable-diffusion-inpainting", "model_index.json")
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
    assert list(slow["plan"]) == ["model_index.json", "unet/diffusion_pytorch_model.safetensors"]
    assert slow["events"][0] == 0 and slow["events"][-1] == sum(slow["plan"].values())


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
