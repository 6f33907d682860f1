"""Teaches new classes from about ten pictures each, on the features of the shipped model.

A strongly regularised logistic regression on embeddings, and a gate with the whitening of the shipped model.
The stated accuracy, the temperature and the gate's limits come from cross-validation.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vision_core.devices import generator
from vision_core.leaves import data, features, gate
from vision_core.leaves.bundle import SCALARS, VERSION, load
from vision_core.leaves.evaluate import fit_temperature, measures
from vision_core.leaves.network import LeafNet
from vision_core.safety.limits import TAUGHT

VIEWS, PENALTY, FOLDS = 4, 1e-3, 10


def teach(
    folder: str | Path, base: str | Path | None = None, seed: int = 0
) -> tuple[LeafNet, dict[str, Any]]:
    """A model for the classes of a folder, and its metadata; `checkpoints.save` writes both.

    Args:
        folder: its subfolders are the classes, each with two pictures or more; about ten are a good start.
        base: the model whose features and gate are used; by default the one of the package.

    Raises:
        ValueError: fewer than two classes, a class of fewer than two pictures, or too many pictures.
    """
    survey = data.survey(folder)
    survey = replace(survey, sides=("",) * len(survey.files))
    data.check_classes(survey.folder, survey.classes)
    for name, count in survey.counts().items():
        if count < 2:
            raise ValueError(
                f"the class {name!r} has {count} pictures that can be read; at least 2 are needed"
            )
    TAUGHT.check(len(survey.files), f"{folder} for teaching (use `leaves train`):")
    shipped, _ = load(base)
    labels = torch.from_numpy(survey.labels)
    parts = features.embeddings(shipped, survey.folder, survey.files, VIEWS, seed)
    views = shipped.standardise(torch.cat(list(parts), 1)).detach()  # (1 + V, N, WIDTH)
    assert shipped.gate is not None
    validated = _cross_validated(views, labels, len(survey.classes), shipped.gate, seed)
    model = LeafNet(
        list(survey.classes),
        shipped.unfrozen,
        shipped.backbone,
        shipped.crop,
        shipped.reduced,
        (len(survey.classes), len(labels), *shipped.gate.sizes[2:]),
    )
    model.load_state_dict(_state(shipped, views, labels, validated))
    probabilities = (validated["logits"] / float(model.temperature)).softmax(1).double().numpy()
    measured = measures(probabilities, survey.labels, survey.classes, survey.files)
    refused = float((model.gate(views[0]) > 1).float().mean()) if model.gate else 0.0
    metadata = {
        "version": VERSION,
        "classes": list(survey.classes),
        "preprocessing": model.preprocessing,
        "images": survey.counts(),
        "taught": {"pictures": len(labels), "views": VIEWS, "seed": seed},
        "metrics": {"left_out": {name: measured[name] for name in SCALARS} | {"refused": refused}},
        "seen": "".join(survey.digests),
        "skipped": list(survey.skipped),
        "licence": "Apache-2.0",
    }
    return model.eval(), metadata


def _state(
    shipped: LeafNet, views: Tensor, labels: Tensor, validated: dict[str, Tensor]
) -> dict[str, Tensor]:
    assert shipped.gate is not None
    weight, bias = _fit(views, labels, int(labels.max()) + 1)
    taught = _gate(shipped.gate, views[0], labels)
    gate.set_limits(taught, validated["parts"])
    state = {name: value for name, value in shipped.state_dict().items() if not name.startswith("gate.")}
    state |= {f"gate.{name}": value for name, value in taught.state_dict().items()}
    temperature = torch.tensor(fit_temperature(validated["logits"], labels))
    return state | {"classifier.1.weight": weight, "classifier.1.bias": bias, "temperature": temperature}


def _cross_validated(
    views: Tensor, labels: Tensor, classes: int, shipped: gate.Gate, seed: int
) -> dict[str, Tensor]:
    """Cross-validated logits (N, C) and gate parts (N, 3) of each picture."""
    order = torch.randperm(len(labels), generator=generator(seed))
    order = order[torch.argsort(labels[order], stable=True)]  # each class is spread over the folds
    logits, parts = torch.zeros(len(labels), classes), torch.zeros(len(labels), 3)
    for fold in range(folds := min(FOLDS, len(labels))):
        out = torch.zeros(len(labels), dtype=torch.bool)
        out[order[fold::folds]] = True
        weight, bias = _fit(views[:, ~out], labels[~out], classes)
        logits[out] = views[0, out] @ weight.T + bias
        parts[out] = _gate(shipped, views[0, ~out], labels[~out]).parts(views[0, out])
    return {"logits": logits, "parts": parts}


def _gate(shipped: gate.Gate, embeddings: Tensor, labels: Tensor) -> gate.Gate:
    """The shipped gate with other classes and leaves; its limits are still to be set."""
    white = embeddings.clamp(-gate.CLIP, gate.CLIP) @ shipped.axes @ shipped.whitening
    present = labels.unique()
    means = torch.stack([white[labels == label].mean(0) for label in present])
    taught = gate.Gate(len(present), len(white), *shipped.sizes[2:])
    kept = {name: shipped.state_dict()[name] for name in ("axes", "whitening", "variance")}
    taught.load_state_dict({**kept, "means": means, "leaves": F.normalize(white, dim=1)}, strict=False)
    return taught


def _fit(views: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weight (C, WIDTH) and bias (C,) of a logistic regression on embeddings (V, N, WIDTH)."""
    x, y = views.flatten(0, 1) / views.shape[-1] ** 0.5, labels.repeat(len(views))
    weight, bias = (torch.zeros(size, requires_grad=True) for size in ((classes, x.shape[1]), (classes,)))
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, history_size=10)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(x, weight, bias), y) + PENALTY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)  # pyright: ignore[reportArgumentType]
    return weight.detach() / views.shape[-1] ** 0.5, bias.detach()
