"""Edits a picture where it should be edited, and leaves the rest untouched."""

import re
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch

from vision_core import checkpoints
from vision_core.editing import compose, masks, matting, packed, recipe, regions, tasks
from vision_core.editing.anchor_net import AnchorNet, pool
from vision_core.editing.fill import strips
from vision_core.editing.fill.inpainting import Painter
from vision_core.editing.find import shadow
from vision_core.editing.find.saliency import Look, Looker
from vision_core.editing.materials import Material
from vision_core.editing.recipe import Recipe
from vision_core.editing.regions import Anchor, Box
from vision_core.editing.scoring import Clip, Weighting
from vision_core.editing.tasks import EditPlan, named
from vision_core.events import Done, Event, Preview
from vision_core.files import write_json
from vision_core.pictures import images
from vision_core.pictures.images import Picture

SCORES = "scores.json"  # in the folder of an edit


@dataclass(frozen=True, eq=False)
class Candidate:
    """One edit: the picture, its box (None for a mask), its scores by name, and its recipe.

    The recipe is None if it equals the edit's recipe with this box.
    """

    picture: Picture
    box: Box | None
    scores: dict[str, float] = field(default_factory=dict)
    recipe: Recipe | None = None


@dataclass(frozen=True, eq=False)
class Edit:
    """The result of an edit: all candidates, best first, the number of the chosen one, and the recipe."""

    source: Picture
    candidates: list[Candidate]
    recipe: Recipe
    mask: np.ndarray
    chosen: int = 0

    @property
    def picture(self) -> Picture:
        return self.candidates[self.chosen].picture


@dataclass(frozen=True)
class Blending:
    """Blending at the edge: `colors` removes a colour shift, `poisson` a step."""

    colors: bool = True
    poisson: bool = False


def paint(
    picture: Picture, chosen: EditPlan, painter: Painter, blending: Blending | None = None
) -> Generator[Event, None, Picture]:
    """Carry out one plan: steps and previews, and the picture; outside the mask it is bit-identical."""
    blending = blending or Blending()
    rgb, mask = picture.seen, masks.check(chosen.mask, *picture.rgb.shape[:2])
    least = min(rgb.shape[:2]) if painter.whole else (painter.side or 0) // 2
    where = compose.window(mask, chosen.padding, least, square=painter.side is not None)
    inside = where.slices
    painted = yield from painter.paint(rgb[inside], mask[inside], chosen.prompt, chosen.seed, chosen.strength)
    if chosen.selection is not None and isinstance(painter, Material):
        painted = matting.cut(rgb[inside], mask[inside], chosen.selection[inside], painted)
    if blending.colors and painter.takes_text:
        painted = compose.match_colors(painted, rgb[inside], mask[inside])
    if blending.poisson:
        painted = compose.poisson(painted, rgb[inside], mask[inside])
    return picture.with_rgb(compose.paste(picture.rgb, painted, where, mask, chosen.feather))


