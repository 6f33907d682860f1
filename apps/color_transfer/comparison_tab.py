"""Comparison: the trained map beside the classical methods, as pictures and as a table."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from apps.color_transfer import looks, results
from apps.color_transfer.views import methods
from apps.color_transfer.visit import current
from apps.shared import visits
from apps.shared.faults import user_errors
from apps.shared.progress import note
from apps.shared.queue import HEAVY
from apps.shared.visits import Session
from vision_core.color import compare
from vision_core.pictures import images


@user_errors
def run(given: Session | None) -> Iterator[tuple[Any, ...]]:
    """(gallery, table) of all methods on the visitor's picture, at the size at which results are measured."""
    known = current(given)
    look = looks.get(known)
    model, target = look.model, look.target
    with HEAVY.ticket(known.session.owner, "compare") as turn:
        for waiting in turn:
            yield gr.skip(), note(waiting)
        source = images.shrink(images.shrink(look.source.on_white().rgb, looks.VIEW), results.MEASURED)
        wanted = None if target is None else images.shrink(target.on_white().rgb, results.MEASURED)
        entries = compare.compare(source, model.palette, model, wanted, looks.seconds(look))
    given_pictures = [(source, "The picture")] + ([] if wanted is None else [(wanted, "The colours")])
    pictures = [*given_pictures, *((entry.image, entry.name) for entry in entries)]
    gallery = [(visits.shown(known.session, rgb), name) for rgb, name in pictures]
    yield gr.Gallery(gallery, visible=True), methods(compare.table(entries), dict(compare.COLUMNS))


def build(visit: gr.State) -> list[gr.components.Component]:
    """The section's layout and wiring; the components to clear when there is another result."""
    gr.Markdown(
        "The same picture by the usual methods, none of which learns. The more colours in use, the smaller "
        "the distances and the higher the SSIM, the better."
    )
    start = gr.Button("Compare", variant="primary", elem_id="compare")
    gallery = gr.Gallery(
        label="Every method",
        format="png",
        height="max-content",
        object_fit="contain",
        interactive=False,
        visible=False,
        elem_id="methods",
        buttons=["fullscreen", "download"],
    )
    table = gr.HTML(elem_id="table")
    start.click(run, visit, [gallery, table], concurrency_limit=None)
    return [gallery, table]
