"""Predicts the disease of a leaf with its probability, and rejects pictures of no known kind of leaf."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision_core.leaves import data, features
from vision_core.leaves.augment import centre
from vision_core.leaves.evaluate import judged, measures, refusal
from vision_core.leaves.network import LeafNet
from vision_core.pictures.images import Picture


@dataclass(frozen=True)
class Prediction:
    """The most likely class of a picture, and whether the picture shows a known kind of leaf at all.

    `ood_score` is the out-of-distribution score; `known` is true up to 1. If the classes are called
    SPECIES___DISEASE, `species` has the probability of each species: a wrong disease of the right species
    is then only half wrong.
    """

    label: str
    probability: float
    known: bool
    probabilities: dict[str, float]
    ood_score: float
    species: dict[str, float]


BETWEEN = "___"  # separates species and disease in class names


def by_species(probabilities: dict[str, float]) -> dict[str, float]:
    """The probability of each species, the likeliest first; {} where the classes name none."""
    shares: dict[str, float] = {}
    for name, share in probabilities.items():
        species, between, _ = name.partition(BETWEEN)
        if not between:
            return {}
        shares[species] = shares.get(species, 0.0) + share
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def plain_name(label: str) -> str:
    """A readable class name: Bean___angular_leaf_spot becomes "Bean, angular leaf spot"."""
    return label.replace(BETWEEN, ", ").replace("_", " ")


def verdict(answer: Prediction) -> str:
    """The prediction as text: the class and its probability, or that the leaf is not known."""
    closest = f"{plain_name(answer.label)}, {answer.probability:.1%}"
    if answer.known:
        return closest
    if answer.species and answer.ood_score < NEARLY and max(answer.species.values()) > 0.9:
        species = plain_name(max(answer.species, key=answer.species.__getitem__))
        return (
            f"not known; perhaps {species} with a disease that is not among the classes (closest: {closest})"
        )
    return f"not a known kind of leaf (closest: {closest})"


NEARLY = 1.3  # a rejected leaf with a score up to this may be of a known species


def predict(model: LeafNet, pictures: Sequence[Picture]) -> list[Prediction]:
    """Classify pictures with a model (see `load`)."""
    predictions = []
    for start in range(0, len(pictures), features.BATCH):
        squares = np.stack(
            [data.square(p.rgb, model.square) for p in pictures[start : start + features.BATCH]]
        )
        predictions += _answers(model, squares)
    return predictions


@torch.no_grad()
def _answers(model: LeafNet, squares: np.ndarray) -> list[Prediction]:
    images = centre(features.tensor(squares), model.crop).to(model.temperature.device)
    probabilities, scores = judged(model, model.eval().embed(images))
    return [
        _answer(dict(zip(model.classes, row.tolist(), strict=True)), float(score))
        for row, score in zip(probabilities, scores, strict=True)
    ]


def _answer(probabilities: dict[str, float], score: float) -> Prediction:
    label = max(probabilities, key=probabilities.__getitem__)
    return Prediction(
        label, probabilities[label], score <= 1, probabilities, score, by_species(probabilities)
    )


def evaluate(model: LeafNet, folder: str | Path, seen: str = "") -> dict[str, Any]:
    """Measure a model on a folder of classes; plain data (see `measures`).

    Of classes that the model does not know, only the share of rejected pictures is reported. `trained_on`
    counts the pictures that the model was trained or selected on: the result is too good on these.

    Args:
        seen: the hashes of those pictures, from the model's metadata.

    Raises:
        ValueError: none of the folder's classes is known to the model, or none has a picture.
    """
    survey = data.survey(folder).measured()
    if not set(survey.classes) & set(model.classes):
        raise ValueError(
            f"{folder} has the classes {', '.join(survey.classes)}, of which the model knows none; "
            f"it knows {', '.join(model.classes)}"
        )
    parts = [part[0] for part in features.embeddings(model, folder, survey.files)]
    if not parts:
        raise ValueError(f"{folder} has no picture that can be read")
    probabilities, scores = judged(model, torch.cat(parts))
    names = np.array([survey.classes[label] for label in survey.labels])
    known = np.isin(names, model.classes)
    if not known.any():
        raise ValueError(f"{folder} has no picture of a class that the model knows")
    truth = np.array([model.classes.index(name) for name in names[known]])
    hashes = {seen[i : i + 16] for i in range(0, len(seen), 16)}
    files = [file for file, is_known in zip(survey.files, known, strict=True) if is_known]
    result = measures(probabilities[known], truth, model.classes, files)
    if all(BETWEEN in name for name in model.classes):
        species = np.array([name.partition(BETWEEN)[0] for name in model.classes])
        result["species_accuracy"] = float((species[probabilities[known].argmax(1)] == species[truth]).mean())
    result |= {
        "refused": float((scores[known] > 1).mean()),
        "trained_on": sum(d in hashes for d, is_known in zip(survey.digests, known, strict=True) if is_known),
        "skipped": list(survey.skipped),
        "notes": list(survey.notes),
    }
    if not known.all():
        result["unknown"] = {
            **{
                n: {"images": int((names == n).sum()), "refused": float((scores[names == n] > 1).mean())}
                for n in np.unique(names[~known]).tolist()
            }
        }
        result["refusal"] = refusal(scores[known], scores[~known])
    return result
