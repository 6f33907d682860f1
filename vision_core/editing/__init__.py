"""Text-driven region editing: find where to edit, edit there, leave the rest untouched."""

from vision_core.editing.choices import (
    at_hand,
    load_clip,
    load_saliency,
    marked,
    painter,
    parse_mask,
    repeat,
    select,
    shipped,
)
from vision_core.editing.edit import (
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
    "draw_boxes",
    "edit",
    "find_regions",
    "load_anchor_net",
    "load_clip",
    "load_saliency",
    "marked",
    "paint",
    "painter",
    "parse_mask",
    "perform",
    "repeat",
    "run_recipe",
    "select",
    "shipped",
    "write",
]
