"""Measures the leaf classifier on little data: one species, ten pictures per class, one leaf twice.

    python benchmarks/leaves_few.py alone DATA SPECIES [SEEDS]    train on one species, test accuracy by seed
    python benchmarks/leaves_few.py teach DATA SPECIES [DRAWS]    `leaves teach` from ten pictures a class
    python benchmarks/leaves_few.py twice DATA SET                consistency on photographs of the same leaf

DATA is the output of leaves_data.py; SET one of its sets, whose index.csv has the column leaf_group.
`teach` uses the features and the whitening of the shipped model; results for species in its training data
are too good.
"""

import csv
import shutil
import sys
import time
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vision_core import leaves
from vision_core.events import Done


def alone(data: Path, species: str, seeds: str = "5") -> None:
    accuracies = []
    with TemporaryDirectory() as folder:
        for path in data.glob(f"*/{species}___*"):
            shutil.copytree(path, Path(folder, "data", path.parent.name, path.name))
        for seed in range(int(seeds)):
            start = time.monotonic()
            settings = leaves.Settings(
                f"{folder}/data", cache_features=True, mixup=0.2, patience=0, seed=seed
            )
            for event in leaves.train(Path(folder, str(seed)), settings):
                if isinstance(event, Done):
                    test = event.result["metrics"]["test"]
                    accuracies.append(test["accuracy"])
                    took = time.monotonic() - start
                    print(f"seed {seed}: {accuracies[-1]:.4f} of {test['images']}, {took:.0f} s", flush=True)
    print(f"mean {np.mean(accuracies):.4f}, least {min(accuracies):.4f}")


def teach(data: Path, species: str, draws: str = "12") -> None:
    accuracies = []
    for draw in range(int(draws)):
        random = np.random.default_rng(draw)
        with TemporaryDirectory() as folder:
            for path in sorted((data / "train").glob(f"{species}___*")):
                Path(folder, path.name).mkdir()
                for file in random.choice(sorted(path.iterdir()), 10, replace=False):
                    shutil.copy(file, Path(folder, path.name))
            model, report = leaves.teach(folder, seed=draw)
        stated = report["metrics"]["left_out"]["accuracy"]
        accuracies.append(leaves.evaluate(model, data)["accuracy"])
        print(f"draw {draw}: {accuracies[-1]:.3f}, stated {stated:.3f}", flush=True)
    print(f"mean {np.mean(accuracies):.3f}, least {min(accuracies):.3f}")


def twice(data: Path, folder: str) -> None:
    with open(Path(folder) / "index.csv", newline="", encoding="utf-8") as file:
        group = {Path(row["file"]).stem.replace(" ", "_"): row["leaf_group"] for row in csv.DictReader(file)}
    paths = [path for path in sorted((data / "test").glob("*/*")) if group.get(path.stem)]
    predictions, _ = leaves.predict_files(leaves.load()[0], paths)
    labels = [(group[Path(path).stem], prediction.label) for path, prediction in predictions]
    same = [(leaf, a == b) for (leaf, a), (other, b) in combinations(labels, 2) if leaf == other]
    share = np.mean([equal for _, equal in same])
    print(f"{len(same)} pairs of {len({leaf for leaf, _ in same})} leaves: {share:.3f} the same")


if __name__ == "__main__":
    {"alone": alone, "teach": teach, "twice": twice}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
