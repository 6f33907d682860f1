"""Give one picture the colours of another: one page from two pictures to a LUT."""

from typing import Any

import gradio as gr

from apps.color_transfer import (
    comparison_tab,
    looks,
    low_poly_tab,
    palette_panel,
    photographs_tab,
    plots_tab,
    rating_tab,
    results,
    training,
)
from apps.color_transfer.files import router as files
from apps.color_transfer.palette_panel import EXAMPLES, SOURCES, TARGETS
from apps.color_transfer.views import palette_editor
from apps.color_transfer.visit import Visit, current
from apps.shared import forms, inputs, wiring
from apps.shared.faults import user_errors
from apps.shared.inputs import examples
from apps.shared.views import CLICKED
from apps.shared.visits import Session
from vision_core.color import LossWeights, Settings
from vision_core.color.palette_files import READABLE

__all__ = ["build", "files"]

INTRO = """A small neural network learns the colours of one picture and gives them to another while you
watch. Save the result as a picture, or as a LUT for your photo and video programs."""
_HIDDEN = gr.update(value=None, visible=False)  # an empty picture would be announced as a button


def build() -> gr.Blocks:
    """Build the page and connect its events."""
    with wiring.page("Colour transfer", INTRO) as page:
        visit = page.visit
        with gr.Row(equal_height=False, elem_classes="vc-beside"):
            with gr.Column(scale=5, min_width=340):
                chosen, start, settings, reuse, saved = _choices(visit)
            with gr.Column(scale=6, min_width=340):
                view = _result()
        strip = gr.HTML(js_on_load=CLICKED, elem_id="strip")
        facts = view["facts"]
        curves = gr.Plot(show_label=False, elem_id="curves", visible=False, render=False)
        timer, seen = gr.Timer(results.REFRESH, active=False), gr.State("")
        # no State: its change is not noticed in an event that bypasses Gradio's queue, as `wiring.LOOK` does
        done = gr.Textbox(visible="hidden", show_label=False)
        outputs = [*view["outputs"], start, timer, strip, facts, view["files"], curves, done, seen]
        follow = (results.follow, [visit, *view["strengths"], seen], outputs)
        begun = wiring.start(start.click, training.begin, [visit, *settings], follow)
        used = wiring.start(reuse.click, results.use_saved, [visit, saved], follow)
        for shown in (begun, used):
            shown.then(None, js=wiring.TO_RESULT)
        wiring.watch(follow, timer, view["stop"], training.stop, visit)
        for control in view["strengths"]:
            control.change(*follow, trigger_mode="always_last", **wiring.LOOK)
        for piece in (strip, facts):
            wiring.start(
                piece.click, results.act, [visit, view["strengths"][1]], follow, view["strengths"][1]
            )
        rated = wiring.start(view["ratings"].click, rating_tab.rate, visit, follow)
        rated.then(None, js=wiring.TO_RESULT)
        tabs = _more_steps(visit, view, done, curves)
        kept = [control for control in (*view["strengths"], *settings) if not isinstance(control, gr.State)]
        wiring.load(page, Visit, _reload, chosen, [follow, *tabs], kept)
    return page.blocks


def _reload(state: Session) -> tuple[Any, ...]:
    return palette_panel.reload(current(state))


def _choices(visit: gr.State) -> tuple[Any, ...]:
    """Pictures, button and palette: ([source, its facts, target, palette], start, settings, reuse, saved)."""
    gr.Markdown("## 1 · Two pictures")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=150):
            source = inputs.upload("To recolour", "the picture to recolour", elem_id="source")
            sources = gr.HTML(examples(EXAMPLES, SOURCES), js_on_load=CLICKED)
        with gr.Column(min_width=150):
            target = inputs.upload(
                "Colours to take", "the picture with the colours to take", elem_id="target"
            )
            targets = gr.HTML(examples(EXAMPLES, TARGETS), js_on_load=CLICKED)
    facts = gr.HTML()
    start = gr.Button("Transfer colours", variant="primary", size="lg", elem_id="start")
    gr.Markdown("## 2 · The palette")
    colors = gr.HTML(palette_editor(current(None)), js_on_load=CLICKED, elem_id="palette")
    with gr.Accordion("A palette file: GPL, ASE, hex list, JSON", open=False):
        palette_file = inputs.UploadFile(
            label="Palette file", file_types=list(READABLE), height=120, elem_id="palette-file"
        )
    with gr.Accordion("Palette settings", open=False):
        count = inputs.Slider(2, 24, 10, step=1, label="Colours", info="Locked colours stay.")
        clusters = inputs.Slider(
            2, 100, 25, step=1, label="Clusters", info="Groups of pixels that they are chosen from."
        )
    with gr.Accordion("Training settings", open=False):
        settings = _training_settings()
    with gr.Accordion("Use a saved model, or a .cube file from anywhere", open=False):
        saved = inputs.UploadFile(
            label="Model (.safetensors, .pth) or LUT (.cube)", file_types=[".safetensors", ".pth", ".cube"]
        )
        reuse = gr.Button("Recolour with this file", elem_id="reuse")
    light: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": 4,
        "concurrency_id": "palette",
        "trigger_mode": "always_last",
    }
    sources.click(palette_panel.take_example, visit, source, **light)
    targets.click(palette_panel.take_example, visit, target, **light)
    source.change(palette_panel.choose_source, [visit, source], facts, **light)
    target.change(palette_panel.choose_target, [visit, target, clusters, count], colors, **light)
    palette_file.change(palette_panel.take_file, [visit, palette_file, clusters, count], colors, **light)
    for slider in (count, clusters):
        slider.change(palette_panel.count_again, [visit, clusters, count], colors, **light)
    colors.click(palette_panel.edit, visit, colors, **light)
    return [source, facts, target, colors], start, settings, reuse, saved


