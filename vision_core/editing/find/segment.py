"""From clicks, strokes and boxes to masks: Segment Anything, as a pair of ONNX networks.

Sources: Kirillov et al. 2023, "Segment Anything"; Zhang et al. 2023, "Faster Segment Anything" (MobileSAM).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from vision_core.editing.find import edges
from vision_core.editing.find.networks import Network
from vision_core.editing.find.things import NAMES, Thing
from vision_core.safety import guarded, messages
from vision_core.weights import find

SIDE = 1024  # pixels a side of the square that the encoder sees: the picture's longer side
CELLS = 256  # of a mask, a side of the same square
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
SPREAD = np.array([58.395, 57.12, 57.375], np.float32)
WHOLE = (0.0, 0.0, 0.04, 0.05)  # added to the scores of one click's masks: people mark things, not parts
ALIKE = 0.9  # IoU from which two masks are the same answer
DAB = 3  # cells around a click that are as it says, whatever the decoder answers
REMEMBERED = 24  # answers about a picture, a megabyte each
SURFACES = ("dining table", "bed")  # a click on one means what lies there as likely
GUIDED = 3  # strokes up to which a thing of the detector's guides them
POINTS = 5  # of a stroke that the decoder is given

Click = tuple[float, float, bool]  # x and y in pixels; True adds, False takes away
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True, eq=False)
class Seen:
    """What the encoder saw in a picture of `height` x `width` pixels: `embedding`, float16 (1, 256, 64, 64).

    `things` are those of the detector, where it was asked.
    """

    embedding: np.ndarray
    height: int
    width: int
    things: tuple[Thing, ...] = ()
    _known: dict["Prompt", "Choices"] = field(default_factory=dict, repr=False)  # answers given before

    @property
    def scale(self) -> float:
        """Pixels of the encoder's square for one of the picture."""
        return SIDE / max(self.height, self.width)

    def encode(self) -> bytes:
        """All of it, to be kept beside the picture: what `decode` reads."""
        buffer = BytesIO()
        found = [(*thing.box, thing.score, NAMES.index(thing.name)) for thing in self.things]
        things = np.array(found, np.float32).reshape(-1, 6)
        np.savez(buffer, embedding=self.embedding, size=[self.height, self.width], things=things)
        return buffer.getvalue()

    @staticmethod
    def decode(data: bytes) -> "Seen":
        """What `encode` wrote."""
        with np.load(BytesIO(data), allow_pickle=False) as kept:
            found = tuple(
                Thing(NAMES[int(name)], score, (left, top, right, bottom))
                for left, top, right, bottom, score, name in kept["things"].tolist()
            )
            height, width = kept["size"].tolist()
            return Seen(kept["embedding"], height, width, found)


@dataclass(frozen=True)
class Prompt:
    """What a person pointed at: a `box`, or none, and then strokes; a click is a stroke of one point.

    Args:
        strokes: each its points (x, y) in pixels, and whether it adds.
        chosen: which of the answers was taken after each stroke (and the box), 0 where none is said.
    """

    strokes: tuple[tuple[tuple[tuple[float, float], ...], bool], ...] = ()
    box: Box | None = None
    chosen: tuple[int, ...] = ()

    @property
    def clicks(self) -> tuple[Click, ...]:
        found: list[Click] = []
        for points, adds in self.strokes:
            some = np.unique(np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int))
            found += [(*points[k], adds) for k in some]
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Choices:
    """Masks that answer a prompt, the likeliest first: `logits`, float32 (K, 256, 256), and `scores` (K,)."""

    seen: Seen
    logits: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.logits)

    def level(self, number: int = 0, height: int | None = None, width: int | None = None) -> np.ndarray:
        """The logits of a choice over the picture, float32 (H, W) in the picture's size or another."""
        size = width or self.seen.width, height or self.seen.height
        cells = (
            side * CELLS / max(self.seen.height, self.seen.width)
            for side in (self.seen.width, self.seen.height)
        )
        x, y = (of / new for of, new in zip(cells, size, strict=True))
        places = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]])  # of pixels among the cells
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.logits[number], places, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def mask(self, number: int = 0) -> np.ndarray:
        """A choice in the picture's size, bool (H, W), with a smooth edge."""
        return self.level(number) > 0

    def drawn(self, rgb: np.ndarray, number: int = 0) -> np.ndarray:
        """A choice with the edges of the picture itself, uint8 (H, W, 3): bool (H, W)."""
        scale = min(1.0, SIDE / max(rgb.shape[:2]))
        height, width = (max(2, round(side * scale)) for side in rgb.shape[:2])
        return edges.refine(rgb, self.level(number, height, width))


