"""Step 3: an edit by text, which finds its own region, and the regions found to pick one."""

import re
from functools import partial
from types import SimpleNamespace
from typing import Any

import cv2
import gradio as gr
import numpy as np

from apps.image_editing import mask_panel, painting, views
from apps.image_editing.visit import Visit, change, current, source_of, with_mask
from apps.shared import visits
from apps.shared.faults import user_errors
from apps.shared.inputs import event_data, number, text, whole
from apps.shared.progress import note
from apps.shared.visits import Session
from vision_core import editing
from vision_core.editing import masks
from vision_core.editing.find.saliency import Looker
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.safety.messages import quote
from vision_core.smallworld import grammar

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


def who_paints(state: Session | None) -> tuple[str, Any, Any]:
    """(which model edits the chosen picture by text, or what to do instead; its fields; its button)."""
    visitor, missing = current(state), editing.missing()
    able = not visitor.source or (visitor.scene is not None and not missing)
    if not visitor.source:
        words = ""
    elif able:
        words = note(
            "The small world's model will do it: it knows the things and colours of these drawn scenes."
        )
    elif missing:
        words = note(
            f"No model on this machine can edit by text yet ({', '.join(missing)} missing). Find regions "
            "works, and a box that you pick can be filled with a blur, a colour or another picture.",
            "warning",
        )
    else:
        words = note(f"{FOR_PHOTOS}.", "warning")
    return words, gr.Row(visible=able), gr.Button(visible=able)


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
    guide, chosen = number(guidance, 0, 100, "The guidance"), painting.seed_of(seed, locked)
    network = _network(visitor, learned)
    negative = text(negative, "The negative prompt")
    options = {"steps": number_of, "guidance": guide, "negative": negative}
    if unknown := unknown_words(prompt):
        gr.Warning(f"The small world's model does not know {', '.join(map(quote, unknown[:5]))}.")
    drawn = visitor.scene is not None and editing.at_hand()["dino"]
    make = partial(_edit_by_text, picture, caption, prompt, options, drawn, network, counts, chosen)
    who = SimpleNamespace(name="tiny", options=options)  # the only fields that a recipe reads of a painter

    facts = {"kind": "text", "title": prompt[:60], "prompt": prompt, "caption": caption, "seed": chosen}
    painting.begin(
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


def looker(visitor: Visit) -> Looker:
    """The saliency model: the one of the small world for its scenes, else the one trained on ImageNet."""
    if visitor.scene is not None and editing.at_hand()["dino"]:
        return editing.load_saliency(None, "tiny")
    return mask_panel.eyes()


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
