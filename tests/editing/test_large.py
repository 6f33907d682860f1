"""The measurement of the large models, with tiny networks of the same kinds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "editing_large.py"


@pytest.mark.slow
def test_every_part_is_measured():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *"--small --device cpu --anchors 2 --steps 2 --size 128".split()],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["models"]) == 6 and all(m["parameters"] and m["bytes"] for m in found["models"])
    assert found["parameters"] == sum(m["parameters"] for m in found["models"])
    assert 0 < found["loaded_bytes"] <= found["peak_bytes"]
    seconds = found["seconds"]
    assert all(value > 0 for value in seconds.values()), seconds
    assert seconds["all_paintings"] >= 0.99 * (seconds["first_painting"] + seconds["a_painting"])
