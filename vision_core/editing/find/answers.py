"""Segments what a person points at; each stroke corrects the mask so far.

From the third stroke on, a small thing is also segmented in a close-up: the encoder sees the part of the
picture around it, so that its mask has a finer resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vision_core.editing import masks
from vision_core.editing.find.segment import (
    ALIKE,
    CELLS,
    SIDE,
    Box,
    Choices,
    Click,
    Sam,
    Seen,
    alike,
    distinct,
)
from vision_core.editing.find.things import Thing, overlap

DAB = 3  # radius in cells of the correction where a mask contradicts a click
REMEMBERED = 24  # cached answers per picture, one megabyte each
SURFACES = ("dining table", "bed")  # objects whose box is no hint: a click may mean what lies on them
OFF_MIDDLE = 0.1  # added to how central a click is in a box, from 0 to 1
SURE = 8.0  # steepness of the votes: how much more a candidate with a better rating weighs
TRUST = 0.2  # added to the rating of the decoder's best answer to all clicks, or to a box
DOUBTFUL = (2.0, 5.0)  # added to the decoder's logits for parts of which it is less sure
MASKS = 4  # maximum number of alternatives
POINTS = 5  # maximum points per stroke for the decoder
FITTING = 2.0  # weight of how well a mask fits its box, beside the decoder's score
OUTSIDE = -4.0  # maximum logit outside a box
CLOSER = 3  # a close-up is made at this stroke, counting the box
SMALL = 0.6  # maximum side of a close-up, relative to the picture's longer side
MARGIN = 0.3  # margin of a close-up, relative to the longer side of its content


@dataclass(frozen=True)
class Prompt:
    """A prompt: a `box`, or none, and then strokes; a click is a stroke of one point.

    Args:
        strokes: points (x, y) in pixels of each stroke, and whether it adds to the mask.
        chosen: number of the mask chosen after each stroke (and the box); 0, the best, by default.
    """

    strokes: tuple[tuple[tuple[tuple[float, float], ...], bool], ...] = ()
    box: Box | None = None
    chosen: tuple[int, ...] = ()

    @property
    def clicks(self) -> tuple[Click, ...]:
        clicks: list[Click] = []
        for points, adds in self.strokes:
            some = np.unique(np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int))
            clicks += [(*points[k], adds) for k in some]
        return tuple(clicks)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of the mask chosen after each step: the box and every stroke."""
        steps = len(self.strokes) + (self.box is not None)
        return (*self.chosen, *[0] * steps)[:steps]


def answer(sam: Sam, seen: Seen, prompt: Prompt, rgb: np.ndarray | None = None) -> Choices:
    """Segment a picture by a prompt.

    Args:
        rgb: the picture, uint8 (H, W, 3), for close-ups.

    Raises:
        ValueError: the prompt is empty, or a point lies outside the picture.
    """
    if not prompt.strokes and prompt.box is None:
        raise ValueError("nothing was pointed at: a click, a stroke or a box was expected")
    for x, y, _ in prompt.clicks:
        if not (0 <= x <= seen.width and 0 <= y <= seen.height):
            raise ValueError(
                f"the point {x:g}, {y:g} lies outside a picture of {seen.width} x {seen.height} pixels"
            )
    steps = len(prompt.numbers)
    # which answer is chosen last changes none of them
    prompt = Prompt(prompt.strokes, prompt.box, prompt.numbers[:-1])
    if prompt not in seen.answers:
        choices = (
            _first_answer(sam, seen, prompt) if steps == 1 else _corrected(sam, seen, prompt, steps, rgb)
        )
        while len(seen.answers) >= REMEMBERED:
            seen.answers.pop(next(iter(seen.answers)))
        seen.answers[prompt] = choices
    return seen.answers[prompt]


def _first_answer(sam: Sam, seen: Seen, prompt: Prompt) -> Choices:
    """The masks for the box or the first stroke; a click on a detected object is also tried with its box."""
    clicks = prompt.clicks
    if prompt.box:
        return _boxed(sam, seen, prompt.box)
    guided = _object_choices(sam, seen, prompt)
    if len(clicks) > 1:
        return guided or sam.find(seen, clicks)
    choices = sam.find(seen, clicks)
    return _containing_first(_merged(guided, choices) if guided else choices, *clicks)


