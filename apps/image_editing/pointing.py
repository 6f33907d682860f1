"""Clicks, strokes and boxes on the picture, each a step that goes on with the thing pointed at before."""

import json
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace

import numpy as np

from apps.image_editing.visit import Visit, mask_of, with_mask
from apps.shared import visits
from vision_core.editing import masks
from vision_core.editing.find import eyes
from vision_core.editing.find.segment import Prompt, Seen
from vision_core.files import parse_json
from vision_core.pictures.images import Picture

KEPT = 6  # pictures whose looks stay in memory, two megabytes each
AGAIN = 0.015  # of the longer side: a click so near the last one asks for the next answer
STROKES = 20  # that one thing takes

_seen: OrderedDict[str, Seen] = OrderedDict()
_looking = threading.Lock()


@dataclass(frozen=True)
class Pointed:
    """What a step pointed at.

    Args:
        base: name of the mask before the thing was pointed at, "" for none.
        takes: the thing is taken from the mask.
    """

    prompt: Prompt
    base: str = ""
    takes: bool = False


def seen_of(known: Visit, picture: Picture) -> Seen:
    """What the networks saw in the visit's picture: in memory, beside the picture, or found out now."""
    path = known.session.path(f"{known.source}.seen")
    with _looking:
        if (name := str(path)) not in _seen:
            try:
                _seen[name] = Seen.decode(path.read_bytes())
            except (OSError, ValueError, KeyError):  # not there, or cut off when the disk was full
                _seen[name] = eyes.shared().see(picture.seen)
                data = _seen[name].encode()
                visits.make_room(known.session, len(data))
                visits.opened(known.session).path(path.name).write_bytes(data)
            while len(_seen) > KEPT:
                _seen.popitem(last=False)
        _seen.move_to_end(name)
        return _seen[name]


def point(known: Visit, picture: Picture, tool: str, takes: bool, at: list[tuple[float, float]]) -> Visit:
    """The visit after a click, a stroke (tool `click`) or a box (tool `around`) at points (x, y) in pixels.

    A click where the last one was goes on to the next answer: a part, or the whole. A click elsewhere on the
    same thing mends it; anywhere else it is another thing.

    Raises:
        ValueError: there is nothing to take away, or nothing was found.
    """
    seen, before = seen_of(known, picture), mask_of(known, picture)
    if takes and before is None:
        raise ValueError("Nothing is marked yet: there is nothing to unmark")
    if tool == "around":
        (left, top), (right, bottom) = np.min(at, axis=0), np.max(at, axis=0)
        step = Pointed(
            Prompt(box=(float(left), float(top), float(right), float(bottom))), known.mask_name, takes
        )
    else:
        step = _next(seen, last(known), tuple(at), takes) or Pointed(
            Prompt(((tuple(at), True),)), known.mask_name, takes
        )
    found = eyes.shared().mark(picture.seen, step.prompt, seen)
    base = None
    if step.base:
        base = masks.read(known.session.path(step.base), *picture.rgb.shape[:2])
    if step.takes:
        mask = None if base is None else base & ~found
    else:
        mask = found if base is None else base | found
    if mask is None or not found.any():
        raise ValueError("Nothing was found there: draw a box around the thing, or use the brush")
    return with_mask(known, mask, json.dumps(asdict(step)))


def last(known: Visit) -> Pointed | None:
    """What the last step pointed at; None where it was another kind of step."""
    done = known.steps[known.at - 1][1] if known.at else ""
    if not done.startswith("{"):
        return None
    kept = parse_json(done, "the step")
    prompt = kept["prompt"]
    strokes = tuple((tuple((x, y) for x, y in points), adds) for points, adds in prompt["strokes"])
    box = tuple(prompt["box"]) if prompt["box"] else None
    return Pointed(Prompt(strokes, box, tuple(prompt["chosen"])), kept["base"], kept["takes"])


def _next(
    seen: Seen, before: Pointed | None, at: tuple[tuple[float, float], ...], takes: bool
) -> Pointed | None:
    """The step before with one stroke or another answer more; None where the stroke means another thing."""
    if before is None or len(before.prompt.strokes) >= STROKES:
        return None
    sam, prompt = eyes.shared().sam, before.prompt
    adds = takes == before.takes
    known = sam.answer(seen, prompt)
    steps = len(prompt.strokes) + (prompt.box is not None)
    chosen = (*prompt.chosen, *[0] * steps)[:steps]
    nearest = AGAIN * max(seen.height, seen.width)
    if len(at) == 1 and prompt.strokes and adds == prompt.strokes[-1][1]:
        if np.hypot(*np.subtract(at[0], prompt.strokes[-1][0][-1])) <= nearest:
            return replace(
                before, prompt=replace(prompt, chosen=(*chosen[:-1], (chosen[-1] + 1) % len(known)))
            )
    level, cell = known.logits[chosen[-1] % len(known)], seen.scale / 4
    inside = any(level[min(int(y * cell), 255), min(int(x * cell), 255)] > 0 for x, y in at)
    if not inside and adds:  # it may be a part of the same thing that was missed
        other = sam.answer(seen, Prompt(((at, True),))).logits[0]
        shared = ((other > 0) & (level > 0)).sum() / max(1, min((other > 0).sum(), (level > 0).sum()))
        inside = shared > 0.5
    if not inside:
        return None
    return replace(before, prompt=replace(prompt, strokes=(*prompt.strokes, (at, adds)), chosen=(*chosen, 0)))
