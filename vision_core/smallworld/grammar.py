"""The words of the small world: what may be said of a scene, and what a sentence says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

SKIES = {"day": "by day", "sunset": "at sunset", "night": "at night", "snow": "in the snow"}
GROUNDS = {
    "meadow": "in a meadow",
    "desert": "in the desert",
    "sea": "by the sea",
    "hills": "in the hills",
    "mountains": "in the mountains",
}
VIEWS = {
    "meadow": "a meadow",
    "desert": "a desert",
    "sea": "a beach",
    "hills": "hills",
    "mountains": "mountains",
}
PLACES = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
SIZES = ("small", "large")
BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
COLOURS: dict[str, tuple[str, ...]] = {  # of each kind; a kind that has one only is never said to have it
    "tree": ("green", "yellow", "orange", "red"),
    "flowering tree": ("pink", "white", "yellow", "red", "purple", "blue"),
    "bush": ("pink", "white", "yellow", "red", "purple", "blue"),
    "pine": ("green",),
    "palm": ("green",),
    "cactus": ("green",),
    "rock": ("grey",),
    "house": ("red", "yellow", "blue", "pink", "white", "green"),
    "windmill": ("white", "red", "blue", "yellow"),
    "tent": ("red", "orange", "yellow", "green", "blue", "purple"),
    "car": ("red", "yellow", "green", "blue", "white", "black"),
    "boat": BRIGHT,
    "balloon": BRIGHT,
    "horse": ("brown", "black", "white"),
    "sheep": ("white", "black"),
}
KINDS = tuple(COLOURS)
TONES = tuple(sorted({colour for colours in COLOURS.values() for colour in colours}))
FLOWERS = {"flowering tree": "tree", "bush": "bush"}  # said as "a tree with pink flowers"
SYNONYMS = {
    "flowers": ("blossoms", "blooms"),
    "boat": ("ship", "sailboat"),
    "rock": ("stone", "boulder"),
    "balloon": ("hot air balloon",),
    "house": ("cottage",),
    "pine": ("fir", "pine tree"),
    "palm": ("palm tree",),
    "large": ("big", "huge"),
    "small": ("little", "tiny"),
    "purple": ("violet",),
    "in a meadow": ("on a meadow", "on the grass"),
    "by day": ("on a sunny day",),
    "by the sea": ("at the sea", "on the beach"),
    "in the snow": ("in winter", "on a snowy day"),
    "in the middle": ("in the centre", "in the center"),
}
OPENINGS = ("", "", "", "", "a picture of ", "a photo of ", "a high quality image of ")


def tones(kind: str) -> tuple[str, ...]:
    """All colours that a kind can be painted in: any, of one that comes in several."""
    known = COLOURS.get(kind, ())
    return TONES if len(known) > 1 else known


@dataclass(frozen=True)
class Phrase:
    """What is said of one thing; None is unsaid."""

    kind: str
    colour: str | None = None
    size: str | None = None
    place: str | None = None

    def __str__(self) -> str:
        flowers = self.kind in FLOWERS and self.colour
        noun = FLOWERS[self.kind] if flowers else self.kind
        words = [self.size, None if flowers or len(COLOURS[self.kind]) == 1 else self.colour, noun]
        said = " ".join(word for word in words if word)
        said = f"{'an' if said[0] in 'aeiou' else 'a'} {said}"
        said += f" with {self.colour} flowers" if flowers else ""
        return f"{said} {PLACES[self.place]}" if self.place else said

    def true_of(self, thing: Any) -> bool:
        """Whether a `world.Thing` is as said."""
        return all(
            value in (None, getattr(thing, name))
            for name, value in (
                ("kind", self.kind),
                ("colour", self.colour),
                ("size", self.size),
                ("place", self.place),
            )
        )


@dataclass(frozen=True)
class Caption:
    """What a sentence says: things in order, ground, sky; `empty` claims that there is no thing."""

    phrases: tuple[Phrase, ...] = ()
    ground: str | None = None
    sky: str | None = None
    empty: bool = False

    def __str__(self) -> str:
        *most, last = [str(phrase) for phrase in self.phrases] or [self._view()]
        said = f"{', '.join(most)} and {last}" if most else last
        if self.phrases and self.ground:
            said += f" {GROUNDS[self.ground]}"
        return f"{said} {SKIES[self.sky]}" if self.sky else said

    def _view(self) -> str:
        view = VIEWS[self.ground] if self.ground else "a landscape"
        article, _, noun = view.rpartition(" ")
        return view if not self.empty else f"an empty {noun}" if article else f"empty {noun}"

    def reworded(self, random: Random) -> str:
        """The same said with other words here and there."""
        said = str(self)
        for word, others in SYNONYMS.items():
            if word in said and random.random() < 0.2:
                said = re.sub(rf"\b{word}\b", random.choice(others), said)
        return random.choice(OPENINGS) + said

    def true_of(self, scene: Any) -> bool:
        """Whether a `world.Scene` is as said; what is unsaid may be anything."""
        if (self.empty and scene.things) or self.ground not in (None, scene.ground):
            return False
        if self.sky not in (None, scene.sky):
            return False
        return all(any(phrase.true_of(thing) for thing in scene.things) for phrase in self.phrases)


def parse(text: str) -> Caption:
    """What a sentence of this grammar says, synonyms included.

    Raises:
        ValueError: the sentence is not of this grammar (names the words that are not understood).
    """
    said = " ".join(text.lower().replace(",", " , ").split()).rstrip(".")
    for opening in OPENINGS:
        said = said.removeprefix(opening)
    for word, others in SYNONYMS.items():
        said = re.sub(rf"\b({'|'.join(sorted(others, key=len, reverse=True))})\b", word, said)
    said, sky = _take(said, SKIES)
    if _VIEW.fullmatch(said):
        ground = next((key for key, view in VIEWS.items() if view.split()[-1] in said.split()), None)
        return Caption((), ground, sky, "empty" in said.split())
    said, ground = _take(said, GROUNDS)
    return Caption(tuple(_phrase(part, text) for part in re.split(r" , | and ", said)), ground, sky)


_VIEW = re.compile(r"(an? )?(empty )?(landscape|meadow|desert|beach|hills|mountains)")


def _take(said: str, table: dict[str, str]) -> tuple[str, str | None]:
    """A sentence without its ending, and which ending of the table that was."""
    found = next((key for key, ending in table.items() if said.endswith(f" {ending}")), None)
    return (said.removesuffix(f" {table[found]}"), found) if found else (said, None)


def _phrase(part: str, text: str) -> Phrase:
    rest, place = _take(part.strip(), PLACES)
    rest, _, flowers = rest.partition(" with ")
    words = rest.split()
    words = words[1:] if words and words[0] in ("a", "an", "the") else words
    size = words.pop(0) if words and words[0] in SIZES else None
    colour = words.pop(0) if len(words) > 1 and words[0] != "flowering" else None
    kind = " ".join(words)
    if flowers:
        kind, colour = {"tree": "flowering tree"}.get(kind, kind), flowers.removesuffix(" flowers")
    if kind not in COLOURS or colour not in (None, *COLOURS[kind]):
        raise ValueError(
            f"{part.strip()!r} of {text[:200]!r} is not of this world; it has {', '.join(KINDS)}"
        )
    return Phrase(kind, colour, size, place)


def words() -> Sequence[str]:
    """Every word that a caption can hold, synonyms included, sorted."""
    tables = (SKIES, GROUNDS, VIEWS, PLACES)
    texts = [*OPENINGS, *KINDS, *SIZES, *FLOWERS, *SYNONYMS, "a an empty and with flowers landscape the , ."]
    texts += [text for table in tables for text in table.values()]
    texts += [text for others in (*COLOURS.values(), *SYNONYMS.values()) for text in others]
    return sorted({word for text in texts for word in text.split()})
