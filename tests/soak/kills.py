"""Kills every trainer and every job over a folder at random moments until they are done, and compares bytes.

A killed training goes on with --resume, or with its first command where it had not begun; a killed folder job
with the same command. All must end with the bytes of one that nobody killed.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from test_killed import ROOT, TRAINERS, command, contents  # noqa: E402  # found by the line above

from vision_core.files import write_json  # noqa: E402
from vision_core.pictures import documents, images  # noqa: E402
from vision_core.smallworld import world  # noqa: E402

SECONDS = 900  # for one run without a kill
IN_A_RUN = 4  # kills of one run, which then may end
# what differs by its nature: times, and the journals of what was done when
SKIPPED = {"report.csv", "restored.jsonl"}

Files = dict[str, object]


def scenes(folder: Path, count: int = 8) -> list[Path]:
    """Small drawn pictures."""
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        images.save(images.Picture(world.render(world.scene(number), 96), dpi=(96, 96)), path)
    return paths


def restored(folder: Path) -> list[str]:
    paths = scenes(folder / "pages")
    for name in ("book.pdf", "book.tif"):
        documents.write(folder / "pages" / name, dict(enumerate(paths[:4], 1)))
    return "restore run pages --method classical".split()


def edited(folder: Path) -> list[str]:
    scenes(folder / "scenes")
    texts = {f"{number}.png": ["a house", "a tree"] for number in range(8)}
    write_json(folder / "scenes" / "data.json", texts)
    return "edit batch scenes/data.json --backend blur --anchors 2 --max-window 6".split()


def recoloured(folder: Path) -> list[str]:
    from vision_core.color import lut, lut_files

    scenes(folder / "photographs", 40)
    lut_files.write(folder / "look.cube", np.sqrt(lut.identity(9)))
    return "color apply photographs --lut look.cube --skip-existing".split()


def tiny(network: str, *more: str) -> Callable[[Path], list[str]]:
    words = f"edit tiny train {network} --epochs 6 --steps 3 --batch-size 4 --scenes 64".split()
    return lambda folder: [*words, *more]


def within_a_budget(folder: Path) -> list[str]:
    """Which sizes are painted depends on what was known when."""
    return [*TRAINERS["edit"](folder), "--budget", "5"]


AUTOENCODER = ROOT / "models" / "editing" / "inpainting" / "vae"
JOBS: dict[str, Callable[[Path], list[str]]] = {
    **{name: build for name, build in TRAINERS.items() if name != "edit tiny"},
    **{f"edit tiny {name}": tiny(name) for name in ("judge", "clip", "dino", "autoencoder")},
    "edit within a budget": within_a_budget,
    "edit tiny painter": tiny("painter", "--autoencoder", str(AUTOENCODER)),
    "restore run": restored,
    "edit batch": edited,
    "color apply": recoloured,
}


class Forks:
    """Starts commands in processes that have their libraries loaded."""

    def __init__(self) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"
        paths = (ROOT, TESTS, TESTS / "editing")
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["trainers_loaded"])

    def start(self, words: list[str], folder: Path) -> multiprocessing.process.BaseProcess:
        process = self.context.Process(target=command, args=(words, folder), daemon=True)
        process.start()
        return process


def files(out: Path) -> Files:
    """The files that must be identical."""
    if (out / "config.json").exists():
        return contents(out)
    paths = [path for path in out.rglob("*") if path.is_file() and path.name not in SKIPPED]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def finished(forks: Forks, words: list[str], folder: Path) -> float:
    """Run to the end; the seconds that it took."""
    began = time.monotonic()
    child = forks.start(words, folder)
    child.join(SECONDS)
    assert child.exitcode == 0, f"{words}: {child.exitcode} {(folder / 'said.txt').read_text()[-2000:]}"
    return time.monotonic() - began


def killed(
    forks: Forks, words: list[str], folder: Path, name: str, seconds: float, rng: random.Random
) -> int:
    """Run into `name` and kill up to IN_A_RUN times on the way; how many kills met it alive."""
    kills = 0
    for _ in range(IN_A_RUN):
        resume = [*words[: words.index("train") + 1], "--resume", name] if "train" in words else []
        begun = bool(resume) and (folder / name / "config.json").exists()
        child = forks.start(resume if begun else [*words, "--out", name], folder)
        child.join(rng.uniform(0, 0.6) * seconds)
        child.kill()
        child.join()
        if child.exitcode != -signal.SIGKILL:
            assert child.exitcode == 0, (folder / "said.txt").read_text()[-2000:]
            return kills
        kills += 1
    begun = (folder / name / "config.json").exists()
    finished(forks, resume if begun and resume else [*words, "--out", name], folder)
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(JOBS), choices=JOBS, metavar="JOB")
    options = parser.parse_args()
    forks, rng, kills_done, wrong = Forks(), random.Random(options.seed), 0, []
    with tempfile.TemporaryDirectory() as name:
        prepared = {}
        for turn, job in enumerate(cycle(options.only)):
            if kills_done >= options.kills:
                break
            folder = Path(name) / job.replace(" ", "-")
            if job not in prepared:
                folder.mkdir()
                words = JOBS[job](folder)
                seconds = finished(forks, [*words, "--out", "whole"], folder)
                prepared[job] = words, seconds, files(folder / "whole")
            words, seconds, whole = prepared[job]
            kills = killed(forks, words, folder, f"cut{turn}", seconds, rng)
            same = files(folder / f"cut{turn}") == whole
            kills_done += kills
            wrong += [] if same else [f"{job}: {_difference(files(folder / f'cut{turn}'), whole)}"]
            print(
                f"{job}: {kills} kills, {'the same' if same else 'OTHER'} bytes; {kills_done} so far",
                flush=True,
            )
    print(f"{kills_done} kills, {len(wrong)} with other bytes", *wrong, sep="\n")
    sys.exit(bool(wrong))


def _difference(resumed: Files, whole: Files) -> str:
    names = sorted(name for name in {*resumed, *whole} if resumed.get(name) != whole.get(name))
    return ", ".join(names[:9])


if __name__ == "__main__":
    main()
