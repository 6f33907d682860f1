"""Finds objects in photographs: named by words, or salient."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import cv2
import numpy as np
import torch

from vision_core.editing import masks
from vision_core.editing.find import answers, edges, open_words, segment, things, words
from vision_core.editing.find.answers import Prompt
from vision_core.editing.find.open_words import OpenWords
from vision_core.editing.find.saliency import Look, normalized
from vision_core.editing.find.segment import Choices, Sam, Seen
from vision_core.editing.find.things import Thing
from vision_core.editing.find.words import Wanted

MOST = 20  # maximum number of objects per word
COLORED = 0.25  # minimum share of an object's pixels in the requested colour
SPOT = 0.008  # radius of the correction at a click that the mask contradicts, as a share of the longer side
UNNAMED = 0.3  # saliency weight of regions that are no detected object


@dataclass(frozen=True, eq=False)
class Match:
    """A search result: `mask`, bool (H, W), or None; `score` in [0, 1]; `message` for the user."""

    mask: np.ndarray | None
    score: float
    message: str
    things: tuple[Thing, ...] = ()


class Eyes:
    """Segment Anything and a detector of things, as shipped; see `segment.Sam` for another pair.

    Raises:
        ValueError: the folder holds no pair of networks that can be used.
    """

    def __init__(self, sam: str | Path | None = None) -> None:
        self._source = sam

    @cached_property
    def sam(self) -> Sam:
        return segment.load(self._source)

    def see(self, rgb: np.ndarray) -> Seen:
        """Encode uint8 (H, W, 3) once, for all later prompts."""
        return self.sam.see(rgb, things.detect(rgb))

    def answer(self, rgb: np.ndarray, prompt: Prompt, seen: Seen | None = None) -> Choices:
        """Masks for a prompt, the most likely first; small things are segmented once more in a close-up.

        Raises:
            ValueError: as `answers.answer`.
        """
        return answers.answer(self.sam, seen or self.see(rgb), prompt, rgb)

    def mark(self, rgb: np.ndarray, prompt: Prompt, seen: Seen | None = None) -> np.ndarray:
        """The mask for a prompt, bool (H, W), aligned to the edges of the picture; perhaps empty.

        Raises:
            ValueError: as `answers.answer`.
        """
        choices = self.answer(rgb, prompt, seen)
        mask = choices.drawn(rgb, prompt.numbers[-1] % len(choices))
        last = rgb.shape[0] - 1, rgb.shape[1] - 1
        clicks = [((min(int(y), last[0]), min(int(x), last[1])), adds) for x, y, adds in prompt.clicks]
        answers.obey(mask, clicks, max(1, round(SPOT * max(rgb.shape[:2]))))  # as edge refinement may not
        return mask

    def named(self, rgb: np.ndarray, text: str, seen: Seen | None = None) -> Match:
        """A mask of what `text` names.

        Raises:
            ValueError: a thing that is not known, or no thing at all.
        """
        wanted = words.parse(text)
        if unknown := [one for one in wanted if not one.names]:
            if (model := open_words.at_hand()) is not None:
                return by_model(rgb, text, model)
            rejected = (
                " and ".join(f"“{' '.join(one.ignored)}”" for one in unknown if one.ignored) or "nothing"
            )
            raise ValueError(
                f"{rejected} is not among the {len(things.NAMES)} things known by name, such as "
                f"{', '.join(things.NAMES[:9])}. Click the thing or draw a box around it; any word is "
                f"understood after vision-core edit fetch {open_words.DEFAULT}"
            )
        if not wanted:
            raise ValueError("no thing was named: a word or two were expected")
        seen = seen or self.see(rgb)
        matches, sentences = [], []
        for one in wanted:
            some, sentence = self._choose(rgb, seen, one)
            matches += [thing for thing in some if thing not in matches]
            sentences.append(sentence)
        if not matches:
            best = max((t.score for t in seen.things for one in wanted if t.name in one.names), default=0.0)
            return Match(None, best, " ".join(sentences))
        mask = np.logical_or.reduce([self.mask_of(rgb, seen, thing) for thing in matches])
        return Match(mask, max(thing.score for thing in matches), " ".join(sentences), tuple(matches))

    def mask_of(self, rgb: np.ndarray, seen: Seen, thing: Thing) -> np.ndarray:
        """A thing's mask, bool (H, W), with the picture's own edges."""
        return self.mark(rgb, Prompt(box=thing.box), seen)

    def _choose(self, rgb: np.ndarray, seen: Seen, wanted: Wanted) -> tuple[list[Thing], str]:
        """The things that match, and a sentence about them."""
        matches = [thing for thing in seen.things if thing.name in wanted.names]
        if not matches:
            return [], f"“{wanted.word}” was not found."
        fitting = matches
        if wanted.color:
            fitting = [
                t for t in matches if colored(rgb, self.mask_of(rgb, seen, t), wanted.color) >= COLORED
            ]
            if not fitting:
                return [], f"{counted(len(matches), wanted.word)} found, but none that is {wanted.color}."
        chosen = pick(fitting, wanted, seen.height, seen.width)
        if not chosen:
            return [], f"{counted(len(fitting), wanted.word)} found, but none there."
        more = f", of {len(matches)} found" if len(matches) > len(chosen) else ""
        few = f"; {wanted.count} were asked for" if (wanted.count or 0) > len(chosen) else ""
        doubt = f" Not understood: {', '.join(wanted.ignored)}." if wanted.ignored else ""
        return chosen[:MOST], f"{counted(len(chosen), wanted.word)} marked{more}{few}.{doubt}"

    def look(self, rgb: np.ndarray, seen: Seen | None = None) -> Look:
        """Saliency: the centres of objects and, with less weight, what differs from the rest."""
        seen = seen or self.see(rgb)
        rows, columns = (
            max(1, round(64 * side / max(seen.height, seen.width))) for side in (seen.height, seen.width)
        )
        features = torch.from_numpy(seen.embedding[0, :, :rows, :columns].astype(np.float32))
        unlike = (features - features.mean((1, 2), keepdim=True)).norm(dim=0).numpy()
        saliency = UNNAMED * normalized(cv2.GaussianBlur(unlike, (0, 0), 1.5))
        for thing in seen.things[: MOST // 2]:
            level = self.answer(rgb, Prompt(box=thing.box), seen).level(0, rows, columns)
            depth = masks.depth(level > 0)
            saliency = np.maximum(saliency, thing.score * depth / max(float(depth.max()), 1e-6))
        return Look(normalized(saliency), features)

    def stands_out(self, rgb: np.ndarray) -> np.ndarray:
        """The most salient thing, bool (H, W): the mask of a click on the maximum of `look`."""
        seen = self.see(rgb)
        saliency = self.look(rgb, seen).saliency
        y, x = np.unravel_index(int(saliency.argmax()), saliency.shape)
        place = ((x + 0.5) * rgb.shape[1] / saliency.shape[1], (y + 0.5) * rgb.shape[0] / saliency.shape[0])
        return self.mark(rgb, Prompt(((((float(place[0]), float(place[1])),), True),)), seen)


def by_model(rgb: np.ndarray, text: str, model: OpenWords) -> Match:
    """Finds things by any words, with a model of the hub."""
    level = model.level(rgb, text)
    best = float(1 / (1 + np.exp(-level.max())))
    if best < open_words.FOUND:
        return Match(None, best, f"“{text}” was not found.")
    shift = np.float32(np.log(open_words.LIKELY / (1 - open_words.LIKELY)))
    return Match(edges.refine(rgb, level - shift), best, f"A guess at “{text}”, by {open_words.DEFAULT}.")


def pick(candidates: Sequence[Thing], wanted: Wanted, height: int, width: int) -> list[Thing]:
    """The candidates that match the requested place, size and number, in order."""

    def where(thing: Thing, place: str) -> float:
        """Position of a thing in that direction, from 0 to 1."""
        left, top, right, bottom = thing.box
        x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
        ways = {"left": 1 - x, "right": x, "top": 1 - y, "bottom": y, "front": bottom / height}
        ways |= {"back": 1 - bottom / height, "middle": 1 - float(np.hypot(x - 0.5, y - 0.5))}
        return ways[place]

    def area(thing: Thing) -> float:
        return (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1])

    def rank(thing: Thing) -> float:
        return sum(where(thing, place) for place in wanted.places) or wanted.size * area(thing) or thing.score

    order = sorted(candidates, key=rank, reverse=True)
    if wanted.place_number:
        return order[wanted.place_number - 1 : wanted.place_number]
    if wanted.count is not None:
        return order[: wanted.count]
    if wanted.places:  # several objects: all at that place
        return [thing for thing in order if all(where(thing, place) > 0.5 for place in wanted.places)]
    if wanted.size:
        return [
            thing
            for thing in order
            if (area(thing) >= np.median([area(t) for t in order])) == (wanted.size > 0)
        ]
    return order


def colored(rgb: np.ndarray, mask: np.ndarray, color: str) -> float:
    """The share of a mask's pixels that have a named colour, one of `words.COLORS`."""
    hue, vivid, light = cv2.cvtColor(rgb[mask][None], cv2.COLOR_RGB2HSV)[0].T.astype(
        int
    )  # 0 to 179, 255, 255
    clear = (vivid > 70) & (light > 50)
    red = (hue < 9) | (hue > 171)
    is_it = {
        "red": clear & red & (vivid > 110),
        "orange": clear & (hue >= 7) & (hue < 21) & (light > 150) & (vivid > 120),
        "yellow": clear & (hue >= 20) & (hue < 35),
        "green": (vivid > 45) & (light > 40) & (hue >= 35) & (hue < 86),
        "blue": (vivid > 60) & (light > 45) & (hue >= 86) & (hue < 131),
        "purple": clear & (hue >= 131) & (hue < 160),
        "pink": (vivid > 40) & (light > 130) & ((hue >= 155) | (red & (vivid < 150))),
        "brown": (vivid > 50) & (light > 30) & (light < 190) & (hue < 22),
        "black": light < 65,
        "white": (light > 170) & (vivid < 50),
        "grey": (vivid < 50) & (light >= 60) & (light < 190),
        "dark": light < 95,
        "light": light > 160,
    }
    return float(is_it[color].mean()) if len(hue) else 0.0


def counted(number: int, word: str) -> str:
    return f"{word[:1].upper()}{word[1:]}: {number}"


@cache
def shared() -> Eyes:
    """The model pair of this process; it keeps nothing of any picture."""
    return Eyes()
