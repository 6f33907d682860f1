"""Edit a region of a picture and leave the rest untouched: one page from a picture to an exact PNG."""

from typing import Any

import gradio as gr

from apps.image_editing import api, by_text, edits, mask_panel, picture_panel, results, training_tab, views
from apps.image_editing.files import router as files
from apps.image_editing.visit import Visit, current
from apps.shared import inputs, jobs, wiring
from apps.shared.inputs import examples
from apps.shared.progress import note
from apps.shared.views import CLICKED
from apps.shared.visits import Session
from vision_core.editing import TASKS
from vision_core.editing.fill.inpainting import GUIDANCE

__all__ = ["build", "files"]

INTRO = (
    "Mark a place, or describe the change. Everything outside the dashed line stays as it is, bit for bit."
)
SCENE_BUTTON = (
    '<button type="button" data-act="example" data-value="scene" class="vc-scene">a drawn<br>scene</button>'
)


def build() -> gr.Blocks:
    """Build the page and connect its events."""
    with wiring.page("Image editing", INTRO) as page:
        visit = page.visit
        with gr.Accordion("1 · A picture", open=True, elem_id="picture-step") as first:
            source, chooser, facts = _picture_step()
        with gr.Row(equal_height=False, elem_id="bench"):
            with gr.Column(scale=3, min_width=300, elem_id="picture-side"):
                gr.HTML(views.tools(), elem_id="mask-tools", js_on_load=views.TOOL_CHANGED)
                canvas = gr.HTML(views.nothing_yet(), js_on_load=views.DRAWN, elem_id="canvas")
                view = _result_view()
            with gr.Column(scale=2, min_width=300):
                with gr.Accordion("2 · What may change", open=True, elem_classes="vc-step") as second:
                    mask_message = mask_panel.build(visit, canvas)
                with gr.Accordion("3 · What to do", open=True, elem_classes="vc-step") as third:
                    with gr.Tabs():
                        with gr.Tab("In the mark"):
                            task, task_fields, reaching, start = _task_tab(visit, canvas)
                        with gr.Tab("By text"):
                            words, regions, begin_text = _text_tab(visit, canvas)
                    model = _painting_settings()
                view |= _results_step()
        view |= _history_section()
        with gr.Accordion("Teach it on your own pictures", open=False):
            lessons, listing = training_tab.build(visit, words["caption"], words["prompt"], words["learned"])

        outputs = [view["section"], view["slider"], view["status"], view["stop"], start, begin_text]
        outputs += [view["timer"], view["candidates"], view["history"], view["files"], view["again"]]
        outputs += [view["boxes"], view["seen"], view["mark"], second, third]
        follow = (results.follow, [visit, view["seen"]], outputs)
        seed, locked, *_, steps, guidance, negative = model
        shown = [source, facts, canvas, words["caption"]]

        chooser.click(picture_panel.take_example, visit, source, **wiring.QUIET)
        changed = source.change(picture_panel.choose, [visit, source], shown[1:], **wiring.QUIET)
        changed.success(mask_panel.folded, visit, [first, mask_message], **wiring.QUIET)
        changed.success(mask_panel.prepare, visit, mask_message, **wiring.QUIET)
        changed.success(*follow, **wiring.LOOK)
        changed.success(by_text.who_paints, visit, words["who"], **wiring.QUIET)
        changed.success(lambda: regions["empty"], None, regions["outputs"], **wiring.QUIET)
        names = ("caption", "prompt", "anchors", "window", "learned")
        text_fields = [visit, *(words[name] for name in names), seed, locked, steps, guidance, negative]
        for button, handler, targets, inputs in (
            (start, edits.begin_task, [seed, canvas, mask_message], [visit, task, *task_fields, *model]),
            (begin_text, by_text.begin_text, seed, text_fields),
        ):
            wiring.start(button.click, handler, inputs, follow, targets).then(None, js=wiring.TO_RESULT)
        start.click(edits.announce, [visit, task], mask_message, **wiring.QUIET)
        wiring.watch(follow, view["timer"], view["stop"], jobs.end, visit)
        for piece in (view["candidates"], view["history"]):
            wiring.start(piece.click, results.act, visit, follow)
        wiring.start(second.expand, results.leave, visit, follow)
        mark = wiring.start(view["mark"].click, results.leave, visit, follow)
        again = wiring.start(view["again"].click, results.go_on, visit, follow, shown)
        for event in (mark, again):
            event.then(None, js=wiring.TO_RESULT)
        prompt, fill, _, _, *placed = task_fields
        restored = [view["said"], canvas, task, prompt, words["caption"], fill, *model, *placed, *reaching]
        view["recipe"].upload(results.restore, [visit, view["recipe"]], restored, **wiring.QUIET)
        kept = wiring.controls(page, without=("Caption", "Sizes by"))
        api.build()
        wiring.load(page, Visit, _shown, [*shown, listing], [follow, lessons], kept)
    return page.blocks


