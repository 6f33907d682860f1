"""Small classifiers with one hidden layer, stored as JSON."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vision_core import devices
from vision_core.files import write_json

CLIP = 6.0  # standard deviations
RATE = 3e-3


@dataclass(frozen=True)
class Classifier:
    """A network of two layers on standardised features; `threshold` is subtracted from its output."""

    mean: np.ndarray
    scale: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray]]
    threshold: float = 0.0

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(..., F) -> (...), positive if the answer is yes."""
        x = ((features - self.mean) / self.scale).clip(-CLIP, CLIP)
        for number, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if number + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return x[..., 0] - self.threshold

    @classmethod
    def read(cls, path: Path) -> "Classifier":
        fields = json.loads(path.read_text("utf-8"))
        layers = [(np.array(w, np.float32), np.array(b, np.float32)) for w, b in fields["layers"]]
        mean, scale = (np.array(fields[name], np.float32) for name in ("mean", "scale"))
        return cls(mean, scale, layers, fields["threshold"])

    def write(self, path: Path) -> None:
        layers = [[part.tolist() for part in layer] for layer in self.layers]
        fields = {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "layers": layers}
        write_json(path, fields | {"threshold": self.threshold})


def fit(
    features: np.ndarray,
    truth: np.ndarray,
    weight: np.ndarray,
    hidden: int,
    seed: int,
    steps: int,
    dropout: float = 0.0,
) -> Classifier:
    """Fit a classifier on features (N, F), truth (N,) and the weight of each example (N,).

    Args:
        weight: examples of weight 0 only count for the mean and the scale of the features.
        dropout: share of the features that are hidden in each step.
    """
    mean, scale = features.mean(0), features.std(0) + 1e-4
    standard, used = ((features - mean) / scale).clip(-CLIP, CLIP), weight > 0
    x, target, share = (torch.from_numpy(part[used].astype(np.float32)) for part in (standard, truth, weight))
    with devices.seeded(seed):
        model = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(x.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.3)
    for step in range(steps):
        picked = torch.randint(len(x), (1024,), generator=devices.generator(seed, step))
        with devices.seeded(step):  # dropout
            logits = model(x[picked])[:, 0]
        each = F.binary_cross_entropy_with_logits(logits, target[picked], reduction="none")
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        optimizer.zero_grad()
        (each * share[picked]).mean().backward()
        optimizer.step()
    linear = [each for each in model if isinstance(each, nn.Linear)]
    layers = [tuple(part.detach().numpy() for part in (each.weight, each.bias)) for each in linear]
    return Classifier(mean, scale, layers)  # pyright: ignore[reportArgumentType]
