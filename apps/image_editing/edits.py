"""Step 3: one of the ten tasks in the marked place, or an edit by text that finds its own region."""

import re
import secrets
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import cv2
import gradio as gr
import numpy as np

from apps.image_editing import mask_panel, painting, views, works
from apps.image_editing.visit import Visit, change, current, mask_of, source_of, with_mask
from apps.shared import jobs, visits
from apps.shared.faults import user_errors
from apps.shared.inputs import event_data, number, read_picture, whole
from apps.shared.progress import moving, note
from apps.shared.queue import HEAVY
from apps.shared.visits import Session
from vision_core import editing
from vision_core.color import baselines
from vision_core.editing import compose, masks, tasks
from vision_core.editing.fill import patches
from vision_core.editing.fill.inpainting import Painter
from vision_core.editing.find import scratches
from vision_core.editing.find.saliency import Looker
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.safety import limits
from vision_core.safety.messages import quote
from vision_core.smallworld import grammar

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


FOR_PHOTOS = (
    "No model on this machine can edit a photograph by text. Use In the mark instead: mark a thing by words, "
    "then remove it, recolour it, blur its surroundings, or put another picture there. The drawn scene above "
    "shows editing by text"
)
COST = (
    "Stable Diffusion inpainting, with the models that find regions and rank results, is a download of "
    "6.4 GB and needs 8.7 GB of memory. On one processor core a step takes about 15 s: 5 minutes for a "
    "picture of 20 steps. Download it once with "
    "vision-core edit fetch stable-diffusion-v1-5/stable-diffusion-inpainting; then choose "
    "“Text, by Stable Diffusion” under Filled with."
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


def who_paints(state: Session | None) -> str:
    """The model for an edit by text of the chosen picture, and its limits."""
    visitor = current(state)
    missing = editing.missing()
    if not visitor.source:
        return ""
    if missing:
        return note(
            f"No model on this machine can edit by text yet ({', '.join(missing)} missing). Find regions "
            "works, and a box that you pick can be filled with a blur, a colour or another picture.",
            "warning",
        )
    if visitor.scene is None:
        return note(FOR_PHOTOS, "warning")
    return note("The small world's model will do it: it knows the things and colours of these drawn scenes.")


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


def seed_of(seed: Any, locked: bool) -> int:
    """The seed on the page when it is locked, else a new one."""
    return whole(seed, 0, 2**31, "The seed") if locked else secrets.randbelow(2**31)


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
    mask = None if task == "extend" else mask_of(visitor, picture)
    if mask is None and task == "repair":
        return gr.skip(), *propose_mask(visitor, picture)
    if mask is None and not kind.mask and task != "extend":
        raise ValueError("Mark the place first: click the thing, draw a box, or paint over it")
    fill = own_fill(task, visitor.scene is not None) if form.fill == "auto" else form.fill
    height, width = picture.rgb.shape[:2]
    seed, prompt = seed_of(form.seed, form.locked), text(form.prompt, "The prompt")
    options = {
        "mask": mask,
        "prompt": prompt,
        "seed": seed,
        "sides": form.sides(height, width) if task == "extend" else (0, 0, 0, 0),
        "strength": optional(form.strength, 0.001, 1, "The strength"),
        "padding": optional(form.padding, 0, 16, "The context"),
        "feather": optional(form.feather, 0, 1000, "The feather"),
        "edge": visitor.edge,
        "with_shadow": visitor.shadow and task == "remove",
        "blending": editing.Blending(poisson=bool(form.poisson) or (task == "extend" and fill != "color")),
    }
    make_painter = form.painter(fill)
    ready = None if fill in ("tiny", "diffusers") else make_painter()  # reports wrong settings at once
    if fill == "classical" and task == "remove" and height * width <= SEVERAL:
        ready = [make_painter(version=version) for version in range(len(patches.VERSIONS))]
    begin(
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


@user_errors
def begin_text(
    state: Session | None,
    caption: str,
    prompt: str,
    anchors: float,
    window: float,
    learned: str,
    seed: float,
    locked: bool,
    steps: float,
    guidance: float,
    negative: str,
) -> Any:
    """Put an edit by text into the queue: regions are found, each is painted, and the best is chosen."""
    visitor = current(state)
    picture, prompt = source_of(visitor), text(prompt, "The prompt")
    caption = text(caption, "The caption") or "a picture"
    if not prompt:
        raise ValueError("The prompt is empty: say what the picture should show")
    missing = editing.missing()
    if visitor.scene is None and not missing:
        raise ValueError(FOR_PHOTOS)
    if missing:
        raise ValueError(
            f"Editing by text needs networks that are not on this machine yet ({', '.join(missing)}): models/"
            "editing will hold them. Find regions works without, and a box that you pick can be filled"
        )
    counts = whole(anchors, 1, 25, "The number of regions"), whole(window, 4, 16, "The largest window")
    number_of = whole(steps, 1, 200, "The number of steps")
    guide, chosen = number(guidance, 0, 100, "The guidance"), seed_of(seed, locked)
    network = _network(visitor, learned)
    negative = text(negative, "The negative prompt")
    options = {"steps": number_of, "guidance": guide, "negative": negative}
    if unknown := unknown_words(prompt):
        gr.Warning(f"The small world's model does not know {', '.join(map(quote, unknown[:5]))}.")
    drawn = visitor.scene is not None and editing.at_hand()["dino"]
    make = partial(_edit_by_text, picture, caption, prompt, options, drawn, network, counts, chosen)
    who = SimpleNamespace(name="tiny", options=options)  # the only fields that a recipe reads of a painter

    facts = {"kind": "text", "title": prompt[:60], "prompt": prompt, "caption": caption, "seed": chosen}
    begin(
        visitor,
        picture,
        facts,
        make,
        lambda c: editing.run_recipe(c.box, caption, prompt, who, chosen, *counts),  # pyright: ignore[reportArgumentType]
        again=(
            begin_text,
            [caption, prompt, anchors, window, learned, chosen, True, steps, guidance, negative],
        ),
    )
    return chosen


def unknown_words(prompt: str) -> list[str]:
    """The words of a prompt that the small world's model has never seen."""
    return sorted(set(re.findall(r"[^\W\d_]+", prompt.lower())) - set(grammar.words()))


def perform_task(
    picture: Picture, task: str, make_painter: Callable[[], Painter], options: dict[str, Any]
) -> Any:
    return editing.perform(picture, task, make_painter(), **options)


def _edit_by_text(
    picture: Picture,
    caption: str,
    prompt: str,
    options: dict[str, Any],
    drawn: bool,
    network: str | None,
    counts: tuple[int, int],
    seed: int,
) -> Any:
    """The events of an edit by the small world's painter; the models are loaded where they are used."""
    eyes = editing.load_saliency(None, "tiny") if drawn else mask_panel.eyes()
    sizes = editing.load_anchor_net(network) if network else None
    painter, judge = editing.painter("tiny", **options), editing.load_clip(None, "tiny")
    return editing.edit(
        picture,
        caption,
        prompt,
        painter,
        eyes,
        judge,
        sizes,
        anchors=counts[0],
        max_window=counts[1],
        seed=seed,
    )


def begin(
    visitor: Visit,
    picture: Picture,
    facts: dict[str, Any],
    make: Any,
    recipe_of: Any = None,
    again: jobs.Again | None = None,
    versions: int = 1,
    words: str | None = None,
) -> works.Work:
    """Create a result, put its job into the queue and show it on the page."""
    HEAVY.refuse_second(visitor.session.owner)
    work = works.create(visitor, width=picture.rgb.shape[1], **facts)
    images.save(Picture(images.shrink(picture.on_white().rgb, painting.VIEW)), work.path("before.png"))
    painting.start(work, make, recipe_of, again, versions, words)
    change(visitor.session, result=work.name)
    return work


def text(value: Any, name: str) -> str:
    """Words from a page, at most 10,000 characters."""
    words = str(value or "").strip()
    if len(words) > 10_000:
        raise ValueError(f"{name} has {len(words):,} characters; 10,000 are the most")
    return words


def looker(visitor: Visit) -> Looker:
    """The saliency model: the one of the small world for its scenes, else the one trained on ImageNet."""
    if visitor.scene is not None and editing.at_hand()["dino"]:
        return editing.load_saliency(None, "tiny")
    return mask_panel.eyes()


def networks(visitor: Visit) -> dict[str, str]:
    """The files of the AnchorNets that the visitor trained, by name."""
    weights = "run/last.safetensors"
    names = reversed(visits.numbered(visitor.session, "lessons", weights))
    return {n.replace("lessons-", "training "): str(visitor.session.path(n) / weights) for n in names}


def _network(visitor: Visit, name: str | None) -> str | None:
    """The file of a trained AnchorNet; None without a name. Raises `ValueError` if it is gone."""
    files = networks(visitor)
    if name and name not in files:
        raise ValueError(f"{quote(name)} is no longer here: choose another under Sizes by, or leave it empty")
    return files[name] if name else None


@user_errors
def find(state: Session | None, anchors: float, window: float) -> tuple[Any, ...]:
    """(heat map of saliency, picture with the boxes, chips) of the regions found."""
    visitor = current(state)
    picture = source_of(visitor)
    count = whole(anchors, 1, 25, "The number of regions")
    regions = editing.find_regions(
        picture, looker(visitor), count, whole(window, 4, 16, "The largest window")
    )
    rows = tuple([[b.left, b.top, b.right, b.bottom] for b in row] for row in regions.boxes)
    visitor = change(visitor.session, boxes=rows)
    return show_regions(visitor, picture, regions.look.saliency)


def show_regions(
    visitor: Visit, picture: Picture, saliency: Any = None, chosen: int | None = None
) -> tuple[Any, ...]:
    """(heat map, boxes, chips); without `saliency`, the heat map does not change."""
    small = images.shrink(picture.on_white().rgb, 720)
    if (longer := max(small.shape[:2])) < 512:  # the numbers would cover a small picture
        small = cv2.resize(small, None, fx=512 / longer, fy=512 / longer, interpolation=cv2.INTER_CUBIC)
    scale = small.shape[1] / picture.rgb.shape[1]
    middle = [row[len(row) // 2] for row in visitor.boxes]
    scaled = [[round(side * scale) for side in box] for box in middle]
    overlay = painting.boxed(small, scaled, chosen)
    for index, (left, top, _, _) in enumerate(scaled):
        at = (left + 5, top + 18)
        cv2.putText(overlay, str(index + 1), at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(
            overlay, str(index + 1), at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA
        )
    heat: Any = gr.skip()
    if saliency is not None:
        level = cv2.resize(np.clip(saliency, 0, 1), small.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        color = cv2.applyColorMap((level.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        mixed = cv2.addWeighted(small, 0.45, np.ascontiguousarray(color), 0.55, 0)
        heat = gr.Image(visits.shown(visitor.session, mixed), visible=True)
    return heat, gr.Image(visits.shown(visitor.session, overlay), visible=True), views.regions(middle, chosen)


@user_errors
def pick(state: Session | None, event: gr.EventData) -> tuple[Any, ...]:
    """(canvas, boxes, chips) after a click on a region: its box is the mask."""
    visitor = current(state)
    picture = source_of(visitor)
    index = whole(event_data(event, "value"), 0, len(visitor.boxes) - 1, "The box")
    row = visitor.boxes[index]
    mask = masks.box(*picture.rgb.shape[:2], *row[len(row) // 2])
    visitor = with_mask(visitor, mask, f"box {index + 1}")
    _, boxes, chips = show_regions(visitor, picture, chosen=index)
    return mask_panel.canvas(visitor, picture), boxes, chips
