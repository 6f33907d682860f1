"""The editing app's pieces of HTML: the picture to mark, candidates, downloads, models."""

from pathlib import Path
from typing import Any

from apps.image_editing.works import Work
from apps.shared import downloads
from apps.shared.progress import note
from apps.shared.views import pressed, strip
from vision_core.editing import at_hand

DRAWN = "\n".join(Path(__file__).with_name(name).read_text("utf-8") for name in ("canvas.js", "keys.js"))


TOOL_CHANGED = """element.addEventListener('change', () => {
  document.body.dataset.vcTool = element.querySelector('input[name=vc-tool]:checked').value;
  document.querySelector('#mark')?.click();  // who takes a tool means the picture, not its result
})"""

TOOLS = {
    "click": "Click a thing",
    "around": "Box around it",
    "box": "Plain box",
    "brush": "Brush",
    "lasso": "Lasso",
}
MODES = {"add": "mark", "take": "unmark"}
ACTS = ("undo", "redo", "clear", "invert", "grow", "shrink", "fill")


def tools() -> str:
    """An explanation of the pointer's tool."""

    def radios(name: str, choices: dict[str, str], legend: str) -> str:
        inputs = "".join(
            f'<label><input type="radio" name="{name}" value="{value}"{" checked" * (number == 0)}>'
            f"<span>{text}</span></label>"
            for number, (value, text) in enumerate(choices.items())
        )
        return f'<fieldset class="vc-radios"><legend>{legend}</legend>{inputs}</fieldset>'

    return (
        f'<div class="vc-marking">{radios("vc-tool", TOOLS, "Tool")}'
        f"{radios('vc-mode', MODES, 'Mark or unmark')}"
        '<label class="vc-size">Brush size <input type="range" min="1" max="20" value="5"></label>'
        '<small class="vc-keys">Keys: B brush, E erase, [ ] size, Ctrl-Z undo, Enter edit</small></div>'
    )


def canvas(
    key: str, name: str, size: tuple[int, int], mask: str, share: float, undo: bool, redo: bool
) -> str:
    """The picture with the mask laid over it, and the buttons for the mask.

    Args:
        size: height and width of the picture in pixels.
        mask: a PNG as a data address, "" where nothing is marked.
    """
    height, width = size
    status = f"{share:.1%} of the picture is marked" if mask else "nothing is marked"
    over = f'<img class="vc-over" src="{mask}" alt="">' if mask else ""
    able = {"undo": undo, "redo": redo, "invert": True}
    buttons = "".join(
        f'<button type="button" data-act="{act}"{"" if able.get(act, bool(mask)) else " disabled"}>'
        f"{'Fill enclosed' if act == 'fill' else act.capitalize()}</button>"
        for act in ACTS
    )
    return (
        f'<div class="vc-canvas" data-width="{width}" data-height="{height}" '
        f'style="aspect-ratio:{width}/{height};--ratio:{width / height:.4f}">'
        f'<img src="files/{key}/view/{name}" '
        f'alt="the picture to edit: {status}" draggable="false">{over}'
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'aria-hidden="true"></svg></div><div class="vc-editor" role="group" aria-label="the mask">{buttons}'
        f'<span class="vc-marked" role="status">{status}</span></div>'
    )


def nothing_yet() -> str:
    return '<p class="vc-empty">Choose a picture above; then mark a place in it here.</p>'


def models() -> str:
    """A table of the models: which are on this machine and which are missing."""
    installed = at_hand()
    world = "painted by a small network of its own: right about nine times in ten"
    if not installed["clip"]:
        world += "; you choose the place"
    rows = [
        ("Remove, repair, extend, complete", "filled from the surroundings; no text needed", True),
        (
            "Marking by words on a photograph",
            "eighty everyday things, including people (NanoDet, Segment Anything)",
            True,
        ),
        ("Filling a background or a place", "with a blur, a colour or another picture", True),
        (
            "Editing drawn scenes by text",
            world if installed["inpainting"] else "not trained on this machine yet",
            installed["inpainting"],
        ),
        (
            "Editing photographs by text",
            "Stable Diffusion inpainting"
            if installed["diffusers"]
            else "needs a large model that is not on this machine",
            installed["diffusers"],
        ),
    ]
    cells = "".join(
        f'<li class="{"" if able else "vc-off"}"><b aria-hidden="true">{"✓" if able else "–"}</b>'
        f"<span>{what}<small>{words}</small></span></li>"
        for what, words, able in rows
    )
    return f'<ul class="vc-models" aria-label="which model answers">{cells}</ul>'


def candidates(items: list[dict[str, Any]], chosen: int | None) -> str:
    """The candidates to choose from: ranked with scores after an edit by text, else as versions."""
    if len(items) < 2 and not (items and items[0]["scores"]):
        return ""
    if not items[0]["scores"]:
        entries = [
            ("candidate", str(k), k == (chosen or 0), entry["thumbnail"], f"version {k + 1}")
            for k, entry in enumerate(items)
        ]
        return strip("candidates", "Versions; click to choose", entries)
    order = sorted(range(len(items)), key=lambda k: -items[k]["scores"]["score"])
    title = (
        "Candidates, best first; click to choose. The score weighs likeness to the prompt twice, likeness "
        "to the picture once"
    )
    entries = []
    for place, k in enumerate(order, 1):
        scores = items[k]["scores"]
        below = (
            f"{place} · box {k + 1}, score {scores['score']:.3f}<br>prompt {scores['text']:.2f}, "
            f"picture {scores['image']:.2f}"
        )
        entries.append(("candidate", str(k), k == chosen, items[k]["thumbnail"], below))
    return strip("candidates", title, entries)


def offered(work: Work, number: int) -> str:
    """The result and its recipe."""
    png, recipe = (
        downloads.address(work.session, work.name, f"candidate-{number}.{e}") for e in ("png", "json")
    )
    return downloads.links(
        downloads.link(png, "Picture (PNG, full size)", "png", main=True),
        downloads.link(recipe, "Recipe", "recipe"),
        title="Outside the edit, every pixel is the original's",
    )


def regions(rows: list[list[int]], chosen: int | None) -> str:
    """The boxes found, to pick one."""
    chips = "".join(
        f'<button type="button" data-act="box" data-value="{k}" {pressed(k == chosen)}>Box {k + 1}</button>'
        for k in range(len(rows))
    )
    return f'<div class="vc-editor" role="group" aria-label="regions">{chips}</div>' + note(
        "Edit by text tries them all. A box that you pick becomes the mask of step 2."
    )
