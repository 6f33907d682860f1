"""Give one picture the colours of another: one page from two pictures to a LUT."""

import gradio as gr
from gradio.events import Dependency

from apps import common
from apps.color_transfer import (
    comparison_tab,
    low_poly_tab,
    palette_panel,
    plots_tab,
    rating_tab,
    results,
    training,
)
from apps.color_transfer.views import swatches
from apps.color_transfer.visit import LIFETIME, Visit, forget, sweep
from vision_core.color import LossWeights, Settings
from vision_core.color.palette_files import READABLE
from vision_core.files import bundled

EXAMPLES = bundled("assets") / "color"
SOURCES = ("astronaut", "palace", "coffee", "cat", "flower", "rocket")
TARGETS = ("coffee", "flower", "palace", "galaxies", "rocket", "astronaut")
INTRO = """# Colour transfer
A small neural network learns the colours of one picture and gives them to another, while you watch.
Take the result as a picture, or as a LUT for your photo and video programs."""
CLICKED = """element.addEventListener('click', event => {
  const button = event.target.closest('[data-index]');
  if (button) trigger('click', {index: Number(button.dataset.index)});
})"""


def build() -> gr.Blocks:
    """The page, wired."""
    sweep()
    with gr.Blocks(
        title="Colour transfer · vision-core", analytics_enabled=False, delete_cache=common.CACHE
    ) as page:
        visit = gr.State(Visit(), time_to_live=LIFETIME, delete_callback=forget)
        gr.Markdown(INTRO, elem_classes="vc-intro")
        gr.Markdown("## 1 · Two pictures")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                source = _picture("Picture to recolour", "the picture to recolour")
                _examples(source, SOURCES)
                facts = gr.HTML()
                source.change(training.look, source, facts, show_progress="hidden")
            with gr.Column(min_width=300):
                target = _picture("Picture with the colours to take", "the picture with the colours to take")
                _examples(target, TARGETS)
                with gr.Accordion("or a palette file: GPL, ASE, hex list, JSON", open=False):
                    palette_file = common.UploadFile(
                        label="Palette file", file_types=list(READABLE), height=120
                    )
        gr.Markdown("## 2 · The palette")
        _palette_step(visit, target, palette_file)
        gr.Markdown("## 3 · Transfer")
        trained, reused = _training_step(visit, source)
        _results_step(visit, [trained, reused])
    return page.queue(max_size=common.QUEUE)


def _picture(label: str, alt: str) -> common.Upload:
    """An upload that hands over the untouched file: only the core decodes pictures."""
    return common.Upload(
        label=label,
        alt_text=alt,
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard"],
        height=300,
    )


def _examples(image: gr.Image, names: tuple[str, ...]) -> None:
    gr.Examples([str(EXAMPLES / f"{name}.jpg") for name in names], image, label="or take one of these")


def _palette_step(visit: gr.State, target: gr.Image, palette_file: gr.File) -> None:
    colors = gr.HTML(swatches(None), js_on_load=CLICKED, elem_id="palette")
    with gr.Column(visible=False) as editor:
        with gr.Row(elem_classes="vc-editor"):
            picker = gr.ColorPicker(label="The chosen colour (click one above)", min_width=140)
            swap = gr.Button("Replace with this colour", size="sm")
            lock = gr.Button("Lock", size="sm")
            drop = gr.Button("Drop", size="sm")
    with gr.Accordion("Palette settings", open=False):
        count = gr.Slider(2, 24, 10, step=1, label="Colours", info="Locked colours stay.")
        clusters = gr.Slider(
            2, 100, 25, step=1, label="Clusters", info="Groups of pixels they are chosen from."
        )
    view = [visit, colors, editor, picker, lock]
    choice = [visit, target, clusters, count]
    light = {"show_progress": "hidden", "concurrency_limit": 4, "concurrency_id": "palette"}
    target.change(palette_panel.from_new_picture, choice, view, **light)
    palette_file.change(palette_panel.from_file, [visit, palette_file], view, **light)
    for slider in (count, clusters):
        slider.release(palette_panel.from_picture, choice, view, **light)
    colors.click(palette_panel.choose, visit, view, **light)
    lock.click(palette_panel.lock, visit, view, **light)
    drop.click(palette_panel.drop, visit, view, **light)
    swap.click(palette_panel.swap, [visit, picker], view, **light)


def _training_step(visit: gr.State, source: gr.Image) -> tuple[Dependency, Dependency]:
    with gr.Row():
        start = gr.Button("Transfer colours", variant="primary", size="lg", scale=3, elem_id="start")
        stop = gr.Button("Stop", variant="stop", size="lg", scale=1, visible=False, elem_id="stop")
    with gr.Accordion("Training settings", open=False):
        settings = _training_settings()
    with gr.Accordion("Use a saved model instead", open=False):
        model_file = common.UploadFile(
            label="Model (.safetensors or .pth)", file_types=[".safetensors", ".pth"]
        )
        reuse = gr.Button("Recolour with this model")
    progress = gr.HTML(elem_id="progress")
    with gr.Row(visible=False) as live:
        preview = gr.Image(
            label="While it learns",
            alt_text="the picture as the network recolours it so far",
            format="png",
            interactive=False,
            height=360,
            buttons=[],
            min_width=300,
        )
        curves = gr.Plot(show_label=False, elem_id="curves", min_width=300)
    heavy = {"concurrency_limit": common.HEAVY, "concurrency_id": "heavy"}
    working = start.click(
        lambda: (
            gr.Button(interactive=False),
            gr.Button(visible=True),
            gr.Row(visible=True),
            common.note("Waiting for a free place …"),
        ),
        outputs=[start, stop, live, progress],
        queue=False,
    )
    trained = working.then(
        training.train,
        [visit, source, *settings],
        [visit, progress, curves, preview],
        show_progress="hidden",
        **heavy,
    )
    stop.click(training.stop, visit, progress, queue=False, show_progress="hidden")
    ready = (lambda: (gr.Button(interactive=True), gr.Button(visible=False)), None, [start, stop])
    trained.success(*ready, queue=False)
    refused = trained.failure(*ready, queue=False)  # `then` is not run on failure
    refused.then(str, outputs=progress, queue=False)
    reused = reuse.click(results.use_model, [visit, source, model_file], [visit, progress], **heavy)
    return trained, reused


