"""Reads a folder of classes: its pictures, their split into train, validation and test, near duplicates.

Nothing is copied: the manifest refers to the files in place.
"""

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vision_core.files import ordinary, read_json, write_json
from vision_core.leaves import duplicates, folders
from vision_core.leaves.folders import SPLITS
from vision_core.pictures import images
from vision_core.safety import messages
from vision_core.safety.limits import FILE, TABLE
from vision_core.settings import from_plain

FRACTIONS = (0.7, 0.15, 0.15)


@dataclass(frozen=True)
class Photo:
    """One picture: its file within the folder, class, group of near duplicates, split, and two hashes."""

    file: str
    label: int
    group: int
    split: str
    sha256: str
    hash: str


@dataclass(frozen=True)
class Manifest:
    """A folder's pictures and their split.

    `skipped` lists the files that are not pictures, with reasons; `leaks` the pairs of near duplicates,
    `conflicts` those that are in two classes.
    """

    folder: str
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    skipped: tuple[dict[str, str], ...]
    leaks: tuple[tuple[str, str], ...]
    conflicts: tuple[tuple[str, str], ...]
    seed: int

    def of(self, split: str) -> list[Photo]:
        return [photo for photo in self.photos if photo.split == split]

    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures of each class in each split."""
        pairs = Counter((photo.label, photo.split) for photo in self.photos)
        return {name: {s: pairs[i, s] for s in SPLITS} for i, name in enumerate(self.classes)}

    def save(self, path: str | Path) -> None:
        write_json(path, asdict(self), indent=None)


def load(path: str | Path) -> Manifest:
    """Load a saved manifest; every fault of the file is a `ValueError`."""
    manifest = from_plain(Manifest, read_json(path))
    for photo in manifest.photos:
        if photo.split not in SPLITS or not 0 <= photo.label < len(manifest.classes):
            raise ValueError(f"{path} puts {photo.file} into a class or a split that it does not have")
    return manifest


@dataclass(frozen=True)
class Survey:
    """The pictures of a folder before the split; hashes is uint64 (N, 8).

    `sides` has the split of each picture, "" if the folder has none; `notes` say what was found deeper or
    left out.
    """

    folder: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    sides: tuple[str, ...]
    digests: tuple[str, ...]
    hashes: np.ndarray
    skipped: tuple[dict[str, str], ...]
    notes: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Pictures of each class, empty ones included."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def part(self, side: str) -> "Survey":
        """The pictures of one split of a folder that comes with splits."""
        rows = [row for row, assigned in enumerate(self.sides) if assigned == side]
        files, sides, digests = (
            tuple(kept[row] for row in rows) for kept in (self.files, self.sides, self.digests)
        )
        return replace(
            self,
            files=files,
            sides=sides,
            digests=digests,
            labels=self.labels[rows],
            hashes=self.hashes[rows],
        )

    def measured(self) -> "Survey":
        """The pictures to evaluate on: if the folder has splits, the test or the validation pictures."""
        side = next((side for side in reversed(SPLITS) if side in self.sides), None)
        if side is None:
            return self
        return replace(self.part(side), notes=(*self.notes, f"measured on the {side} pictures"))


def survey(folder: str | Path) -> Survey:
    """Read every picture of a folder whose subfolders are the classes, or splits that hold the classes.

    Subfolders of a class belong to it. Files that are not pictures, or damaged, are skipped and listed.
    Hidden files are ignored.

    Raises:
        ValueError: as `folders.read`.
    """
    folder = Path(folder)
    layout = folders.read(folder)
    listed = layout.files()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = list(pool.map(_examine, [path for _, _, path in listed]))
    kept, skipped = [], []
    for (name, side, path), examined in zip(listed, read, strict=True):
        file = path.relative_to(folder).as_posix()
        if isinstance(examined, str):
            skipped.append({"file": file, "reason": examined})
        else:
            kept.append((file, layout.classes.index(name), side, *examined))
    files, labels, sides, digests, hashes = zip(*kept, strict=True) if kept else ((), (), (), (), ())
    return Survey(
        folder,
        layout.classes,
        files,
        np.array(labels, np.int64),
        sides,
        digests,
        np.array(hashes, np.uint64).reshape(-1, 8),
        tuple(skipped),
        layout.notes,
    )


def check_folder(folder: str | Path) -> None:
    """Check by the file names alone that a folder can be split.

    Raises:
        ValueError: as `folders.read`; fewer than two classes, or a class of fewer than three files.
    """
    layout = folders.read(folder)
    check_classes(Path(folder), layout.classes)
    counts = Counter(name for name, split, _ in layout.files() if split in ("", "train"))
    for name in layout.classes:
        if counts[name] < len(SPLITS):
            raise _too_few(name, f"{counts[name]} pictures")


def check_classes(folder: Path, classes: Sequence[str]) -> None:
    """Refuse fewer than two classes."""
    if len(classes) < 2:
        raise ValueError(f"{folder} has only the class {classes[0]!r}: two or more are needed")


def _too_few(name: str, what: str) -> ValueError:
    return ValueError(
        f"the class {name!r} has {what}; at least 3 are needed, one each to train, to validate and to test: "
        "add some, or remove its folder"
    )


def _examine(path: Path) -> tuple[str, np.ndarray] | str:
    """Hashes of a picture's bytes and content; the reason, if it cannot be read."""
    try:
        data = path.read_bytes() if path.is_file() and path.stat().st_size <= FILE.value else path
        rgb = images.read(data).rgb
    except (ValueError, OSError) as error:
        return reason(error, path)
    digest = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else ""
    return digest[:16], duplicates.perceptual_hash(rgb)


