"""Tests that two processes train the same weights as one, for every system."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from test_killed import TRAINERS

from vision_core.runs import Run

ROOT = Path(__file__).parents[1]
VAE = ROOT / "models" / "editing" / "inpainting" / "vae"
SCRIPT = """
import json, os, sys
import trainers_loaded
import torch
from vision_core import devices
from vision_core.cli import app
from vision_core.smallworld import train

torch.set_num_threads(1)
devices.bf16_speedup = lambda device: 0.0  # bfloat16, where it is fast, would hide what is compared
for network in train.NETWORKS.values():
    network.TESTED, network.SHOWN = 4, 1  # their quality does not matter here
end = torch.distributed.destroy_process_group
torch.distributed.destroy_process_group = lambda: None  # a command ends it, and here another follows
for folder, words in json.loads(sys.argv[1]):
    os.chdir(folder)
    assert not app(words, standalone_mode=False), words
if torch.distributed.is_initialized():
    end()  # or its threads may abort the process at its end
"""
TWO = "-m torch.distributed.run --nproc_per_node 2 --rdzv_backend c10d --rdzv_endpoint 127.0.0.1:0".split()
SMALL_WORLD = {
    name: f"edit tiny train {name} --epochs 2 --steps 2 --batch-size 5 --scenes 10".split()
    for name in ("judge", "clip", "dino", "autoencoder", "painter")
}
SMALL_WORLD["painter"][5] = "1"
SMALL_WORLD["painter"] += ["--autoencoder", str(VAE)]
TOLERANCE = 1e-5  # of all weights together; measured: 3e-7


def shorter(words: list[str]) -> list[str]:
    """The same training for two epochs, which are four steps; those of a colour map are a step each.

    A colour map multiplies what rounding changes by 2 or 3 at every step, in one process as well: with
    another number of threads its loss differs by 1e-3 after 20.
    """
    short = [*words]
    for option in ("--epochs", "--per-image-iteration"):
        if option in short:
            short[short.index(option) + 1] = "4" if "color" in short else "2"
    return short


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder for each trainer, with the runs `one` and `two`."""
    folder = tmp_path_factory.mktemp("trainers")
    (folder / "launched.py").write_text(SCRIPT)
    jobs = {}
    for name, prepare in TRAINERS.items():
        (folder / name).mkdir()
        if name != "edit tiny":
            jobs[name] = shorter(prepare(folder / name))
    for name, words in SMALL_WORLD.items():
        (folder / name).mkdir()
        jobs[name] = words
    for out, launcher in (("one", []), ("two", TWO)):
        words = [(str(folder / name), [*words, "--out", out]) for name, words in jobs.items()]
        path = os.pathsep.join(map(str, (folder, ROOT / "tests", ROOT)))
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        command = [sys.executable, *launcher, "-m", "launched", json.dumps(words)]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
        assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(name for name in TRAINERS if name != "edit tiny"), *SMALL_WORLD])
def test_two_processes_train_the_weights_of_one(trained, name):
    one, two = (Run(trained / name / out) for out in ("one", "two"))
    assert one.status() == two.status() == "done"
    alone, together = ([e for e in run.events() if e["event"] == "step"] for run in (one, two))
    assert len(alone) == len(together)
    for a, b in zip(alone, together, strict=True):
        assert b["losses"] == pytest.approx(a["losses"], rel=1e-3, abs=1e-6), f"step {a['step']}"
    first, second = (load_file(run.folder / "last.safetensors") for run in (one, two))
    assert first.keys() == second.keys()
    differ, size = (
        sum(part(key).double().square().sum().item() for key in first) ** 0.5
        for part in (lambda key: second[key] - first[key], lambda key: first[key])
    )
    assert differ < TOLERANCE * size
