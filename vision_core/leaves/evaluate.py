"""Metrics of a classifier: accuracy, F1, calibration, precision and recall, the worst mistakes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

MILD, SERIOUS = 0.1, 0.2  # accuracy gaps between training and validation
BINS = 15  # bins of the reliability curve
POINTS = 100  # maximum points of a precision-recall curve
RESAMPLES = 1000


def measures(
    probabilities: np.ndarray, truth: np.ndarray, classes: Sequence[str], files: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """All metrics of probabilities (N, C) for the true classes (N,), as plain data.

    `confusion` has a row for each true class, a column for each answer. Macro averages are over the classes
    that occur. Intervals hold 95 %: Wilson's for the accuracy, the bootstrap's for macro-F1.

    Raises:
        ValueError: no pictures.
    """
    from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

    if not len(truth):
        raise ValueError("there are no pictures to measure on")
    predicted, present, labels = probabilities.argmax(1), np.unique(truth), range(len(classes))
    right = int((predicted == truth).sum())
    scores = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0.0)  # pyright: ignore[reportArgumentType]
    table = np.array(scores, float).T.tolist()
    rows = [dict(zip(("precision", "recall", "f1", "support"), row, strict=True)) for row in table]
    return {
        "images": len(truth),
        "classes": list(classes),
        "accuracy": right / len(truth),
        "accuracy_interval": wilson(right, len(truth)),
        "macro_f1": float(f1_score(truth, predicted, labels=present, average="macro", zero_division=0.0)),  # pyright: ignore[reportArgumentType]
        "macro_f1_interval": _bootstrap(truth, predicted, present, seed),
        "loss": float(-np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, 1)).mean()),
        "ece": calibration_error(probabilities, truth),
        "reliability": reliability(probabilities, truth),
        "per_class": {
            name: {**row, "support": int(row["support"])} for name, row in zip(classes, rows, strict=True)
        },
        "confusion": confusion_matrix(truth, predicted, labels=labels).tolist(),
        "precision_recall": precision_recall(probabilities, truth, classes),
        "top_losses": top_losses(probabilities, truth, classes, files),
    }


def wilson(right: int, count: int) -> list[float]:
    """The 95 % interval of a share. Source: Wilson 1927."""
    z, share = 1.959964, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return [float(max(0.0, middle - half)), float(min(1.0, middle + half))]


def _bootstrap(truth: np.ndarray, predicted: np.ndarray, labels: np.ndarray, seed: int) -> list[float]:
    """The 95 % interval of macro-F1 over resampled pictures, all resamples at once."""
    random, count = np.random.default_rng(seed), len(truth)
    weights = random.multinomial(count, np.full(count, 1 / count), RESAMPLES)  # (R, N)
    f1 = []
    for label in labels:
        hits = weights @ ((truth == label) & (predicted == label))
        either = weights @ (truth == label) + weights @ (predicted == label)
        f1.append(np.where(either > 0, 2 * hits / np.maximum(either, 1), np.nan))
    return np.quantile(np.nanmean(f1, 0), (0.025, 0.975)).tolist()


def reliability(probabilities: np.ndarray, truth: np.ndarray) -> list[dict[str, float]]:
    """For each of 15 bins of the predicted probability: mean, share of correct predictions, count."""
    sure, right = probabilities.max(1), probabilities.argmax(1) == truth
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        {"confidence": float(sure[i].mean()), "accuracy": float(right[i].mean()), "count": int(i.sum())}
        for i in (place == b for b in range(BINS))
        if i.any()
    ]


def calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Expected calibration error: the mean gap of the reliability curve. Source: Guo et al. 2017."""
    bins = reliability(probabilities, truth)
    return sum(abs(b["confidence"] - b["accuracy"]) * b["count"] for b in bins) / len(truth)


def precision_recall(probabilities: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """For each class that occurs: average precision, and the curve in at most 100 points."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    curves = {}
    for label, name in enumerate(classes):
        if (truth == label).any():
            precision, recall, _ = precision_recall_curve(truth == label, probabilities[:, label])
            kept = np.unique(np.linspace(0, len(recall) - 1, POINTS).round().astype(int))
            curves[name] = {
                "average_precision": float(average_precision_score(truth == label, probabilities[:, label])),
                "precision": precision[kept].tolist(),
                "recall": recall[kept].tolist(),
            }
    return curves


def top_losses(
    probabilities: np.ndarray, truth: np.ndarray, classes: Sequence[str], files: Sequence[str], most: int = 20
) -> list[dict[str, Any]]:
    """The pictures whose true class got the lowest probability, worst first."""
    likelihood, predicted = probabilities[np.arange(len(truth)), truth], probabilities.argmax(1).tolist()
    true = truth.tolist()
    return [
        {
            "file": files[i],
            "true": classes[true[i]],
            "predicted": classes[predicted[i]],
            "probability": float(probabilities[i].max()),
            "loss": float(-np.log(max(likelihood[i], 1e-12))),
        }
        for i in np.argsort(likelihood, kind="stable")[:most].tolist()
    ]


def fit_temperature(logits: Tensor, truth: Tensor) -> float:
    """The temperature, 0.2 to 5, with the smallest cross-entropy of the logits (N, C).

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    from scipy.optimize import minimize_scalar

    logits = logits.double()
    optimum = minimize_scalar(
        lambda log: F.cross_entropy(logits / np.exp(log), truth).item(),
        bounds=(np.log(0.2), np.log(5)),
        method="bounded",
    )
    return float(np.exp(optimum.x))


def gap(metrics: dict[str, Any]) -> dict[str, Any]:
    """Training minus validation accuracy of an epoch, and the alarm level: none, mild (.1), serious (.2)."""
    value = metrics["train_accuracy"] - metrics["val_accuracy"]
    return {"gap": value, "alarm": "serious" if value >= SERIOUS else "mild" if value >= MILD else "none"}


def refusal(known: np.ndarray, unknown: np.ndarray) -> dict[str, float]:
    """Rejection rates and AUROC of out-of-distribution scores of known (N,) and unknown (M,) pictures."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.zeros(len(known)), np.ones(len(unknown))])
    return {
        "leaves_refused": float((known > 1).mean()),
        "others_refused": float((unknown > 1).mean()),
        "auroc": float(roc_auc_score(truth, np.concatenate([known, unknown]))),
    }


def judged(model: Any, embeddings: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The calibrated probabilities (N, C) and out-of-distribution scores (N,) of embeddings."""
    with torch.no_grad():
        probabilities, scores = model.judge(embeddings.to(model.temperature.device))
    return probabilities.cpu().double().numpy(), scores.cpu().numpy()