def reason(error: Exception, path: Path) -> str:
    """Why a picture cannot be read, without the file name."""
    text = error.strerror if isinstance(error, OSError) else str(error)
    return (text or "it cannot be read").removeprefix(f"{path} ").removeprefix("the image ")


def split(
    pictures: Survey, seed: int = 0, fractions: Sequence[float] = FRACTIONS, groups: str | Path | None = None
) -> Manifest:
    """Divide the pictures into train, validation and test, each class by the same fractions.

    Splits of the folder are kept; missing ones are taken from its training pictures. Near duplicates stay in
    one split, and so do pictures of the same leaf according to `groups`, a CSV file with the columns `file`
    and `leaf_group`.

    Raises:
        ValueError: fewer than two classes, or in one fewer than three pictures, near duplicates counted once.
    """
    check_classes(pictures.folder, pictures.classes)
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions are {tuple(fractions)}: three above 0 that make 1 were expected")
    pairs = duplicates.near_pairs(pictures.hashes)
    links = [pairs[:, :2], _same_leaf(pictures.files, groups)]
    group = duplicates.groups(len(pictures.files), np.concatenate(links))
    divide = _existing_splits if any(pictures.sides) else _new_splits
    sides = divide(pictures, group, seed, fractions)
    names = [(pictures.files[i], pictures.files[j]) for i, j, _ in pairs]
    crossing = pictures.labels[pairs[:, 0]] != pictures.labels[pairs[:, 1]]
    return Manifest(
        folder=str(pictures.folder.resolve()),
        classes=pictures.classes,
        photos=tuple(
            Photo(file, int(label), int(g), side, digest, f"{int(h):016x}")
            for file, label, g, side, digest, h in zip(
                pictures.files,
                pictures.labels,
                group,
                sides,
                pictures.digests,
                pictures.hashes[:, 0],
                strict=True,
            )
        ),
        skipped=pictures.skipped,
        leaks=tuple(names),
        conflicts=tuple(pair for pair, crosses in zip(names, crossing, strict=True) if crosses),
        seed=seed,
    )


