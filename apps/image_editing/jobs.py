"""An edit in a thread of its own, which writes what happens into its folder: no page must stay open."""

import threading
import time
from base64 import b64encode
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict
from functools import partial
from html import unescape
from io import BytesIO
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from apps.image_editing.works import Work
from apps.shared import gpu, visits
from apps.shared.faults import sentences
from apps.shared.queue import HEAVY, Left, Ticket
from vision_core.editing import Candidate, Edit, Regions, draw_boxes, recipe
from vision_core.editing.recipe import Recipe
from vision_core.events import Done, Preview, Step
from vision_core.pictures import images
from vision_core.pictures.images import Picture

VIEW = 1280  # longest side of a picture on the page
PREVIEW = 256  # longest side of what is shown while it is painted
EVERY = 0.3  # seconds between two notes for the page
Events = Generator[Any, None, Any]


def start(work: Work, make: Callable[[], Events], recipe_of: Callable[[Candidate], Recipe] | None) -> None:
    """Carry out an edit when it is the visitor's turn.

    Args:
        make: loads the models and gives the events of `editing.perform` or `editing.edit`.
        recipe_of: of one candidate, where they come one by one; without it, of the `Edit` at the end.
    """
    ticket = HEAVY.join(work.session.owner, work.facts["kind"])
    threading.Thread(target=_work, args=(ticket, work, make, recipe_of), daemon=True).start()


def stop(work: Work) -> None:
    """End the edit within a step; who still waits leaves the queue."""
    work.path("stop").touch()
    if HEAVY.leave_line(work.session.owner):
        _left(work)


def run(work: Work, make: Callable[[], Events], recipe_of: Callable[[Candidate], Recipe] | None) -> None:
    """As `start`, in this thread, when it is the visitor's turn already."""
    told = Told(work, recipe_of)
    try:
        with sentences(), visits.locked(work.session):
            told.note(words="Loading the models …")
            # a partial may be pickled, and needs a large model; what is not needs none
            with closing(gpu.stream(make) if isinstance(make, partial) else make()) as events:
                for event in events:
                    told.take(event)
                    if work.path("stop").exists():
                        told.note("stopped")
                        return
            told.note("done")
    except gr.Error as error:
        told.note("failed", words=unescape(str(error.message)))


def _work(
    ticket: Ticket,
    work: Work,
    make: Callable[[], Events],
    recipe_of: Callable[[Candidate], Recipe] | None,
) -> None:
    try:
        for _ in HEAVY.wait(ticket):
            pass
        run(work, make, recipe_of)
    except Left:
        _left(work)
    finally:
        HEAVY.leave(ticket)
        visits.return_memory()


def _left(work: Work) -> None:
    """Its visitor left the queue."""
    work.note(status="stopped", words="", step=0, total=0, eta=0, candidates=[])


class Told:
    """Turns events into files of the result's folder and into its state."""

    def __init__(self, work: Work, recipe_of: Callable[[Candidate], Recipe] | None) -> None:
        self.work, self.recipe_of = work, recipe_of
        self.state: dict[str, Any] = {"words": "", "step": 0, "total": 0, "eta": 0, "candidates": []}
        self.planned, self.source, self.noted = 1, None, 0.0

    def note(self, status: str = "working", **changes: Any) -> None:
        self.state |= changes
        self.work.note(status=status, **self.state)
        self.noted = time.monotonic()

    def take(self, event: Any) -> None:
        match event:
            case Step(step, total, _, eta):
                done = len(self.state["candidates"])
                whole = total * self.planned
                at = done * total + step
                left = eta / (total - step) * (whole - at) if total > step else 0.0
                self.state |= {"step": at, "total": whole, "eta": left}
                self._soon()
            case Preview(title, image) if title == "saliency":
                images.save(Picture(images.shrink(image, 640)), self.work.path("saliency.png"))
            case Preview(title, image) if not title.startswith("anchor"):
                self.state["preview"] = data_uri(images.shrink(image, PREVIEW))
                self._soon()
            case Regions(found, chosen):
                self.planned = len(chosen)
                boxes = [[box.left, box.top, box.right, box.bottom] for box in chosen]
                points = [[anchor.x, anchor.y] for anchor in found.anchors]
                self.note(boxes=boxes, anchors=points, words="")
            case Candidate() if self.recipe_of is not None:
                self.keep(event, self.recipe_of(event))
            case Done(Edit() as found):
                if self.recipe_of is None:
                    self._keep_source(found)
                    self.keep(found.candidates[0], found.recipe)
                self.state.pop("preview", None)

    def keep(self, candidate: Candidate, made: Recipe) -> None:
        """Store a candidate with its recipe."""
        number = len(self.state["candidates"])
        recipe.save(candidate.picture, made, self.work.path(f"candidate-{number}.png"))
        (self.work.path(f"candidate-{number}.json")).write_text(recipe.to_json(made), "utf-8")
        box = None if candidate.box is None else list(asdict(candidate.box).values())
        thumbnail = data_uri(images.shrink(candidate.picture.on_white().rgb, 160))
        entry = {"scores": candidate.scores, "box": box, "thumbnail": thumbnail}
        self.note(candidates=[*self.state["candidates"], entry], words="")

    def _keep_source(self, found: Edit) -> None:
        """An extended picture is compared with itself on a larger, still empty canvas."""
        if self.work.facts.get("task") == "extend":
            before = np.where(found.mask[..., None], np.uint8(226), found.source.on_white().rgb)
            images.save(Picture(images.shrink(before, VIEW)), self.work.path("before.png"))
        self.state["changed"] = float((found.picture.rgb != found.source.rgb).any(2).mean())

    def _soon(self) -> None:
        if time.monotonic() - self.noted > EVERY:
            self.note()


def data_uri(rgb: np.ndarray, kind: str = "JPEG") -> str:
    """A small picture inside a page."""
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{b64encode(buffer.getvalue()).decode()}"


def boxed(rgb: np.ndarray, boxes: Any, chosen: int | None) -> np.ndarray:
    """The picture with boxes from their four numbers drawn on it."""
    from vision_core.editing.regions import Box

    return draw_boxes(rgb, [Box(*box) for box in boxes], chosen)
