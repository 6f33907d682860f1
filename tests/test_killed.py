"""Every trainer, killed with SIGKILL at random moments and resumed from its folder alone, loses nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision_core.images import from_tensor
from vision_core.leaves.generate import generate
from vision_core.restoration import pages
from vision_core.runs import Run

ROOT = Path(__file__).parents[1]


def color(folder: Path) -> list[str]:
    y, x = np.mgrid[0:48, 0:48] / 47
    rgb = (np.dstack([x, y, (x + y) / 2]) * 255).astype(np.uint8)
    Image.fromarray(rgb).save(folder / "a.png")
    Image.fromarray(rgb[::-1, :, ::-1]).save(folder / "b.png")
    return ["color", "train", "a.png", "b.png", "--epochs", "330"]


def digits(folder: Path) -> list[str]:
    return "digits train --epochs 6 --batches 30 --augment --cosine".split()


def leaves(folder: Path) -> list[str]:
    list(generate(folder / "plant", 40, size=64))
    return "leaves train plant --cache-features --crop 64 --epochs 12 --patience 0 --batch-size 8".split()


def restore(folder: Path) -> list[str]:
    (folder / "pages").mkdir()
    for number in range(3):
        page = from_tensor(pages.crop(number, 96)[None])
        Image.fromarray(page).save(folder / "pages" / f"book{number}__1.png")
    return "restore train --train-dir pages --epochs 9 --crops 8 --batch-size 4 --crop 32 --every 2".split()


def tiny(folder: Path) -> list[str]:
    return "edit tiny train judge --epochs 8 --steps 4 --batch-size 4 --scenes 64".split()


TRAINERS = {"color": color, "digits": digits, "leaves": leaves, "restore": restore, "edit tiny": tiny}


def start(words: list[str], folder: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "vision_core", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def contents(run: Path) -> dict[str, object]:
    """Every file's bytes but what differs by its nature: the log's times, the processes' notes."""
    skipped = {"metrics.jsonl", "config.json", "log.txt", "process.json"}
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in skipped]
    entries = [e for e in Run(run).events() if e["event"] in ("step", "epoch")]
    log = [{k: v for k, v in entry.items() if k not in ("time", "eta")} for entry in entries]
    return {str(p.relative_to(run)): p.read_bytes() for p in files if p.suffix != ".part"} | {"log": log}


@pytest.mark.slow
@pytest.mark.parametrize("system", TRAINERS)
def test_killed_at_random_and_resumed_to_the_same_bytes(system, tmp_path):
    words = TRAINERS[system](tmp_path)
    assert start([*words, "--out", "whole"], tmp_path).wait(200) == 0
    entries = len(Run(tmp_path / "whole").events())
    rng, cut, kills = random.Random(system), tmp_path / "cut", 0
    child = start([*words, "--out", "cut"], tmp_path)
    for share in (0.0, 0.25, 0.6):  # once before anything is saved, and twice on the way
        wanted = entries * share + 3
        while child.poll() is None and len(Run(cut).events()) < wanted:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.05)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            kills += child.wait() == -signal.SIGKILL
            assert Run(cut).status() == "interrupted"
            child = start([*words[: words.index("train") + 1], "--resume", "cut"], tmp_path)
    _, errors = child.communicate(timeout=200)
    assert child.returncode == 0, errors
    assert kills >= 2 and Run(cut).status() == "done"
    assert contents(cut) == contents(tmp_path / "whole")
