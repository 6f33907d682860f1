"""The grammar of the small world: captions of scenes, and their parser."""

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
COLOURS: dict[str, tuple[str, ...]] = {  # of each kind; captions omit the colour of kinds that have only one
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
FLOWERS = {"flowering tree": "tree", "bush": "bush"}  # in captions: "a tree with pink flowers"
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
    """The colours in which a kind can be drawn: all colours if it comes in several, else its own."""
    colours = COLOURS.get(kind, ())
    return TONES if len(colours) > 1 else colours


@dataclass(frozen=True)
class Phrase:
    """The description of one thing; None for attributes that are not mentioned."""

    kind: str
    colour: str | None = None
    size: str | None = None
    place: str | None = None

    def __str__(self) -> str:
        flowers = self.kind in FLOWERS and self.colour
        noun = FLOWERS[self.kind] if flowers else self.kind
        words = [self.size, None if flowers or len(COLOURS[self.kind]) == 1 else self.colour, noun]
        text = " ".join(word for word in words if word)
        text = f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
        text += f" with {self.colour} flowers" if flowers else ""
        return f"{text} {PLACES[self.place]}" if self.place else text

    def true_of(self, thing: Any) -> bool:
        """Whether the phrase is true of a `world.Thing`."""
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
    """A parsed caption: things in order, ground and sky; `empty` states that there are no things."""

    phrases: tuple[Phrase, ...] = ()
    ground: str | None = None
    sky: str | None = None
    empty: bool = False

    def __str__(self) -> str:
        *most, last = [str(phrase) for phrase in self.phrases] or [self._view()]
        text = f"{', '.join(most)} and {last}" if most else last
        if self.phrases and self.ground:
            text += f" {GROUNDS[self.ground]}"
        return f"{text} {SKIES[self.sky]}" if self.sky else text

    def _view(self) -> str:
        view = VIEWS[self.ground] if self.ground else "a landscape"
        article, _, noun = view.rpartition(" ")
        return view if not self.empty else f"an empty {noun}" if article else f"empty {noun}"

    def reworded(self, random: Random) -> str:
        """The caption with a random opening and random synonyms."""
        text = str(self)
        for word, others in SYNONYMS.items():
            if word in text and random.random() < 0.2:
                text = re.sub(rf"\b{word}\b", random.choice(others), text)
        return random.choice(OPENINGS) + text

    def true_of(self, scene: Any) -> bool:
        """Whether the caption is true of a `world.Scene`; attributes that are not mentioned are ignored."""
        if (self.empty and scene.things) or self.ground not in (None, scene.ground):
            return False
        if self.sky not in (None, scene.sky):
            return False
        return all(any(phrase.true_of(thing) for thing in scene.things) for phrase in self.phrases)


def parse(text: str) -> Caption:
    """Parse a caption, including synonyms.

    Raises:
        ValueError: the text is not in this grammar; names the words that cannot be parsed.
    """
    rest = " ".join(text.lower().replace(",", " , ").split()).rstrip(".")
    for opening in OPENINGS:
        rest = rest.removeprefix(opening)
    for word, others in SYNONYMS.items():
        rest = re.sub(rf"\b({'|'.join(sorted(others, key=len, reverse=True))})\b", word, rest)
    rest, sky = _take(rest, SKIES)
    if _VIEW.fullmatch(rest):
        ground = next((key for key, view in VIEWS.items() if view.split()[-1] in rest.split()), None)
        return Caption((), ground, sky, "empty" in rest.split())
    rest, ground = _take(rest, GROUNDS)
    return Caption(tuple(_phrase(part, text) for part in re.split(r" , | and ", rest)), ground, sky)


_VIEW = re.compile(r"(an? )?(empty )?(landscape|meadow|desert|beach|hills|mountains)")


def _take(text: str, table: dict[str, str]) -> tuple[str, str | None]:
    """Remove an ending that is in the table; returns the rest and the key of the ending."""
    key = next((key for key, ending in table.items() if text.endswith(f" {ending}")), None)
    return (text.removesuffix(f" {table[key]}"), key) if key else (text, None)


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
            f"{part.strip()!r} of {text[:200]!r} is not in the small world, which has {', '.join(KINDS)}"
        )
    return Phrase(kind, colour, size, place)


def words() -> Sequence[str]:
    """The sorted vocabulary of all captions, including synonyms."""
    tables = (SKIES, GROUNDS, VIEWS, PLACES)
    texts = [*OPENINGS, *KINDS, *SIZES, *FLOWERS, *SYNONYMS, "a an empty and with flowers landscape the , ."]
    texts += [text for table in tables for text in table.values()]
    texts += [text for others in (*COLOURS.values(), *SYNONYMS.values()) for text in others]
    return sorted({word for text in texts for word in text.split()})
