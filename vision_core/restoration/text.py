"""Generated lines of writing in five scripts, from fonts, as an ink mask."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision_core.files import bundled

SCRIPTS = {
    "latin": "abcdefghijklmnopqrstuvwxyzaeiouaeioun",
    "greek": "αβγδεζηθικλμνξοπρστυφχψω",
    "cyrillic": "абвгдежзиклмнопрстуфхцчшыьэюя",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "arabic": "ابتثجحدرسشصطعفقكلمنهوي",
}
MARKS = ".,:;-0123456789"


def mask(rng: np.random.Generator, side: int, fonts: Sequence[Path] = ()) -> np.ndarray:
    """Lines of random words in one of the fonts, by default the bundled ones: float32 (S, S), 1 is ink."""
    families = _families(tuple(fonts) or bundled_fonts())
    family = families[int(rng.integers(len(families)))]
    path = family[int(rng.integers(len(family)))]
    scripts = _scripts(path)
    sheet = Image.new("L", (side, side))
    if not scripts:
        return np.zeros((side, side), np.float32)
    letters = list(SCRIPTS[scripts[rng.integers(len(scripts))]])
    size = round(float(np.exp(rng.uniform(np.log(11), np.log(110)))))
    font, pen = _font(path, size), ImageDraw.Draw(sheet)
    step, slant = size * rng.uniform(0.95, 1.5), rng.uniform(-0.02, 0.02)
    y = -rng.uniform(0, step)
    while y < side:
        x = -rng.uniform(0, 3 * size) if rng.random() < 0.85 else rng.uniform(0, 0.5) * side
        end = side if rng.random() < 0.85 else rng.uniform(0.2, 0.9) * side
        words = []
        while x < end:
            words.append(_word(rng, letters))
            x += size * 0.5 * (len(words[-1]) + 1)
        pen.text((-rng.uniform(0, 2 * size), y), " ".join(words), 255, font)
        y += step
    if rng.random() < 0.6:
        sheet = sheet.transform(
            (side, side), Image.Transform.AFFINE, (1, slant, 0, -slant, 1, 0), Image.Resampling.BILINEAR
        )
    return np.asarray(sheet, np.float32) / 255


@cache
def bundled_fonts() -> tuple[Path, ...]:
    return tuple(sorted((bundled("assets") / "restoration" / "fonts").glob("*.woff2")))


def found_fonts(folder: Path) -> list[Path]:
    """The fonts in a folder and its subfolders, sorted by name.

    Raises:
        ValueError: there is none.
    """
    fonts = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".ttf", ".otf", ".woff2"))
    if not fonts:
        raise ValueError(f"{folder} holds no fonts (*.ttf, *.otf, *.woff2)")
    return fonts


def _word(rng: np.random.Generator, letters: list[str]) -> str:
    word = "".join(rng.choice(letters, rng.integers(2, 10)))
    if rng.random() < 0.12:
        word = word[0].upper() + word[1:]
    return word + (str(rng.choice(list(MARKS))) if rng.random() < 0.12 else "")


@lru_cache(4)
def _families(fonts: tuple[Path, ...]) -> list[list[Path]]:
    """Group fonts by the first word of their names, so that a family of forty weights counts once."""
    families: dict[str, list[Path]] = {}
    for path in fonts:
        families.setdefault(re.split(r"[-_\d]|Bold|Italic", path.stem)[0].lower(), []).append(path)
    return list(families.values())


@cache
def _scripts(path: Path) -> list[str]:
    """The scripts that a font has all letters of."""
    font = _font(path, 24)
    missing = _drawn(font, "\U0010fffd")

    def has(letter: str) -> bool:
        bitmap = _drawn(font, letter)
        return any(bitmap) and bitmap != missing

    return [name for name, letters in SCRIPTS.items() if all(map(has, letters))]


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> bytes:
    return bytes(font.getmask(letter))  # pyright: ignore[reportArgumentType]


@lru_cache(256)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise ValueError(f"{path.name} is no font that FreeType can read: {error}") from error
