"""Predictions for files and folders, and their results on disk: a table, a contact sheet, cards."""

import csv
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

from vision_core.files import atomic
from vision_core.leaves import cards, data, features, folders
from vision_core.leaves.look import Look, look
from vision_core.leaves.network import LeafNet
from vision_core.leaves.predict import Prediction, predict
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.safety.messages import printable

FILE = "{file}"
SHEET = 70  # pictures of one contact sheet
Answers = list[Any]  # one per file; for an unreadable file the reason, a string with FILE for its path
Spread = Callable[[Callable[[Sequence[Path]], Answers], list[list[Path]]], Iterable[Answers]]


def predict_files(
    model: LeafNet, paths: Iterable[str | Path], spread: Spread = map
) -> tuple[list[tuple[str, Prediction]], list[dict[str, str]]]:
    """Classify files and all pictures in folders; also the files that cannot be read, with the reasons.

    Args:
        spread: as `map`, called with a function of a list of files, and with such lists.

    Raises:
        ValueError: none can be read, a folder holds none, or no path was given.
    """
    return _collected(partial(_each, _predicted, model), paths, spread)


def look_at_files(
    model: LeafNet, paths: Iterable[str | Path], spread: Spread = map
) -> tuple[list[tuple[str, Look]], list[dict[str, str]]]:
    """Like `predict_files`, with advice and every leaf of each picture; see `look`."""
    return _collected(partial(_each, _looked_at, model), paths, spread)


def _collected(
    ask: Callable[[Sequence[Path]], Answers], paths: Iterable[str | Path], spread: Spread
) -> tuple[list[tuple[str, Any]], list[dict[str, str]]]:
    named: list[Path] = []
    for path in map(Path, paths):
        inside = folders.pictures(path) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path} holds no pictures")
        named += inside
    if not named:
        raise ValueError("no picture was named")
    answers, skipped = [], []
    lists = [named[start : start + features.BATCH] for start in range(0, len(named), features.BATCH)]
    for path, answer in zip(named, chain.from_iterable(spread(ask, lists)), strict=True):
        if not isinstance(answer, str):
            answers.append((str(path), answer))
            continue
        error = ValueError(answer.replace(FILE, str(path)))
        if len(named) == 1:
            raise error
        skipped.append({"file": str(path), "reason": data.reason(error, path)})
    if not answers:
        raise ValueError(f"none of the {len(skipped)} files can be read as a picture")
    return answers, skipped


def _predicted(model: LeafNet, pictures: list[Picture]) -> list[Prediction]:
    return predict(model, pictures)


def _looked_at(model: LeafNet, pictures: list[Picture]) -> list[Look]:
    return look(model, pictures)


def _each(
    verb: Callable[[LeafNet, list[Picture]], list[Any]], model: LeafNet, files: Sequence[Path]
) -> Answers:
    """The results for files, read one at a time since they may be large; errors have FILE for the path."""
    answers: Answers = []
    for path in files:
        try:
            answers += verb(model, [images.read(path)])
        except ValueError as error:
            answers.append(str(error).replace(str(path), FILE))
    return answers


def rows(looks: Sequence[tuple[str, Look]]) -> list[dict[str, Any]]:
    """One row for each leaf, also for rejected ones, whose answer is "not known"."""
    return [
        {
            "file": name,
            "leaf": number,
            "known": leaf.answer.known,
            "answer": leaf.answer.label if leaf.answer.known else "not known",
            "closest": leaf.answer.label,
            "probability": round(leaf.answer.probability, 4),
            "species": next(iter(leaf.answer.species), ""),
            "ood_score": round(leaf.answer.ood_score, 3),
            "discoloured": None if leaf.ill is None else round(leaf.ill, 3),
            "advice": " ".join(seen.advice),
        }
        for name, seen in looks
        for number, leaf in enumerate(seen.leaves, 1)
    ]


def write_looks(looks: Sequence[tuple[str, Look]], out: str | Path) -> list[Path]:
    """Write prediction.csv, sheet-1.jpg and following, and a card for each picture into a folder."""
    out, written = Path(out), []
    table = StringIO()
    records = rows(looks)
    writer = csv.DictWriter(table, list(records[0]))
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in records)
    out.mkdir(parents=True, exist_ok=True)
    with atomic(out / "prediction.csv") as file:
        file.write(table.getvalue().encode())
    written.append(out / "prediction.csv")
    for start in range(0, len(looks), SHEET):
        part = []
        for number, (name, seen) in enumerate(looks[start : start + SHEET], start + 1):
            rgb = images.shrink(images.read(name).rgb, 2 * cards.SIDE)
            shown = printable(Path(name).name)
            part.append((shown, images.shrink(rgb, cards.TILE), seen))
            written.append(out / f"{number:04d}-{Path(name).stem}.jpg")
            images.save(Picture(cards.card(rgb, seen, shown)), written[-1])
        written.append(out / f"sheet-{start // SHEET + 1}.jpg")
        images.save(Picture(cards.sheet(part)), written[-1])
    return written


def _plain(value: Any) -> Any:
    """Text that can be written as UTF-8, and that a spreadsheet does not take for a formula."""
    if not isinstance(value, str):
        return value
    return f"'{printable(value)}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else printable(value)
