"""Step 4: the result during and after painting; candidates, history and downloads."""

from typing import Any

import gradio as gr
import numpy as np

from apps.image_editing import mask_panel, painting, picture_panel, views, works
from apps.image_editing.visit import Visit, change, current, source_of, with_mask
from apps.image_editing.works import Work
from apps.shared import jobs, progress, visits
from apps.shared.faults import user_errors
from apps.shared.inputs import event_data
from apps.shared.progress import note
from apps.shared.queue import HEAVY
from apps.shared.results import missing
from apps.shared.views import history
from apps.shared.visits import Session
from vision_core.editing import packed, recipe
from vision_core.editing.fill.inpainting import GUIDANCE
from vision_core.pictures import images
from vision_core.safety import guarded

HISTORY = 12
TITLES = {
    "complete": "Completed",
    "add": "Added",
    "remove": "Removed",
    "replace": "Replaced",
    "extend": "Extended",
    "repair": "Repaired",
    "style": "Restyled",
    "background": "Background changed",
    "texture": "Retextured",
    "creative": "Reinvented",
}
BY = {
    "classical": "filled from the surroundings",
    "lama": "filled by LaMa",
    "blur": "blurred",
    "color": "filled with a colour",
    "tint": "in another colour",
    "picture": "filled with another picture",
    "tiny": "painted by the small world's model",
    "diffusers": "painted by Stable Diffusion",
}


@user_errors
def follow(session: Session | None, seen: str) -> tuple[Any, ...]:
    """All that the page shows of the result, in the order of `app`'s outputs."""
    visitor = current(session)
    work = works.get(visitor) if visitor.result else works.running(visitor)
    if work is None:
        return nothing(past_of(visitor))
    state = work.state()
    number = works.chosen(work, state) if visitor.result else None
    going_on = state["status"] in jobs.GOING_ON
    now = f"{visitor.result} {number} {len(state['candidates'])} {len(state.get('boxes', ()))} {going_on}"
    pair, row, past, files, look, fold = (gr.skip(),) * 6
    if now != seen:
        pair, shape = slider(work, number)
        row = shape + views.candidates(state["candidates"], number)
        past = past_of(visitor)
        fold = gr.Accordion(open=not visitor.result or (number is None and not going_on))
        files = "" if number is None else views.offered(work, number)
        look = regions(work, state, number)
    return (
        gr.Column(visible=True),
        pair,
        status(work, state, number),
        gr.Button(visible=going_on),
        gr.Button(interactive=not going_on),
        gr.Button(interactive=not going_on),
        gr.Timer(active=going_on),
        row,
        past,
        files,
        gr.Button(visible=number is not None and not going_on),
        look,
        now,
        gr.Button(visible=bool(visitor.result)),
        fold,
        fold,
    )


def nothing(past: str) -> tuple[Any, ...]:
    """The outputs of `follow` without a result; `past`: the strip of earlier results."""
    still = (gr.Button(visible=False), gr.Button(interactive=True), gr.Button(interactive=True))
    hidden = gr.Image(value=None, visible=False)
    end = ("", past, "", gr.Button(visible=False), hidden, "", gr.Button(visible=False))
    steps = (gr.Accordion(open=True),) * 2
    return gr.Column(visible=False), slider(None, None)[0], "", *still, gr.Timer(active=False), *end, *steps


def slider(work: Work | None, number: int | None) -> tuple[Any, str]:
    """(before and after, its aspect ratio as a style); hidden until something is painted."""
    if work is None or number is None:
        return gr.ImageSlider(value=None, visible=False), ""
    after = images.shrink(images.read(work.path(f"candidate-{number}.png")).on_white().rgb, painting.VIEW)
    before = images.read(work.path("before.png")).rgb
    pair = tuple(visits.shown(work.session, rgb) for rgb in (before, after))
    shape = f"<style>#result {{ --ratio: {after.shape[1] / after.shape[0]:.4f}; }}</style>"
    return gr.ImageSlider(pair, visible=True), shape  # pyright: ignore[reportArgumentType]


def status(work: Work, state: dict[str, Any], number: int | None) -> str:
    """The message on a result: its place in the queue, its progress or its outcome."""
    done = len(state["candidates"])
    match state["status"]:
        case "waiting":
            return note(HEAVY.words(work.session.owner))
        case "working":
            preview = '<img class="vc-preview" src="{preview}" alt="what is being painted">'
            return progress.job(state) + (preview.format(**state) if "preview" in state and not done else "")
        case "failed":
            return note(state["words"], "warning")
        case "interrupted":
            so_far = "what had been painted is here" if done else "press Edit to start it again"
            return note(f"The server was restarted before this was done: {so_far}.", "warning")
        case "stopped" if not done:
            return note("Stopped before anything was painted.", "warning")
        case "stopped":
            return note(
                f"Stopped; {done} candidate{'s' * (done > 1)} had been painted. {_seed(work)}", "warning"
            )
    if work.facts["kind"] == "text":
        box = "" if number is None else f" Box {number + 1} is shown."
        return note(f"{done} regions were tried, and ranked by CLIP.{box} {_seed(work)}", "good")
    fact = work.facts
    share = f"{state.get('changed', 0):.1%} of the pixels changed, the others are bit-identical."
    unread = ""
    if fact["prompt"] and fact["fill"] not in ("tiny", "diffusers"):
        unread = " The prompt was not used: only text models read it."
    if fact["fill"] == "tiny":
        unread = " That model knows drawn scenes only, not photographs."
    return note(f"{TITLES[fact['task']]}, {BY[fact['fill']]}. {share} {_seed(work)}{unread}", "good")


