"""Leave-one-out test of the gate: it is fitted without a species, or a disease, and tested on it."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_core.leaves import data, features, folders, gate
from vision_core.leaves.evaluate import refusal
from vision_core.leaves.network import LeafNet
from vision_core.leaves.predict import BETWEEN

REFUSED = 0.03  # false rejection rate at which the rejection rates of unknown leaves are compared


def left_out(
    model: LeafNet, folder: str | Path, by: str = "species", others: str | Path | None = None
) -> dict[str, Any]:
    """Leave out each species, or each disease, in turn: how well does the gate detect it?

    The classes are called SPECIES___DISEASE. A species is compared with all known leaves, a disease with the
    known leaves of its own species. The gate is fitted on the training pictures and compared on the test
    pictures, of the folder's own split if it has one.

    Args:
        others: a folder of pictures of no leaf.

    Raises:
        ValueError: another `by`; classes of other names; fewer than three species.
    """
    if by not in ("species", "disease"):
        raise ValueError(f"by is {by!r}; species or disease was expected")
    manifest = data.split(data.survey(folder))
    pairs = [name.partition(BETWEEN) for name in manifest.classes]
    if not all(between for _, between, _ in pairs) or len({name for name, _, _ in pairs}) < 3:
        raise ValueError(
            f"{folder} has no three species: classes were expected to be called SPECIES{BETWEEN}DISEASE"
        )
    species = np.array([name for name, _, _ in pairs])
    embedded = {side: features.embed(model, manifest, side) for side in data.SPLITS}
    plain = embedded | {"train": embedded["train"][0]}
    labels = {side: np.array([photo.label for photo in manifest.of(side)]) for side in data.SPLITS}
    model, no_leaves = copy.deepcopy(model), _no_leaves(model, others)
    rows = []
    for name, classes in _left_out(species, list(manifest.classes), by):
        near = np.isin(np.arange(len(species)), classes)
        peers = species == species[classes[0]] if by == "disease" else np.ones(len(species), bool)
        kept = _of_classes(embedded["train"], labels["train"], ~near)  # without the class that is left out
        model.set_scale(kept.flatten(0, 1))
        fitted = _fitted(model, embedded, labels, ~near)
        with torch.no_grad():
            known = fitted(
                model.standardise(_of_classes(embedded["test"], labels["test"], peers & ~near))
            ).numpy()
            shown = torch.cat([_of_classes(plain[side], labels[side], near) for side in data.SPLITS])
            unknown = fitted(model.standardise(shown)).numpy()
            limit = float(np.quantile(known, 1 - REFUSED))
            row = {
                "left_out": name,
                "images": len(unknown),
                "auroc": refusal(known, unknown)["auroc"],
                "refused": float((unknown > limit).mean()),
            }
            if no_leaves is not None:
                row["others"] = float((fitted(model.standardise(no_leaves)) > limit).float().mean())
        rows.append(row)
    mean = {name: float(np.mean([row[name] for row in rows])) for name in ("auroc", "refused")}
    return {"by": by, "rows": rows, **mean, "least_refused": min(row["refused"] for row in rows)}


def _left_out(species: np.ndarray, classes: list[str], by: str) -> Iterator[tuple[str, np.ndarray]]:
    if by == "species":
        for name in np.unique(species):
            yield str(name), np.flatnonzero(species == name)
        return
    for n, name in enumerate(classes):
        if "healthy" not in name.lower() and (species == species[n]).sum() > 1:
            yield name, np.array([n])


def _of_classes(embeddings: Tensor, labels: np.ndarray, classes: np.ndarray) -> Tensor:
    """The embeddings (..., N, WIDTH) of the wanted classes."""
    return embeddings[..., torch.from_numpy(classes[labels]), :]


def _fitted(
    model: LeafNet, embedded: dict[str, Tensor], labels: dict[str, np.ndarray], known: np.ndarray
) -> gate.Gate:
    train, validation = (
        model.standardise(_of_classes(embedded[side], labels[side], known)) for side in data.SPLITS[:2]
    )
    _, numbers = np.unique(labels["train"][known[labels["train"]]], return_inverse=True)
    return gate.fit(train, torch.from_numpy(numbers), validation)


def _no_leaves(model: LeafNet, others: str | Path | None) -> Tensor | None:
    if others is None:
        return None
    files = [path.relative_to(others).as_posix() for path in folders.pictures(Path(others))]
    parts = [part[0] for part in features.embeddings(model, others, files)]
    return torch.cat(parts)
