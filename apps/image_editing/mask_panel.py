"""Step 2: mark what may change, by a click, a box, a brush, words, a shape or a file."""

from base64 import b64encode
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np
from PIL import Image

from apps.image_editing import pointing, views
from apps.image_editing.visit import Visit, change, current, mask_of, source_of, with_mask
from apps.shared import visits
from apps.shared.faults import sentence, user_errors
from apps.shared.inputs import UploadFile, event_data, number, read_picture
from apps.shared.progress import moving, note
from apps.shared.visits import Session
from vision_core import editing
from vision_core.editing import masks
from vision_core.editing.find import eyes as find
from vision_core.editing.find import scratches
from vision_core.editing.find.eyes import Eyes
from vision_core.files import parse_json, write_text
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.smallworld import world

VIEW = 1024  # longest side of the picture on the page
POINTS = 4000  # of one stroke
STROKE = 1_000_000  # characters of its points
TINT = (13, 148, 136)
ON_RESULT = "on with the result"  # the step that leaves the mark behind
STEP_DONE = "() => { document.dispatchEvent(new Event('vc-step-done')); }"  # see canvas.js
POINTING = ("click", "around")  # tools that ask the model what lies there


def eyes() -> Eyes:
    """The model that all visitors share; it stores no data of theirs."""
    return find.shared()


@user_errors
def folded(state: Session | None) -> tuple[Any, str]:
    """(the first step, message about the mask) after a new picture was chosen: the step folds."""
    has_picture = bool(current(state).source)
    return gr.Accordion(open=not has_picture), note("Looking at the picture …") if has_picture else ""


@user_errors
def prepare(state: Session | None) -> str:
    """Encode the picture before the first click needs it; the message beside it."""
    visitor = current(state)
    if not visitor.source:
        return ""
    if visitor.scene is None:  # a drawn scene is rarely clicked: it is encoded at the first click
        pointing.seen_of(visitor, source_of(visitor))
    now = visitor.steps[visitor.at - 1][1] if visitor.at else ""
    about = "You are now editing the result; Undo brings the mark back. " if now == ON_RESULT else ""
    return note(f"{about}Ready: click a thing; click again for a part of it, or for the whole.")


def canvas(visitor: Visit, picture: Picture | None = None) -> str:
    """The picture with its mask, as HTML."""
    if not visitor.source:
        return views.nothing_yet()
    picture = picture or source_of(visitor)
    shown = Path(visits.shown(visitor.session, images.shrink(picture.on_white().rgb, VIEW))).name
    share, over = marked(visitor, picture)
    undo, redo = visitor.at > 0, visitor.at < len(visitor.steps)
    height, width = picture.rgb.shape[:2]
    return views.canvas(visitor.session.key, shown, (height, width), over, share, undo, redo)


def marked(visitor: Visit, picture: Picture) -> tuple[float, str]:
    """(share of the picture in the mask, overlay); kept beside the mask, so that Undo is quick."""
    if not visitor.mask_name:
        return 0.0, ""
    choices = repr((visitor.source, visitor.task, visitor.edge, visitor.shadow))
    path = visitor.session.path(f"{visitor.mask_name}.{sha256(choices.encode()).hexdigest()[:12]}")
    if path.exists():
        share, over = path.read_text("utf-8").split(maxsplit=1)
        return float(share), over
    mask = mask_of(visitor)
    assert mask is not None
    share, over = float(mask.mean()), overlay(mask, reached(visitor, picture, mask))
    visits.make_room(visitor.session, len(over))
    write_text(path, f"{share} {over}")
    return share, over


def reached(visitor: Visit, picture: Picture, mask: np.ndarray) -> np.ndarray:
    """The area that the chosen task may change: the mask, the shadow of the marked thing, and an edge."""
    return editing.reach(
        picture, visitor.task, mask, visitor.edge, visitor.shadow and visitor.task == "remove"
    )


