"""Step 3: one of the ten tasks in the marked place."""

import re
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from apps.image_editing import mask_panel, painting
from apps.image_editing.visit import Visit, change, current, mask_of, source_of, with_mask
from apps.shared.faults import user_errors
from apps.shared.inputs import number, read_picture, text, whole
from apps.shared.progress import moving, note
from apps.shared.visits import Session
from vision_core import editing
from vision_core.color import baselines
from vision_core.editing import compose, tasks
from vision_core.editing.fill import patches
from vision_core.editing.fill.inpainting import Painter
from vision_core.editing.find import scratches
from vision_core.pictures.images import Picture
from vision_core.safety import limits

FILLS = {
    "auto": "Automatic",
    "classical": "Its surroundings",
    "lama": "LaMa",
    "blur": "A blur",
    "tint": "A new colour, shading kept",
    "color": "One flat colour",
    "picture": "Another picture",
    "tiny": "Text, by the small world's model",
    "diffusers": "Text, by Stable Diffusion",
}
AUTOMATIC = "Automatic: the surroundings, or a text model if the task needs one."
INSTEAD = {"add": "picture", "replace": "picture", "texture": "picture", "style": "tint", "creative": "tint"}
START = "Edit the marked place"  # on the button, unless the task has words of its own
STARTS = {
    "remove": "Remove it",
    "extend": "Extend the picture",
    "repair": "Repair it",
    "background": "Change the background",
}
MOST = 4096  # pixels that may be added at a side
SEVERAL = 6_000_000  # largest picture in pixels for which Remove offers versions: each is written as a PNG
NO_TEXT = (
    "There is no text model on this machine: choose a blur, a colour or another picture to fill with. The "
    "small world's model works once its networks are in models/editing"
)
NOT_HERE = (
    "The small world's model paints drawn scenes only, and this is a photograph: fill with a blur, a colour "
    "or another picture, or choose that model by name to try it anyway"
)


def own_fill(task: str, drawn: bool = True) -> str:
    """The name of the default painter; `drawn`: the picture is a scene of the small world."""
    if not tasks.named(task).generative:
        return editing.continued()
    installed = editing.at_hand()
    if drawn and installed["inpainting"]:
        return "tiny"
    if installed["diffusers"]:
        return "diffusers"
    if task == "background":
        return "blur"
    raise ValueError(NOT_HERE if installed["inpainting"] else NO_TEXT)


@user_errors
def first_fill(state: Session | None, task: str) -> Any:
    """The filling that a task starts with: automatic, or what is possible without a text model."""
    visitor = current(state)
    try:
        if visitor.source:
            own_fill(str(task), visitor.scene is not None)
    except ValueError:
        words = "No text model can do this here: choose what to fill it with."
        return gr.Dropdown(value=INSTEAD.get(task, "blur"), info=words)
    return gr.Dropdown(value="auto", info=AUTOMATIC)


def material_of(fill: str, color: str, other: str | None) -> str | Picture | None:
    if fill not in FILLS:
        raise ValueError(f"There is no filling {fill!r}")
    if fill == "picture":
        if not other:
            raise ValueError("Please choose the picture to put there")
        return read_picture(other)
    return hexadecimal(color) if fill in ("color", "tint") else None


def hexadecimal(color: Any) -> str:
    """A colour from `gr.ColorPicker` or from a text field, as #rrggbb."""
    text = str(color or "").strip().lower()
    if re.fullmatch(r"#[0-9a-f]{6}", text):
        return text
    parts = re.findall(r"\d+(?:\.\d+)?", text)
    if re.fullmatch(r"rgba?\([\d.,\s]+\)", text) and len(parts) >= 3:
        return "#" + "".join(f"{round(number(part, 0, 255, 'The colour')):02x}" for part in parts[:3])
    raise ValueError(f"{text[:40]!r} is no colour; #rrggbb was expected")


def optional(value: Any, low: float, high: float, name: str) -> float | None:
    """A checked number; None for an empty field, which means the default of the task."""
    return None if value in (None, "") else number(value, low, high, name)


