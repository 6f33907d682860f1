"""Times `restore run` twice at once, and beside a training of a page, as multiples of one alone.

Runs alternate, so that other load affects all of them alike.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vision_core import restoration, runs
from vision_core.pictures import images
from vision_core.restoration import pages

CROPS, SIDE, ROUNDS = 8, 384, 3


def restored(folder: Path, number: int) -> subprocess.Popen[bytes]:
    """`restore run` of the crops, in a process of its own."""
    out = Path(tempfile.mkdtemp(dir=folder)) / str(number)
    command = [
        sys.executable,
        "-m",
        "vision_core",
        "restore",
        "run",
        str(folder / "crops"),
        "--out",
        str(out),
    ]
    return subprocess.Popen([*command, "--no-gate"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds(folder: Path, count: int) -> float:
    """Seconds until `count` simultaneous runs have ended."""
    began = time.perf_counter()
    processes = [restored(folder, number) for number in range(count)]
    assert [process.wait() for process in processes] == [0] * count
    return time.perf_counter() - began


def main() -> None:
    durations: dict[str, list[float]] = {"alone": [], "two at once": [], "beside a training": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(CROPS):
            crop = images.from_tensor(pages.crop(number, SIDE)[None])
            images.save(images.Picture(crop), folder / "crops" / f"{number}.png")
        settings = restoration.Settings(
            epochs=10_000, crops=32, batch_size=4, crop=128, perceptual="gradient"
        )
        run = runs.create(folder / "run", "restore", settings)
        for _ in range(ROUNDS):
            durations["alone"].append(seconds(folder, 1))
            durations["two at once"].append(seconds(folder, 2))
            runs.start(run)
            while not any(event["event"] == "step" for event in run.events()):
                time.sleep(0.2)
            durations["beside a training"].append(seconds(folder, 1))
            runs.request_stop(run)
            while run.process() is not None:
                time.sleep(0.1)
    alone = durations["alone"]
    print(f"{CROPS} crops of {SIDE} pixels, {os.cpu_count()} cores, median of {ROUNDS} rounds")
    for kind, times in durations.items():
        ratio = statistics.median(t / a for t, a in zip(times, alone, strict=True))
        print(f"{kind:20} {statistics.median(times):6.1f} s   {ratio:.2f} times one alone")


if __name__ == "__main__":
    main()