def overlay(mask: np.ndarray, whole: np.ndarray | None = None) -> str:
    """A transparent PNG: the tinted mask with its outline, and the dashed outline of `whole`."""
    height, width = mask.shape
    scale = min(1.0, VIEW / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.3
    inner = small & ~masks.grow(small, -2)
    outer = masks.grow(small, 1.5) & ~small
    rgba = np.zeros((*small.shape, 4), np.uint8)
    rgba[small] = (*TINT, 110)
    rgba[inner], rgba[outer] = (255, 255, 255, 235), (0, 40, 40, 200)
    if whole is not None:
        reach = cv2.resize(whole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
        line = reach & ~masks.grow(reach, -1.5) & ~small
        rows, columns = np.mgrid[: size[1], : size[0]]
        light = (rows + columns) // 6 % 2 == 0
        rgba[line & light], rgba[line & ~light] = (255, 255, 255, 255), (0, 40, 40, 255)
    buffer = BytesIO()
    Image.fromarray(rgba).quantize(16).save(buffer, "PNG")
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


@user_errors
def act(state: Session | None, event: gr.EventData) -> str:
    """Handle a stroke on the picture or a button below it."""
    visitor = current(state)
    picture, name = source_of(visitor), event_data(event, "act")
    if name in ("undo", "redo"):
        at = min(max(visitor.at + (1 if name == "redo" else -1), 0), len(visitor.steps))
        return canvas(change(visitor.session, at=at), picture)
    if name == "draw":
        return canvas(_after_stroke(visitor, picture, event), picture)
    mask = mask_of(visitor)
    return canvas(with_mask(visitor, changed(name, mask, picture), name), picture)


def _after_stroke(visitor: Visit, picture: Picture, event: gr.EventData) -> Visit:
    """The visit after a stroke of the pointer."""
    tool, takes = event_data(event, "tool"), event_data(event, "mode") == "take"
    size = number(event_data(event, "size"), 0.5, 1e5, "The brush")
    at = points(event_data(event, "points"))
    height, width = picture.rgb.shape[:2]
    at = [(min(max(x, 0.0), width), min(max(y, 0.0), height)) for x, y in at]
    if tool in POINTING:
        if tool == "around":
            bounds(at)
        return pointing.point(visitor, picture, tool, takes, at)
    drawn, mask = stroke(picture, tool, at, size), mask_of(visitor)
    if mask is None and takes:
        raise ValueError("Nothing is marked yet: there is nothing to unmark")
    return with_mask(visitor, drawn if mask is None else mask & ~drawn if takes else mask | drawn, tool)


def changed(name: str, mask: np.ndarray | None, picture: Picture) -> np.ndarray | None:
    """The mask after one of the buttons."""
    height, width = picture.rgb.shape[:2]
    if name == "clear":
        return None
    if name == "invert":
        return np.ones((height, width), bool) if mask is None else ~mask
    if mask is None:
        raise ValueError("Nothing is marked yet")
    step = max(1.0, max(height, width) / 200)
    match name:
        case "grow":
            return masks.grow(mask, step)
        case "shrink":
            return masks.grow(mask, -step)
        case "fill":
            return masks.fill_enclosed(mask)
    raise ValueError(f"{name!r} is nothing that can be done with a mask")


def points(text: str) -> list[tuple[float, float]]:
    """Parse and check the points (x, y) of a stroke from a browser."""
    try:
        stroke = [(float(x), float(y)) for x, y in parse_json(text[:STROKE], "the stroke")]
    except (TypeError, ValueError):
        stroke = []
    if not 0 < len(stroke) <= POINTS + 1 or not np.isfinite(stroke).all():
        raise ValueError("That was not a stroke on this page")
    return stroke


def bounds(at: list[tuple[float, float]]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a box that was dragged, in whole pixels."""
    xs, ys = np.array(at).T
    left, right = int(np.floor(xs.min())), int(np.ceil(xs.max()))
    top, bottom = int(np.floor(ys.min())), int(np.ceil(ys.max()))
    if right - left < 4 or bottom - top < 4:
        raise ValueError("Drag the box over the picture from one corner to the other")
    return left, top, right, bottom


def stroke(picture: Picture, tool: str, at: list[tuple[float, float]], size: float) -> np.ndarray:
    """The mask of a tool that does not depend on the picture, bool (H, W).

    Args:
        at: points (x, y) in pixels, in the picture.
        size: of the brush, its diameter in pixels.
    """
    height, width = picture.rgb.shape[:2]
    match tool:
        case "box":
            return masks.box(height, width, *bounds(at))
        case "brush":
            return masks.brush(height, width, [at], max(0.5, size / 2))
        case "lasso":
            area = np.zeros((height, width), np.uint8)
            cv2.fillPoly(area, [np.array(at).round().astype(np.int32)], 1)
            return masks.check(area.astype(bool), height, width)
    raise ValueError(f"There is no tool {tool!r}")


@user_errors
def by_words(state: Session | None, text: str) -> tuple[Any, str]:
    """(canvas, message): mark what the words name, where it can be found."""
    visitor = current(state)
    picture = source_of(visitor)
    try:
        mask, words = named(visitor, picture, text)
    except ValueError as error:  # shown beside the words, where it stays
        mask, words = None, sentence(error)
    if mask is None:
        return gr.skip(), note(words, "warning")
    return canvas(with_mask(visitor, mask, "words"), picture), note(words)


def named(visitor: Visit, picture: Picture, text: str) -> tuple[np.ndarray | None, str]:
    """(mask of what `text` names, or None if not found; message)."""
    text = str(text or "").strip()[:200]
    if not text:
        raise ValueError("Say which thing: a word or two")
    if visitor.scene is not None:
        scene = world.scene(visitor.scene, 2)
        size = picture.rgb.shape[0]
        things = [
            mask
            for thing, mask in zip(scene.things, world.masks(scene, size), strict=True)
            if thing.kind.split()[-1] in text.lower()
        ]
        if picture.rgb.shape[:2] != (size, size) or not things:
            kinds = ", ".join(thing.kind for thing in scene.things)
            return None, f"“{text}” is not in this drawing. What is: {kinds}."
        return np.logical_or.reduce(things), "Marked exactly: the masks of a drawn scene are known."
    match = eyes().named(picture.seen, text, pointing.seen_of(visitor, picture) if visitor.source else None)
    if match.mask is None:
        return None, f"{match.message} Click the thing, or draw around it."
    return match.mask, f"{match.message} Correct it with a click or the brush."


@user_errors
def by_shape(state: Session | None, kind: str) -> str:
    """The canvas with a ready shape, the visible scratches or the salient thing marked."""
    visitor = current(state)
    picture = source_of(visitor)
    if kind == "scratches":
        mask = scratches.find(picture.seen)
        if not mask.any():
            raise ValueError("No scratches were found: mark what is to be repaired")
    elif kind == "stands out":
        mask = eyes().stands_out(picture.seen)
        if not mask.any():
            raise ValueError("Nothing here catches the eye: mark the thing by a click, a box or a brush")
    else:
        mask = masks.shape(kind, *picture.rgb.shape[:2])
    return canvas(with_mask(visitor, mask, kind), picture)


@user_errors
def by_numbers(state: Session | None, text: str) -> str:
    """The canvas with the box `left, top, right, bottom` added, for use by keyboard."""
    visitor = current(state)
    picture = source_of(visitor)
    parts = str(text or "").replace(",", " ").split()
    if len(parts) != 4:
        raise ValueError("Four numbers were expected: left, top, right, bottom, in pixels")
    numbers = [round(number(part, 0, 1e6, "A side of the box")) for part in parts]
    added = masks.box(*picture.rgb.shape[:2], *numbers)
    before = mask_of(visitor)
    return canvas(with_mask(visitor, added if before is None else added | before, "numbers"), picture)


@user_errors
def by_file(state: Session | None, path: str | None) -> Any:
    """The canvas with an uploaded mask, whose opaque or white pixels may change."""
    visitor = current(state)
    if not path:
        return gr.skip()
    picture = source_of(visitor)
    mask = masks.of(read_picture(path), *picture.rgb.shape[:2])
    return canvas(with_mask(visitor, mask, "file"), picture)


_unseen: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(visit: gr.State, shown: gr.HTML) -> gr.HTML:
    """Further ways to mark, wired to the canvas `shown`; returns the component for messages."""
    quick: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": 4,
        "concurrency_id": "mask",
        "api_visibility": "private",
    }
    with gr.Row(equal_height=False):
        words = gr.Textbox(
            label="Find by words",
            placeholder="the red car on the left",
            max_length=200,
            elem_id="words",
            scale=4,
            min_width=180,
        )
        find = gr.Button("Find it", size="sm", elem_id="find", scale=1, min_width=80)
    message = gr.HTML(elem_id="found")
    with gr.Accordion("A shape, numbers or a file", open=False):
        kind = gr.Dropdown(
            [*masks.KINDS, ("what catches the eye", "stands out"), ("scratches, dust, folds", "scratches")],
            value="center",
            label="Shape",
            elem_id="shape",
        )
        take = gr.Button("Mark it", size="sm")
        numbers = gr.Textbox(label="Box in pixels", placeholder="left, top, right, bottom", max_length=60)
        box = gr.Button("Mark the box", size="sm")
        file = UploadFile(label="A mask as PNG", file_types=["image"], height=110)
        gr.HTML('<p class="vc-empty">The mask of a result is inside its recipe.</p>')
    for event in (find.click, words.submit):
        event(lambda: moving("Looking for it …"), None, message, queue=False, **_unseen)
        event(by_words, [visit, words], [shown, message], **quick).failure(
            lambda: "", None, message, **_unseen
        )
    take.click(lambda: moving("Marking it …"), None, message, queue=False, **_unseen)
    taken = take.click(by_shape, [visit, kind], shown, **quick)
    for event in (taken.success, taken.failure):
        event(lambda: "", None, message, **_unseen)
    box.click(by_numbers, [visit, numbers], shown, **quick)
    file.upload(by_file, [visit, file], shown, **quick)
    shown.click(act, visit, shown, **quick).then(None, js=STEP_DONE)
    return message
