"""Times the start of commands, as a multiple of `import torch` in the same run.

    python benchmarks/startup.py

Reports the best of three alternating runs: wall-clock seconds, then processor seconds (user and system),
which depend less on other load.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vision_core.color import lut, lut_files
from vision_core.files import bundled

ROUNDS = 3
FIRST_STEP = """
from vision_core import color
from vision_core.pictures import images
from vision_core.events import Step
source, target = images.read({source!r}), images.read({target!r})
events = color.train(color.count_picture(source), color.extract(target.visible))
next(event for event in events if isinstance(event, Step))
"""


def seconds(words: list[str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of one process."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, spent


def commands(folder: Path) -> dict[str, list[str]]:
    examples = bundled("assets") / "color"
    source, target = str(examples / "cat.jpg"), str(examples / "coffee.jpg")
    model = str(bundled("models") / "color" / "astronaut-coffee.safetensors")
    cube, out = folder / "identity.cube", str(folder / "out.png")
    lut_files.write(cube, lut.identity(33))
    cli = ["-m", "vision_core"]
    return {
        "import torch": ["-c", "import torch"],
        "--help": [*cli, "--help"],
        "doctor": [*cli, "doctor"],
        "color palette": [*cli, "color", "palette", source],
        "color apply --lut": [*cli, "color", "apply", source, "--lut", str(cube), "--out", out],
        "color apply --model": [*cli, "color", "apply", source, "--model", model, "--out", out],
        "color train, first step": ["-c", FIRST_STEP.format(source=source, target=target)],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        requested = commands(Path(folder))
        best = {name: (float("inf"), float("inf")) for name in requested}
        for _ in range(ROUNDS):
            for name, words in requested.items():
                wall, spent = seconds(words)
                best[name] = (min(best[name][0], wall), min(best[name][1], spent))
    torch_wall, torch_spent = best["import torch"]
    for name, (wall, spent) in best.items():
        ratios = f"{wall / torch_wall:5.2f} x, {spent / torch_spent:5.2f} x of its processor time"
        print(f"{name:24} {wall:6.2f} s {ratios}")


if __name__ == "__main__":
    main()
