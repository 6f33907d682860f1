"""Pages a second that `restore run --ray local` restores with one, two and three workers of one thread each.

    python benchmarks/cluster.py [PAGES]

Counted from the first page that is done to the last, so that loading does not count: a long job's rate. The
pages are generated, 600 x 800 pixels. More workers than free cores bring nothing.
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
            found = rate(folder, Path(scratch) / f"out-{workers}", workers)
            first = first or found
            print(f"{workers} workers: {found:.2f} pages a second, {found / first:.2f} times one", flush=True)


if __name__ == "__main__":
    main()
