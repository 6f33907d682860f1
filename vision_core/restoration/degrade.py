"""Synthetic damage: twelve kinds in five severities, defined by reproducible recipes.

Six kinds, their probabilities and their ranges are those of the project that inspired this system
(historic-manuscript-restoration). There, whole pages were damaged and then reduced by a factor of 6 to 9,
which removed most of the damage; here it is applied to crops at native resolution.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vision_core.devices import generator
from vision_core.restoration import damage
from vision_core.safety.messages import quote

Recipe = dict[str, Any]
SEVERITIES = (1, 2, 3, 4, 5)
MOST_STEPS = 100  # per recipe; each one processes the whole picture


@dataclass(frozen=True)
class Kind:
    """One kind of damage.

    `ranges` maps each parameter to its mildest and its worst value; severity s draws from the s-th fifth of
    that range. `probability` is that of being part of a mixture.
    """

    probability: float
    ranges: dict[str, tuple[float, float]]
    apply: Callable[..., Tensor]
    words: str


# In physical order: on the paper, at the camera, in the file
KINDS: dict[str, Kind] = {
    "bleed_through": Kind(
        0.25, {"strength": (0.08, 0.5), "sigma": (1.0, 2.0)}, damage.bleed_through, "ink of the other side"
    ),
    "fading": Kind(0.6, {"gain": (0.9, 0.6), "lift": (0.05, 0.15)}, damage.fade, "faded ink and paper"),
    "yellow_tint": Kind(0.6, {"green": (0.99, 0.9), "blue": (0.95, 0.72)}, damage.tint, "yellowed paper"),
    "stains": Kind(
        0.4, {"number": (1, 5), "radius": (15, 50), "factor": (0.75, 0.3)}, damage.stains, "stains with rings"
    ),
    "creases": Kind(0.2, {"number": (1, 4), "depth": (0.1, 0.5), "width": (1, 3)}, damage.creases, "folds"),
    "holes": Kind(
        0.15, {"number": (1, 5), "radius": (2, 9), "tracks": (0, 3)}, damage.holes, "holes and worm tracks"
    ),
    "uneven_light": Kind(0.3, {"depth": (0.1, 0.6)}, damage.uneven_light, "shade over a part of the page"),
    "low_resolution": Kind(0.15, {"factor": (1.2, 3)}, damage.low_resolution, "scanned too coarsely"),
    "blur": Kind(0.5, {"sigma": (0.6, 1.7)}, damage.blur, "out of focus"),
    "noise": Kind(0.7, {"sigma": (0.01, 0.08)}, damage.noise, "grain of the sensor"),
    "salt_and_pepper": Kind(0.5, {"ratio": (0.001, 0.01)}, damage.salt_and_pepper, "single dead pixels"),
    "jpeg": Kind(0.4, {"quality": (90, 35)}, damage.jpeg, "compression"),
}


def draw(seed: int, kinds: tuple[str, ...] = tuple(KINDS), severity: int | None = None) -> Recipe:
    """A recipe with one step for each of `kinds`, of severity 1 to 5, by default random for each.

    Raises:
        ValueError: an unknown kind, a severity out of range, or a negative seed.
    """
    if severity not in (None, *SEVERITIES):
        raise ValueError(f"severity is {severity}; 1, 2, 3, 4 or 5 was expected")
    if seed < 0:
        raise ValueError(f"the seed is {seed}; it must be 0 or more")
    for kind in kinds:
        _known(kind)
    rng = random.Random(seed)
    steps = []
    for kind in (kind for kind in KINDS if kind in kinds):
        level = severity or rng.choice(SEVERITIES)
        parameters = {name: _fifth(low, high, level, rng) for name, (low, high) in KINDS[kind].ranges.items()}
        steps.append({"kind": kind, "severity": level, **parameters})
    return {"seed": seed, "steps": steps}


def draw_mixture(seed: int, severity: int | None = None) -> Recipe:
    """A recipe that includes each kind with its own probability, and at least one."""
    rng = random.Random(f"mixture {seed}")
    kinds = tuple(name for name, kind in KINDS.items() if rng.random() < kind.probability)
    return draw(seed, kinds or (rng.choice(list(KINDS)),), severity)


def degrade(images: Tensor, recipes: list[Recipe], verso: Tensor | None = None) -> Tensor:
    """Damage each image by its recipe: (B, 3, H, W) in [0, 1] -> the same shape.

    The result depends only on the image, its recipe and its `verso`, not on the batch or the device. The
    numbers of stains, folds and holes refer to 256 x 256 pixels and scale with the side of the image.

    Args:
        images: crops at native resolution.
        verso: (B, 3, H, W), the reverse sides, for bleed-through; by default the images themselves, mirrored
            and shifted.

    Raises:
        ValueError: the shapes or the number of recipes do not match, or a recipe is invalid; see `check`.
    """
    if images.ndim != 4 or images.shape[1] != 3 or len(images) != len(recipes):
        raise ValueError(f"{len(recipes)} recipes need ({len(recipes)}, 3, H, W), got {tuple(images.shape)}")
    if verso is not None and verso.shape != images.shape:
        raise ValueError(f"verso {tuple(verso.shape)} and images {tuple(images.shape)} must match")
    out = torch.empty_like(images)
    for index, recipe in enumerate(recipes):
        check(recipe)
        image, back = images[index], None if verso is None else verso[index]
        for number, step in enumerate(recipe["steps"]):
            parameters = {name: value for name, value in step.items() if name not in ("kind", "severity")}
            if step["kind"] == "bleed_through":
                parameters["verso"] = back
            image = KINDS[step["kind"]].apply(image, generator(recipe["seed"], number), **parameters)
        out[index] = image.clamp(0, 1)
    return out


def check(recipe: Any) -> None:
    """Validate a recipe, e.g. one from a file; raises `ValueError`."""
    try:
        seed, steps = recipe["seed"], recipe["steps"]
    except (TypeError, KeyError, IndexError):
        raise ValueError('a recipe is {"seed": 0, "steps": [{"kind": "blur", "sigma": 1.2}, ...]}') from None
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"a recipe's seed is {quote(seed)}; a whole number of 0 or more was expected")
    if not isinstance(steps, list) or len(steps) > MOST_STEPS:
        raise ValueError(f"a recipe's steps are {quote(steps)}; a list of up to {MOST_STEPS} was expected")
    for step in steps:
        if not isinstance(step, dict):
            raise ValueError(f"a step of a recipe is {quote(step)}; an object with a kind was expected")
        ranges = _known(step.get("kind")).ranges
        if missing := set(ranges) ^ (set(step) - {"kind", "severity"}):
            raise ValueError(
                f"{step['kind']} takes {', '.join(ranges)}; {quote(min(missing))} is missing or unknown"
            )
        if step.get("severity", 1) not in SEVERITIES:
            raise ValueError(
                f"the severity of {step['kind']} is {quote(step['severity'])}; 1 to 5 was expected"
            )
        for name, ends in ranges.items():
            value = step[name]
            if type(value) not in (int, float) or not min(ends) - 1e-9 <= value <= max(ends) + 1e-9:
                low, high = sorted(ends)
                raise ValueError(
                    f"{name} of {step['kind']} is {quote(value)}; {low:g} to {high:g} was expected"
                )


def _known(kind: Any) -> Kind:
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"no damage is called {quote(kind)}; there are {', '.join(KINDS)}")
    return KINDS[kind]


def _fifth(low: float, high: float, severity: int, rng: random.Random) -> float:
    """A random number from the `severity`-th fifth of the range from `low` to `high`."""
    value = low + (high - low) * (severity - 1 + rng.random()) / 5
    return round(value, 5) if math.isfinite(value) else low
