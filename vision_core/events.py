"""Progress events of trainings and other long tasks. Imports no torch, so that any front end can use them."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prepare:
    """Progress of the work before the first step, such as caching features."""

    step: int
    total: int
    eta: float = 0.0


@dataclass(frozen=True)
class Step:
    """One optimiser step: `losses` by name, including "total"; `eta` is the estimated seconds left."""

    step: int
    total: int
    losses: dict[str, float]
    eta: float


@dataclass(frozen=True)
class Epoch:
    """A finished epoch and its metrics; epoch 0 is the untrained network."""

    epoch: int
    epochs: int
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preview:
    """An intermediate picture: uint8 (H, W, 3) RGB."""

    title: str
    image: Any


@dataclass(frozen=True)
class Done:
    """The last event, with the result."""

    result: Any


Event = Prepare | Step | Epoch | Preview | Done
