"""Unpacks sets of leaf photographs into a folder per class, split by leaf.

    python benchmarks/leaves_data.py OUT SET...

A SET is a folder with an uncompressed ZIP and index.csv (columns file and label; leaf_group if several
pictures show one leaf; path with the original name). Writes OUT/train, OUT/validation and OUT/test with a
folder per class, and OUT-others with pictures without a leaf. All pictures of a leaf are in the same split.
If a set has a split of its own, its validation pictures are used for testing.
"""

import csv
import sys
import zlib
from pathlib import Path
from zipfile import ZipFile

SHARES = (("train", 76), ("validation", 12), ("test", 12))  # percent


def side(row: dict[str, str], number: int) -> str:
    """The split of a picture; it depends only on its leaf."""
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
