"""Binarisation by the predicted ink or by a threshold, with warnings about unreliable results."""

from typing import Literal

import numpy as np

from vision_core.pictures.images import Kind
from vision_core.restoration import classical

Threshold = Literal["ink", "sauvola", "wolf", "otsu"]
MOSTLY = 0.55  # share of dark pixels above which dark does not mean ink
HARDLY = 0.002  # share of predicted ink that is doubtful if a threshold finds five times as much
FAINT, CERTAIN = 90, 160  # hysteresis thresholds of the ink map, see Canny 1986
FLAT = 8  # range in 8-bit steps below which a page is empty
NEAR = 96  # pixels around a dark area
WIDE = 16  # a dark area is wider than the shorter side of the page divided by this, and than 24 pixels
DARK = "mostly dark, the binary result is unreliable"
DOUBTFUL = "the network finds hardly any writing: binarised by Wolf's threshold instead, unreliable"
EMPTY = "no writing was found on this page: the binary result is empty"


def page(
    rgb: np.ndarray, ink: np.ndarray | None, threshold: Threshold = "ink", soft: bool = False
) -> tuple[np.ndarray, Kind, str | None]:
    """Binarise a page, uint8 (H, W, 3); returns it with its kind and a warning or None.

    In dark areas, such as pictures, bands and borders, dark pixels stay dark and light pixels stay light.

    Args:
        ink: uint8 (H, W), predicted ink; without it, "ink" means Wolf's threshold.
        soft: grey ink on white, like antialiased text.
    """
    luma = classical.grey(rgb)[..., 0]
    low, high = (float(value) for value in np.percentile(luma[::2, ::2], (1, 99)))
    middle = (low + high) / 2
    note = None
    if high - low < FLAT:
        dark, note = np.zeros(luma.shape, np.uint8), EMPTY
    elif high - low > 24 and float((luma < middle).mean()) > MOSTLY:
        dark, note = _reversed(luma, middle), DARK
    else:
        dark, note = _ink(rgb, ink, threshold)
        area = _wide(luma, middle) if high - low > 24 else np.zeros(luma.shape, bool)
        if area.any():
            near = _around(area)  # the network misses letters beside dark areas
            dark[near] = np.maximum(dark, 255 - classical.wolf(rgb)[..., 0])[near]
            dark[area] = _reversed(luma, middle)[area]
    mask = written(dark)
    if not mask.any():
        note = EMPTY
    if not soft:
        return np.repeat(np.where(mask, 0, 255).astype(np.uint8)[..., None], 3, 2), "binary", note
    return np.repeat(255 - dark[..., None], 3, 2), "grey", note


def written(dark: np.ndarray) -> np.ndarray:
    """Threshold uint8 (H, W), 255 ink, with hysteresis: thin strokes keep their width and faint ends."""
    from skimage.filters import apply_hysteresis_threshold

    return apply_hysteresis_threshold(dark, FAINT - 1, CERTAIN - 1)


def _around(area: np.ndarray) -> np.ndarray:
    import cv2

    window = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    return cv2.dilate(area.astype(np.uint8), window) > 0


def _reversed(luma: np.ndarray, middle: float) -> np.ndarray:
    """Pixels of a dark area that are not clearly light: uint8 (H, W), 255 dark."""
    import cv2

    return np.where(cv2.GaussianBlur(luma, (0, 0), 0.6) <= 0.9 * middle, 255, 0).astype(np.uint8)


def _ink(rgb: np.ndarray, ink: np.ndarray | None, threshold: Threshold) -> tuple[np.ndarray, str | None]:
    """Ink, uint8 (H, W), 255 ink, and a warning or None."""
    by_threshold = {"sauvola": classical.sauvola, "wolf": classical.wolf, "otsu": classical.otsu}
    if threshold != "ink" or ink is None:
        return 255 - by_threshold[threshold if threshold != "ink" else "wolf"](rgb)[..., 0], None
    share = float((ink > 128).mean())
    if share < HARDLY:
        other = 255 - classical.wolf(rgb)[..., 0]
        if float((other > 0).mean()) > 5 * max(share, HARDLY / 10):
            return other, DOUBTFUL
    return ink.copy(), None


def _wide(luma: np.ndarray, middle: float) -> np.ndarray:
    """Dark areas wider than strokes, such as pictures, bands and borders: bool (H, W)."""
    import cv2

    side = max(24, min(luma.shape) // WIDE) | 1
    window = np.ones((side, side), np.uint8)
    dark = (cv2.medianBlur(luma, 5) <= middle).astype(np.uint8)
    closed = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    border = cv2.BORDER_REPLICATE  # a band at the edge of the page continues beyond it
    padded = cv2.copyMakeBorder(closed, side, side, side, side, border)
    cores = cv2.erode(padded, window)
    if not cores.any():
        return np.zeros(luma.shape, bool)
    grown = cv2.morphologyEx(
        cv2.dilate(cores, window), cv2.MORPH_CLOSE, np.ones((2 * side + 1, 2 * side + 1), np.uint8)
    )
    return grown[side:-side, side:-side] > 0
