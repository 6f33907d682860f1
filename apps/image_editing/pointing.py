"""Clicks, strokes and boxes on the picture. A step can refine the thing marked by the step before."""

import json
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from apps.image_editing.visit import Visit, kept_mask, mask_of, with_mask
from apps.shared import visits
from vision_core.editing.find import eyes
from vision_core.editing.find.answers import Prompt
from vision_core.editing.find.segment import Seen
from vision_core.files import parse_json
from vision_core.pictures.images import Picture

KEPT = 6  # pictures whose looks stay in memory, two megabytes each
AGAIN = 0.015  # share of the longer side: a click this near to the last one asks for the next answer
STROKES = 20  # that one thing takes

_looks: OrderedDict[str, "_Look"] = OrderedDict()
_table = threading.Lock()  # of `_looks`: never held while something is computed
_encoding = threading.Lock()  # one picture at a time: the encoder takes every core and a gigabyte


@dataclass(frozen=True)
class Pointed:
    """The prompt of a step.

    Args:
        base: name of the mask before this step, "" for none.
        takes: whether the prompt removes from the mask.
    """

    prompt: Prompt
    base: str = ""
    takes: bool = False


class _Look:
    """Cached knowledge of one picture; its lock is held while it is read or computed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: Seen | None = None


def seen_of(visitor: Visit, picture: Picture) -> Seen:
    """The encoded picture of a visit: from memory, from its file beside the picture, or computed now.

    A request waits only for requests about the same picture and for the encoding of others.
    """
    path = visitor.session.path(f"{visitor.source}.seen")
    with _table:
        look = _looks.setdefault(str(path), _Look())
        _looks.move_to_end(str(path))
        while len(_looks) > KEPT:
            _looks.popitem(last=False)
    with look.lock:
        if look.seen is None:
            look.seen = _read(path) or _encode(visitor, path, picture)
        return look.seen


def _read(path: Path) -> Seen | None:
    try:
        return Seen.decode(path.read_bytes())
    except (OSError, ValueError, KeyError):  # not there, or cut off when the disk was full
        return None


def _encode(visitor: Visit, path: Path, picture: Picture) -> Seen:
    with _encoding:
        seen = eyes.shared().see(picture.seen)
    data = seen.encode()
    visits.make_room(visitor.session, len(data))
    visits.opened(visitor.session).path(path.name).write_bytes(data)
    return seen


def point(visitor: Visit, picture: Picture, tool: str, takes: bool, at: list[tuple[float, float]]) -> Visit:
    """The visit after a click, a stroke (tool `click`) or a box (tool `around`) at points (x, y) in pixels.

    A click on the same spot chooses the next answer: a part, or the whole. A click elsewhere on the
    same thing corrects it; anywhere else it marks another thing.

    Raises:
        ValueError: there is nothing to take away, or nothing was found.
    """
    seen, before = seen_of(visitor, picture), mask_of(visitor)
    if takes and before is None:
        raise ValueError("Nothing is marked yet: there is nothing to unmark")
    if tool == "around":
        (left, top), (right, bottom) = np.min(at, axis=0), np.max(at, axis=0)
        step = Pointed(
            Prompt(box=(float(left), float(top), float(right), float(bottom))), visitor.mask_name, takes
        )
    else:
        step = _next(picture, seen, last(visitor), tuple(at), takes) or Pointed(
            Prompt(((tuple(at), True),)), visitor.mask_name, takes
        )
    marked = eyes.shared().mark(picture.seen, step.prompt, seen)
    base = kept_mask(visitor, step.base)
    if step.takes:
        mask = None if base is None else base & ~marked
    else:
        mask = marked if base is None else base | marked
    if mask is None or not marked.any():
        raise ValueError("Nothing was found there: draw a box around the thing, or use the brush")
    return with_mask(visitor, mask, json.dumps(asdict(step)))


def last(visitor: Visit) -> Pointed | None:
    """The prompt of the last step; None if it was another kind of step."""
    done = visitor.steps[visitor.at - 1][1] if visitor.at else ""
    if not done.startswith("{"):
        return None
    kept = parse_json(done, "the step")
    prompt = kept["prompt"]
    strokes = tuple((tuple((x, y) for x, y in points), adds) for points, adds in prompt["strokes"])
    box = tuple(prompt["box"]) if prompt["box"] else None
    return Pointed(Prompt(strokes, box, tuple(prompt["chosen"])), kept["base"], kept["takes"])


def _next(
    picture: Picture, seen: Seen, before: Pointed | None, at: tuple[tuple[float, float], ...], takes: bool
) -> Pointed | None:
    """The previous step with this stroke or its next answer; None if the stroke marks another thing."""
    if before is None or len(before.prompt.strokes) >= STROKES:
        return None
    prompt, adds = before.prompt, takes == before.takes
    chosen = prompt.numbers
    answers = eyes.shared().answer(picture.seen, prompt, seen)
    nearest = AGAIN * max(seen.height, seen.width)
    if len(at) == 1 and prompt.strokes and adds == prompt.strokes[-1][1]:
        if np.hypot(*np.subtract(at[0], prompt.strokes[-1][0][-1])) <= nearest:
            return replace(
                before, prompt=replace(prompt, chosen=(*chosen[:-1], (chosen[-1] + 1) % len(answers)))
            )
    level = answers.on(seen, chosen[-1] % len(answers))
    inside = any(level[seen.cell(x, y)] > 0 for x, y in at)
    if not inside and adds:  # the click may add a missed part of the same thing
        other = eyes.shared().answer(picture.seen, Prompt(((at, True),)), seen).logits[0]
        shared = ((other > 0) & (level > 0)).sum() / max(1, min((other > 0).sum(), (level > 0).sum()))
        inside = shared > 0.5
    if not inside:
        return None
    return replace(before, prompt=replace(prompt, strokes=(*prompt.strokes, (at, adds)), chosen=(*chosen, 0)))
