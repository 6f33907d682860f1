"""The training step: trains while the page watches, stops when asked, and keeps the model so far."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from apps.color_transfer import visit as visits
from apps.color_transfer.views import bar
from apps.color_transfer.visit import Visit, opened
from apps.common import duration, loss_curves, note, number, progress, read_upload, told, whole
from vision_core import color, runs
from vision_core.training import Preview, Step

REFRESH = 0.8  # seconds between two pictures of the training
THUMBNAIL = 384  # longest side of the preview
TERMS = tuple(color.LossWeights.__dataclass_fields__)


@told
def look(source: str | None) -> str:
    """Size, notes and own colours of the picture to recolour; its faults are told at once."""
    if not source:
        return ""
    picture = read_upload(source, "a picture to recolour")
    height, width = picture.rgb.shape[:2]
    words = ". ".join([f"{width:,} x {height:,} pixels, in these colours", *picture.notes])
    return note(words) + bar(color.extract(picture.visible))


@told
def train(
    visit: Visit,
    source: str | None,
    epochs: float,
    patience: float,
    lr: float,
    seed: float,
    head: str,
    *weights: float,
) -> Iterator[tuple[Any, ...]]:
    """Yield (visit, progress, curves, preview) until the model is trained or Stop was pressed.

    The visit is given once, at the start: the visitor may edit the palette meanwhile.
    """
    picture = read_upload(source, "a picture to recolour")
    palette = visit.palette
    if palette is None:
        raise ValueError("Please choose the colours to take: a picture or a palette file.")
    settings = color.Settings(
        epochs=whole(epochs, 1, 20_000, "The number of epochs"),
        patience=whole(patience, 0, 20_000, "The patience"),
        lr=number(lr, 1e-6, 1, "The learning rate"),
        seed=whole(seed, 0, 2**31, "The seed"),
        head=head,  # pyright: ignore[reportArgumentType]  # checked by the network
        weights=color.LossWeights(
            *(number(w, 0, 1000, f"The weight of {t}") for t, w in zip(TERMS, weights, strict=True))
        ),
    )
    visit = opened(visit)
    with visits.alone(visit):
        visits.keep_pictures(visit, str(source))
        thumbnail = visits.shrunk(picture.rgb, THUMBNAIL)
        yield visit, note("Counting the colours …"), gr.skip(), visits.shown(visit, thumbnail)
        model = visit.path(visits.MODEL)
        visits.forget_model(visit)
        events = color.train_run(
            visit.run.folder, picture.visible, palette, settings, save_to=model, thumbnail=thumbnail
        )
        steps: list[Step] = []
        with closing(events):  # closing the page closes the training
            for done, curves, preview in watched(events, steps):
                new = gr.skip() if preview is None else visits.shown(visit, preview)
                yield gr.skip(), done, curves, new
        words = f"{len(steps):,} of {settings.epochs:,} epochs in {duration(visits.seconds(visit))}"
        words = f"Trained {words}" if visit.run.status() == "done" else f"Stopped as you asked, after {words}"
        trained = visits.model(visit)
        last = visits.shown(visit, trained.preview(thumbnail))
        yield gr.skip(), note(f"{words}. Preparing the result …"), loss_curves(steps), last
        visits.keep_lut(visit, trained)
        yield gr.skip(), note(f"{words}.", "good"), gr.skip(), gr.skip()


def stop(visit: Visit) -> Any:
    """Ask the training to end after its current step."""
    if not visit.folder or visit.run.process() is None:
        return gr.skip()
    runs.request_stop(visit.run)
    return note("Stopping …")


def watched(events: Iterator[Any], steps: list[Step]) -> Iterator[tuple[Any, ...]]:
    """(progress, curves, preview or None) every now and then while the events run; fills `steps`."""
    preview, shown = None, 0.0
    for event in events:
        match event:
            case Step():
                steps.append(event)
            case Preview(image=image):
                preview = image
        if steps and time.monotonic() - shown > REFRESH:
            yield progress(steps[-1]), loss_curves(steps), preview
            preview, shown = None, time.monotonic()
