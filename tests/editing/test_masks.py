"""Tests of mask files in common formats."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from vision_core.editing import masks

MARKED = np.zeros((30, 40), bool)
MARKED[5:20, 10:31] = True
WHITE = MARKED.astype(np.uint8) * 255
FULL = np.full_like(WHITE, 255)


def png(array: np.ndarray, mode: str | None = None) -> bytes:
    buffer = BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return buffer.getvalue()


def layer(
    color: tuple[int, int, int], alpha: np.ndarray, hidden: tuple[int, int, int] = (0, 0, 0)
) -> np.ndarray:
    """One colour painted on a transparent layer."""
    rgb = np.where(alpha[..., None] > 0, np.array(color, np.uint8), np.array(hidden, np.uint8))
    return np.dstack([rgb, alpha])


def with_alpha(value: int, at: tuple[slice, slice] | tuple[int, int]) -> np.ndarray:
    alpha = FULL.copy()
    alpha[at] = value
    return np.dstack([WHITE, WHITE, WHITE, alpha])


PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
BLACK = np.zeros_like(WHITE)
SOFT = cv2.GaussianBlur(WHITE, (0, 0), 2)
CASES = {
    "L": png(WHITE),
    "1": png(MARKED),
    "P": png(WHITE, "P"),
    "RGB": png(np.dstack([WHITE] * 3)),
    "LA": png(np.dstack([WHITE, FULL]), "LA"),
    "16 bits": cv2.imencode(".png", WHITE.astype(np.uint16) * 257)[1].tobytes(),
    "one pixel of alpha 254": png(with_alpha(254, (0, 0))),
    "one transparent pixel": png(with_alpha(0, (0, 0))),
    "a transparent border": png(with_alpha(0, (slice(0, 3), slice(None)))),
    "half opaque all over": png(with_alpha(160, (slice(None), slice(None)))),
    "black on a layer": png(layer((0, 0, 0), WHITE)),
    "white on a layer": png(layer((255, 255, 255), WHITE, (255, 255, 255))),
    "red on a layer": png(layer((255, 0, 0), WHITE, (0, 255, 0))),
    "a soft brush": png(layer((255, 0, 0), SOFT)),
    "a soft white brush on black": png(SOFT),
    "a thing cut out": png(np.dstack([PHOTO, WHITE])),
    "red on black": png(np.dstack([WHITE, BLACK, BLACK])),
    "green on black": png(np.dstack([BLACK, WHITE, BLACK])),
    "blue on black": png(np.dstack([BLACK, BLACK, WHITE])),
    "dark red on black, as in colour maps of labels": png(np.dstack([WHITE // 255 * 128, BLACK, BLACK])),
    "red on black in a JPEG": cv2.imencode(".jpg", np.dstack([BLACK, BLACK, WHITE]))[1].tobytes(),
    "labels 0 and 1": png(WHITE // 255),
    "labels 0 and 1 in 16 bits": cv2.imencode(".png", WHITE.astype(np.uint16) // 255)[1].tobytes(),
    "0 and 255 in 16 bits": cv2.imencode(".png", WHITE.astype(np.uint16))[1].tobytes(),
    "blue on black beside transparent pixels": png(np.dstack([BLACK, BLACK, with_alpha(0, (0, 0))[..., 2:]])),
    "a cut-out in grey": png(np.dstack([PHOTO[..., 0], WHITE]), "LA"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_mask_marks_the_same(name):
    decoded = masks.read(CASES[name], 30, 40)
    assert decoded.dtype == bool
    wrong = decoded != MARKED
    assert not (wrong & (np.abs(SOFT.astype(int) - 128) > 50)).any(), f"{wrong.sum()} pixels"
    assert not wrong.any() or "soft" in name


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (BLACK, "the mask is empty"),
        (
            WHITE // 255 * np.arange(40, dtype=np.uint8),
            "nowhere lighter than 30 of 255, and marks from 128 on",
        ),
        (np.where(MARKED[..., None], [255, 0, 0], 255).astype(np.uint8), "white and other colours"),
        (PHOTO // 2 + 50, "a picture in many colours"),
    ],
)
def test_what_marks_nothing_for_sure_is_refused_with_the_reason(mask, message):
    with pytest.raises(ValueError, match=message):
        masks.read(png(mask), 30, 40)


def test_white_counts_no_more_than_it_is_opaque():
    strength = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    decoded = masks.read(png(np.dstack([FULL, FULL, FULL, strength])), 30, 40)
    assert np.array_equal(decoded, strength >= 128)


def test_another_size_is_named_with_both():
    with pytest.raises(ValueError, match="the mask has 40 x 30 pixels, but the picture has 41 x 30"):
        masks.read(png(WHITE), 30, 41)


def test_a_mask_comes_back_as_it_was():
    noise = np.random.default_rng(0).random((301, 203)) < 0.5
    assert np.array_equal(masks.read(masks.encode(noise), 301, 203), noise)
