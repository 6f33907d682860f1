"""Tests that every trainer can be killed at random moments and resumed."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision_core.cli import main
from vision_core.files import write_json
from vision_core.leaves.generate import generate
from vision_core.pictures import images
from vision_core.pictures.images import from_tensor
from vision_core.restoration import pages
from vision_core.runs import Run
from vision_core.smallworld import world

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "editing"))  # the small models


def color(folder: Path) -> list[str]:
    y, x = np.mgrid[0:48, 0:48] / 47
    rgb = (np.dstack([x, y, (x + y) / 2]) * 255).astype(np.uint8)
    Image.fromarray(rgb).save(folder / "a.png")
    Image.fromarray(rgb[::-1, :, ::-1]).save(folder / "b.png")
    return ["color", "train", "a.png", "b.png", "--epochs", "200"]


def digits(folder: Path) -> list[str]:
    return "digits train --epochs 5 --batches 20 --augment --cosine".split()


def leaves(folder: Path) -> list[str]:
    list(generate(folder / "plant", 40, size=64))
    return "leaves train plant --cache-features --crop 64 --epochs 8 --patience 0 --batch-size 8".split()


def restore(folder: Path) -> list[str]:
    (folder / "pages").mkdir()
    for number in range(3):
        page = from_tensor(pages.crop(number, 96)[None])
        Image.fromarray(page).save(folder / "pages" / f"book{number}__1.png")
    return "restore train --train-dir pages --epochs 9 --crops 8 --batch-size 4 --crop 32 --every 2".split()


def tiny(folder: Path) -> list[str]:
    return "edit tiny train judge --epochs 7 --steps 3 --batch-size 4 --scenes 64".split()


def filler(folder: Path) -> list[str]:
    (folder / "photos").mkdir()
    for number in range(3):
        images.save(
            images.Picture(world.render(world.scene(number), 64)), folder / "photos" / f"{number}.png"
        )
    return "edit filler train --train-dir photos --epochs 6 --steps 2 --batch-size 2 --crop 32".split()


def anchors(folder: Path) -> list[str]:
    import small_models

    clip = small_models.clip(folder / "clip")
    scenes = folder / "scenes"
    scenes.mkdir()
    for number in range(2):
        images.save(images.Picture(world.render(world.scene(number), 64)), scenes / f"{number}.png")
    write_json(scenes / "data.json", {f"{number}.png": ["a house", "a tree"] for number in range(2)})
    return [
        *"edit train --data scenes --backend blur --anchors 2 --max-window 6".split(),
        *f"--per-image-iteration 300 --clip {clip}".split(),
    ]


TRAINERS = {
    "color": color,
    "digits": digits,
    "leaves": leaves,
    "restore": restore,
    "edit tiny": tiny,
    "edit filler": filler,
    "edit": anchors,
}


@pytest.fixture(scope="module")
def forks():
    """Makes processes that have imported the trainers already, by forking one that has done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainers_loaded"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
        yield context


def command(words: list[str], folder: Path) -> None:
    """Run `vision-core WORDS` in `folder`, with its output in a file."""
    os.chdir(folder)
    log = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["vision-core", *words]
    main()


def contents(run: Path) -> dict[str, object]:
    """The bytes of every file except logs of times and processes."""
    skipped = {"metrics.jsonl", "config.json", "log.txt", "process.json"}
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in skipped]
    entries = [e for e in Run(run).events() if e["event"] in ("step", "epoch")]
    log = [{k: v for k, v in entry.items() if k not in ("time", "eta")} for entry in entries]
    return {str(p.relative_to(run)): p.read_bytes() for p in files if p.suffix != ".part"} | {"log": log}


WHOLE = """
import json, os, sys
import trainers_loaded
from vision_core.cli import app

for folder, words in json.loads(sys.argv[1]):
    os.chdir(folder)
    assert not app(words, standalone_mode=False), words
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The command of each trainer by its name, and a folder in which it has made the run `whole`.

    One process makes all of them, which loads what they import once, and has its own order of sets.
    """
    folder = tmp_path_factory.mktemp("trainers")
    commands = {}
    for name, prepare in TRAINERS.items():
        (folder / name).mkdir()
        commands[name] = prepare(folder / name)
    todo = [(str(folder / name), [*words, "--out", "whole"]) for name, words in commands.items()]
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-c", WHOLE, json.dumps(todo)], env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
    return commands, folder


@pytest.mark.slow
@pytest.mark.timeout(600)  # the first one waits for `trained`
@pytest.mark.parametrize("system", TRAINERS)
def test_killed_at_random_and_resumed_to_the_same_bytes(system, trained, forks):
    words, folder = trained[0][system], trained[1] / system

    def start(*words: str) -> BaseProcess:
        process = forks.Process(target=command, args=(words, folder), daemon=True)
        process.start()
        return process

    entries = len(Run(folder / "whole").events())
    rng, cut, kills = random.Random(system), folder / "cut", 0
    child = start(*words, "--out", "cut")
    for share in (0.0, 0.25, 0.75):  # before anything is saved, on the way, and past a saved state
        needed = entries * share + 3
        while child.is_alive() and len(Run(cut).events()) < needed:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.05)
        child.kill()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        if child.exitcode:
            assert Run(cut).status() == "interrupted"
            child = start(*words[: words.index("train") + 1], "--resume", "cut")
    child.join(200)
    assert child.exitcode == 0, (folder / "said.txt").read_text()
    assert kills >= 2 and Run(cut).status() == "done"
    assert any(entry["event"] == "resume" and entry["epoch"] > 0 for entry in Run(cut).events())
    assert contents(cut) == contents(folder / "whole")