def _same_leaf(files: Sequence[str], path: str | Path | None) -> np.ndarray:
    """Pairs (P, 2) of pictures of the same leaf according to a CSV file."""
    if path is None:
        return np.empty((0, 2), np.int64)
    leaf = _groups(Path(path))
    if not leaf.keys() & {*files}:
        raise ValueError(
            f"{path} names none of these pictures: "
            f"its column file must hold names such as {messages.quote(files[0])}"
        )
    first: dict[str, int] = {}
    pairs = [(first.setdefault(leaf[f], i), i) for i, f in enumerate(files) if leaf.get(f)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _groups(path: Path) -> dict[str, str]:
    """The leaf of each file of a CSV, whose fields are divided by commas, semicolons or tabs."""
    try:
        TABLE.check(ordinary(path).stat().st_size, str(path))
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        head = text.partition("\n")[0]
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
        names = [name.strip().lower() for name in next(lines, [])]
        if not {"file", "leaf_group"} <= {*names}:
            raise ValueError(f"its columns are {', '.join(names)}")
        file, group = names.index("file"), names.index("leaf_group")
        rows = [row for row in lines if len(row) > max(file, group)]
    except (OSError, ValueError, csv.Error) as error:
        why = messages.reason(error)
        raise ValueError(f"{path} is not a CSV file with the columns file and leaf_group: {why}") from error
    return {row[file].strip().replace("\\", "/").removeprefix("./"): row[group].strip() for row in rows}


def _new_splits(pictures: Survey, group: np.ndarray, seed: int, fractions: Sequence[float]) -> list[str]:
    """The split of each picture. Large groups first, each to the split that lacks most of its class."""
    random = np.random.default_rng(seed)
    sides = np.full(len(pictures.files), "", object)
    for label, name in enumerate(pictures.classes):
        members = [np.flatnonzero(group == g) for g in np.unique(group[pictures.labels == label])]
        members = [m for m in members if Counter(pictures.labels[m].tolist()).most_common(1)[0][0] == label]
        if len(members) < 3:
            read = " that can be read" if pictures.skipped else ""
            raise _too_few(name, f"{sum(map(len, members))} different pictures{read}")
        members = sorted((members[i] for i in random.permutation(len(members))), key=len, reverse=True)
        lacking = np.array(fractions) * sum(map(len, members))
        for place, rows in enumerate(members):
            last = len(members) - 1 - place  # the last two make sure that no side stays empty
            needed = last < 2 and SPLITS[last + 1] not in sides[pictures.labels == label]
            side = last + 1 if needed else int(lacking.argmax())
            sides[rows], lacking[side] = SPLITS[side], lacking[side] - len(rows)
    return sides.tolist()


def _existing_splits(pictures: Survey, group: np.ndarray, seed: int, fractions: Sequence[float]) -> list[str]:
    """The folder's own split; missing parts are taken from its training pictures."""
    sides = np.array(pictures.sides, object)
    lacking = {s: share for s, share in zip(SPLITS, fractions, strict=True) if s not in pictures.sides}
    random = np.random.default_rng(seed)
    for label, name in enumerate(pictures.classes):
        trainable = (pictures.labels == label) & (sides == "train")
        members = [np.flatnonzero(trainable & (group == g)) for g in np.unique(group[trainable])]
        if len(members) < 1 + len(lacking):
            raise _too_few(name, f"{len(members)} different pictures to train on")
        order = iter([members[i] for i in random.permutation(len(members))])
        for side, share in lacking.items():
            for _ in range(max(1, round(share * len(members)))):
                sides[next(order)] = side
    return sides.tolist()


def square(rgb: np.ndarray, side: int) -> np.ndarray:
    """The centre square of uint8 (H, W, 3), resized to uint8 (side, side, 3)."""
    height, width = rgb.shape[:2]
    short = min(height, width)
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short)
    return np.array(
        Image.fromarray(rgb).resize((side, side), Image.Resampling.BILINEAR, box, reducing_gap=3.0)
    )


def read_square(path: Path, side: int) -> np.ndarray:
    """The centre square of a picture; `ValueError` if it cannot be read."""
    return square(images.read(path).rgb, side)


def read_squares(folder: str | Path, files: Iterable[str], side: int) -> np.ndarray:
    """The centre squares of pictures, read by several threads: uint8 (N, side, side, 3).

    Raises:
        ValueError: one is missing or damaged since the folder was read; it is named.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(partial(_still_there, Path(folder), side), files)))


def _still_there(folder: Path, side: int, file: str) -> np.ndarray:
    try:
        return read_square(folder / file, side)
    except ValueError as error:
        raise ValueError(
            f"{folder} has changed since the run began: {error}. Put the picture back, or start a new run"
        ) from error


def imbalance(counts: dict[str, int]) -> dict[str, Any]:
    """Class imbalance: largest by smallest class, and the classes below half the mean."""
    values = list(counts.values())
    mean = sum(values) / len(values)
    return {
        "images": sum(values),
        "classes": len(values),
        "ratio": max(values) / min(values) if min(values) else None,
        "small": [name for name, count in counts.items() if count < mean / 2],
    }
