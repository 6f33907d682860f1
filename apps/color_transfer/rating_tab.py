"""Rating: say which colours are used too little or too much, and train a little more towards that."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from apps.color_transfer import looks
from apps.color_transfer.looks import Look
from apps.color_transfer.visit import Visit, change, current
from apps.shared import jobs
from apps.shared.faults import user_errors
from apps.shared.inputs import event_data, number
from apps.shared.jobs import Job
from apps.shared.visits import Session
from vision_core import color
from vision_core.color import feedback
from vision_core.color.feedback import Rating
from vision_core.color.palette_files import to_hex
from vision_core.events import Done, Step
from vision_core.files import parse_json

WORDS = (("much too little", 2), ("too little", 1), ("right", 0), ("too much", -1), ("much too much", -2))
JOB = "rating"
# For `js_on_load`: sends [[usage, whether it is well placed], ...]
RATED = """element.addEventListener('click', event => {
  if (!event.target.closest('[data-act=rate]')) return;
  const rows = [...element.querySelectorAll('.vc-ratings li')];
  const value = JSON.stringify(rows.map(row => [
    Number(row.querySelector('select').value), row.querySelector('input').checked]));
  trigger('click', {act: 'rate', value});
})"""


@user_errors
def rate(state: Session | None, event: gr.EventData) -> None:
    """`begin` with the ratings that the page sent."""
    begin(state, event_data(event, "value"), current(state).result)


def begin(state: Session | None, text: str, result: str) -> None:
    """Store the ratings of a result and train 150 more epochs, which give a new result."""
    visitor = current(state)
    look = looks.get(visitor, result)
    model = look.model
    ratings = read(text, len(model.palette.colors))
    earlier = feedback.read(look.path(looks.MODEL), model.palette)
    shares, misplaced = feedback.wishes(model.palette, [*earlier, ratings])

    def act(job: Job) -> str:
        tuned, steps, source = None, 0, look.source
        with closing(color.fine_tune(model, color.count_picture(source), shares, misplaced)) as events:
            for event in events:
                if isinstance(event, Done):
                    tuned = event.result
                elif isinstance(event, Step):
                    steps = event.step
                    job.tell(steps, event.total, "fine-tuning on your ratings", event.eta)
        assert tuned is not None
        title = f"Fine-tuned {steps} epochs on your ratings"
        of = replace(visitor, source=look.facts["source"], target=look.facts["target"])
        tuned_look = looks.create(of, "tuned", title, source, tuned.lut(), tuned)
        feedback.add(tuned_look.path(looks.MODEL), model.palette, ratings, before=look.path(looks.MODEL))
        change(visitor.session, result=tuned_look.name)
        return f"{title}."

    jobs.begin(visitor.session, JOB, act, again=(begin, [text, result]), look=look.name)


def read(text: str, colors: int) -> list[Rating]:
    """Parse and check the ratings from a browser."""
    try:
        rows = [(usage, placed) for usage, placed in parse_json(text[:10_000], "the ratings")]
    except (TypeError, ValueError) as error:
        raise ValueError("Those were no ratings of this palette") from error
    if len(rows) != colors:
        raise ValueError(f"{len(rows)} ratings came for {colors} colours: look at the result again")
    return [Rating(number(usage, -2, 2, "A rating"), bool(placed)) for usage, placed in rows]


def form(visitor: Visit, look: Look | None) -> str:
    """A row for each colour of a result; empty if there is no network to train."""
    if look is None or not visitor.result or not look.path(looks.MODEL).exists():
        return ""
    options = "".join(
        f'<option value="{usage}"{" selected" if usage == 0 else ""}>{words}</option>'
        for words, usage in WORDS
    )
    rows = "".join(
        f'<li><span class="vc-swatch" title="{text}"><i style="background:{text}"></i></span>'
        f'<select aria-label="{text} is used">{options}</select>'
        f'<label><input type="checkbox" checked aria-label="{text} is in the right places"> well placed'
        "</label></li>"
        for text in to_hex(look.model.palette.colors)
    )
    return (
        '<p class="vc-empty">How much is each colour used? The network trains 150 epochs more towards your '
        f'ratings.</p><ul class="vc-ratings">{rows}</ul><div class="vc-editor">'
        '<button type="button" data-act="rate" id="tune">Train on these ratings</button></div>'
    )


def build() -> tuple[gr.Accordion, gr.HTML]:
    """Build the folded section and the place for the rows of `form`; `app` connects them."""
    with gr.Accordion("Rate the colours", open=False, visible=False, elem_id="rating") as section:
        rows: Any = gr.HTML(js_on_load=RATED)
    return section, rows
