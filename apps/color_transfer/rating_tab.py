"""Rating: say which colours are used too little or too much, and train a little more towards that."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr

from apps import common
from apps.color_transfer import training
from apps.color_transfer import visit as visits
from apps.color_transfer.visit import Visit
from apps.common import loss_curves, note, told
from vision_core import color
from vision_core.color import feedback
from vision_core.color.feedback import Rating
from vision_core.color.palette_files import to_hex
from vision_core.training import Done, Event, Step

WORDS = [("much too much", -2), ("too much", -1), ("right", 0), ("too little", 1), ("much too little", 2)]


@told
def fine_tune(visit: Visit, *answers: Any) -> Iterator[tuple[Any, ...]]:
    """Store the ratings with the model and yield (progress, curves) of 150 epochs more.

    `answers` are the usages of all colours, then whether each is well placed.
    """
    with visits.alone(visit):
        model, source = visits.model(visit), visits.source(visit).visible
        usages, places = answers[: len(answers) // 2], answers[len(answers) // 2 :]
        ratings = [
            Rating(common.number(u, -2, 2, "A rating"), bool(p)) for u, p in zip(usages, places, strict=True)
        ]
        path = visit.path(visits.MODEL)
        earlier = feedback.read(path, model.palette)
        shares, misplaced = feedback.wishes(model.palette, [*earlier, ratings])
        done: list[Done] = []
        steps: list[Step] = []

        def events() -> Generator[Event]:
            for event in color.fine_tune(model, source, shares, misplaced):
                if isinstance(event, Done):
                    done.append(event)
                yield event

        with closing(events()) as stream:
            for progress, curves, _ in training.watched(stream, steps):
                yield progress, curves
        tuned = done[0].result
        color.save(tuned, path)
        feedback.add(path, model.palette, ratings)
        visits.keep_lut(visit, tuned)
        yield (
            note(f"Fine-tuned {len(steps)} epochs: the result above is the new one.", "good"),
            loss_curves(steps),
        )


def build(visit: gr.State, results: gr.State, refreshed: Sequence[tuple[Any, ...]]) -> None:
    """The tab's layout and wiring: a row a colour, made anew for every result.

    Args:
        results: changes when there is another model.
        refreshed: (function, inputs, outputs) of what to show again after a fine-tune.
    """
    gr.Markdown(
        "Is a colour used too little or too much, or in the wrong places? Say so, and the network trains "
        "150 epochs more towards it. Earlier ratings of the same model still count, the newest most."
    )

    @gr.render(inputs=visit, triggers=[results.change])
    def rows(current: Visit) -> None:
        usages, places = [], []
        for text in to_hex(visits.model(current).palette.colors):
            with gr.Row(equal_height=True, elem_classes="vc-rating"):
                gr.HTML(
                    f'<span class="vc-swatch"><i style="background:{text}"></i>{text}</span>', min_width=110
                )
                usages.append(gr.Radio(WORDS, value=0, label=f"{text} is used", min_width=320, scale=4))
                places.append(gr.Checkbox(True, label="in the right places", min_width=150, scale=1))
        start = gr.Button("Fine-tune with these ratings", variant="primary", elem_id="tune")
        progress, curves = gr.HTML(), gr.Plot(show_label=False, visible=False)
        start.click(lambda: gr.Plot(visible=True), outputs=curves, queue=False)
        event = start.click(
            fine_tune,
            [visit, *usages, *places],
            [progress, curves],
            show_progress="hidden",
            concurrency_id="heavy",
            concurrency_limit=common.HEAVY,
        )
        for function, inputs, outputs in refreshed:
            event = event.success(function, inputs, outputs)