def _seed(work: Work) -> str:
    return f"Seed {work.facts['seed']}."


def regions(work: Work, state: dict[str, Any], number: int | None) -> Any:
    """The picture with the boxes of an edit by text, the chosen one in yellow."""
    if not state.get("boxes"):
        return gr.Image(value=None, visible=False)
    source = images.read(work.path("before.png")).rgb
    scale = source.shape[1] / work.facts["width"]
    scaled = [[round(side * scale) for side in box] for box in state["boxes"]]
    return gr.Image(visits.shown(work.session, painting.boxed(source, scaled, number)), visible=True)


def past_of(visitor: Visit) -> str:
    """The strip of earlier results."""
    every = works.every(visitor)
    return history([card(other) for other in every[:HISTORY]], visitor.result, missing(every, HISTORY))


def card(work: Work) -> tuple[str, str, str]:
    """(name, title, thumbnail) of a past result."""
    state = work.state()
    number = works.chosen(work, state)
    thumbnail = "" if number is None else state["candidates"][number]["thumbnail"]
    return work.name, f"{work.number} · {work.facts['title']}", thumbnail


@user_errors
def act(state: Session | None, event: gr.EventData) -> None:
    """Handle a click on a candidate or a past result."""
    visitor, name = current(state), event_data(event, "act")
    value = event_data(event, "value")
    if name == "candidate":
        work = works.get(visitor)
        if not value.isdigit() or int(value) >= len(work.state()["candidates"]):
            raise ValueError("There is no such candidate")
        work.path("chosen").write_text(value)
        return
    work = works.get(visitor, value)
    if works.running(visitor):
        raise ValueError("The edit goes on: wait for its end, or stop it")
    change(visitor.session, result=work.name)


@user_errors
def leave(state: Session | None) -> None:
    """Show the picture with its mask again; the result stays in the history."""
    change(current(state).session, result="")


@user_errors
def go_on(state: Session | None) -> tuple[Any, ...]:
    """Edit the result next: the outputs of `picture_panel.reload`. Undo brings the mask back."""
    visitor = current(state)
    work = works.get(visitor)
    path = work.result(work.state())
    if path is None:
        raise ValueError(works.Work.NOTHING)
    before = source_of(visitor).rgb.shape
    name = picture_panel.keep(visitor, path)
    kept = {} if images.read(path).rgb.shape == before else {"steps": (), "at": 0}
    visitor = change(visitor.session, source=name, scene=None, boxes=(), result="", **kept)
    if kept == {} and visitor.mask_name:
        visitor = with_mask(visitor, None, mask_panel.ON_RESULT)
    return picture_panel.reload(visitor)


@user_errors
def restore(state: Session | None, file: str | None) -> tuple[Any, ...]:
    """The settings in a result or a recipe, in the order of `app`'s outputs."""
    if not file:
        return (gr.skip(),) * 27
    visitor = current(state)
    restored, messages = guarded.call(recipe.read, file), []
    options = restored.options
    if visitor.source:
        picture = source_of(visitor)
        mask = packed.unpack_mask(restored.mask) if restored.mask else None
        if restored.box is not None:
            from vision_core.editing import masks

            try:
                height, width = picture.rgb.shape[:2]
                mask = masks.box(height, width, *restored.box)
            except ValueError:
                mask = np.zeros((1, 1), bool)
        if mask is not None and mask.shape != picture.rgb.shape[:2]:
            messages.append(
                "Its mask belongs to a picture of another size: choose the picture it was made from."
            )
        elif mask is not None:
            edge, with_shadow = float(options.get("edge", 0)), options.get("shadow", False)
            visitor = change(visitor.session, edge=edge, shadow=with_shadow)
            visitor = with_mask(visitor, mask, "recipe")
    else:
        messages.append("Choose the picture it was made from, then drop the recipe again for its mask.")
    task = "replace" if restored.task == "run" else restored.task
    if task not in TITLES:
        raise ValueError(f"The recipe names the task {restored.task!r}, which is not known here")
    if restored.backend == "picture":
        messages.append("Choose the picture that was put there: a recipe does not hold it.")
    fill = restored.backend if restored.backend in BY else "auto"
    messages.insert(0, f"Restored: {task}, seed {restored.seed}.")
    sides = options.get("sides", (0, 0, 0, 0))
    return (
        note(" ".join(messages), "good" if len(messages) == 1 else "warning"),
        mask_panel.canvas(visitor),
        task,
        restored.prompt,
        restored.caption or gr.skip(),
        fill,
        restored.seed,
        True,
        *(str(options.get(name, "")) for name in ("strength", "padding", "feather")),
        bool(options.get("poisson")),
        options.get("steps", 20),
        options.get("guidance", GUIDANCE.get(restored.backend, GUIDANCE["diffusers"])),
        options.get("negative", ""),
        *(sides if isinstance(sides, list) and len(sides) == 4 else (0, 0, 0, 0)),
        "" if task == "extend" else gr.skip(),
        *(
            100 * options[name] if name in options else gr.skip()
            for name in ("amount", "right", "down", "scale")
        ),
        options.get("light", gr.skip()),
        str(options.get("edge", "")),
        options.get("shadow", False),
    )
