"""Rating: say which colours are used too little or too much, and train a little more towards that."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from apps.color_transfer import looks
from apps.color_transfer.visit import change, current
from apps.shared.faults import user_errors
from apps.shared.inputs import number
from apps.shared.progress import note, training
from apps.shared.queue import HEAVY
from apps.shared.visits import Session
from vision_core import color
from vision_core.color import feedback
from vision_core.color.feedback import Rating
from vision_core.color.palette_files import to_hex
from vision_core.events import Done, Step

WORDS = [("much too much", -2), ("too much", -1), ("right", 0), ("too little", 1), ("much too little", 2)]
EVERY = 10  # epochs between two updates of the page


@user_errors
def fine_tune(given: Session | None, *answers: Any) -> Iterator[str]:
    """Store the ratings and yield the progress of 150 epochs more, which make a result of their own.

    `answers` are the usages of all colours, then whether each is well placed.
    """
    known = current(given)
    look = looks.get(known)
    model, source = look.model, look.source
    usages, places = answers[: len(answers) // 2], answers[len(answers) // 2 :]
    ratings = [Rating(number(u, -2, 2, "A rating"), bool(p)) for u, p in zip(usages, places, strict=True)]
    earlier = feedback.read(look.path(looks.MODEL), model.palette)
    shares, misplaced = feedback.wishes(model.palette, [*earlier, ratings])
    tuned, steps = None, 0
    with HEAVY.ticket(known.session.owner, "rating") as turn:
        for waiting in turn:
            yield note(waiting)
        with closing(color.fine_tune(model, color.count_picture(source), shares, misplaced)) as events:
            for event in events:
                if isinstance(event, Done):
                    tuned = event.result
                elif isinstance(event, Step):
                    steps = event.step
                    if steps % EVERY == 0:
                        yield training(event)
        assert tuned is not None
        title = f"Fine-tuned {steps} epochs on your ratings"
        made = looks.create(
            replace(known, source=look.facts["source"], target=look.facts["target"]), "tuned", title
        )
        looks.keep_view(made, source)
        color.save(tuned, made.path(looks.MODEL))
        feedback.add(made.path(looks.MODEL), model.palette, ratings, before=look.path(looks.MODEL))
        looks.keep_lut(made, tuned.lut())
    change(known.session, result=made.name)
    yield note(f"{title}: the result above is the new one.", "good")


def build(visit: gr.State, done: gr.State, refresh: tuple[Any, ...]) -> None:
    """The section's layout and wiring: a row a colour, made anew for every result.

    Args:
        done: changes when there is another result.
        refresh: (function, inputs, outputs) of what to show again after a fine-tune.
    """
    gr.Markdown(
        "Is a colour used too little or too much, or in the wrong places? Say so, and the network trains "
        "150 epochs more towards it. Earlier ratings of the same model still count, the newest most."
    )
    state = gr.HTML()

    @gr.render(inputs=[visit, done], triggers=[done.change])
    def rows(given: Session | None, name: str) -> None:
        look = looks.get(current(given), name) if given and name else None
        if look is None or not look.path(looks.MODEL).exists():
            return
        usages, places = [], []
        for text in to_hex(look.model.palette.colors):
            with gr.Row(equal_height=True, elem_classes="vc-rating"):
                gr.HTML(
                    f'<span class="vc-swatch"><i style="background:{text}"></i>{text}</span>', min_width=110
                )
                usages.append(gr.Radio(WORDS, value=0, label=f"{text} is used", min_width=280, scale=4))
                places.append(gr.Checkbox(True, label=f"{text} in the right places", min_width=150, scale=1))
        start = gr.Button("Fine-tune with these ratings", variant="primary", elem_id="tune")
        tuned = start.click(
            fine_tune, [visit, *usages, *places], state, show_progress="hidden", concurrency_limit=None
        )
        tuned.success(*refresh, show_progress="hidden")
