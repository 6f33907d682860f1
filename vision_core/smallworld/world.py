"""Scenes of the small world, with captions and complete ground truth.

    scene(seed) -> Scene            a random scene: ground, sky, up to three things
    wild(seed) -> Scene             the same, with some things in unusual colours
    render(scene, size=128)         -> uint8 (size, size, 3) RGB, deterministic
    coverage(scene, size=128)       -> float32 (1 + things, size, size), sums to 1; [0] is background
    masks(scene, size=128)          -> bool (things, size, size), disjoint, in the order of scene.things
    caption(scene) -> str           a complete caption; describe(scene) -> grammar.Caption
    grammar.parse(text) -> Caption  str(Caption); Caption.true_of(scene)
    scene.change(i, kind="tent"), scene.without(i), replace(scene, sky="night")
    variants(scene) -> list[Scene]  all scenes that differ from it in one attribute
    elsewhere(scene, random)        the same things in other surroundings

An edit of thing i changes only pixels with `coverage[1 + i] > 0` in the scene before or after.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from vision_core.smallworld import paint
from vision_core.smallworld.grammar import (
    COLOURS,
    GROUNDS,
    KINDS,
    PLACES,
    SIZES,
    SKIES,
    Caption,
    Phrase,
    tones,
)


@dataclass(frozen=True)
class Thing:
    """A thing in a scene; `seed` determines its shape and exact position."""

    kind: str
    colour: str
    size: str
    place: str
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("kind", self.kind, KINDS),
            ("colour", self.colour, tones(self.kind)),
            ("size", self.size, SIZES),
            ("place", self.place, tuple(PLACES)),
        ):
            if value not in choices:
                raise ValueError(f"{name} of a thing is {value!r}; it must be one of {', '.join(choices)}")


@dataclass(frozen=True)
class Scene:
    """A scene with at most one thing per place; `seed` determines clouds, ridges and grass."""

    ground: str
    sky: str
    things: tuple[Thing, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, choices in (("ground", self.ground, GROUNDS), ("sky", self.sky, SKIES)):
            if value not in choices:
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
        if len({thing.place for thing in self.things}) < len(self.things):
            raise ValueError("two things have the same place")
        if self.ground != "sea" and any(thing.kind == "boat" for thing in self.things):
            raise ValueError(f"a boat needs the sea, not ground {self.ground!r}")

    def change(
        self, index: int, *, kind: str | None = None, colour: str | None = None, size: str | None = None
    ) -> "Scene":
        """Change the kind, colour or size of thing `index`.

        If the new kind does not come in the old colour, it gets its own first colour.
        """
        old = self.things[index]
        kind = kind or old.kind
        if colour is None:
            colour = old.colour if old.colour in COLOURS.get(kind, ()) else COLOURS.get(kind, ("",))[0]
        new = Thing(kind, colour, size or old.size, old.place, old.seed)
        return replace(self, things=(*self.things[:index], new, *self.things[index + 1 :]))

    def without(self, index: int) -> "Scene":
        return replace(self, things=self.things[:index] + self.things[index + 1 :])


def scene(seed: int, things: int | None = None) -> Scene:
    """A random scene with up to three things (none in 5 % of the scenes), or with `things` of them."""
    random = Random(seed)
    ground, sky = random.choice(list(GROUNDS)), random.choice(list(SKIES))
    count = random.choices(range(4), (5, 40, 30, 25))[0] if things is None else things
    kinds = [kind for kind in KINDS if kind != "boat" or ground == "sea"]
    weights = [3 if kind == "boat" else 1 for kind in kinds]
    standing = []
    for place in random.sample(list(PLACES), count):
        kind = random.choices(kinds, weights)[0]
        standing.append(
            Thing(kind, random.choice(COLOURS[kind]), random.choice(SIZES), place, random.getrandbits(32))
        )
    return Scene(ground, sky, tuple(standing), random.getrandbits(32))


def elsewhere(scene: Scene, random: Random) -> Scene:
    """The same things with a random ground (boats stay at sea), sky, clouds and grass."""
    grounds = ["sea"] if any(thing.kind == "boat" for thing in scene.things) else list(GROUNDS)
    return Scene(random.choice(grounds), random.choice(list(SKIES)), scene.things, random.getrandbits(32))


def wild(seed: int) -> Scene:
    """`scene(seed)` in which two thirds of the things have a random colour, if their kind has several.

    This decouples kind and colour in training: a green horse is unusual, but can be drawn and described.
    """
    random, old = Random(f"wild {seed}"), scene(seed)
    things = tuple(
        replace(thing, colour=random.choice(tones(thing.kind))) if random.random() < 2 / 3 else thing
        for thing in old.things
    )
    return replace(old, things=things)


def variants(scene: Scene) -> list[Scene]:
    """All scenes that differ from `scene` in one attribute.

    The attribute is ground, sky, or a thing's kind, colour, size or place; two things may swap places.
    """
    return [new for new in _changes(scene) if describe(new) != describe(scene)]


def _changes(scene: Scene) -> Iterator[Scene]:
    boats = any(thing.kind == "boat" for thing in scene.things)
    yield from (replace(scene, sky=sky) for sky in SKIES)
    yield from (replace(scene, ground=ground) for ground in GROUNDS if ground == "sea" or not boats)
    for index, thing in enumerate(scene.things):
        kinds = [kind for kind in KINDS if kind != "boat" or scene.ground == "sea"]
        yield from (scene.change(index, kind=kind) for kind in kinds)
        yield from (scene.change(index, colour=colour) for colour in COLOURS[thing.kind])
        yield from (scene.change(index, size=size) for size in SIZES)
        for place in PLACES:
            other = next((i for i, each in enumerate(scene.things) if each.place == place), index)
            if other <= index:  # a free place, or a swap (each pair once)
                moved = [*scene.things]
                moved[other] = replace(moved[other], place=thing.place)
                moved[index] = replace(thing, place=place)
                yield replace(scene, things=tuple(moved))


def describe(scene: Scene) -> Caption:
    """The complete caption of a scene."""
    phrases = tuple(
        Phrase(thing.kind, thing.colour if len(COLOURS[thing.kind]) > 1 else None, thing.size, thing.place)
        for thing in scene.things
    )
    return Caption(phrases, scene.ground, scene.sky, empty=not phrases)


def caption(scene: Scene) -> str:
    return str(describe(scene))


def render(scene: Scene, size: int = 128) -> NDArray[np.uint8]:
    """Render a scene as RGB, uint8 (size, size, 3)."""
    return paint.picture(scene, size)


def coverage(scene: Scene, size: int = 128) -> NDArray[np.float32]:
    """The visible share per pixel of background and things: (1 + things, size, size)."""
    return paint.shares(scene, size)


def masks(scene: Scene, size: int = 128) -> NDArray[np.bool_]:
    """The pixels where each thing is the most visible: (things, size, size), disjoint."""
    return coverage(scene, size).argmax(0) == np.arange(1, 1 + len(scene.things))[:, None, None]


def describe_part(scene: Scene, random: Random) -> Caption:
    """A random part of the complete caption, or, with a probability of 1/2, all of it.

    The random numbers depend only on the number of things, so that the same generator describes the same
    attributes of two variants.
    """
    whole = random.random() < 0.5
    things = random.sample(
        range(len(scene.things)), random.randint(1, len(scene.things)) if scene.things else 0
    )
    omitted = [tuple(random.random() < share for share in (0.25, 0.6, 0.6)) for _ in things]
    ground, sky = random.random() < 0.4, random.random() < 0.4
    full = describe(scene)
    if whole:
        return full
    phrases = tuple(
        replace(
            full.phrases[index],
            **{name: None for name, hidden in zip(_OPTIONAL, hide, strict=True) if hidden},
        )
        for index, hide in zip(things, omitted, strict=True)
    )
    return Caption(
        phrases, scene.ground if ground or not phrases else None, scene.sky if sky else None, full.empty
    )


_OPTIONAL = ("colour", "size", "place")
