"""Tests that a repeated `edit batch` continues, also after a kill."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vision_core import devices
from vision_core.cli import main
from vision_core.files import write_json
from vision_core.pictures import images
from vision_core.smallworld import world

ROOT = Path(__file__).parents[2]
TEXTS = ["a house", "a tree"]


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Three small pictures and the data file of a batch, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        images.save(images.Picture(world.render(world.scene(number), 64)), f"{number}.png")
    write_json("data.json", {f"{number}.png": TEXTS for number in range(3)})
    return tmp_path


def words(out: str, *more: str) -> list[str]:
    command = f"edit batch data.json --out {out} --backend blur --anchors 2 --max-window 6 --json"
    return [*command.split(), *more]


@pytest.fixture
def batch(monkeypatch, capsys):
    def run(out: str, *more: str) -> tuple[int, dict]:
        monkeypatch.setattr(sys, "argv", ["vision-core", *words(out, *more)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def one_thread():
    """A single thread here, as in the child: the number of threads changes the rounding of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with devices.fixed_cores():
        yield {"OMP_NUM_THREADS": "1"}
    torch.set_num_threads(threads)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(scenes, batch, one_thread):
    environment = {**os.environ, **one_thread, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-m", "vision_core", *words("cut")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while child.poll() is None and not Path("cut/1_a-house/input_image.png").exists():
        time.sleep(0.002)
    child.kill()
    assert child.wait() == -9
    # beside a result that is done already, where nothing is written any more
    Path("cut/0_a-house/results/0_a-tree_rank0.png.0123abcd.part").write_bytes(b"half")
    for part in Path("cut").rglob("*.part"):
        os.utime(part, (0, 0))
    before = Path("cut/0_a-house/scores.json").stat().st_mtime_ns

    assert batch("whole") == (
        0,
        {"written": [f"whole/{n}_a-house" for n in range(3)], "skipped": [], "failed": []},
    )
    status, output = batch("cut")
    assert status == 0 and output["failed"] == []
    assert "cut/0_a-house" in output["skipped"] and output["written"]
    assert Path("cut/0_a-house/scores.json").stat().st_mtime_ns == before
    assert contents(Path("cut")) == contents(Path("whole"))
    assert batch("cut")[1]["skipped"] == [f"cut/{n}_a-house" for n in range(3)]


def test_only_what_changed_or_failed_is_done_again(scenes, batch):
    write_json("data.json", {"0.png": TEXTS, "1.png": ["", "a tree"], "2.png": TEXTS})
    whole = Path("2.png").read_bytes()
    Path("2.png").write_bytes(whole[:300])
    status, output = batch("out")
    assert status == 1 and output["written"] == ["out/0_a-house", "out/1_run"]
    assert [entry["file"] for entry in output["failed"]] == [str(scenes / "2.png")]

    Path("2.png").write_bytes(whole)
    status, output = batch("out")
    assert (status, output["written"], output["skipped"]) == (
        0,
        ["out/2_a-house"],
        ["out/0_a-house", "out/1_run"],
    )

    write_json("data.json", {"0.png": ["a house", "a lake"], "1.png": ["", "a tree"], "2.png": TEXTS})
    images.save(images.Picture(world.render(world.scene(9), 64)), "2.png")
    assert batch("out")[1] == {
        "written": ["out/0_a-house", "out/2_a-house"],
        "skipped": ["out/1_run"],
        "failed": [],
    }
    results = sorted(path.name for path in Path("out/0_a-house/results").iterdir())
    assert results == ["0_a-lake_rank0.png", "0_a-lake_rank1.png"]

    Path("out/1_run/final_output.png").unlink()
    assert batch("out")[1]["written"] == ["out/1_run"]
    assert batch("out", "--seed", "1")[1]["skipped"] == []
    for number in range(3):
        Path(f"{number}.png").write_bytes(b"no picture")
    status, output = batch("out")
    assert status == 2 and set(output) == {"error"}
