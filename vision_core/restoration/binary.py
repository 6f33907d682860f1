"""Black on white: ink by the network's map or by a threshold, and what is not to be trusted."""

from typing import Literal

import numpy as np

from vision_core.pictures.images import Kind
from vision_core.restoration import classical

Threshold = Literal["ink", "sauvola", "wolf", "otsu"]
MOSTLY = 0.55  # of a page: where more than this is dark, dark is not ink
HARDLY = 0.002  # of a page: less ink by the network, where a threshold finds five times as much, is doubtful
FLAT = 8  # 8-bit steps between the darkest and the brightest: less is an empty page
NEAR = 96  # pixels beside a dark area
WIDE = 16  # a dark area is as wide as the shorter side of the page over this, or 24 pixels
DARK = "mostly dark, binary result not to be trusted"
DOUBTFUL = "the network finds hardly any writing: black on white is by Wolf's threshold, not to be trusted"
EMPTY = "no writing was found on this page: black on white is empty"


def page(
    rgb: np.ndarray, ink: np.ndarray | None, threshold: Threshold = "ink", soft: bool = False
) -> tuple[np.ndarray, Kind, str | None]:
    """A page, uint8 (H, W, 3), in black on white, the kind of picture it is, and what to beware of.

    Dark areas, such as pictures, bands and borders, stay dark, and what is light in them light.

    Args:
        ink: uint8 (H, W), the network's map; without it "ink" is Wolf's threshold.
        soft: ink in shades of grey on white, as type on a screen.
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
            near = _around(area)  # beside a dark area the network loses letters
            dark[near] = np.maximum(dark, 255 - classical.wolf(rgb)[..., 0])[near]
            dark[area] = _reversed(luma, middle)[area]
    if not dark.any():
        note = EMPTY
    if not soft:
        return np.repeat(np.where(dark > 128, 0, 255).astype(np.uint8)[..., None], 3, 2), "binary", note
    return np.repeat(255 - dark[..., None], 3, 2), "grey", note


def _around(area: np.ndarray) -> np.ndarray:
    import cv2

    window = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    return cv2.dilate(area.astype(np.uint8), window) > 0


def _reversed(luma: np.ndarray, middle: float) -> np.ndarray:
    """Of a dark area, what is not plainly light: uint8 (H, W), 255 dark."""
    import cv2

    return np.where(cv2.GaussianBlur(luma, (0, 0), 0.6) <= 0.9 * middle, 255, 0).astype(np.uint8)


def _ink(rgb: np.ndarray, ink: np.ndarray | None, threshold: Threshold) -> tuple[np.ndarray, str | None]:
    """uint8 (H, W), 255 ink, and what to beware of."""
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
    """Where a page is dark over more than a stroke's width, bool (H, W): pictures, bands, borders."""
    import cv2

    side = max(24, min(luma.shape) // WIDE) | 1
    window = np.ones((side, side), np.uint8)
    dark = (cv2.medianBlur(luma, 5) <= middle).astype(np.uint8)
    closed = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    border = cv2.BORDER_REPLICATE  # a band at the edge of the page goes on beyond it
    padded = cv2.copyMakeBorder(closed, side, side, side, side, border)
    cores = cv2.erode(padded, window)
    if not cores.any():
        return np.zeros(luma.shape, bool)
    grown = cv2.morphologyEx(
        cv2.dilate(cores, window), cv2.MORPH_CLOSE, np.ones((2 * side + 1, 2 * side + 1), np.uint8)
    )
    return grown[side:-side, side:-side] > 0
