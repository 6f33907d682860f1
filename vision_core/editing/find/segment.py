"""From points and boxes to masks: Segment Anything, as a pair of ONNX networks.

Sources: Kirillov et al. 2023, "Segment Anything"; Zhang et al. 2023, "Faster Segment Anything" (MobileSAM).
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision_core.editing.find import edges
from vision_core.editing.find.networks import Network
from vision_core.editing.find.things import NAMES, Thing
from vision_core.safety import guarded, messages
from vision_core.weights import find

SIDE = 1024  # side of the encoder's input: the picture's longer side in pixels
CELLS = 256  # cells along the side of a mask
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
SPREAD = np.array([58.395, 57.12, 57.375], np.float32)
WHOLE = (0.0, 0.0, 0.04, 0.05)  # added to the scores for a single click: people mark objects, not parts
ALIKE = 0.9  # masks with a higher IoU are duplicates
NOTHING = -10.0  # logits outside the encoded window

Click = tuple[float, float, bool]  # x and y in pixels; True adds, False takes away
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True, eq=False)
class Seen:
    """An encoded picture of `height` x `width` pixels: `embedding`, float16 (1, 256, 64, 64).

    `things` are the detected objects, if the detector was run; `part` is the encoded window, None for the
    whole picture; `answers` caches the choices of earlier prompts.
    """

    embedding: np.ndarray
    height: int
    width: int
    things: tuple[Thing, ...] = ()
    part: Box | None = None
    answers: dict[Any, "Choices"] = field(default_factory=dict, repr=False)

    @property
    def window(self) -> Box:
        """The encoded picture."""
        return self.part or (0, 0, self.width, self.height)

    @property
    def scale(self) -> float:
        """Pixels of the encoder's square for one of the picture."""
        left, top, right, bottom = self.window
        return SIDE / max(right - left, bottom - top)

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of a mask's cell, for a pixel of the window."""
        left, top, _, _ = self.window
        share = self.scale * CELLS / SIDE
        return min(int((y - top) * share), CELLS - 1), min(int((x - left) * share), CELLS - 1)

    def encode(self) -> bytes:
        """Serialise for storage next to the picture; see `decode`."""
        buffer = BytesIO()
        rows = [(*thing.box, thing.score, NAMES.index(thing.name)) for thing in self.things]
        things = np.array(rows, np.float32).reshape(-1, 6)
        np.savez(buffer, embedding=self.embedding, size=[self.height, self.width], things=things)
        return buffer.getvalue()

    @staticmethod
    def decode(data: bytes) -> "Seen":
        """Read the output of `encode`."""
        with np.load(BytesIO(data), allow_pickle=False) as kept:
            things = tuple(
                Thing(NAMES[int(name)], score, (left, top, right, bottom))
                for left, top, right, bottom, score, name in kept["things"].tolist()
            )
            height, width = kept["size"].tolist()
            return Seen(kept["embedding"], height, width, things)


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
        share = self.seen.scale * CELLS / SIDE
        return _warped(
            self.logits[number],
            tuple(
                share * all_ / new
                for all_, new in zip((self.seen.width, self.seen.height), size, strict=True)
            ),
            tuple(-share * start for start in self.seen.window[:2]),
            size,
            cv2.BORDER_CONSTANT if self.seen.part else cv2.BORDER_REPLICATE,
        )

    def on(self, seen: Seen, number: int = 0) -> np.ndarray:
        """The logits of a choice over the cells of another look at the same picture, float32 (256, 256)."""
        if seen is self.seen:
            return self.logits[number]
        share, new = (each.scale * CELLS / SIDE for each in (self.seen, seen))
        away = tuple(share * (b - a) for a, b in zip(self.seen.window[:2], seen.window[:2], strict=True))
        return _warped(self.logits[number], (share / new,) * 2, away, (CELLS, CELLS), cv2.BORDER_CONSTANT)

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
        folder: None for the shipped pair, or the one in the folder VISION_CORE_SAM.

    Raises:
        ValueError: no such pair, or networks of another kind.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        folder = folder or os.environ.get("VISION_CORE_SAM")
        place = Path(folder) if folder else find("marking")
        self.encoder, self.decoder = (Network(_only(place, word)) for word in ("encoder", "decoder"))
        if folder:
            guarded.call(try_pair, self.encoder.path, self.decoder.path.name)

    def see(
        self, rgb: np.ndarray, things: Sequence[Thing] = (), part: tuple[int, int, int, int] | None = None
    ) -> Seen:
        """Encode uint8 (H, W, 3), once for all later prompts; this takes most of the time.

        Args:
            part: left, top, right and bottom of the encoded part; None for the whole picture.
        """
        height, width, _ = rgb.shape
        left, top, right, bottom = part or (0, 0, width, height)
        inside = rgb[top:bottom, left:right]
        scale = SIDE / max(inside.shape[:2])
        size = max(1, round(inside.shape[1] * scale)), max(1, round(inside.shape[0] * scale))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        x = np.zeros((SIDE, SIDE, 3), np.float32)
        x[: size[1], : size[0]] = (cv2.resize(inside, size, interpolation=way) - MEAN) / SPREAD
        (image_input,) = self.encoder.session().get_inputs()
        (embedding,) = self.encoder.run({image_input.name: np.ascontiguousarray(x.transpose(2, 0, 1)[None])})
        return Seen(embedding.astype(np.float16), height, width, tuple(things), part)

    def find(
        self,
        seen: Seen,
        clicks: Sequence[Click] = (),
        box: Box | None = None,
        before: np.ndarray | None = None,
    ) -> Choices:
        """Masks for at least one click or a box, in pixels of the picture.

        Args:
            before: logits (256, 256) of an earlier answer, which the last clicks correct.
        """
        points = [click[:2] for click in clicks] + ([box[:2], box[2:]] if box else [(0.0, 0.0)])
        kinds = [float(adds) for *_, adds in clicks] + ([2.0, 3.0] if box else [-1.0])
        earlier = np.zeros((CELLS, CELLS), np.float32) if before is None else before
        left, top, right, bottom = seen.window
        inputs = {
            "image_embeddings": seen.embedding.astype(np.float32),
            "point_coords": (np.array([points], np.float32) - (left, top)).astype(np.float32)
            * np.float32(seen.scale),
            "point_labels": np.array([kinds], np.float32),
            "mask_input": earlier[None, None],
            "has_mask_input": np.array([before is not None], np.float32),
            "orig_im_size": np.array([bottom - top, right - left], np.float32),
        }
        session = self.decoder.session()
        input_names = {one.name for one in session.get_inputs()}
        names = {one.name for one in session.get_outputs()}
        outputs = ["low_res_masks" if "low_res_masks" in names else "masks"]
        outputs.append("iou_predictions" if "iou_predictions" in names else "scores")
        masks, scores = session.run(
            outputs, {name: value for name, value in inputs.items() if name in input_names}
        )
        boxed = box is not None
        return _ordered(seen, masks[0], scores[0], single=len(clicks) == 1 and not boxed, boxed=boxed)


