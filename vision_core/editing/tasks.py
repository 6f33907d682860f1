"""The ten tasks: each derives a plan, i.e. a mask and a change, from a picture and a few choices."""

from dataclasses import dataclass, replace

import numpy as np

from vision_core.editing import masks


@dataclass(frozen=True, eq=False)
class EditPlan:
    """A task: the change to make, and its parameters.

    Args:
        mask: bool (H, W), True where the picture may change; all other pixels keep their exact values.
        prompt: description of the new content; empty to continue the picture.
        strength: share of the present content that is discarded, above 0 to 1.
        padding: context the painter sees, as a share of the mask's longer side.
        feather: width in pixels of the blend inside the mask's edge.
        selection: bool (H, W), the mask without its margin, if it ends at the edge of a thing, along which
            materials are then cut; None for a mask of any shape.
    """

    mask: np.ndarray
    prompt: str = ""
    strength: float = 1.0
    padding: float = 0.5
    feather: float = 4.0
    seed: int = 0
    selection: np.ndarray | None = None

    def __post_init__(self) -> None:
        masks.check(self.mask, *self.mask.shape[:2])
        for name, low, high in (("strength", 1e-3, 1), ("padding", 0, 16), ("feather", 0, 1000)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"the {name} is {getattr(self, name)}; {low:g} to {high:g} was expected")
        if self.seed < 0:
            raise ValueError(f"the seed is {self.seed}; 0 or more was expected")


@dataclass(frozen=True)
class Task:
    """The defaults from which a plan is made.

    Args:
        mask: kind of the default mask, see `masks.KINDS`; "" if a mask is required.
        inverse: change everything outside the mask.
        along: the mask ends at the edge of a thing, see `EditPlan.selection`.
        grow: margin around the mask that may change in addition to the feather, in thousandths of the
            picture's longer side.
        generative: needs a painter that takes text.
    """

    about: str
    mask: str = ""
    prompt: str = ""
    strength: float = 1.0
    padding: float = 0.5
    feather: float = 4.0
    inverse: bool = False
    along: bool = False
    grow: float = 0.0
    generative: bool = True


TASKS: dict[str, Task] = {
    "complete": Task("paint the centre anew", "center", generative=False),
    "add": Task("put something into a place", "rectangle", padding=1.0, feather=6),
    "remove": Task(
        "take something away and continue what is around it", grow=6, padding=1.0, generative=False
    ),
    "replace": Task("put something in the place of something else", along=True, grow=3),
    "extend": Task("enlarge the canvas and continue the picture", padding=1.0, feather=0, generative=False),
    "repair": Task("fill scratches, stains and lost parts", grow=1, padding=1.0, feather=1, generative=False),
    "style": Task("paint a region in another style", "circle", strength=0.6, feather=12),
    "background": Task("change all but a thing", inverse=True, along=True, feather=2),
    "texture": Task("give a region another surface", "center", strength=0.75, feather=6),
    "creative": Task("let the model loose on two ellipses", "ellipses", strength=1.0, feather=16),
}


def plan(
    task: str,
    height: int,
    width: int,
    mask: np.ndarray | None = None,
    prompt: str = "",
    seed: int = 0,
    strength: float | None = None,
    padding: float | None = None,
    feather: float | None = None,
    edge: float | None = None,
) -> EditPlan:
    """The plan of a task for a picture of `height` x `width` pixels; None takes the task's own value.

    Args:
        edge: pixels around the mask that may also change; by default, see `around`.

    Raises:
        ValueError: an unknown task, a missing mask, or nothing left to change.
    """
    kind = named(task)
    if mask is None:
        if not kind.mask:
            raise ValueError(f"{task} needs to know where: give a mask, a box, or words for the thing")
        mask = masks.shape(kind.mask, height, width)
    mask = masks.check(mask, height, width)
    if kind.inverse:
        mask = ~mask
        if not mask.any():
            raise ValueError("the mask covers the whole picture: there is no background left to change")
    softness = kind.feather if feather is None else feather
    wider = masks.grow(mask, around(task, height, width, softness) if edge is None else edge)
    selection = mask if kind.along else None
    chosen = EditPlan(wider, prompt or kind.prompt, kind.strength, kind.padding, softness, seed, selection)
    overrides = {"strength": strength, "padding": padding}
    return replace(chosen, **{name: value for name, value in overrides.items() if value is not None})


def around(task: str, height: int, width: int, feather: float | None = None) -> float:
    """Default number of pixels around its mask that a task may change: growth and feather."""
    kind = named(task)
    hangs_on = max(1.0, kind.grow * max(height, width) / 1000) if kind.grow else 0.0
    return hangs_on + (kind.feather if feather is None else feather)


def named(task: str) -> Task:
    """The task of this name; raises `ValueError` with the list for another."""
    if task not in TASKS:
        raise ValueError(f"no task is called {task!r}; there are {', '.join(TASKS)}")
    return TASKS[task]
