"""Hides boxes of drawn scenes, each with a caption of what is inside, to train the painter."""

from dataclasses import replace
from random import Random

import numpy as np

from vision_core.smallworld import data, paint, world
from vision_core.smallworld.grammar import COLOURS, KINDS, Caption

HIDING = 2  # version of `hide`, because its results are cached
Box = tuple[int, int, int, int]  # top, bottom, left, right
WITHHELD = {  # combinations held out of training, to test whether colour and kind are disentangled
    ("tent", "blue"),
    ("house", "pink"),
    ("car", "yellow"),
    ("balloon", "green"),
    ("windmill", "red"),
    ("flowering tree", "white"),
    ("bush", "purple"),
}


def hide(scene: world.Scene, masks: np.ndarray, random: Random) -> tuple[Box, Caption]:
    """Choose a random box to inpaint, and its caption.

    Most boxes imitate an edit: around a thing and a possible replacement, with a caption of the thing. Others
    surround a thing tightly or loosely, are random, or cover the whole picture.

    Args:
        masks: bool (things, 128, 128), the visible pixels of each thing.
    """
    whole = world.describe_part(scene, random)
    choice = random.random()
    if choice < 0.06:
        return (0, data.SIDE, 0, data.SIDE), world.describe(scene)
    if choice >= 0.85 or not masks.any():
        h, w = random.randint(24, 100), random.randint(24, 100)
        y, x = random.randint(0, data.SIDE - h), random.randint(0, data.SIDE - w)
        box = (y, y + h, x, x + w)
        return box, _inside(scene, box, masks, whole, random)
    index = random.choice([k for k, mask in enumerate(masks) if mask.any()])
    rows, columns = np.nonzero(masks[index])
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    if choice < 0.5:
        kind = random.choice(KINDS)
        other = replace(scene.things[index], kind=kind, colour=COLOURS[kind][0])
        ends = [data.SIDE * end for end in paint.extent(scene, other)]
        margin = random.randint(2, 7)
        top, left = min(top, ends[0]) - margin, min(left, ends[2]) - margin
        bottom, right = max(bottom, ends[1]) + margin, max(right, ends[3]) + margin
        box = _within(top, bottom, left, right)
        return box, _inside(scene, box, masks, whole, random, index)
    if random.random() < 0.5:
        margins = [random.random() ** 2 * 36 for _ in range(4)]
    else:  # a square around the centre, like the boxes of anchors
        side = max(bottom - top, right - left) * (1 + 0.9 * random.random())
        margins = [(side - (bottom - top)) / 2] * 2 + [(side - (right - left)) / 2] * 2
    box = _within(top - margins[0], bottom + margins[1], left - margins[2], right + margins[3])
    return box, _inside(scene, box, masks, whole, random)


def _within(*ends: float) -> Box:
    top, bottom, left, right = (min(max(round(float(end)), 0), data.SIDE) for end in ends)
    return top, bottom, left, right


def withheld(scene: world.Scene) -> bool:
    return any((thing.kind, thing.colour) in WITHHELD for thing in scene.things)


def _inside(
    scene: world.Scene, box: Box, masks: np.ndarray, whole: Caption, random: Random, edited: int | None = None
) -> Caption:
    """The caption of a hidden box: the things mostly inside, or that there are none; sometimes of the scene.

    For an edit, the `edited` thing is always mentioned, the others with a probability of 1/2.
    """
    full, (top, bottom, left, right) = world.describe(scene), box
    seen = masks[:, top:bottom, left:right].sum((1, 2))
    hidden = [k for k, mask in enumerate(masks) if seen[k] > 0.6 * mask.sum()]
    if edited is not None:
        hidden = [k for k in hidden if k == edited or random.random() < 0.5]
    ground = scene.ground if random.random() < 0.3 else None
    sky = scene.sky if random.random() < 0.3 else None
    if edited is not None and random.random() < 0.7:
        ground, sky = None, None
    elif random.random() < 0.25:
        return whole
    phrases = tuple(
        replace(
            full.phrases[k],
            place=None,
            colour=full.phrases[k].colour if random.random() < 0.9 else None,
            size=full.phrases[k].size if random.random() < (0.35 if edited is None else 0.7) else None,
        )
        for k in hidden
    )
    if phrases:
        return Caption(phrases, ground, sky)
    return Caption((), scene.ground, sky, empty=random.random() < 0.7)