def _boxed(sam: Sam, seen: Seen, box: Box) -> Choices:
    """The masks in a box; they end at its sides.

    The decoder corrects its first answer with a click in the middle of it, which fills gaps. The masks of
    both vote, by their scores and how well they fit the box; the nearest to the result wins.
    """
    choices = sam.find(seen, box=box)
    share = seen.scale * CELLS / SIDE
    left, top, right, bottom = (share * side for side in box)
    outside = np.ones((CELLS, CELLS), bool)
    outside[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = False
    inside = (choices.logits[0] > 0) & ~outside
    if inside.any():
        y, x = masks.deepest(inside)
        middle = ((x + 0.5) / share, (y + 0.5) / share, True)
        better = sam.find(seen, [middle], box, choices.logits[0])
        scores = np.concatenate([better.scores, choices.scores])
        choices = Choices(seen, np.concatenate([better.logits, choices.logits]), scores)
    logits = np.where(outside, np.minimum(choices.logits, OUTSIDE), choices.logits)
    ratings = choices.scores + [FITTING * _fit(new > 0, (left, top, right, bottom)) for new in logits]
    ratings[0] += TRUST
    order = distinct(logits, _nearest_first(logits > 0, _vote(logits > 0, ratings)))[:MASKS]
    return Choices(seen, logits[order], choices.scores[order])


def _fit(mask: np.ndarray, box: Box) -> float:
    """The IoU of a box and the bounding box of a mask, both in cells."""
    if not mask.any():
        return 0.0
    rows, columns = masks.around(mask)
    return float(overlap(box, np.array([[columns.start, rows.start, columns.stop, rows.stop]]))[0])


def _vote(candidates: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """The share of the votes for each pixel, (H, W): masks (K, H, W) vote, weighted by their ratings (K,)."""
    votes = np.exp(SURE * (ratings - ratings.max()))
    return np.tensordot(votes / votes.sum(), candidates, 1)


def _nearest_first(candidates: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The order of masks (K, H, W) by their soft IoU with `shares`, (H, W) in [0, 1]."""
    nearness = [
        np.minimum(shares, mask).sum() / max(np.maximum(shares, mask).sum(), 1e-9) for mask in candidates
    ]
    return np.argsort(-np.array(nearness), kind="stable")


def _corrected(sam: Sam, seen: Seen, prompt: Prompt, steps: int, rgb: np.ndarray | None) -> Choices:
    """The previous mask, corrected by the last stroke; the best candidate comes first. All obey the clicks.

    Each candidate votes for its pixels, by its rating; the candidate nearest to the result of the vote wins.
    A stroke that corrects nothing changes nothing.
    """
    before = answer(sam, seen, Prompt(prompt.strokes[:-1], prompt.box, prompt.chosen[:-1]), rgb)
    number = prompt.chosen[-1] % len(before)
    near = _close_up(sam, before, number, prompt, rgb) if steps == CLOSER else before.seen
    if not all(_within((x, y), near.window) for x, y, _ in prompt.clicks):
        near = seen
    old, (points, adds) = before.on(near, number), prompt.strokes[-1]
    cells = [near.cell(x, y) for x, y in points]
    clicks = [(near.cell(x, y), sign) for x, y, sign in prompt.clicks]
    rest = [k for k in range(len(before)) if k != number]
    other_logits = np.array([before.on(near, k) for k in rest], np.float32).reshape(-1, CELLS, CELLS)
    others = Choices(near, other_logits, before.scores[rest])
    logits, scores = _candidates(sam, others, old, prompt, cells, adds)
    ratings = scores / 2 + [
        _central(old, new, cells, adds) + 2 * np.mean([(new[cell] > 0) == sign for cell, sign in clicks])
        for new in logits
    ]
    ratings[1] += TRUST
    wrong = any((old[cell] > 0) != adds for cell in cells)
    shares = _vote(logits > 0, ratings) if wrong else old > 0
    order = distinct(logits, _nearest_first(logits > 0, shares))[:MASKS]
    for new in (logits := logits[order]):
        obey(new, [*clicks, *((cell, adds) for cell in cells)], DAB, (-4.0, 4.0))
    return Choices(near, logits, scores[order])


def _candidates(
    sam: Sam, others: Choices, old: np.ndarray, prompt: Prompt, cells: list[tuple[int, int]], adds: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Corrections of the logits `old` by the last stroke, in `cells`: logits (K, 256, 256) and scores (K,).

    These are `old`, the decoder's masks (the best first) and `others`, whole and only where the stroke
    touches what they change; parts around the stroke of which the decoder was less sure; and, if the stroke
    takes away, the mask without the object there, for which the decoder is asked with all clicks reversed.
    """
    near = others.seen
    choices = sam.find(near, prompt.clicks, prompt.box if near.part is None else None, old)
    whole = np.concatenate([old[None], choices.logits, others.logits])
    doubtful = [choices.logits[0] + (more if adds else -more) for more in DOUBTFUL]
    logits = [*whole, *(_changed_near(old, new, cells, adds) for new in (*whole, *doubtful))]
    scores = [0.0, *choices.scores, *others.scores] * 2 + [choices.scores[0]] * len(DOUBTFUL)
    if not adds:
        things = sam.find(near, [(x, y, not sign) for x, y, sign in prompt.clicks])
        logits += [np.where(_touched(new > 0, cells), np.minimum(old, -new), old) for new in things.logits]
        scores += [*things.scores]
    return np.stack(logits).astype(np.float32), np.array(scores, np.float32)


def _central(old: np.ndarray, new: np.ndarray, cells: list[tuple[int, int]], adds: bool) -> float:
    """Whether the stroke lies in the middle of the largest change: the depth there, relative to the largest.

    People correct what is most wrong, and in the middle of it.
    """
    gained, lost = masks.depth((new > 0) & (old <= 0)), masks.depth((old > 0) & (new <= 0))
    here = max(float((gained if adds else lost)[cell]) for cell in cells)
    return here / max(float(gained.max()), float(lost.max()), 1e-6)


def obey(
    values: np.ndarray,
    clicks: Sequence[tuple[tuple[int, int], bool]],
    radius: int,
    levels: tuple[float, float] = (0, 1),
) -> None:
    """Correct a mask or logits, (H, W), in place: in a disc at each click that it contradicts.

    Args:
        clicks: row and column of each, and whether it adds. What is as near to one of the other kind stays.
        levels: the values of what is taken away, and of what is added.
    """
    for (y, x), adds in clicks:
        if (values[y, x] > 0) == adds:
            continue
        top, left = max(0, y - radius), max(0, x - radius)
        part = values[top : y + radius + 1, left : x + radius + 1]
        rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        away = np.hypot(rows - y, columns - x)
        disc = away <= radius
        for other, sign in clicks:
            if sign != adds and other != (y, x):
                disc &= away < np.hypot(rows - other[0], columns - other[1])
        part[disc] = levels[adds]


def _changed_near(old: np.ndarray, new: np.ndarray, cells: list[tuple[int, int]], adds: bool) -> np.ndarray:
    """The logits `old`, (256, 256), with `new` in the connected parts that a stroke adds or removes."""
    return np.where(_touched((new > 0) & (old <= 0) if adds else (new <= 0) & (old > 0), cells), new, old)


def _touched(mask: np.ndarray, cells: list[tuple[int, int]]) -> np.ndarray:
    """The connected parts of a mask that contain one of the cells."""
    _, places = cv2.connectedComponents(mask.astype(np.uint8))
    return np.isin(places, [number for number in {places[cell] for cell in cells} if number])


def _close_up(sam: Sam, choices: Choices, number: int, prompt: Prompt, rgb: np.ndarray | None) -> Seen:
    """Encode a close-up of a small object and all clicks; for a large one, keep the encoding there is."""
    mask = choices.mask(number)
    if rgb is None or not mask.any():
        return choices.seen
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    across = [columns[0], columns[-1], *(x for x, _, _ in prompt.clicks)]
    down = [rows[0], rows[-1], *(y for _, y, _ in prompt.clicks)]
    more = MARGIN * max(max(across) - min(across), max(down) - min(down))
    left, top = max(0, int(min(across) - more)), max(0, int(min(down) - more))
    right, bottom = (
        min(side, int(max(positions) + more) + 1)
        for side, positions in zip((choices.seen.width, choices.seen.height), (across, down), strict=True)
    )
    if max(right - left, bottom - top) > SMALL * max(choices.seen.height, choices.seen.width):
        return choices.seen
    return sam.see(rgb, part=(left, top, right, bottom))


def _object_choices(sam: Sam, seen: Seen, prompt: Prompt) -> Choices | None:
    """The masks for the first stroke and the box of the detected object that it probably means.

    None if there is no object, or its mask does not contain the stroke.
    """
    points, adds = prompt.strokes[0]
    candidates = [
        thing
        for thing in seen.things
        if thing.name not in SURFACES and all(_within(point, thing.box) for point in points)
    ]
    if not adds or not candidates:
        return None
    x, y = np.mean(points, 0)
    thing = max(candidates, key=lambda thing: _meant(thing, x, y))
    choices = sam.find(seen, prompt.clicks, thing.box)
    return choices if choices.logits[0][seen.cell(*points[0])] > 0 else None


def _meant(thing: Thing, x: float, y: float) -> float:
    """How likely a point in an object's box means it: people click in the middle, also of small things."""
    left, top, right, bottom = thing.box
    width, height = max(right - left, 1), max(bottom - top, 1)
    central = 4 * min(x - left, right - x) / width * min(y - top, bottom - y) / height
    return (central + OFF_MIDDLE) * thing.score / float(np.sqrt(width * height))


def _containing_first(choices: Choices, click: Click) -> Choices:
    """Sort the choices: those that contain the click come first."""
    y, x = choices.seen.cell(*click[:2])
    order = np.argsort(choices.logits[:, y, x] <= 0, kind="stable")
    return Choices(choices.seen, choices.logits[order], choices.scores[order])


def _within(point: tuple[float, float], box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _merged(first: Choices, others: Choices) -> Choices:
    """The best mask of `first`, followed by those of `others` that differ from it."""
    new = [k for k, logits in enumerate(others.logits) if alike(first.logits[0], logits) < ALIKE]
    scores = np.concatenate([first.scores[:1], others.scores[new]])
    return Choices(first.seen, np.concatenate([first.logits[:1], others.logits[new]]), scores)
