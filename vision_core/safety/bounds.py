"""Bounds on the constructor arguments of networks in files, checked before a network is built.

A header of a hundred bytes can name ten million layers. Each network that can be loaded therefore has
`bounds`: an argument of its constructor -> what it may be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vision_core.safety.messages import quote


class Bound(Protocol):
    """Says which values are allowed; as text, what was expected."""

    def allows(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    low: int
    high: int

    def allows(self, value: Any) -> bool:
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Real:
    """A number, whole or not."""

    low: float
    high: float

    def allows(self, value: Any) -> bool:
        return type(value) in (int, float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Text:
    """A name or the like."""

    longest: int = 200

    def allows(self, value: Any) -> bool:
        return isinstance(value, str) and len(value) <= self.longest

    def __str__(self) -> str:
        return f"a text of up to {self.longest} characters"


class OneOf:
    """One of a few values."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def allows(self, value: Any) -> bool:
        return any(type(value) is type(one) and value == one for one in self.values)

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


@dataclass(frozen=True)
class Several:
    """A list of so many values; `optional` allows None instead."""

    inner: Bound
    least: int
    most: int
    optional: bool = False

    def allows(self, value: Any) -> bool:
        if value is None:
            return self.optional
        right = isinstance(value, list | tuple) and self.least <= len(value) <= self.most
        return right and all(map(self.inner.allows, value))

    def __str__(self) -> str:
        return f"{self.least} to {self.most} times {self.inner}"


Bounds = Mapping[str, Bound]


def check(arguments: Mapping[Any, Any], bounds: Bounds) -> None:
    """Refuse with a `ValueError` the first argument that has another name or is not within its bounds."""
    for name, value in arguments.items():
        if name not in bounds:
            raise ValueError(f"it names {quote(name)}, which is no argument of that network")
        if not bounds[name].allows(value):
            raise ValueError(f"{name} is {quote(value)}; {bounds[name]} was expected")
