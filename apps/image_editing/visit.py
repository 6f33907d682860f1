"""A visitor's choices on the editing page: a picture, a mask with its steps, and a result."""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np

from apps.shared import visits
from apps.shared.inputs import read_picture
from vision_core.editing import masks
from vision_core.pictures.images import Picture

APP = "editing"
STEPS = 30  # steps of the mask that can be undone


@dataclass(frozen=True)
class Visit(visits.Visit):
    """A visitor's choices; pictures and masks are names of files in the session's folder.

    Args:
        scene: seed of the source if it is a drawn scene, else None.
        steps: (file, what was done) of each step of the mask; an empty name is an empty mask.
        at: number of steps in effect; later ones were undone.
        boxes: of the detected regions, [left, top, right, bottom] by size, by anchor; empty before.
        task: the chosen task; `edge`: pixels around the mask that may change, None for its default;
            `shadow`: the shadow of the marked thing is removed with it.
        lessons: training pictures of AnchorNet as (picture, caption, prompt).
    """

    APP: ClassVar[str] = APP
    source: str = ""
    scene: int | None = None
    steps: tuple[tuple[str, str], ...] = ()
    at: int = 0
    boxes: tuple[Any, ...] = ()
    lessons: tuple[tuple[str, str, str], ...] = ()
    task: str = "remove"
    edge: float | None = None
    shadow: bool = True

    @property
    def mask_name(self) -> str:
        return self.steps[self.at - 1][0] if self.at else ""


current = partial(visits.current, Visit)
change = partial(visits.change, Visit)


def source_of(visit: Visit) -> Picture:
    """The picture to edit."""
    if not visit.source:
        raise ValueError("Please choose a picture first")
    return read_picture(visit.session.path(visit.source))


def mask_of(visit: Visit) -> np.ndarray | None:
    """The mask of the picture, bool (H, W); None where nothing is marked."""
    return kept_mask(visit, visit.mask_name)


def kept_mask(visit: Visit, name: str) -> np.ndarray | None:
    """The mask of a step of the visit, bool (H, W); None for an empty name."""
    return masks.decode(visit.session.path(name).read_bytes()) if name else None


def with_mask(visit: Visit, mask: np.ndarray | None, done: str) -> Visit:
    """The visit after another step of the mask, which Undo reverts."""
    name = ""
    if mask is not None and mask.any():
        data = masks.encode(mask)
        name = f"mask-{sha256(data).hexdigest()[:24]}.png"
        path = visits.opened(visit.session).path(name)
        if not path.exists():
            visits.make_room(visit.session, len(data))
            path.write_bytes(data)
    steps = (*visit.steps[: visit.at], (name, done))[-STEPS:]
    return change(visit.session, steps=steps, at=len(steps))