def _shown(state: Session) -> tuple[Any, ...]:
    """The picture with its mask, and the pictures to learn from."""
    visitor = current(state)
    return *picture_panel.reload(visitor), training_tab.listed(visitor)


def _picture_step() -> tuple[gr.Image, gr.HTML, gr.HTML]:
    """Step 1: (upload, examples, message about the picture)."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            source = inputs.upload("Picture to edit", "the picture to edit", 220, elem_id="source")
            pictures = examples(picture_panel.EXAMPLES, picture_panel.NAMES)
            chooser = gr.HTML(pictures.replace("<div>", f"<div>{SCENE_BUTTON}", 1), js_on_load=CLICKED)
            facts = gr.HTML(elem_id="facts")
        with gr.Column(scale=1, min_width=280):
            gr.HTML(f'<h3 class="vc-h3">What works on this machine</h3>{views.models()}')
    return source, chooser, facts


def _task_tab(visit: gr.State, canvas: gr.HTML) -> tuple[gr.Radio, list[Any], list[Any], gr.Button]:
    """The ten tasks: (task, further fields of `edits.TaskForm`, [edge, shadow], button)."""
    names = [(name.capitalize(), name) for name in TASKS]
    task = gr.Radio(names, value="remove", label="Task", elem_id="task")
    about = gr.HTML(_about("remove"), elem_id="about")
    sides, extent = _extent()
    with gr.Row():
        fill = gr.Dropdown(
            [(text, name) for name, text in edits.FILLS.items()],
            value="auto",
            label="Filled with",
            info=edits.AUTOMATIC,
            elem_id="fill",
        )
        prompt = gr.Textbox(
            label="Prompt", info="What should be there, for a text model.", max_length=10_000, visible=False
        )
    placing, material = _material()
    with gr.Row():
        edge = gr.Textbox(
            label="Pixels around the mark",
            max_length=20,
            elem_id="edge",
            info="The dashed line: what may change. Empty: as the task needs.",
        )
        shadow = gr.Checkbox(
            True,
            label="With its shadow",
            info="Remove the shadow of the thing, too. Replace: for a cut-out; both may lie beyond the line.",
            elem_id="shadow",
        )
    start = gr.Button(edits.STARTS["remove"], variant="primary", size="lg", elem_id="start")
    for piece in (task, fill):
        piece.change(
            _fields,
            [task, fill],
            [about, start, sides, shadow, prompt, *material[:2], placing, material[2]],
            show_progress="hidden",
            queue=False,
            api_visibility="private",
        )
    task.input(edits.first_fill, [visit, task], fill, **wiring.QUIET)  # a filling is chosen for one task
    for piece in (task.change, edge.blur, edge.submit, shadow.change):
        piece(edits.reach, [visit, task, edge, shadow], canvas, **wiring.QUIET)
    return task, [prompt, fill, *material[:2], *extent, *material[2:]], [edge, shadow], start


def _fields(task: str, fill: str) -> tuple[Any, ...]:
    """What a task with a filling needs; see `_task_tab`."""
    by_text = fill in ("auto", "tiny", "diffusers") and task in TASKS and TASKS[task].generative
    return (
        _about(task),
        gr.Button(edits.STARTS.get(task, edits.START)),
        gr.Row(visible=task == "extend"),
        gr.Checkbox(visible=task == "remove" or (task == "replace" and fill == "picture")),
        gr.Textbox(visible=by_text),
        gr.ColorPicker(visible=fill in ("color", "tint")),
        gr.Image(visible=fill == "picture"),
        gr.Row(visible=fill == "picture"),
        gr.Slider(visible=fill == "blur"),
    )


def _material() -> tuple[gr.Row, list[Any]]:
    """The material: (row of the controls of a picture, [colour, picture, blur, right, down, size, light])."""
    color = gr.ColorPicker("#0f766e", label="Colour", visible=False)
    other = inputs.upload("The other picture", "the picture to put there", visible=False, elem_id="other")
    with gr.Row(visible=False) as placing:
        move_right = inputs.Slider(
            -100, 100, 0, step=1, label="To the right", info="Percent of the marked place."
        )
        move_down = inputs.Slider(-100, 100, 0, step=1, label="Down", info="Percent of the marked place.")
        scale = inputs.Slider(10, 400, 100, step=5, label="Size", info="Percent.")
        light = gr.Checkbox(True, label="Match the light", info="Moves its colours towards the surroundings.")
    amount = inputs.Slider(
        0.2, 10, 2, step=0.2, label="Blur", info="Percent of the longer side.", visible=False
    )
    return placing, [color, other, amount, move_right, move_down, scale, light]


def _extent() -> tuple[gr.Row, list[Any]]:
    """How far to extend the picture: (row, [left, top, right, bottom, ratio])."""
    with gr.Row(visible=False) as sides:
        shapes = [("By pixels", ""), *((name, name) for name in ("16:9", "3:2", "1:1", "4:5", "9:16"))]
        ratio = gr.Dropdown(shapes, value="16:9", label="Shape", min_width=120, elem_id="ratio")
        left, top, right, bottom = (
            inputs.Number(0, label=f"Pixels at the {side}", minimum=0, maximum=edits.MOST, min_width=120)
            for side in ("left", "top", "right", "bottom")
        )
    for side in (left, top, right, bottom):
        side.input(None, None, ratio, js="() => ''")  # a number of pixels overrides the shape
    return sides, [left, top, right, bottom, ratio]


def _about(task: Any) -> str:
    """An explanation of a task and of its mask."""
    entry = TASKS.get(task)
    if entry is None:
        return ""
    mask = "Mark the place first."
    if entry.inverse:
        mask = "Mark the thing to keep."
    elif task == "extend":
        mask = "Choose a shape below, or how many pixels to add at each side."
    elif task == "repair":
        mask = "Mark the damage, or press the button: it marks what looks like damage for you to check."
    elif entry.mask:
        mask = f"Without a mark: {'the ' if entry.mask != 'ellipses' else 'two '}{entry.mask}."
    words = f"{entry.about[0].upper()}{entry.about[1:]}. {mask}"
    return f'<p class="vc-empty" role="status">{words}</p>'


def _text_tab(visit: gr.State, canvas: gr.HTML) -> tuple[dict[str, Any], dict[str, Any], gr.Button]:
    """Editing by text: (its fields, the components for regions, button)."""
    who = gr.HTML("", elem_id="who-paints")
    cost = gr.Button("What would a large model cost?", size="sm", elem_id="cost")
    cost.click(lambda: note(by_text.COST), None, who, **wiring.QUIET)
    with gr.Row() as described:
        caption = gr.Textbox(
            label="Caption", info="What the picture shows now.", max_length=10_000, elem_id="caption"
        )
        prompt = gr.Textbox(
            label="Prompt",
            info="What it should show.",
            max_length=10_000,
            elem_id="prompt",
            placeholder="a tree with pink flowers",
        )
    with gr.Accordion("Regions", open=False):
        with gr.Row():
            anchors = inputs.Slider(1, 16, 9, step=1, label="Regions to try")
            window = inputs.Slider(
                4,
                16,
                15,
                step=1,
                label="Largest window",
                info="How large a region may be, in 32nds of the picture's side.",
            )
            learned = gr.Dropdown(
                [""], value="", label="Sizes by", info="A network you taught; otherwise the middle size."
            )
    with gr.Row():
        find = gr.Button("Find regions", elem_id="regions")
        start = gr.Button("Edit by text", variant="primary", elem_id="edit-text")
    chips = gr.HTML(js_on_load=CLICKED, elem_id="chips")
    with gr.Row():
        heat, boxes = (
            gr.Image(
                label=label,
                alt_text=alt,
                format="png",
                interactive=False,
                visible=False,
                type="filepath",
                buttons=["fullscreen"],
                min_width=280,
            )
            for label, alt in (
                ("What catches the eye", "heat map of what catches the eye"),
                ("Regions", "the picture with the boxes found"),
            )
        )
    find.click(by_text.find, [visit, anchors, window], [heat, boxes, chips], **wiring.QUIET)
    chips.click(by_text.pick, visit, [canvas, boxes, chips], **wiring.QUIET)
    fields = {"caption": caption, "prompt": prompt, "anchors": anchors, "window": window}
    fields |= {"learned": learned, "who": [who, described, start]}
    none = gr.update(value=None, visible=False)
    return fields, {"outputs": [heat, boxes, chips], "empty": (none, none, "")}, start


def _painting_settings() -> list[Any]:
    """Seed and blending, for both tabs, in the order of `edits.TaskForm`."""
    with gr.Accordion("Seed, blending and the text model's settings", open=False):
        with gr.Row():
            seed = inputs.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed")
            locked = gr.Checkbox(False, label="Lock the seed", info="Otherwise each edit draws a new one.")
            poisson = gr.Checkbox(
                False, label="Blend the gradients", info="Poisson blending: no visible step at the edge."
            )
        with gr.Row():
            fields = [
                gr.Textbox(label=label, info=info, max_length=20, min_width=150)
                for label, info in (
                    ("Strength", "Above 0, up to 1. Empty: as the task needs."),
                    ("Context", "A share of the mask. Empty: as the task needs."),
                    ("Feather", "Pixels over which the edge blends."),
                )
            ]
        with gr.Row():
            steps = inputs.Slider(1, 100, 20, step=1, label="Steps")
            guidance = inputs.Slider(
                0,
                20,
                GUIDANCE["tiny"],
                step=0.5,
                label="Guidance",
                info="{tiny:g} suits the small world, {diffusers:g} Stable Diffusion.".format(**GUIDANCE),
            )
            negative = gr.Textbox(label="Negative prompt", max_length=10_000)
    return [seed, locked, *fields, poisson, steps, guidance, negative]


def _result_view() -> dict[str, Any]:
    """The result in the place of the canvas, and its versions: components by name."""
    slider = gr.ImageSlider(
        label="Before and after",
        format="png",
        interactive=False,
        elem_id="result",
        buttons=["fullscreen"],
        visible=False,
    )
    return {"slider": slider, "candidates": gr.HTML(js_on_load=CLICKED, elem_id="candidates")}


def _results_step() -> dict[str, Any]:
    """Step 4: the progress of the result and the actions on it; components by name."""
    with gr.Column(visible=False, elem_id="result-section") as section:
        gr.Markdown("## 4 · The result")
        status = gr.HTML(elem_id="progress")
        stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
        downloads = gr.HTML(elem_id="downloads")
        with gr.Row():
            mark = gr.Button("Change the mark", visible=False, elem_id="mark", min_width=120)
            again = gr.Button("Edit this result", visible=False, elem_id="again", min_width=120)
        boxes = gr.Image(
            label="Where it was edited",
            alt_text="the boxes that were tried",
            format="png",
            interactive=False,
            visible=False,
            type="filepath",
            buttons=["fullscreen"],
        )
    timer, seen = gr.Timer(jobs.REFRESH, active=False), gr.State("")
    return {
        "section": section,
        "status": status,
        "stop": stop,
        "mark": mark,
        "again": again,
        "files": downloads,
        "boxes": boxes,
        "timer": timer,
        "seen": seen,
    }


def _history_section() -> dict[str, Any]:
    """Earlier results, and a field to restore the settings of one: components by name."""
    history = gr.HTML(js_on_load=CLICKED, elem_id="history")
    with gr.Accordion("Take the settings of an earlier result", open=False):
        recipe = inputs.UploadFile(
            label="A result (PNG) or its recipe (JSON)",
            file_types=[".png", ".json"],
            height=110,
            elem_id="recipe",
        )
        message = gr.HTML(elem_id="restored")
    return {"history": history, "recipe": recipe, "said": message}
