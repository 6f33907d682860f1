"""A contact sheet: every page of a batch as a thumbnail with its outcome."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vision_core.pictures import images
from vision_core.restoration.reports import PageReport

TILE, LINE, COLUMNS = 190, 17, 6  # pixels of a page's longer side and of a line of text; pages side by side
PAPER, INK, GOOD, GREY, BAD = "#ffffff", "#18202a", "#0f766e", "#52606b", "#a83232"
WORDS = {"restored": ("restored", GOOD), "kept": ("kept as it was", GREY), "failed": ("not readable", BAD)}


def sheet(rows: Sequence[PageReport], names: Sequence[str]) -> Image.Image:
    """The pages in order, each with its name and outcome."""
    across = min(COLUMNS, len(rows))
    high = TILE + 3 * LINE
    whole = Image.new("RGB", (across * (TILE + LINE) + LINE, -(-len(rows) // across) * high + LINE), PAPER)
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        left, top = LINE + number % across * (TILE + LINE), LINE + number // across * high
        if row.written and Path(row.written).exists():
            small = Image.fromarray(images.shrink(images.read(row.written).rgb, TILE))
            whole.paste(small, (left + (TILE - small.width) // 2, top + (TILE - small.height) // 2))
        outcome, color = WORDS.get(row.outcome, (row.outcome, GREY))
        draw.text((left, top + TILE + 2), _fitted(name, font), fill=INK, font=font)
        draw.text((left, top + TILE + 2 + LINE), outcome, fill=color, font=font)
    return whole


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """The text, shortened in the middle if it is wider than a page."""
    kept = text
    while font.getlength(kept) > TILE and len(kept) > 8:
        half = (len(kept) - 2) // 2
        kept = f"{kept[:half]}…{kept[-half:]}"
    return kept