@dataclass(frozen=True)
class TaskForm:
    """The controls of a task, as `app._task_tab` and then `app._painting_settings` list them."""

    task: str
    prompt: str
    fill: str
    color: str
    other: str | None
    left: float
    top: float
    right: float
    bottom: float
    ratio: str
    amount: float
    move_right: float
    move_down: float
    scale: float
    light: bool
    seed: float
    locked: bool
    strength: Any
    padding: Any
    feather: Any
    poisson: bool
    steps: float
    guidance: float
    negative: str

    def painter(self, fill: str) -> Callable[..., Painter]:
        """A function that makes the painter, which may take a `version`."""
        return partial(
            editing.painter,
            fill,
            material=material_of(fill, self.color, self.other),
            relight=baselines.surroundings if self.light else None,
            steps=whole(self.steps, 1, 200, "The number of steps"),
            guidance=number(self.guidance, 0, 100, "The guidance"),
            negative=text(self.negative, "The negative prompt"),
            amount=number(self.amount, 0.1, 25, "The blur") / 100,
            right=number(self.move_right, -100, 100, "How far it is moved") / 100,
            down=number(self.move_down, -100, 100, "How far it is moved") / 100,
            scale=number(self.scale, 10, 400, "Its size") / 100,
        )

    def sides(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The pixels to add at left, top, right and bottom of a picture that is extended."""
        pixels = (self.left, self.top, self.right, self.bottom)
        left, top, right, bottom = (whole(side or 0, 0, MOST, "What is added at a side") for side in pixels)
        if self.ratio:
            left, top, right, bottom = compose.sides_for(height, width, str(self.ratio))
        if not any((left, top, right, bottom)):
            raise ValueError("Choose a shape, or say how many pixels to add at which side")
        extended = height + top + bottom, width + left + right
        limits.check_size(*extended, "The extended picture", limits.UPLOAD_PIXELS.value)
        return left, top, right, bottom


@user_errors
def begin_task(state: Session | None, *values: Any) -> Any:
    """Put one of the ten tasks into the queue: (seed used, canvas, message about the mask).

    Repair without a mask changes nothing: it marks what looks like damage, for the visitor to check.

    Args:
        values: the fields of `TaskForm`.
    """
    visitor, form = current(state), TaskForm(*values)
    task, picture = form.task, source_of(visitor)
    kind = tasks.named(str(task))
    mask = None if task == "extend" else mask_of(visitor)
    if mask is None and task == "repair":
        return gr.skip(), *propose_mask(visitor, picture)
    if mask is None and not kind.mask and task != "extend":
        raise ValueError("Mark the place first: click the thing, draw a box, or paint over it")
    fill = own_fill(task, visitor.scene is not None) if form.fill == "auto" else form.fill
    height, width = picture.rgb.shape[:2]
    seed, prompt = painting.seed_of(form.seed, form.locked), text(form.prompt, "The prompt")
    options = {
        "mask": mask,
        "prompt": prompt,
        "seed": seed,
        "sides": form.sides(height, width) if task == "extend" else (0, 0, 0, 0),
        "strength": optional(form.strength, 0.001, 1, "The strength"),
        "padding": optional(form.padding, 0, 16, "The context"),
        "feather": optional(form.feather, 0, 1000, "The feather"),
        "edge": visitor.edge,
        "with_shadow": None if visitor.shadow else False,
        "blending": editing.Blending(poisson=bool(form.poisson) or (task == "extend" and fill != "color")),
    }
    make_painter = form.painter(fill)
    ready = None if fill in ("tiny", "diffusers") else make_painter()  # reports wrong settings at once
    if fill == "classical" and task == "remove" and height * width <= SEVERAL:
        ready = [make_painter(version=version) for version in range(len(patches.VERSIONS))]
    painting.begin(
        visitor,
        picture,
        {"kind": "task", "task": task, "fill": fill, "title": task, "prompt": prompt, "seed": seed},
        partial(perform_task, picture, task, make_painter, options)
        if ready is None
        else lambda: editing.perform(picture, task, ready, **options),
        versions=len(ready) if isinstance(ready, list) else 1,
        words=None if ready is None else filling(picture, task, mask, options["sides"]),
        again=(begin_task, [*astuple(replace(form, fill=fill, seed=seed, locked=True))]),
    )
    return seed, gr.skip(), gr.skip()


def filling(picture: Picture, task: str, mask: np.ndarray | None, sides: tuple[int, ...]) -> str:
    """What is filled, and how much of the picture it is."""
    height, width = picture.rgb.shape[:2]
    left, top, right, bottom = sides
    size = (height + top + bottom) * (width + left + right)
    if task == "extend":
        share = 1 - height * width / size
    elif mask is None:
        return "Filling …"
    else:
        share = 1 - mask.mean() if tasks.named(task).inverse else mask.mean()
    return f"Filling {share:.1%} of {size / 1e6:.1f} megapixels …"


def announce(state: Session | None, task: str) -> Any:
    """The progress message while `begin_task` looks for damage."""
    looks = task == "repair" and not current(state).mask_name and current(state).source
    return moving("Looking for scratches, dust and folds …") if looks else gr.skip()


def propose_mask(visitor: Visit, picture: Picture) -> tuple[Any, str]:
    """(the canvas with a mask on what looks like damage, message about it)."""
    damage = scratches.find(picture.seen)
    if not damage.any():
        message = "Nothing here looks like scratches, dust or folds: mark what is to be repaired."
        return gr.skip(), note(message, "warning")
    message = "This looks like damage. Unmark what is not, then press the button again to repair it."
    return mask_panel.canvas(with_mask(visitor, damage, "damage"), picture), note(message, "good")


@user_errors
def reach(state: Session | None, task: str, edge: Any, with_shadow: bool) -> str:
    """The canvas, with the outline of the area that the task may change."""
    visitor = current(state)
    chosen = optional(edge, 0, 1000, "The edge")
    tasks.named(str(task))  # refuses an unknown task
    visitor = change(visitor.session, task=str(task), edge=chosen, shadow=bool(with_shadow))
    return mask_panel.canvas(visitor)


def perform_task(
    picture: Picture, task: str, make_painter: Callable[[], Painter], options: dict[str, Any]
) -> Any:
    return editing.perform(picture, task, make_painter(), **options)
