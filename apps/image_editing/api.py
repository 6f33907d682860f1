"""Endpoints for scripts: typed, stateless, by the names `edit_task`, `make_mask` and `find_regions`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from apps.image_editing import edits, mask_panel
from apps.image_editing.visit import APP, Visit
from apps.shared import gpu, visits
from apps.shared.faults import user_errors
from apps.shared.inputs import Number, UploadFile, read_picture, text, whole
from apps.shared.queue import HEAVY
from vision_core import editing
from vision_core.editing import masks, recipe, tasks
from vision_core.events import Done
from vision_core.pictures.images import Picture


@user_errors
def edit_task(
    image: str | None,
    task: str,
    mask: str | None,
    words: str,
    prompt: str,
    fill: str,
    color: str,
    seed: float,
) -> Iterator[Any]:
    """One of the ten tasks: the PNG with its recipe inside, bit-identical outside the recipe's mask.

    Args:
        mask: an image of the picture's size, opaque or white where it may change; or `words` for the thing.
        fill: auto, classical, blur, color or tint (with `color` as #rrggbb), tiny or diffusers.
    """
    picture, kind = _picture(image), tasks.named(str(task))
    if task == "extend":
        raise ValueError("Extend asks for numbers of pixels: use the page or vision-core edit task extend")
    marked = _mask(picture, mask, words)
    if marked is None and not kind.mask:
        raise ValueError("Say where: give a mask, or words for the thing")
    filled = edits.own_fill(task) if fill in ("", "auto", None) else fill
    chosen = whole(seed, 0, 2**31, "The seed")
    edited = None
    with HEAVY.ticket(visits.new(APP).owner) as turn:
        for _ in turn:
            yield None
        material = edits.material_of(filled, color or "#808080", None)
        make_painter = partial(editing.painter, filled, material=material, guidance=7.5)
        options = {"mask": marked, "prompt": text(prompt, "The prompt"), "seed": chosen}
        for event in gpu.stream(edits.perform_task, picture, task, make_painter, options):
            if isinstance(event, Done):
                edited = event.result
            else:
                yield None  # a client that leaves ends the edit here
    assert edited is not None
    path = _folder() / "edited.png"
    recipe.save(edited.picture, edited.recipe, path)
    yield str(path)


@user_errors
def make_mask(image: str | None, words: str, box: str, point: str) -> str:
    """A mask as PNG: by words, by a box `left,top,right,bottom` around a thing, or by a point `x,y` on it."""
    picture = _picture(image)
    selectors = [value.strip() or None for value in (words or "", box or "", point or "")]
    if selectors.count(None) != 2:
        raise ValueError("Say what to mark: words, a box or a point, one of them")
    if selectors[0] is not None:
        match, message = mask_panel.named(Visit(visits.new(APP)), picture, selectors[0])
        if match is None:
            raise ValueError(message)
    else:
        match, _ = editing.select(picture, None, *selectors[1:])
        assert match is not None
    path = _folder() / "mask.png"
    masks.save(masks.check(match, *picture.rgb.shape[:2]), path)
    return str(path)


@user_errors
def find_regions(image: str | None, anchors: float, max_window: float) -> dict[str, Any]:
    """Salient places: `anchors` (x, y and saliency in [0, 1]) and `boxes` of every size, in pixels."""
    picture = _picture(image)
    count = whole(anchors, 1, 25, "The number of regions")
    regions = editing.find_regions(picture, mask_panel.eyes(), count, whole(max_window, 4, 16, "The window"))
    return {
        "anchors": [[a.x, a.y, a.saliency] for a in regions.anchors],
        "boxes": [[[b.left, b.top, b.right, b.bottom] for b in row] for row in regions.boxes],
    }


def _picture(path: str | None) -> Picture:
    if not path:
        raise ValueError("No picture was given")
    return read_picture(path)


def _mask(picture: Picture, path: str | None, words: str) -> Any:
    if path and (words or "").strip():
        raise ValueError("Give a mask or words for the thing, not both")
    if path:
        return masks.of(read_picture(path), *picture.rgb.shape[:2])
    if not (words or "").strip():
        return None
    match = mask_panel.eyes().named(picture.seen, words[:200])
    if match.mask is None:
        raise ValueError(match.message)
    return match.mask


def _folder() -> Path:
    """A folder of Gradio's, swept by age, from which a client may take a file."""
    return Path(mkdtemp(dir=visits.uploads()))


def build() -> None:
    """The endpoints, with hidden fields that give them their types."""
    with gr.Column(visible=False):
        image, mask = UploadFile(label="image"), UploadFile(label="mask")
        task = gr.Textbox("remove", label="task")
        texts = {name: gr.Textbox("", label=name) for name in ("words", "prompt", "box", "point")}
        fill, color = gr.Textbox("auto", label="fill"), gr.Textbox("#808080", label="color")
        seed, anchors, window = (
            Number(0, label="seed"),
            Number(9, label="anchors"),
            Number(15, label="max_window"),
        )
        out, regions, button = gr.File(label="png"), gr.JSON(label="regions"), gr.Button("endpoint")
    wide: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
    button.click(
        edit_task,
        [image, task, mask, texts["words"], texts["prompt"], fill, color, seed],
        out,
        api_name="edit_task",
        **wide,
    )
    button.click(
        make_mask,
        [image, texts["words"], texts["box"], texts["point"]],
        out,
        api_name="make_mask",
        concurrency_limit=4,
        concurrency_id="mask",
        show_progress="hidden",
    )
    button.click(
        find_regions,
        [image, anchors, window],
        regions,
        api_name="find_regions",
        concurrency_limit=4,
        concurrency_id="mask",
        show_progress="hidden",
    )
