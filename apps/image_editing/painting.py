"""An edit as a job: its events are written into the folder of its result."""

import secrets
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict
from typing import Any

import numpy as np

from apps.image_editing import works
from apps.image_editing.visit import Visit, change
from apps.image_editing.works import Work
from apps.shared import gpu, jobs
from apps.shared.inputs import data_uri, whole
from apps.shared.jobs import Job, Stopped
from apps.shared.queue import HEAVY
from vision_core.editing import Candidate, Edit, Regions, draw_boxes, recipe
from vision_core.editing.recipe import Recipe
from vision_core.events import Done, Preview, Step
from vision_core.pictures import images
from vision_core.pictures.images import Picture

VIEW = 1280  # longest side of a picture on the page
PREVIEW = 256  # longest side of previews while painting
Events = Generator[Any, None, Any]


def seed_of(seed: Any, locked: bool) -> int:
    """The seed on the page when it is locked, else a new one."""
    return whole(seed, 0, 2**31, "The seed") if locked else secrets.randbelow(2**31)


def begin(
    visitor: Visit,
    picture: Picture,
    facts: dict[str, Any],
    make: Callable[[], Events],
    recipe_of: Callable[[Candidate], Recipe] | None = None,
    again: jobs.Again | None = None,
    versions: int = 1,
    words: str | None = None,
) -> None:
    """Create a result, show it on the page and start its edit, which runs when it is the visitor's turn.

    Args:
        facts: see `works.Work`.
        make: loads the models and yields the events of `editing.perform` or `editing.edit`.
        recipe_of: gives the recipe of a candidate that has none.
        again: see `jobs.begin`.
        versions: the expected number of candidates.
        words: shown until the first event; None if a large model is loaded first. On a Space, the edit then
            runs on a GPU, and `make` is pickled.
    """
    HEAVY.refuse_second(visitor.session.owner)
    work = works.create(visitor, width=picture.rgb.shape[1], **facts)
    images.save(Picture(images.shrink(picture.on_white().rgb, VIEW)), work.path("before.png"))

    def act(job: Job) -> str:
        recorder = Recorder(work, job, recipe_of, versions)
        job.tell(0, 0, words or "Loading the models …")
        with closing(gpu.stream(make) if words is None else make()) as events:
            for event in events:
                recorder.take(event)
                if job.stopping:
                    raise Stopped
        return ""

    jobs.begin(work.session, f"{work.name}/state", act, work.facts["kind"], again, candidates=[])
    change(visitor.session, result=work.name)


class Recorder:
    """Writes events as files and state into the folder of a result."""

    def __init__(
        self, work: Work, job: Job, recipe_of: Callable[[Candidate], Recipe] | None, planned: int = 1
    ) -> None:
        self.work, self.job, self.recipe_of, self.planned = work, job, recipe_of, planned

    def take(self, event: Any) -> None:
        done = len(self.job.facts["candidates"])
        match event:
            case Step(step, total, _, eta):
                whole, at = total * self.planned, done * total + step
                left = eta / (total - step) * (whole - at) if total > step else 0.0
                self.job.tell(at, whole, f"step {at} of {whole}", left)
            case Preview(title, image) if title == "saliency":
                images.save(Picture(images.shrink(image, 640)), self.work.path("saliency.png"))
            case Preview(title, image) if not title.startswith("anchor"):
                self.job.note(hurry=False, preview=data_uri(images.shrink(image, PREVIEW)))
            case Regions(regions, chosen):
                self.planned = len(chosen)
                boxes = [[box.left, box.top, box.right, box.bottom] for box in chosen]
                points = [[anchor.x, anchor.y] for anchor in regions.anchors]
                self.job.note(boxes=boxes, anchors=points, words="Painting …")
            case Candidate():
                candidate_recipe = event.recipe if self.recipe_of is None else self.recipe_of(event)
                assert candidate_recipe is not None
                self.keep(event, candidate_recipe)
                if self.recipe_of is None and done + 1 < self.planned:
                    self.job.tell(done + 1, self.planned, f"version {done + 2} of {self.planned}")
            case Done(Edit() as edit):
                if self.recipe_of is None:
                    self._keep_source(edit)
                self.job.facts.pop("preview", None)

    def keep(self, candidate: Candidate, candidate_recipe: Recipe) -> None:
        """Store a candidate with its recipe."""
        number = len(self.job.facts["candidates"])
        recipe.save(candidate.picture, candidate_recipe, self.work.path(f"candidate-{number}.png"))
        (self.work.path(f"candidate-{number}.json")).write_text(recipe.to_json(candidate_recipe), "utf-8")
        box = None if candidate.box is None else list(asdict(candidate.box).values())
        thumbnail = data_uri(images.shrink(candidate.picture.on_white().rgb, 160))
        entry = {"scores": candidate.scores, "box": box, "thumbnail": thumbnail}
        self.job.note(candidates=[*self.job.facts["candidates"], entry])

    def _keep_source(self, edit: Edit) -> None:
        """Store what the result is compared with; an extended picture on its larger, empty canvas."""
        if self.work.facts.get("task") == "extend":
            before = np.where(edit.mask[..., None], np.uint8(226), edit.source.on_white().rgb)
            images.save(Picture(images.shrink(before, VIEW)), self.work.path("before.png"))
        self.job.facts["changed"] = float((edit.picture.rgb != edit.source.rgb).any(2).mean())


def boxed(rgb: np.ndarray, boxes: Any, chosen: int | None) -> np.ndarray:
    """The picture with boxes from their four numbers drawn on it."""
    from vision_core.editing.regions import Box

    return draw_boxes(rgb, [Box(*box) for box in boxes], chosen)
