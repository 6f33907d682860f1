"""Comparison: the trained map beside the classical methods, as pictures and as a table."""

from typing import Any

import gradio as gr

from apps.color_transfer import looks, results
from apps.color_transfer.views import methods
from apps.color_transfer.visit import current
from apps.shared import jobs, wiring
from apps.shared.faults import user_errors
from apps.shared.jobs import Job
from apps.shared.visits import Session
from vision_core.color import compare
from vision_core.files import read_json, write_json
from vision_core.pictures import images
from vision_core.pictures.images import Picture

JOB, FILE = "compare", "comparison.json"  # FILE is stored in the folder of the result


@user_errors
def begin(state: Session | None) -> None:
    """Compare all methods on the visitor's picture, at the size at which results are measured."""
    visitor = current(state)
    look = looks.get(visitor)
    model = look.model

    def act(job: Job) -> str:
        job.tell(0, 1, "every method on your picture")
        source = images.shrink(images.shrink(look.source.on_white().rgb, looks.VIEW), results.MEASURED)
        target = look.target
        reference = None if target is None else images.shrink(target.on_white().rgb, results.MEASURED)
        entries = compare.compare(source, model.palette, model, reference, looks.seconds(look))
        pictures = [("The picture", source)] + ([] if reference is None else [("The colours", reference)])
        pictures += [(entry.name, entry.image) for entry in entries]
        for number, (_, rgb) in enumerate(pictures):
            images.save(Picture(rgb), look.path(f"method-{number}.png"))
        names = [name for name, _ in pictures]
        write_json(look.path(FILE), {"names": names, "rows": compare.table(entries)})
        return f"{len(entries)} methods compared."

    jobs.begin(visitor.session, JOB, act, again=(begin, []), look=look.name)


@user_errors
def follow(state: Session | None) -> tuple[Any, ...]:
    """(gallery, table, words, Stop, Start, timer)."""
    look, words, buttons = looks.outcome(current(state), JOB, FILE)
    if look is None:
        return gr.Gallery(visible=False), "", words, *buttons
    comparison = read_json(look.path(FILE))
    gallery = [(str(look.path(f"method-{n}.png")), name) for n, name in enumerate(comparison["names"])]
    table = methods(comparison["rows"], dict(compare.COLUMNS))
    return gr.Gallery(gallery, visible=True), table, words, *buttons


def build(visit: gr.State) -> wiring.Look:
    """The section's layout and wiring; what shows its state."""
    gr.Markdown(
        "The same picture by the usual methods, which learn nothing. More colours in use, smaller distances "
        "and a higher SSIM are better."
    )
    start = gr.Button("Compare", variant="primary", elem_id="compare")
    words = gr.HTML(elem_id="compare-words")
    stopper = gr.Button("Stop", variant="stop", visible=False)
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
    return wiring.job(visit, start, begin, [], follow, [gallery, table, words], stopper)