def perform(
    picture: Picture,
    task: str,
    painter: Painter | Sequence[Painter],
    *,
    mask: np.ndarray | None = None,
    prompt: str = "",
    seed: int = 0,
    strength: float | None = None,
    padding: float | None = None,
    feather: float | None = None,
    edge: float | None = None,
    with_shadow: bool | None = None,
    sides: tuple[int, int, int, int] = (0, 0, 0, 0),
    blending: Blending | None = None,
) -> Generator[Event | Candidate]:
    """Perform one of the ten tasks: yields each painter's `Candidate`, and finally `Done` with the `Edit`.

    Args:
        painter: several give as many candidates, of which the first is chosen.
        mask: bool (H, W); None takes the task's own.
        strength, padding, feather, edge: as `tasks.plan`'s; None takes the task's own.
        with_shadow: the shadow that the marked thing casts is lifted, or stays with a thing that stays. None
            lifts that of a thing that is removed, or replaced by a cut-out.
        sides: for `extend`: pixels to add at left, top, right and bottom.

    Raises:
        ValueError: as `tasks.plan`; the painter takes no text and the task needs it.
    """
    blending = blending or Blending()
    painters = painter if isinstance(painter, Sequence) else [painter]
    kind = named(task)
    _check_painters(task, painters)
    canvas, user_mask, cast = picture, mask, None
    if with_shadow is None:
        with_shadow = task == "remove" or any(_stands_instead(one, task) for one in painters)
    if with_shadow and mask is not None:
        cast = shadow.find(picture.seen, masks.check(mask, *picture.rgb.shape[:2]))
        if cast and kind.inverse:
            mask = mask | cast.mask
        elif cast:
            canvas = picture.with_rgb(cast.lift(picture.rgb))
    if task == "extend":
        canvas, mask = _extended(picture, sides)
        edge = edge or 0
    height, width = canvas.rgb.shape[:2]
    edge = tasks.around(task, height, width, feather) if edge is None else edge
    chosen = tasks.plan(task, height, width, mask, prompt, seed, strength, padding, feather, edge)
    options = {name: getattr(chosen, name) for name in ("strength", "padding", "feather")}
    options |= {"edge": edge, "shadow": with_shadow, "sides": list(sides)} | asdict(blending)
    plain = Recipe(
        task,
        prompt,
        seed=seed,
        mask="" if user_mask is None else packed.pack_mask(user_mask),
        versions=recipe.versions("torch", "opencv-python-headless", "pypatchmatch"),
    )
    candidates, recipes = [], []
    for backend in painters:
        if task == "extend" and backend.name == "classical":
            result = yield from strips.paint(canvas, chosen, backend)
        elif _stands_instead(backend, task):
            result, chosen = yield from _put_instead(canvas, chosen, backend, blending)
        else:
            result = yield from paint(canvas, chosen, backend, blending)
        recipes.append(replace(plain, backend=backend.name, options=options | backend.options))
        candidates.append(Candidate(result, None, recipe=recipes[-1]))
        yield candidates[-1]
    before = canvas if task == "extend" else picture
    changed = chosen.mask | cast.mask if cast and not kind.inverse else chosen.mask
    yield Done(Edit(before, candidates, recipes[0], changed))


def _stands_instead(painter: Painter, task: str) -> TypeGuard[Material]:
    """Whether a cut-out replaces the selected thing, which is removed."""
    return task == "replace" and isinstance(painter, Material) and painter.outline is not None


def _put_instead(
    canvas: Picture, chosen: EditPlan, cutout: Material, blending: Blending
) -> Generator[Event, None, tuple[Picture, EditPlan]]:
    """Remove the selected thing and put a cut-out in its place: the picture, and the plan with both masks."""
    assert cutout.outline and chosen.selection is not None
    mask, emptied = chosen.mask, canvas
    if cutout.remover:
        plan = tasks.plan("remove", mask.shape[0], mask.shape[1], chosen.selection, seed=chosen.seed)
        emptied = yield from paint(canvas, plan, cutout.remover, blending)
        mask = mask | plan.mask
    covered = cutout.outline(chosen.selection)
    painted = yield from cutout.paint(emptied.seen, chosen.selection, strength=chosen.strength)
    rgb = np.where(covered[..., None], painted, emptied.rgb)
    return canvas.with_rgb(rgb), replace(chosen, mask=mask | covered)


def _check_painters(task: str, painters: Sequence[Painter]) -> None:
    if named(task).generative and any(painter.name in ("classical", "lama") for painter in painters):
        raise ValueError(
            f"{task} needs something to paint with: a text model (--backend tiny or diffusers), or a "
            "picture, a colour or a blur as material"
        )


def reach(
    picture: Picture, task: str, mask: np.ndarray, edge: float | None = None, with_shadow: bool = False
) -> np.ndarray:
    """The pixels that `perform` may change for a marked `mask`, bool (H, W)."""
    kind, (height, width) = named(task), mask.shape
    cast = shadow.find(picture.seen, mask) if with_shadow else None
    shade = np.zeros_like(mask) if cast is None else cast.mask
    edge = tasks.around(task, height, width) if edge is None else edge
    if kind.inverse:
        return masks.grow(~(mask | shade), edge)
    return masks.grow(mask, edge) | shade


