"""Tests of the benchmark of large models with tiny networks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "editing_large.py"


@pytest.mark.slow
def test_every_part_is_measured():
    process = subprocess.run(
        [sys.executable, str(SCRIPT), *"--small --device cpu --anchors 2 --steps 2 --size 128".split()],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert len(result["models"]) == 6 and all(m["parameters"] and m["bytes"] for m in result["models"])
    assert result["parameters"] == sum(m["parameters"] for m in result["models"])
    assert 0 < result["loaded_bytes"] <= result["peak_bytes"]
    seconds = result["seconds"]
    assert all(value > 0 for value in seconds.values()), seconds
    assert seconds["all_paintings"] >= 0.99 * (seconds["first_painting"] + seconds["a_painting"])
