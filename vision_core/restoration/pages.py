"""Manuscript-like pages drawn from a seed: to train with no data, and for text of sizes that scans lack.

Six hands (blackletter, uncial, old print, chancery, everyday, Greek), ruled or free, in one or two columns,
with rubrics and initials, on parchment or paper.
"""

import math
import random
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor
from torch.nn import functional as F

from vision_core.devices import generator
from vision_core.files import bundled
from vision_core.restoration.data import Page, page_tensor

HANDS = {  # file, size of an em where a line is 1 high
    "blackletter": ("unifrakturcook-latin-700-normal.woff2", 0.95),
    "uncial": ("uncial-antiqua-latin-400-normal.woff2", 0.7),
    "print": ("im-fell-english-latin-400-normal.woff2", 0.85),
    "chancery": ("tangerine-latin-700-normal.woff2", 1.15),
    "everyday": ("homemade-apple-latin-400-normal.woff2", 0.55),
    "greek": ("gfs-didot-greek-400-normal.woff2", 0.8),
}
LATIN = (
    "in principio et qui non est cum deus dominus per omnia saecula ad terram aqua lux facta sunt autem vero "
    "quod eius super filius rex civitas magna anno domini mense die hora ecclesia sancti liber primus caput "
    "scriptum manus pater mater frater nomen gloria pax bellum ignis ventus mare caelum homo mulier puer"
).split()
GREEK = (
    "εν αρχη ην ο λογος και προς τον θεον παντα δι αυτου εγενετο ζωη φως ανθρωπος κοσμος ημερα νυξ γη "
    "θαλασσα ονομα πατηρ υιος μητηρ βασιλευς πολις οδος αληθεια χαρις ειρηνη"
).split()
INKS = ((38, 28, 22), (62, 44, 28), (25, 25, 30), (86, 60, 36), (48, 40, 38))
RUBRICS = ((168, 40, 28), (40, 62, 130), (148, 52, 36))
PAPERS = (
    (235, 224, 200),
    (222, 206, 172),
    (240, 234, 218),
    (214, 200, 178),
    (228, 216, 186),
    (205, 186, 150),
)


def page(number: int, seed: int = 0, width: int = 848, height: int = 1280) -> Page:
    """Page `number` of a seed; its hand names the manuscript it belongs to."""
    hand, rgb = _draw(random.Random(f"page {seed} {number}"), width, height)
    return Page(f"generated/{hand}__{number}", page_tensor(rgb))


def crop(number: int, side: int) -> Tensor:
    """A part of a page, float (3, side, side) in [0, 1]; much faster than a page."""
    rng = random.Random(f"crop {number}")
    _, rgb = _draw(rng, side + 64, side + 64)
    x, y = rng.randrange(65), rng.randrange(65)
    return page_tensor(rgb[y : y + side, x : x + side]).float() / 255


