"""The layout of a folder of pictures: classes, splits, an extra level, copies inside it."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision_core.pictures.images import READABLE

SPLITS = ("train", "validation", "test")
WORDS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "validate": "validation",
    "validat": "validation",
    "val": "validation",
    "dev": "validation",
    "development": "validation",
    "test": "test",
    "holdout": "test",
}
ENDINGS = ("images", "image", "data", "split", "set", "ing")
IGNORED = {"thumbs.db", "desktop.ini", "ehthumbs.db"}
IGNORED_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}


@dataclass(frozen=True)
class Layout:
    """The picture files of each class.

    `places` has the class, the split ("" if there is none) and the folder; `notes` are sentences about what
    was found deeper or left out.
    """

    classes: tuple[str, ...]
    places: tuple[tuple[str, str, Path], ...]
    notes: tuple[str, ...]

    def files(self) -> list[tuple[str, str, Path]]:
        """Class, split and path of each file, sorted."""
        return [(name, split, path) for name, split, folder in self.places for path in pictures(folder)]


def read(folder: str | Path) -> Layout:
    """The layout of a folder, by its names alone.

    Raises:
        ValueError: no folder, no subfolders, folders of folders, or splits that cannot be told from classes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    base, notes = _descended(folder), list[str]()
    if base != folder:
        notes = [f"the classes lie one level deeper, in {base.relative_to(folder).as_posix()}"]
    inside = _folders(base)
    if not inside:
        raise ValueError(f"{folder} has no subfolders: one for each class was expected, its pictures inside")
    ready = [path for path in inside if split_of(path.name)]
    if any(_folders(path) for path in ready) and any(split_of(path.name) == "train" for path in ready):
        return _of_splits(base, ready, [path for path in inside if path not in ready], notes)
    notes += _loose(base)
    kept, sentences = _without_copies(inside)
    deeper = [path for path in kept if _only_folders(path)]
    if len(deeper) == len(kept):
        raise ValueError(
            f"{deeper[0]} holds folders, not pictures: name the folder whose subfolders are the classes"
        )
    return Layout(tuple(p.name for p in kept), tuple((p.name, "", p) for p in kept), (*notes, *sentences))


def split_of(name: str) -> str:
    """The split that a folder's name denotes, or "": Train, 01_training, val-set, dev."""
    text = re.sub(r"[\W\d_]+", "", name.casefold())
    while text not in WORDS and (ending := next((e for e in ENDINGS if text.endswith(e)), "")):
        text = text.removesuffix(ending)
    return WORDS.get(text, "")


def pictures(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders that are not hidden, sorted; folder links are not followed."""
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        files += [Path(parent, name) for name in sorted(names) if not _hidden(name)]
    return files


def _hidden(name: str) -> bool:
    return name[0] == "." or name.lower() in IGNORED | IGNORED_FOLDERS


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))


def _only_folders(folder: Path) -> bool:
    entries = [path for path in folder.iterdir() if not _hidden(path.name)]
    return bool(entries) and all(path.is_dir() for path in entries)


def _descended(folder: Path) -> Path:
    """The folder, or the only one in it if that holds only folders, as in an unpacked archive."""
    base = folder
    while len(inside := _folders(base)) == 1 and _only_folders(inside[0]):
        base = inside[0]
    return base


def _loose(folder: Path) -> list[str]:
    """A sentence on the pictures that lie beside the folders."""
    names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in READABLE and not _hidden(p.name))
    lie = f"{len(names)} pictures lie" if len(names) > 1 else "1 picture lies"
    return [f"{lie} beside the folders, in no class, left out: {', '.join(names[:3])}"] if names else []


def _without_copies(inside: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The class folders, without one that holds copies of most of the others."""
    kept, notes = [], []
    for path in inside:
        others = {other.name.casefold() for other in inside if other != path}
        again = others & {child.name.casefold() for child in _folders(path)}
        if len(again) >= max(1, len(others) / 2):
            notes.append(f"{path.name} holds {len(again)} of the classes once more and is left out")
        else:
            kept.append(path)
    return kept, notes


def _of_splits(base: Path, ready: list[Path], others: list[Path], notes: list[str]) -> Layout:
    names = {path.name.casefold() for path in ready}
    copies = [path for path in others if names & {child.name.casefold() for child in _folders(path)}]
    notes = [*notes, *(f"{path.name} holds the splits once more and is left out" for path in copies)]
    notes += _loose(base)
    if extra := [path.name for path in others if path not in copies and pictures(path)]:
        raise ValueError(
            f"{base} holds ready-made splits ({', '.join(p.name for p in ready)}) beside other folders "
            f"({', '.join(extra[:5])}): name a folder that has splits only, or classes only"
        )
    places, classes = [], dict[str, str]()
    for path in sorted(ready, key=lambda path: SPLITS.index(split_of(path.name))):
        split = split_of(path.name)
        if split in [earlier for _, earlier, _ in places]:
            raise ValueError(f"{base} has two folders for {split}, one of them {path.name}: remove one")
        children, sentences = _without_copies(_folders(_descended(path)))
        notes += [f"in {path.name}, {sentence}" for sentence in sentences]
        if not children:
            count = len(pictures(path))
            notes.append(
                f"{path.name} has no class folders: its {count} files have no class and are left out"
            )
        for child in children:
            if split == "train":
                classes[child.name.casefold()] = child.name
            elif child.name.casefold() not in classes:
                raise ValueError(
                    f"{path.name} has the class {child.name!r}, which is not in the training split"
                )
            places.append((classes[child.name.casefold()], split, child))
    splits = dict.fromkeys(split for _, split, _ in places)
    notes = [f"the folder is split already, and used so: {', '.join(splits)}", *notes]
    return Layout(tuple(sorted(classes.values())), tuple(places), tuple(notes))