def _training_settings() -> list[gr.components.Component]:
    default, weights = Settings(), LossWeights()
    with gr.Row():
        epochs = gr.Slider(
            10, 5000, default.epochs, step=10, label="Epochs", info="Batches of 512 colours each."
        )
        patience = gr.Slider(
            0,
            1000,
            0,
            step=10,
            label="Patience",
            info="Stop early after so many epochs without progress; 0: never.",
        )
    with gr.Row():
        lr = gr.Number(default.lr, label="Learning rate", minimum=1e-6, maximum=1)
        seed = gr.Number(default.seed, label="Seed", precision=0, minimum=0)
        head = gr.Radio(
            [("free colours", "rgb"), ("mixtures of the palette", "palette")],
            value=default.head,
            label="The network answers with",
        )
    gr.Markdown(
        "Not what you hoped for? Choose fewer colours, drop one that disturbs, train more epochs, or raise "
        "*structure* to keep more of the drawing. If the curves jump, halve the learning rate."
    )
    gr.Markdown("How much each term of the loss counts:")
    with gr.Row():
        terms = [
            gr.Number(getattr(weights, name), label=name, minimum=0, maximum=1000, min_width=110)
            for name in training.TERMS
        ]
    return [epochs, patience, lr, seed, head, *terms]


def _results_step(visit: gr.State, finished: list[Dependency]) -> None:
    count = gr.State(0)
    with gr.Column(visible=False) as section:
        gr.Markdown("## 4 · The result")
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                slider = _slider("result")
            with gr.Column(scale=1, min_width=260):
                strength = gr.Slider(0, 1, 1, step=0.05, label="Colour strength")
                lightness = gr.Slider(
                    0,
                    1,
                    1,
                    step=0.05,
                    label="Lightness strength",
                    info="0 keeps the light and dark of the picture.",
                )
                files = _downloads()
        numbers = gr.HTML(elem_id="facts")
        strengths = [visit, strength, lightness]
        show = (results.show, strengths, [section, slider])
        finish = (results.finish, strengths, [numbers, *files])
        with gr.Tabs():
            with gr.Tab("Another picture"):
                _another_tab(strengths)
            with gr.Tab("Low poly"):
                low_poly_tab.build(visit, strength, lightness)
            with gr.Tab("Compare"):
                comparison_tab.build(visit)
            with gr.Tab("Plots"):
                plots_tab.build(visit, count)
            with gr.Tab("Rate and fine-tune"):
                rating_tab.build(visit, count, [show, finish])
    light = {"concurrency_limit": 4, "concurrency_id": "apply"}
    for event in finished:
        event.success(*show, **light).success(*finish, **light).success(lambda n: n + 1, count, count)
    for control in (strength, lightness):
        control.change(*show, show_progress="hidden", trigger_mode="always_last", **light)
        control.release(*finish, **light)


def _downloads() -> list[gr.DownloadButton]:
    """A button for each of `results.FILES`."""
    gr.Markdown("**Take it with you**, strengths included")
    picture = gr.DownloadButton(
        "Picture (PNG, full size)", interactive=False, variant="primary", size="md", elem_id="png"
    )
    with gr.Row(elem_classes="vc-buttons"):
        luts = [
            gr.DownloadButton(name, interactive=False, size="sm", min_width=90, elem_id=key)
            for name, key in (("LUT .cube", "cube"), ("HaldCLUT", "hald"), ("Model", "model"))
        ]
    gr.Markdown("The palette as")
    with gr.Row(elem_classes="vc-buttons"):
        palettes = [
            gr.DownloadButton(name, interactive=False, size="sm", min_width=60)
            for name in ("GPL", "ASE", "hex", "JSON", "CSS")
        ]
    return [picture, *luts, *palettes]


def _another_tab(strengths: list[gr.components.Component]) -> None:
    gr.Markdown("The trained model recolours any other picture at once, without training.")
    with gr.Row():
        with gr.Column(min_width=300):
            other = _picture("Another picture", "another picture to recolour")
            apply = gr.Button("Recolour", variant="primary")
        with gr.Column(min_width=300):
            words = gr.HTML()
            slider = _slider("other", visible=False)
            file = gr.DownloadButton("Download (PNG)", visible=False)
    apply.click(
        results.another,
        [strengths[0], other, *strengths[1:]],
        [slider, words, file],
        concurrency_limit=4,
        concurrency_id="apply",
    )


def _slider(name: str, visible: bool = True) -> gr.ImageSlider:
    return gr.ImageSlider(
        label="Before and after",
        format="png",
        interactive=False,
        elem_id=name,
        max_height=620,
        visible=visible,
        buttons=["fullscreen"],
    )


def main() -> None:
    build().launch(**common.launch_settings())


if __name__ == "__main__":
    main()
