"""Text-driven region editing: find where to edit, edit there, leave the rest untouched.

What is named here is imported when it is first used: a recipe or a mask needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision_core.editing.choices import (
        at_hand,
        continued,
        load_clip,
        load_saliency,
        marked,
        missing,
        painter,
        parse_mask,
        repeat,
        select,
        shipped,
    )
    from vision_core.editing.editor import (
        Blending,
        Candidate,
        Edit,
        Regions,
        draw_boxes,
        edit,
        find_regions,
        load_anchor_net,
        paint,
        perform,
        reach,
        run_recipe,
        write,
    )
    from vision_core.editing.tasks import TASKS, EditPlan

__all__ = [
    "TASKS",
    "Blending",
    "Candidate",
    "Edit",
    "EditPlan",
    "Regions",
    "at_hand",
    "continued",
    "draw_boxes",
    "edit",
    "find_regions",
    "load_anchor_net",
    "load_clip",
    "load_saliency",
    "marked",
    "missing",
    "paint",
    "painter",
    "parse_mask",
    "perform",
    "reach",
    "repeat",
    "run_recipe",
    "select",
    "shipped",
    "write",
]

_MODULES = ("tasks", "editor", "choices")  # no module may have the name of one of its members


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            namespace = vars(import_module(f"{__name__}.{module}"))
            if name in namespace:
                return namespace[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
