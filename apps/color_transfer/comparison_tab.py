"""Comparison: the trained map beside the classical methods, as pictures and as a table."""

from typing import Any

import gradio as gr

from apps import common
from apps.color_transfer import visit as visits
from apps.color_transfer.views import methods
from apps.color_transfer.visit import Visit
from apps.common import told
from vision_core.color import compare

LONGEST = 480  # the methods see pictures of this size: enough to judge, and seconds instead of minutes


@told
def run(visit: Visit) -> tuple[Any, ...]:
    """(gallery, table) of all methods on the visitor's picture."""
    source, target = visits.shrunk(visits.source(visit).rgb, LONGEST), visits.target(visit)
    target = None if target is None else visits.shrunk(target, LONGEST)
    model = visits.model(visit)
    entries = compare.compare(source, model.palette, model, target, visits.seconds(visit))
    given = [(source, "The picture")] + ([] if target is None else [(target, "The colours")])
    pictures = [*given, *((entry.image, entry.name) for entry in entries)]
    gallery = [(visits.shown(visit, rgb), name) for rgb, name in pictures]
    return gr.Gallery(gallery, visible=True), methods(compare.table(entries), dict(compare.COLUMNS))


def build(visit: gr.State) -> None:
    """The tab's layout and wiring."""
    gr.Markdown(
        "The same picture through the usual methods, none of which learns. Good is: many colours used, "
        "small distances, a high SSIM."
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
    start.click(run, visit, [gallery, table], concurrency_id="heavy", concurrency_limit=common.HEAVY)
