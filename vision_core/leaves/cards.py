"""Draws results: a card for one picture, and a contact sheet of many."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision_core.leaves.look import Look
from vision_core.leaves.predict import plain_name, verdict

SIDE, EDGE = 480, 24  # side of the picture on a card, and the margin, in pixels
TILE, STRIP = 168, 52  # side of a picture on a sheet, and the height of its text
PAPER, INK, GREY, GOOD, UNSURE = (255, 255, 255), (24, 28, 38), (98, 104, 118), (26, 118, 66), (168, 92, 0)
SPOT = (214, 40, 160)


def card(rgb: np.ndarray, seen: Look, name: str, overlay: np.ndarray | None = None) -> np.ndarray:
    """The picture with boxes and discoloured areas, the predictions and the advice: uint8 (H, W, 3).

    Args:
        overlay: uint8, the Grad-CAM of `explain`, shown beside the picture.
    """
    panels = [marked(rgb, seen), *([] if overlay is None else [overlay])]
    pictures = [_fitted(panel, SIDE) for panel in panels]
    width = 2 * EDGE + len(pictures) * SIDE + (len(pictures) - 1) * EDGE
    lines = [(text, size, color) for text, size, color in _lines(seen, name)]
    wrapped = [part for line in lines for part in _wrapped(*line, width - 2 * EDGE)]
    height = 2 * EDGE + SIDE + EDGE + sum(round(size * 1.45) for _, size, _ in wrapped)
    image = Image.new("RGB", (width, height), PAPER)
    for n, picture in enumerate(pictures):
        left = EDGE + n * (SIDE + EDGE) + (SIDE - picture.width) // 2
        image.paste(picture, (left, EDGE + (SIDE - picture.height) // 2))
    draw, y = ImageDraw.Draw(image), 2 * EDGE + SIDE
    for text, size, color in wrapped:
        draw.text((EDGE, y), text, fill=color, font=ImageFont.load_default(size))
        y += round(size * 1.45)
    return np.array(image)


def _lines(seen: Look, name: str) -> list[tuple[str, int, tuple[int, int, int]]]:
    lines = []
    for number, leaf in enumerate(seen.leaves, 1):
        lead = f"{number}. " if len(seen.leaves) > 1 else ""
        lines.append((lead + _capital(verdict(leaf.answer)), 24, GOOD if leaf.answer.known else UNSURE))
        if leaf.ill is not None:
            lines.append((f"{leaf.ill:.0%} of the leaf is discoloured", 17, INK))
        first = sorted(leaf.answer.probabilities.items(), key=lambda item: -item[1])[:3]
        shares = "; ".join(f"{plain_name(label)} {share:.1%}" for label, share in first)
        lines.append(
            (f"{shares}. Out-of-distribution score {leaf.answer.ood_score:.2f}, known up to 1.", 15, GREY)
        )
    lines += [(sentence, 17, UNSURE) for sentence in seen.advice]
    return [*lines, (f"{name}. No advice on what to spray: ask somebody who has seen the plant.", 13, GREY)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrapped(
    text: str, size: int, color: tuple[int, int, int], width: int
) -> list[tuple[str, int, tuple[int, int, int]]]:
    font, lines = ImageFont.load_default(size), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return [(line, size, color) for line in lines]


def marked(rgb: np.ndarray, seen: Look) -> np.ndarray:
    """The picture with discoloured areas painted over and, for several leaves, their boxes."""
    shown = rgb.astype(np.float32)
    for leaf in seen.leaves:
        if leaf.spots is not None:
            size = rgb.shape[1::-1]
            spots = cv2.resize(leaf.spots.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
            shown[spots] = 0.35 * shown[spots] + 0.65 * np.array(SPOT, np.float32)
    image = Image.fromarray(shown.round().astype(np.uint8))
    draw, line = ImageDraw.Draw(image), max(2, max(rgb.shape) // 200)
    for number, leaf in enumerate(seen.leaves, 1):
        if leaf.box is not None:
            left, top, right, bottom = (
                round(share * side) for share, side in zip(leaf.box, rgb.shape[1::-1] * 2, strict=True)
            )
            color = GOOD if leaf.answer.known else UNSURE
            draw.rectangle((left, top, right - 1, bottom - 1), outline=color, width=line)
            draw.text(
                (left + 2 * line, top + line), str(number), color, ImageFont.load_default(max(14, 10 * line))
            )
    return np.array(image)


def _fitted(rgb: np.ndarray, side: int) -> Image.Image:
    scale = side / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def sheet(pictures: Sequence[tuple[str, np.ndarray, Look]]) -> np.ndarray:
    """A contact sheet of pictures, predictions and file names, 7 a row: uint8 (H, W, 3)."""
    across = min(7, max(1, len(pictures)))
    rows = -(-len(pictures) // across)
    image = Image.new("RGB", (across * TILE + EDGE, rows * (TILE + STRIP) + EDGE), PAPER)
    draw = ImageDraw.Draw(image)
    for n, (name, rgb, seen) in enumerate(pictures):
        x, y = n % across * TILE + EDGE // 2, n // across * (TILE + STRIP) + EDGE // 2
        tile = _fitted(marked(rgb, seen), TILE - 10)
        image.paste(tile, (x + (TILE - tile.width) // 2, y + (TILE - tile.height) // 2))
        answer = seen.leaves[0].answer
        text = plain_name(answer.label) if answer.known else "not known"
        text += f" and {len(seen.leaves) - 1} more" if len(seen.leaves) > 1 else ""
        color = GOOD if answer.known else UNSURE
        for line, (label, ink, size) in enumerate(((text, color, 13), (name, GREY, 11))):
            short = _shortened(label, size, TILE - 10)
            draw.text((x + 5, y + TILE + 18 * line), short, ink, ImageFont.load_default(size))
    return np.array(image)


def _shortened(text: str, size: int, width: int) -> str:
    font = ImageFont.load_default(size)
    while font.getlength(text) > width and len(text) > 2:
        text = text[:-2].rstrip("…") + "…"
    return text
