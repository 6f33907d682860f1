"""Compares trainings on two processes and on one, single-threaded: bytes sent per step and relative speed.

python benchmarks/distributed.py [SYSTEM ...]: digits, color, filler or judge; by default all of them.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from vision_core.runs import Run

ROOT = Path(__file__).parents[1]
TRAININGS = {
    "digits": "digits train --epochs 2 --batches 100 --batch-size 256",
    "color": "color train a.png b.png --epochs 100",
    "filler": "edit filler train --train-dir . --epochs 1 --steps 12 --batch-size 16",
    "judge": "edit tiny train judge --epochs 1 --steps 12 --batch-size 32 --scenes 64",
}
TWO = "-m torch.distributed.run --nproc_per_node 2 --rdzv_backend c10d --rdzv_endpoint 127.0.0.1:0".split()


def train(name: str, folder: Path, launcher: list[str]) -> tuple[float, float]:
    """Bytes on the loopback interface and seconds per step, without the first quarter of the steps."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    out = f"{name}-{len(launcher)}"
    command = [sys.executable, *launcher, "-m", "vision_core", *TRAININGS[name].split(), "--out", out]
    before = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    bytes_sent = psutil.net_io_counters(pernic=True)["lo"].bytes_sent - before
    times = [entry["time"] for entry in Run(folder / out).events() if entry["event"] == "step"]
    first = len(times) // 4
    return bytes_sent / len(times), (times[-1] - times[first]) / (len(times) - 1 - first)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        y, x = np.mgrid[0:256, 0:384] / 255
        for file, rgb in (("a", (x / 2, y, (x + y) / 3)), ("b", (y, 1 - y, x / 2)), ("c", (x / 2, x / 2, y))):
            Image.fromarray((np.dstack(rgb) * 255).astype(np.uint8)).save(folder / f"{file}.png")
        for system in sys.argv[1:] or TRAININGS:
            _, alone = train(system, folder, [])
            bytes_sent, together = train(system, folder, TWO)
            row = {
                "system": system,
                "MB a step": round(bytes_sent / 1e6, 2),
                "speed": round(alone / together, 2),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
