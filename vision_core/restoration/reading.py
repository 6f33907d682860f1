"""Evaluation by OCR: character error rates on damaged, restored and clean pages.

Needs Tesseract, a separate program (Debian: tesseract-ocr and tesseract-ocr-fra).
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vision_core.files import read_json
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration.degrade import degrade, draw
from vision_core.restoration.networks import Restorer
from vision_core.restoration.restore import restore

KINDS = ("bleed_through", "fading", "stains", "noise")  # kinds that reduce legibility
SEVERITY = 5
LETTERS = 40  # per page; fewer are not significant
MISSING = "OCR needs Tesseract: install it (Debian: apt-get install tesseract-ocr tesseract-ocr-fra)"


def evaluate_text(
    folder: Path, network: Restorer, lines: int = 40, seed: int = 0, language: str = "fra"
) -> Iterator[dict[str, Any]]:
    """Evaluate on transcribed pages, lines.json: page -> [{"box": [left, top, right, bottom], "text"}].

    Yields one row per page: character error rates of its lines in % on the clean page, the clean page
    restored, the damaged page, and the damaged page restored.

    Args:
        lines: maximum number of lines, distributed over the pages.

    Raises:
        ValueError: lines.json or Tesseract is missing.
    """
    if shutil.which("tesseract") is None:
        raise ValueError(MISSING)
    if not (folder / "lines.json").is_file():
        raise ValueError(f"{folder} holds no lines.json with the text of its pages")
    transcripts = read_json(folder / "lines.json")
    each = -(-lines // len(transcripts))
    for number, (name, entries) in enumerate(transcripts.items()):
        picture = images.read(folder / name)
        recipe = draw(seed + number, KINDS, SEVERITY)
        damaged = images.from_tensor(degrade(images.to_tensor(picture.rgb), [recipe]))
        pages = {
            "clean": picture.rgb,
            "clean_restored": restore(picture, network).picture.rgb,
            "damaged": damaged,
            "restored": restore(Picture(damaged), network).picture.rgb,
        }
        longest = sorted(entries, key=lambda entry: -len(entry["text"]))[:each]
        row: dict[str, Any] = {"page": name, "letters": sum(len(entry["text"]) for entry in longest)}
        for title, page in pages.items():
            wrong = sum(
                distance(read_line(_cut(page, entry["box"]), language), entry["text"]) for entry in longest
            )
            row[title] = round(100 * wrong / max(1, row["letters"]), 2)
        yield row


def text_summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean error rates over all characters, and the share of errors due to damage that restoring corrects."""
    letters = np.array([row["letters"] for row in rows], float)
    names = ("clean", "clean_restored", "damaged", "restored")
    rates = {
        name: round(float((letters * [row[name] for row in rows]).sum() / letters.sum()), 2) for name in names
    }
    undone = (rates["damaged"] - rates["restored"]) / max(1e-9, rates["damaged"] - rates["clean"])
    return {**rates, "undone": round(undone, 3)}


def legible(clean: np.ndarray, *others: np.ndarray, language: str = "eng") -> list[float] | None:
    """The share of the characters of a clean page that OCR also reads on each of the other pages.

    Pages are uint8 (H, W, 3). None if Tesseract is missing or hardly reads anything on the clean page.
    """
    if shutil.which("tesseract") is None:
        return None
    text = read_text(clean, language)
    if len(text) < LETTERS:
        return None
    return [max(0.0, 1 - distance(read_text(page, language), text) / len(text)) for page in others]


def read_line(rgb: np.ndarray, language: str) -> str:
    """OCR of a picture of one line."""
    return _read(rgb, language, "7")


def read_text(rgb: np.ndarray, language: str) -> str:
    """OCR of a picture of several lines, joined by single spaces."""
    return " ".join(_read(rgb, language, "6").split())


def _read(rgb: np.ndarray, language: str, layout: str) -> str:
    command = ["tesseract", "-", "-", "-l", language, "--psm", layout]
    process = subprocess.run(command, input=images.encode(Picture(rgb)), capture_output=True, check=False)
    if process.returncode:
        words = process.stderr.decode(errors="replace").strip()
        raise ValueError(
            f"Tesseract cannot read {language}: {words.splitlines()[0] if words else 'no reason'}"
        )
    return process.stdout.decode(errors="replace").strip()


def distance(predicted: str, text: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(text) + 1))
    for i, letter in enumerate(predicted, 1):
        previous, row[0] = row[0], i
        for j, expected in enumerate(text, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (letter != expected))
    return row[-1]


def _cut(page: np.ndarray, box: list[int]) -> np.ndarray:
    left, top, right, bottom = box
    return np.ascontiguousarray(page[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4])
