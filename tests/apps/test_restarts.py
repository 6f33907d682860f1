"""Tests that a new server restarts the running and waiting jobs of a killed one."""

import random
import sys
import time
from pathlib import Path

import psutil
import pytest
from server import served

from vision_core.files import read_json
from vision_core.pictures import images

sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))
from visitors import Page, picture  # found by the line above

SECONDS = 800  # of a busy machine
SIZES = ((320, 256), (336, 272), (160, 144))  # of the pictures; the last one waits


def pressed(address: str, number: int) -> None:
    """One visitor, whose picture nobody else has."""
    app = ("restoration", "restoration", "image-editing")[number]
    page = Page(address, app, [], random.Random(number))
    sent = page.upload(picture(*SIZES[number], number))
    if app == "restoration":
        page.call("choose", {"page-file": sent})
        page.call("begin", {"method": "network"})
    else:
        page.call("choose", {"source": sent}, shows="canvas")
        page.call("begin_task", {"task": "extend", "ratio": "", "Pixels at the left": 16})


def states(folder: Path) -> dict[str, str]:
    """The status of each job by its file, without what a restart left."""
    files = [*folder.rglob("restore.json"), *folder.rglob("state.json")]
    return {str(path): read_json(path)["status"] for path in files}


@pytest.mark.timeout(900)
def test_what_was_at_work_and_what_waited_start_again(tmp_path):
    with served(None, {"TMPDIR": str(tmp_path)}, tmp_path / "first.txt") as address:
        for number in range(3):
            pressed(address, number)
        children = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
        [server] = [p for p in children if "apps.suite" in p.cmdline()]
        server.kill()
        server.wait()
    assert "working" in states(tmp_path).values()  # on a fast machine the first may be done
    with served(None, {"TMPDIR": str(tmp_path)}, tmp_path / "second.txt"):
        end = time.monotonic() + SECONDS
        while set(states(tmp_path).values()) != {"done"} and time.monotonic() < end:
            time.sleep(0.2)
    assert [*states(tmp_path).values()] == ["done"] * 3
    # a result that was being written at the kill stays incomplete, and the job's next one has another number
    complete = [path.with_name("changed.png") for path in tmp_path.rglob("sheet-*/sheet.json")]
    sizes = {images.read(path).rgb.shape[:2] for path in (*complete, *tmp_path.rglob("candidate-0.png"))}
    assert sorted(sizes) == [(160, 160), *SIZES[:2]]
    assert not [*tmp_path.rglob("again-*")]
    assert "Traceback" not in (tmp_path / "second.txt").read_text()
