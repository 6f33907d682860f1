"""Measures pages per second of `restore run --ray local` with one, two and three single-threaded workers.

    python benchmarks/cluster.py [PAGES]

The time runs from the first finished page to the last and excludes loading. The generated pages have 600 x
800 pixels. More workers than free cores do not help.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from vision_core import cluster, restoration
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import Options, pages, spread


def rate(folder: Path, out: Path, workers: int) -> float:
    network, times = restoration.load()[0], []
    with cluster.connected(cluster.LOCAL, workers):
        for _ in spread.run([folder], out, network, Options(), None, "", cluster.LOCAL, workers):
            times.append(time.perf_counter())
    return (len(times) - 1) / (times[-1] - times[0])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "pages"
        for number in range(count):
            page = pages.page(number, width=600, height=800).pixels.permute(1, 2, 0).numpy()
            images.save(Picture(page), folder / f"{number:03}.png")
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        print(f"{os.cpu_count()} cores, load {load:.1f} before")
        first = None
        for workers in (1, 2, 3):
            measured = rate(folder, Path(scratch) / f"out-{workers}", workers)
            first = first or measured
            print(
                f"{workers} workers: {measured:.2f} pages a second, {measured / first:.2f} times one",
                flush=True,
            )


if __name__ == "__main__":
    main()
