"""Lays out packed sets of leaf photographs as one folder of classes, split by leaf.

    python benchmarks/leaves_data.py OUT SET...

A SET is a folder with a stored ZIP and index.csv (columns file, label; leaf_group where several pictures
show one leaf; path with the origin's name). Written are OUT/train, OUT/validation and OUT/test with a folder
for each class, and OUT-others with pictures of no leaf. All pictures of a leaf lie on one side; where the
origin has a split of its own, its validation pictures are our test pictures.
"""

import csv
import sys
import zlib
from pathlib import Path
from zipfile import ZipFile

SHARES = (("train", 76), ("validation", 12), ("test", 12))  # percent


def side(row: dict[str, str], number: int) -> str:
    """The split of a picture: the same for all pictures of its leaf, whatever else is in the set."""
    if "_val_" in row.get("path", ""):
        return "test"
    place = zlib.crc32((row.get("leaf_group") or f"{row['file']} {number}").encode()) % 100
    for name, share in SHARES:
        if place < share:
            return "train" if name == "test" and "_train_" in row.get("path", "") else name
        place -= share
    raise AssertionError("the shares make 100")


def lay_out(out: Path, folder: Path) -> None:
    [packed] = folder.glob("*.zip")
    with ZipFile(packed) as archive, open(folder / "index.csv", newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            name = f"{Path(row['file']).stem}.jpg".replace(" ", "_")
            other = "without_leaves" in row["label"]
            parent = out.with_name(out.name + "-others") if other else out / side(row, number) / row["label"]
            parent.mkdir(parents=True, exist_ok=True)
            (parent / name).write_bytes(archive.read(row["file"]))


if __name__ == "__main__":
    for each in sys.argv[2:]:
        lay_out(Path(sys.argv[1]), Path(each))