def _extended(picture: Picture, sides: tuple[int, int, int, int]) -> tuple[Picture, np.ndarray]:
    """The picture on its larger canvas, and the mask of the new pixels and of a frame beside them."""
    rgb, mask = compose.extend(picture.seen, *sides, seam=0)
    left, top, right, bottom = (
        side and side + rim for side, rim in zip(sides, compose.frame(picture.seen), strict=True)
    )
    mask[:top], mask[mask.shape[0] - bottom :], mask[:, :left], mask[:, mask.shape[1] - right :] = (True,) * 4
    alpha = None if picture.alpha is None else _frame(picture.alpha, sides)
    wide = None if picture.wide is None else rgb * np.uint16(257)
    if wide is not None and picture.wide is not None:  # what was there keeps its 16 bits
        (left, top, *_), (height, width) = sides, picture.rgb.shape[:2]
        wide[top : top + height, left : left + width] = picture.wide[..., :3]
    return replace(picture, rgb=rgb, alpha=alpha, wide=wide), mask


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidate regions: the saliency, the anchors, and the boxes (K x M) of every size around each."""

    look: Look
    anchors: list[Anchor]
    boxes: list[list[Box]]
    sizes: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Regions:
    """The candidate regions, and the box at each anchor that will be painted."""

    proposals: Proposals
    chosen: list[Box]


def find_regions(picture: Picture, saliency: Looker, count: int = 9, max_window: int = 15) -> Proposals:
    """Anchors at the peaks of the saliency, and the boxes around them."""
    look = saliency.look(picture.seen)
    count = min(count, look.saliency.size)
    anchors, sizes = regions.anchors(look.saliency, count), regions.window_sizes(max_window)
    height, width = picture.rgb.shape[:2]
    boxes = [[regions.box(anchor, size, height, width) for size in sizes] for anchor in anchors]
    return Proposals(look, anchors, boxes, sizes)


def pooled(proposals: Proposals, height: int, width: int) -> torch.Tensor:
    """The input of AnchorNet: the features inside every box, (K, M, C, 8, 8)."""
    sides = torch.tensor([width, height, width, height])
    flat = torch.tensor([[b.left, b.top, b.right, b.bottom] for row in proposals.boxes for b in row]) / sides
    return pool(proposals.look.features, flat).unflatten(0, (len(proposals.anchors), len(proposals.sizes)))


def choose_sizes(network: AnchorNet | None, proposals: Proposals, height: int, width: int) -> list[int]:
    """The index of the size at each anchor: the most probable one, or without a network the middle one."""
    if network is None:
        return [len(proposals.sizes) // 2] * len(proposals.anchors)
    with torch.inference_mode():
        return network.eval()(pooled(proposals, height, width)).argmax(1).tolist()


def edit(
    picture: Picture,
    caption: str,
    prompt: str,
    painter: Painter,
    saliency: Looker,
    clip: Clip,
    network: AnchorNet | None = None,
    *,
    anchors: int = 9,
    max_window: int = 15,
    seed: int = 0,
    weighting: Weighting | None = None,
    blending: Blending | None = None,
) -> Generator[Event | Regions | Candidate]:
    """Find regions, paint one box at each anchor, and rank what came out.

    Yields the saliency and the chosen boxes, then each candidate as soon as it is painted, as a `Preview` and
    with its scores; `Done` holds the `Edit` with all candidates, the best first.

    Args:
        caption: what the picture shows; it gives the direction of the change.
        network: chooses the sizes; None takes the middle one.

    Raises:
        ValueError: no prompt, or as `find_regions` and the painter.
    """
    if not prompt.strip():
        raise ValueError("the prompt is empty: say what the picture shall show")
    weighting, height, width = weighting or Weighting(), *picture.rgb.shape[:2]
    proposals = find_regions(picture, saliency, anchors, max_window)
    yield Preview("saliency", _grey(proposals.look.saliency, height, width))
    sizes = choose_sizes(network, proposals, height, width)
    chosen = [row[size] for row, size in zip(proposals.boxes, sizes, strict=True)]
    yield Regions(proposals, chosen)
    scores, candidates = clip.judge(picture.seen, caption, prompt, weighting), []
    for number, box in enumerate(chosen):
        plan = EditPlan(box.mask(height, width), prompt, seed=seed)
        painted = yield from _without_previews(paint(picture, plan, painter, blending))
        yield Preview(f"anchor {number}", painted.on_white().rgb)
        candidates.append(Candidate(painted, box, scores(painted.seen)))
        yield candidates[-1]
    ranked = sorted(candidates, key=lambda candidate: -candidate.scores["score"])
    best = ranked[0].box
    assert best is not None
    edit_recipe = run_recipe(best, caption, prompt, painter, seed, anchors, max_window)
    yield Done(Edit(picture, ranked, edit_recipe, best.mask(height, width)))


def run_recipe(
    box: Box,
    caption: str,
    prompt: str,
    painter: Painter,
    seed: int = 0,
    anchors: int = 9,
    max_window: int = 15,
) -> Recipe:
    """The recipe of the candidate in one box, which its PNG holds."""
    return Recipe(
        task="run",
        prompt=prompt,
        caption=caption,
        backend=painter.name,
        seed=seed,
        box=(box.left, box.top, box.right, box.bottom),
        options={"anchors": anchors, "max_window": max_window, **painter.options},
        versions=recipe.versions("torch", "diffusers", "transformers", "open_clip_torch"),
    )


def draw_boxes(rgb: np.ndarray, boxes: Sequence[Box], chosen: int | None = None) -> np.ndarray:
    """The picture with the boxes drawn on it, the chosen one in a stronger line; uint8 (H, W, 3)."""
    import cv2

    result, thick = rgb.copy(), max(1, min(rgb.shape[:2]) // 150)
    for number, box in enumerate(boxes):
        color, line = ((255, 196, 0), 2 * thick) if number == chosen else ((255, 255, 255), thick)
        corner = (box.right - 1, box.bottom - 1)
        cv2.rectangle(result, (box.left, box.top), corner, (0, 0, 0), line + 2)
        cv2.rectangle(result, (box.left, box.top), corner, color, line)
    return result


def write(result: Edit, folder: str | Path, number: int = 0, key: str = "") -> Path:
    """Write an edit as `{number}_{caption}/` under `folder`: input, boxes, results, the chosen one, scores.

    Boxes and results are numbered by their rank, 0 for the best. Every result carries its recipe. Returns the
    folder; an older one of that name is overwritten. The scores, written last, mark it as complete.

    Args:
        key: a hash of everything that determines the result, stored with the scores.
    """
    place = Path(folder) / folder_of(result.recipe.caption or result.recipe.task, number)
    (place / SCORES).unlink(missing_ok=True)
    images.save(result.source, place / "input_image.png")
    boxes = [c.box for c in result.candidates if c.box]
    entries = []
    for index, candidate in enumerate(result.candidates):
        file = f"results/{number}_{slug(result.recipe.prompt or result.recipe.task)}_rank{index}.png"
        edit_recipe = result.recipe
        if candidate.box:
            b = candidate.box
            edit_recipe = replace(edit_recipe, box=(b.left, b.top, b.right, b.bottom))
            overview = draw_boxes(result.source.on_white().rgb, boxes, boxes.index(b))
            images.save(Picture(overview), place / f"boxes/{number}_rank{index}.png")
        recipe.save(candidate.picture, edit_recipe, place / file)
        box = None if candidate.box is None else list(edit_recipe.box or ())
        entries.append({"file": file, "box": box, "scores": candidate.scores})
    recipe.save(result.picture, result.recipe, place / "final_output.png")
    kept = {"key": key} if key else {}
    write_json(place / SCORES, {"chosen": result.chosen, "candidates": entries, **kept})
    return place


def folder_of(caption: str, number: int) -> str:
    """The name of the folder of an edit."""
    return f"{number}_{slug(caption)}"


def slug(text: str) -> str:
    """Words as part of a file name: letters, digits and dashes, at most 60."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-_")[:60].rstrip("-") or "edit"


def load_anchor_net(path: str | Path) -> AnchorNet:
    """A trained AnchorNet; anything else is a `ValueError`."""
    return checkpoints.load(path, AnchorNet)[0]


def _without_previews(events: Generator[Event, None, Picture]) -> Generator[Event, None, Picture]:
    """Pass on the steps of one candidate, but not its previews: nine in turn would flicker."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if not isinstance(event, Preview):
            yield event


def _grey(saliency: np.ndarray, height: int, width: int) -> np.ndarray:
    level = (np.clip(saliency, 0, 1) * 255).astype(np.uint8)
    return compose.resize(np.repeat(level[..., None], 3, 2), height, width)


def _frame(alpha: np.ndarray, sides: tuple[int, int, int, int]) -> np.ndarray:
    left, top, right, bottom = sides
    return np.pad(alpha, ((top, bottom), (left, right)), constant_values=255)
