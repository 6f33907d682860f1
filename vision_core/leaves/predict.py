"""Says what a leaf has, how sure that is, and whether it is a leaf of a known kind at all."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision_core.leaves import data, features, folders
from vision_core.leaves.augment import centre
from vision_core.leaves.data import read_square
from vision_core.leaves.evaluate import judged, measures, refusal
from vision_core.leaves.network import LeafNet
from vision_core.pictures.images import Picture


@dataclass(frozen=True)
class Prediction:
    """`label` is the likeliest class; where `known` is false the picture shows no leaf that the model knows.

    `strangeness` is up to 1 for what is known.
    """

    label: str
    probability: float
    known: bool
    probabilities: dict[str, float]
    strangeness: float


def predict(model: LeafNet, pictures: Sequence[Picture]) -> list[Prediction]:
    """The answers of a model (see `load`) to pictures."""
    found = []
    for start in range(0, len(pictures), features.BATCH):
        squares = np.stack([data.square(p.rgb) for p in pictures[start : start + features.BATCH]])
        found += _answers(model, squares)
    return found


FILE = "{file}"
Answers = list[Prediction | str]  # to files; to one that cannot be read, why, with FILE for its path


def predict_files(
    model: LeafNet,
    paths: Iterable[str | Path],
    spread: Callable[[Callable[[Sequence[Path]], Answers], list[list[Path]]], Iterable[Answers]] = map,
) -> tuple[list[tuple[str, Prediction]], list[dict[str, str]]]:
    """The answers to files and to all pictures in folders, and which of them cannot be read, and why.

    Args:
        spread: as `map`, called with a function of a list of files, and with such lists.

    Raises:
        ValueError: none can be read; a folder holds none; nothing was named.
    """
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
    found = chain.from_iterable(spread(partial(_answered, model), lists))
    for path, answer in zip(named, found, strict=True):
        if isinstance(answer, Prediction):
            answers.append((str(path), answer))
            continue
        said = ValueError(answer.replace(FILE, str(path)))
        if len(named) == 1:
            raise said
        skipped.append({"file": str(path), "reason": data.reason(said, path)})
    if not answers:
        raise ValueError(f"none of the {len(skipped)} files can be read as a picture")
    return answers, skipped


def _answered(model: LeafNet, files: Sequence[Path]) -> Answers:
    """What is said of each file, in an error without its path: it may be a copy's."""
    answers: dict[int, Prediction | str] = {}
    squares: dict[int, np.ndarray] = {}
    for index, path in enumerate(files):
        try:
            squares[index] = read_square(path)
        except ValueError as error:
            answers[index] = str(error).replace(str(path), FILE)
    if squares:
        answers |= zip(squares, _answers(model, np.stack([*squares.values()])), strict=True)
    return [answers[index] for index in range(len(files))]


@torch.no_grad()
def _answers(model: LeafNet, squares: np.ndarray) -> list[Prediction]:
    images = centre(features.tensor(squares), model.crop).to(model.temperature.device)
    probabilities, strange = judged(model, model.eval().embed(images))
    return [
        Prediction(
            model.classes[int(row.argmax())],
            float(row.max()),
            bool(far <= 1),
            dict(zip(model.classes, row.tolist(), strict=True)),
            float(far),
        )
        for row, far in zip(probabilities, strange, strict=True)
    ]


def evaluate(model: LeafNet, folder: str | Path, seen: str = "") -> dict[str, Any]:
    """All measures of a model on a folder of classes, as plain data (see `measures`).

    Classes that the model does not know are not measured but counted: how many of their pictures it refuses.
    `trained_on` counts the pictures that it was trained or chosen on: their figures flatter it.

    Args:
        seen: the hashes of those pictures, as the model's metadata have them.

    Raises:
        ValueError: none of the folder's classes is known to the model, or none has a picture.
    """
    found = data.survey(folder).measured()
    if not set(found.classes) & set(model.classes):
        raise ValueError(
            f"{folder} has the classes {', '.join(found.classes)}, of which the model knows none; "
            f"it knows {', '.join(model.classes)}"
        )
    parts = [part[0] for part in features.embeddings(model, folder, found.files)]
    if not parts:
        raise ValueError(f"{folder} has no picture that can be read")
    probabilities, strange = judged(model, torch.cat(parts))
    names = np.array([found.classes[label] for label in found.labels])
    known = np.isin(names, model.classes)
    if not known.any():
        raise ValueError(f"{folder} has no picture of a class that the model knows")
    truth = np.array([model.classes.index(name) for name in names[known]])
    hashes = {seen[i : i + 16] for i in range(0, len(seen), 16)}
    files = [file for file, here in zip(found.files, known, strict=True) if here]
    result = measures(probabilities[known], truth, model.classes, files)
    result |= {
        "refused": float((strange[known] > 1).mean()),
        "trained_on": sum(d in hashes for d, here in zip(found.digests, known, strict=True) if here),
        "skipped": list(found.skipped),
        "notes": list(found.notes),
    }
    if not known.all():
        result["unknown"] = {
            **{
                n: {"images": int((names == n).sum()), "refused": float((strange[names == n] > 1).mean())}
                for n in np.unique(names[~known]).tolist()
            },
        }
        result["refusal"] = refusal(strange[known], strange[~known])
    return result