def _training_settings() -> list[gr.components.Component]:
    with gr.Row():
        fields = forms.build(Settings, training.FORM[:2])
    with gr.Row():
        fields += forms.build(Settings, training.FORM[2:])
        head = gr.Radio(
            [("free colours", "rgb"), ("mixtures of the palette", "palette")],
            value=Settings().head,
            label="The network answers with",
        )
    gr.Markdown(
        "Not what you hoped for? Choose fewer colours, drop one that gets in the way, train longer, or raise "
        "*structure* to keep more of the drawing. If the curves jump, halve the learning rate."
    )
    gr.Markdown("How much each term of the loss counts:")
    with gr.Row():
        fields += forms.build(LossWeights, training.TERMS, min_width=110)
    return [head, *fields]


def _result() -> dict[str, Any]:
    """The result beside the pictures: its components by name, and the first outputs of `results.follow`."""
    with gr.Column(visible=False, elem_id="result-section") as section:
        gr.Markdown("## 3 · The result")
        slider = gr.ImageSlider(
            label="Before and after",
            format="png",
            interactive=False,
            elem_id="result",
            max_height=340,
            buttons=["fullscreen"],
        )
        status = gr.HTML(elem_id="progress")
        stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
        with gr.Row():
            color = inputs.Slider(
                0, 1, 1, step=0.05, label="Colour strength", elem_id="strength", min_width=200
            )
            lightness = inputs.Slider(
                0, 1, 1, step=0.05, label="Lightness strength", elem_id="lightness", min_width=200
            )
        facts = gr.HTML(js_on_load=CLICKED, elem_id="facts")
        rating, ratings = rating_tab.build()
        files = gr.HTML(elem_id="downloads")
    components = {"stop": stop, "facts": facts, "files": files, "rating": rating, "ratings": ratings}
    return {"strengths": [color, lightness], "outputs": [section, slider, status, stop], **components}


def _more_steps(
    visit: gr.State, view: dict[str, Any], done: gr.Textbox, curves: gr.Plot
) -> list[wiring.Look]:
    """Further actions on a finished result, shown with it; returns the display of their progress."""
    strengths = view["strengths"]
    with gr.Column(visible=False) as more:
        with gr.Accordion("More photographs", open=False):
            tabs = [photographs_tab.build(visit, strengths)]
        with gr.Accordion("Low poly", open=False) as low_poly:
            cleared = low_poly_tab.build(visit, low_poly, strengths)
        with gr.Accordion("Compare with other methods", open=False):
            tabs.append(comparison_tab.build(visit))
    with gr.Accordion("How it learned", open=False) as section:
        curves.render()
        with gr.Column(visible=False) as plots:
            cleared += plots_tab.build(visit, section)
        section.expand(None, js="() => dispatchEvent(new Event('resize'))")  # drawn while there was no room
    empty = [gr.update(value="") if isinstance(c, gr.HTML) else _HIDDEN for c in cleared]

    @user_errors
    def another(state: Session | None, name: str) -> tuple[Any, ...]:
        visitor = current(state)
        rows = rating_tab.form(visitor, looks.shown(visitor)) if name else ""
        parts = gr.Column(visible=bool(name)), gr.Column(visible=bool(name)), gr.Accordion(visible=bool(rows))
        return *parts, rows, *empty

    shown = [more, plots, view["rating"], view["ratings"], *cleared]
    drawn = done.change(another, [visit, done], shown, **wiring.QUIET)
    for tab in tabs:
        drawn.success(*tab, **wiring.LOOK)
    return tabs