def _warped(
    logits: np.ndarray, scale: tuple[float, ...], start: tuple[float, ...], size: tuple[int, int], border: int
) -> np.ndarray:
    """Cells (256, 256) looked up for pixels (H, W): pixel x is cell `start` + `scale` * x."""
    (x, y), (left, top) = scale, start
    places = np.array([[x, 0, x / 2 - 0.5 + left], [0, y, y / 2 - 0.5 + top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(logits, places, size, flags=flags, borderMode=border, borderValue=NOTHING)


def _ordered(seen: Seen, logits: np.ndarray, scores: np.ndarray, single: bool, boxed: bool) -> Choices:
    """The decoder's masks, the likeliest first, without near duplicates.

    Of four, the first is for boxes and several points, the others are for one point: part, middle and whole.
    In a box, the first is averaged with the likeliest other, which is more accurate.
    """
    if len(logits) == 4:
        order = [1 + int(k) for k in np.argsort(-(scores + WHOLE)[1:])]
        if boxed:
            logits = np.concatenate([logits[[0, order[0]]].mean(0)[None], logits[1:]])
        if not single:
            order = [0, *order]
    else:
        order = [int(k) for k in np.argsort(-scores)]
    order = distinct(logits, order)
    return Choices(seen, logits[order].astype(np.float32), scores[order])


def distinct(logits: np.ndarray, order: Iterable[int]) -> list[int]:
    """The numbers of masks in an order, without near duplicates of earlier ones."""
    kept: list[int] = []
    for k in map(int, order):
        if all(alike(logits[k], logits[other]) < ALIKE for other in kept):
            kept.append(k)
    return kept


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks' logits."""
    return float(((one > 0) & (other > 0)).sum() / max(1, ((one > 0) | (other > 0)).sum()))


def _only(folder: Path, word: str) -> Path:
    """The only ONNX file of a folder with a word in its name.

    Raises:
        ValueError: there is none, or there are several.
    """
    matches = (
        [folder / f"{word}.onnx"]
        if (folder / f"{word}.onnx").is_file()
        else sorted(folder.glob(f"*{word}*.onnx"))
    )
    if len(matches) != 1:
        raise ValueError(f"{len(matches)} files of {folder} are called *{word}*.onnx; one was expected")
    return matches[0]


def try_pair(encoder: Path, decoder: str) -> None:
    """Try an untrusted pair on a black picture in a guarded process: it may crash or ask for gigabytes.

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
    """The shared model pair of this process; it keeps nothing of any picture."""
    return Sam(folder)