class Sam:
    """A pair of networks in a folder, `encoder.onnx` and `decoder.onnx`; other names may hold these words.

    Args:
        folder: None is the pair that comes along, or the one that VISION_CORE_SAM names.

    Raises:
        ValueError: no such pair, or networks of another kind.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        folder = folder or os.environ.get("VISION_CORE_SAM")
        place = Path(folder) if folder else find("marking")
        self.encoder, self.decoder = (Network(_only(place, word)) for word in ("encoder", "decoder"))
        if folder:
            guarded.call(try_pair, self.encoder.path, self.decoder.path.name)

    def see(self, rgb: np.ndarray, things: Sequence[Thing] = ()) -> Seen:
        """Look at uint8 (H, W, 3), once for all that is asked about it; this takes most of the time."""
        height, width = rgb.shape[:2]
        scale = SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        x = np.zeros((SIDE, SIDE, 3), np.float32)
        x[: size[1], : size[0]] = (cv2.resize(rgb, size, interpolation=way) - MEAN) / SPREAD
        (given,) = self.encoder.session().get_inputs()
        (embedding,) = self.encoder.run({given.name: np.ascontiguousarray(x.transpose(2, 0, 1)[None])})
        return Seen(embedding.astype(np.float16), height, width, tuple(things))

    def find(
        self,
        seen: Seen,
        clicks: Sequence[Click] = (),
        box: Box | None = None,
        before: np.ndarray | None = None,
    ) -> Choices:
        """What clicks and a box point at, at least one of them.

        Args:
            before: logits (256, 256) of an earlier answer that the last clicks are to mend.
        """
        points = [click[:2] for click in clicks] + ([box[:2], box[2:]] if box else [(0.0, 0.0)])
        kinds = [float(adds) for *_, adds in clicks] + ([2.0, 3.0] if box else [-1.0])
        earlier = np.zeros((CELLS, CELLS), np.float32) if before is None else before
        given = {
            "image_embeddings": seen.embedding.astype(np.float32),
            "point_coords": np.array([points], np.float32) * np.float32(seen.scale),
            "point_labels": np.array([kinds], np.float32),
            "mask_input": earlier[None, None],
            "has_mask_input": np.array([before is not None], np.float32),
            "orig_im_size": np.array([seen.height, seen.width], np.float32),
        }
        session = self.decoder.session()
        asked = {one.name for one in session.get_inputs()}
        names = {one.name for one in session.get_outputs()}
        outputs = ["low_res_masks" if "low_res_masks" in names else "masks"]
        outputs.append("iou_predictions" if "iou_predictions" in names else "scores")
        masks, scores = session.run(outputs, {name: value for name, value in given.items() if name in asked})
        return _ordered(seen, masks[0], scores[0], single=len(clicks) == 1 and box is None)

    def answer(self, seen: Seen, prompt: Prompt) -> Choices:
        """What a prompt points at: each stroke mends what was chosen before it.

        A first click on one of the detector's things means that thing; its other answers do not.

        Raises:
            ValueError: nothing was pointed at, or a place outside the picture.
        """
        if not prompt.strokes and prompt.box is None:
            raise ValueError("nothing was pointed at: a click, a stroke or a box was expected")
        for x, y, _ in prompt.clicks:
            if not (0 <= x <= seen.width and 0 <= y <= seen.height):
                raise ValueError(
                    f"the point {x:g}, {y:g} lies outside a picture of {seen.width} x {seen.height} pixels"
                )
        if prompt in seen._known:
            return seen._known[prompt]
        before, asked = None, len(prompt.strokes) + (prompt.box is not None)
        chosen = (*prompt.chosen, *[0] * asked)[:asked]
        if asked > 1:
            earlier = self.answer(seen, Prompt(prompt.strokes[:-1], prompt.box, chosen[:-1]))
            before = earlier.logits[chosen[-2] % len(earlier)]
        thing = (
            self._thing(seen, prompt)
            if prompt.box is None and asked <= GUIDED and not any(chosen[:-1])
            else None
        )
        found = self.find(seen, prompt.clicks, prompt.box or thing, before)
        if thing and len(prompt.clicks) == 1:
            found = _together(found, self.find(seen, prompt.clicks))
        if before is not None and prompt.strokes:
            found = _mended(before, found, prompt.strokes[-1])
        elif len(prompt.clicks) == 1 and prompt.box is None:
            found = _on(found, prompt.clicks[0])
        while len(seen._known) >= REMEMBERED:
            seen._known.pop(next(iter(seen._known)))
        seen._known[prompt] = found
        return found

    def _thing(self, seen: Seen, prompt: Prompt) -> Box | None:
        """The box of the smallest of the detector's things that the first click lies on, not beside."""
        points, adds = prompt.strokes[0]
        boxes = [
            thing.box
            for thing in seen.things
            if thing.name not in SURFACES and all(_within(point, thing.box) for point in points)
        ]
        if not adds or not boxes:
            return None
        box = min(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        first = self.find(seen, Prompt((prompt.strokes[0],)).clicks, box).logits[0]
        y, x = (min(int(side * seen.scale * CELLS / SIDE), CELLS - 1) for side in points[0][::-1])
        return box if first[y, x] > 0 else None


def _on(found: Choices, click: Click) -> Choices:
    """The choices, those that hold the clicked place first."""
    x, y, _ = click
    cell = found.seen.scale * CELLS / SIDE
    level = found.logits[:, min(int(y * cell), CELLS - 1), min(int(x * cell), CELLS - 1)]
    order = np.argsort(level <= 0, kind="stable")
    return Choices(found.seen, found.logits[order], found.scores[order])


def _mended(
    before: np.ndarray, found: Choices, stroke: tuple[tuple[tuple[float, float], ...], bool]
) -> Choices:
    """The choices, of which the first differs from `before` only where the stroke lies.

    The decoder looks at all clicks anew and may lose elsewhere what was right; a person mends one place.
    """
    points, adds = stroke
    cell = found.seen.scale * CELLS / SIDE
    cells = [(min(int(y * cell), CELLS - 1), min(int(x * cell), CELLS - 1)) for x, y in points]
    new = found.logits[0]
    other = (new > 0) & (before <= 0) if adds else (new <= 0) & (before > 0)
    _, places = cv2.connectedComponents(other.astype(np.uint8))
    here = np.isin(places, [number for number in {places[cell] for cell in cells} if number])
    logits = np.where(here, new, before)
    for y, x in cells:  # where the decoder did not follow: at least what was pointed at
        if (logits[y, x] > 0) != adds:
            cv2.circle(logits, (x, y), DAB, 4.0 if adds else -4.0, -1)
    return Choices(found.seen, np.concatenate([logits[None], found.logits[1:]]), found.scores)


def _within(point: tuple[float, float], box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _together(first: Choices, others: Choices) -> Choices:
    """The first one's likeliest mask, and after it all the others that say something else."""
    new = [k for k, logits in enumerate(others.logits) if _alike(first.logits[0], logits) < ALIKE]
    scores = np.concatenate([first.scores[:1], others.scores[new]])
    return Choices(first.seen, np.concatenate([first.logits[:1], others.logits[new]]), scores)


def _ordered(seen: Seen, logits: np.ndarray, scores: np.ndarray, single: bool) -> Choices:
    """The decoder's masks in the order of their likelihood, without those that say the same.

    Of four, the first is for boxes and several points, the others are for one point: part, middle and whole.
    Where the first is right, the mean of it and the likeliest other is nearer to the thing.
    """
    if len(logits) == 4:
        order = [1 + int(k) for k in np.argsort(-(scores + WHOLE)[1:])]
        if not single:
            both = logits[[0, order[0]]]
            logits, order = np.concatenate([both.mean(0)[None], logits[1:]]), [0, *order]
    else:
        order = [int(k) for k in np.argsort(-scores)]
    kept: list[int] = []
    for k in order:
        if all(_alike(logits[k], logits[other]) < ALIKE for other in kept):
            kept.append(k)
    return Choices(seen, logits[kept].astype(np.float32), scores[kept])


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks' logits."""
    return float(((one > 0) & (other > 0)).sum() / max(1, ((one > 0) | (other > 0)).sum()))


def _only(folder: Path, word: str) -> Path:
    """The one ONNX file of a folder with a word in its name.

    Raises:
        ValueError: there is none, or there are several.
    """
    found = (
        [folder / f"{word}.onnx"]
        if (folder / f"{word}.onnx").is_file()
        else sorted(folder.glob(f"*{word}*.onnx"))
    )
    if len(found) != 1:
        raise ValueError(f"{len(found)} files of {folder} are called *{word}*.onnx; one was expected")
    return found[0]


def try_pair(encoder: Path, decoder: str) -> None:
    """Ask a stranger's pair about a black picture, in a guarded process: it may crash, or ask for gigabytes.

    Raises:
        ValueError: it cannot be used here.
    """
    pair = Sam.__new__(Sam)
    pair.encoder, pair.decoder = Network(encoder), Network(encoder.with_name(decoder))
    try:
        choices = pair.find(pair.see(np.zeros((64, 96, 3), np.uint8)), [(48.0, 32.0, True)])
        good = choices.logits.shape[1:] == (CELLS, CELLS) and np.isfinite(choices.scores).all()
    except Exception as error:  # whatever onnxruntime raises
        raise ValueError(
            f"{encoder.parent} holds no pair that can be used here: {messages.reason(error)}"
        ) from error
    if not good:
        raise ValueError(f"{decoder} makes masks of {choices.logits.shape[1:]}, not of {CELLS} x {CELLS}")


@cache
def load(folder: str | Path | None = None) -> Sam:
    """The one copy of a pair in this process; it holds nothing of any picture."""
    return Sam(folder)
