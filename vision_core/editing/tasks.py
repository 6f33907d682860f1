"""The ten tasks: each makes a plan, a mask and what to do there, from a picture and a few choices."""

from dataclasses import dataclass, replace

import numpy as np

from vision_core.editing import masks


@dataclass(frozen=True, eq=False)
class EditPlan:
    """What to change, and how.

    Args:
        mask: bool (H, W), True where the picture may change.
        prompt: of what shall be there; empty where the picture is to be continued.
        strength: how much of what is there is forgotten, above 0 to 1.
        padding: context the painter sees, as a share of the mask's longer side.
        feather: width in pixels of the blend outside the mask.
    """

    mask: np.ndarray
    prompt: str = ""
    strength: float = 1.0
    padding: float = 0.5
    feather: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        masks.check(self.mask, *self.mask.shape[:2])
        for name, low, high in (("strength", 1e-3, 1), ("padding", 0, 16), ("feather", 0, 1000)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"the {name} is {getattr(self, name)}; {low:g} to {high:g} was expected")
        if self.seed < 0:
            raise ValueError(f"the seed is {self.seed}; 0 or more was expected")


@dataclass(frozen=True)
class Task:
    """A recipe of a plan.

    Args:
        mask: the kind of mask it takes where none is given, see `masks.KINDS`; "" where one must be given.
        inverse: change everything but the mask that is given.
        grow: the mask by so many thousandths of the picture's longer side, for what hangs on to a thing.
        generative: needs a painter that takes text.
    """

    about: str
    mask: str = ""
    prompt: str = ""
    strength: float = 1.0
    padding: float = 0.5
    feather: float = 4.0
    inverse: bool = False
    grow: float = 0.0
    generative: bool = True


TASKS: dict[str, Task] = {
    "complete": Task("paint the centre anew", "center", generative=False),
    "add": Task("put something into a place", "rectangle", padding=1.0, feather=6),
    "remove": Task(
        "take something away and continue what is around it", grow=6, padding=1.0, generative=False
    ),
    "replace": Task("put something in the place of something else", grow=3),
    "extend": Task("enlarge the canvas and continue the picture", padding=1.0, feather=0, generative=False),
    "repair": Task("fill scratches, stains and lost parts", grow=1, padding=1.0, feather=1, generative=False),
    "style": Task("paint a region in another style", "circle", strength=0.6, feather=12),
    "background": Task("change all but a thing", inverse=True, feather=2),
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
) -> EditPlan:
    """The plan of a task for a picture of `height` x `width` pixels; None takes the task's own value.

    Raises:
        ValueError: no such task, no mask where the task has none of its own, or nothing left to change.
    """
    found = named(task)
    if mask is None:
        if not found.mask:
            raise ValueError(f"{task} needs to know where: give a mask, a box, or words for the thing")
        mask = masks.shape(found.mask, height, width)
    mask = masks.check(mask, height, width)
    if found.inverse:
        mask = ~mask
        if not mask.any():
            raise ValueError("the mask covers the whole picture: there is no background left to change")
    if found.grow:
        mask = masks.grow(mask, max(1.0, found.grow * max(height, width) / 1000))
    chosen = EditPlan(mask, prompt or found.prompt, found.strength, found.padding, found.feather, seed)
    given = {"strength": strength, "padding": padding, "feather": feather}
    return replace(chosen, **{name: value for name, value in given.items() if value is not None})


def named(task: str) -> Task:
    """The task of that name; another is a `ValueError` that lists them."""
    if task not in TASKS:
        raise ValueError(f"no task is called {task!r}; there are {', '.join(TASKS)}")
    return TASKS[task]


def find_damage(rgb: np.ndarray, contrast: float = 40, width: int = 9) -> np.ndarray:
    """A guess at scratches, bool (H, W), perhaps empty: thin, lighter or darker than all around.

    Args:
        contrast: least difference, in grey levels, to the picture without thin things.
        width: of the widest scratch, in pixels.
    """
    import cv2

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    thin = np.maximum(
        cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel), cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    )
    _, labels, stats, _ = cv2.connectedComponentsWithStats((thin > contrast).astype(np.uint8), connectivity=8)
    boxes = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    lines = 1 + np.flatnonzero((boxes > 4 * width) & (stats[1:, cv2.CC_STAT_AREA] < boxes * width))
    return np.isin(labels, lines)
