"""What a training, or other long work, tells of its progress; without torch, for pages and command lines."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prepare:
    """A piece of what comes before the first step, such as cached features: its number, of how many."""

    step: int
    total: int
    eta: float = 0.0


@dataclass(frozen=True)
class Step:
    """One optimiser step: its number, of how many, the losses by name (with "total"), seconds left."""

    step: int
    total: int
    losses: dict[str, float]
    eta: float


@dataclass(frozen=True)
class Epoch:
    """One epoch done: its number (0 is the untrained network), of how many, and what was measured."""

    epoch: int
    epochs: int
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preview:
    """A picture on the way: uint8 (H, W, 3) RGB."""

    title: str
    image: Any


@dataclass(frozen=True)
class Done:
    """The end, with the system's result."""

    result: Any


Event = Prepare | Step | Epoch | Preview | Done