def _draw(rng: random.Random, width: int, height: int) -> tuple[str, np.ndarray]:
    """The hand, and uint8 (H, W, 3)."""
    hand = rng.choice(list(HANDS))
    small = min(width, height) < 600  # a part of a page: no margins, and words are cut at its edges
    line = rng.uniform(16, 48)
    if small and rng.random() < 0.4:
        line *= 2.5  # as in a scan of high resolution
    margin = 0.0 if small else rng.uniform(0.07, 0.14) * width
    inks = {"ink": Image.new("L", (width, height)), "rubric": Image.new("L", (width, height))}
    pens = {name: ImageDraw.Draw(layer) for name, layer in inks.items()}
    columns = 2 if rng.random() < 0.35 and not small and width > 16 * line else 1
    beyond = 8 * line if small else 0
    gap = 1.5 * line
    span = (width - 2 * margin - gap * (columns - 1)) / columns
    for column in range(columns):
        left = margin + column * (span + gap)
        _column(rng, pens, hand, line, (left, margin, left + span + beyond, height - margin + beyond))
    ruled = Image.new("L", (width, height))
    if rng.random() < 0.4:
        _rule(rng, ImageDraw.Draw(ruled), line, margin, width, height)
    torch_rng = generator(rng.randrange(2**31))
    sheet = _paper(rng, torch_rng, width, height)
    color, rubric = rng.choice(INKS), rng.choice(RUBRICS)
    sheet = _ink(sheet, ruled, (120, 90, 70), 0.35, torch_rng)
    sheet = _ink(
        sheet, inks["ink"].filter(ImageFilter.GaussianBlur(0.45)), color, rng.uniform(0.7, 1), torch_rng
    )
    sheet = _ink(sheet, inks["rubric"].filter(ImageFilter.GaussianBlur(0.45)), rubric, 0.9, torch_rng)
    return hand, (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def _column(
    rng: random.Random,
    pens: dict[str, ImageDraw.ImageDraw],
    hand: str,
    line: float,
    box: tuple[float, float, float, float],
) -> None:
    """Write lines of words into a box; some words in red, now and then an initial of two lines."""
    left, top, right, bottom = box
    font = _font(hand, round(HANDS[hand][1] * line))
    large = _font(hand, round(2.1 * HANDS[hand][1] * line))
    words = GREEK if hand == "greek" else LATIN
    y, indented, indent = top, 0, 0.0
    slant = rng.uniform(-0.008, 0.008)
    while y + line < bottom:
        x = left + rng.uniform(0, 0.5) * line
        if indented == 0 and rng.random() < 0.12:
            letter = rng.choice(words)[0].upper()
            pens["rubric"].text((left, y), letter, 255, large)
            indented, indent = 2, large.getlength(letter) + 0.3 * line
        if indented:
            x, indented = left + indent, indented - 1
        end = right if rng.random() < 0.9 else left + rng.uniform(0.3, 0.9) * (right - left)
        red = rng.random() < 0.06
        while x < end:
            word = rng.choice(words)
            length = font.getlength(word)
            if x + length > right:
                break
            place = (x, y + slant * (x - left) + rng.uniform(-0.03, 0.03) * line)
            pens["rubric" if red or rng.random() < 0.02 else "ink"].text(place, word, 255, font)
            x += length + rng.uniform(0.2, 0.4) * line
        y += line * rng.uniform(0.98, 1.02)


def _rule(
    rng: random.Random, pen: ImageDraw.ImageDraw, line: float, margin: float, width: int, height: int
) -> None:
    for i in range(int((height - 2 * margin) / line) + 1):
        y = margin + (i + 0.85) * line
        pen.line((0, y, width, y + rng.uniform(-1, 1)), 255)
    for x in (margin, width - margin):
        pen.line((x, 0, x, height), 255)


def _paper(rng: random.Random, torch_rng: torch.Generator, width: int, height: int) -> Tensor:
    """Parchment or paper, (3, H, W): a tone, clouds of three sizes, and grain."""
    tone = torch.tensor([c + rng.uniform(-8, 8) for c in rng.choice(PAPERS)]).view(3, 1, 1) / 255
    clouds = torch.zeros(height, width)
    for cells, weight in ((3, 0.03), (12, 0.015), (48, 0.01)):
        rows = max(2, math.ceil(cells * height / max(height, width)))
        coarse = torch.randn(1, 1, rows, cells, generator=torch_rng)
        clouds += weight * F.interpolate(coarse, (height, width), mode="bilinear")[0, 0]
    grain = rng.uniform(0.004, 0.014) * torch.randn(height, width, generator=torch_rng)
    soft = F.avg_pool2d(F.pad(grain[None, None], (1, 1, 1, 1), "replicate"), 3, 1)[0, 0]
    return tone * (1 + clouds + grain * 0.5 + soft)


def _ink(
    sheet: Tensor,
    layer: Image.Image,
    color: tuple[int, int, int],
    strength: float,
    torch_rng: torch.Generator,
) -> Tensor:
    """Lay a layer of ink, of uneven strength, on the sheet."""
    cover = torch.from_numpy(np.array(layer)).float() / 255
    coarse = torch.randn(1, 1, 10, 10, generator=torch_rng)
    uneven = (1 + 0.15 * F.interpolate(coarse, cover.shape, mode="bicubic")[0, 0]).clamp(0.4, 1.1)
    cover = (cover * strength * uneven).clamp(0, 1)
    return sheet * (1 - cover) + torch.tensor(color).view(3, 1, 1) / 255 * cover


@cache
def _font(hand: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(bundled("assets") / "restoration" / "fonts" / HANDS[hand][0], size)
