"""Ground-truth ink of clean pages, to train on."""

import numpy as np

UNSURE = 128  # neither certainly ink (255) nor certainly paper (0)
LINE = 61  # window in pixels for the paper; larger than any stroke of a page of 1,280 pixels


def of_clean_page(rgb: np.ndarray) -> np.ndarray:
    """Ink of a clean page of about 1,280 pixels: uint8 (H, W, 3) -> (H, W), 255 ink, 0 paper, 128 unsure.

    Strokes are segmented by `strokes`. Faint traces, such as bleed-through, and dark areas larger than a
    stroke, such as pictures or a table beside the page, are unsure.
    """
    import cv2

    luma = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 0.7)
    paper = paper_of(luma)
    depth = ((paper - luma) / paper).clip(0, 1)  # 0 paper, towards 1 black
    typical = typical_depth(depth)
    labels = strokes(depth, 0.25 * typical, 0.6 * typical)
    large = cv2.morphologyEx(
        (depth > 0.45 * typical).astype(np.uint8), cv2.MORPH_OPEN, np.ones((19, 19), np.uint8)
    )
    large = ((large > 0) | (paper < 70)).astype(np.uint8)
    labels[cv2.dilate(large, np.ones((41, 41), np.uint8)) > 0] = UNSURE
    return labels


def paper_of(page: np.ndarray, window: int = LINE) -> np.ndarray:
    """The local brightness or colour of the paper of uint8 (H, W) or (H, W, 3): float32 from 16 to 255."""
    import cv2

    closed = cv2.morphologyEx(cv2.medianBlur(page, 5), cv2.MORPH_CLOSE, np.ones((window, window), np.uint8))
    return cv2.blur(closed, (window, window)).astype(np.float32).clip(16)


def strokes(depth: np.ndarray, faint: float, certain: float) -> np.ndarray:
    """Segment ink by the relative darkness of each pixel, (H, W) in [0, 1]; uint8 (H, W) as `of_clean_page`.

    A pixel is ink if it has at least half of the darkness of its stroke, and paper if it has less than a
    third, since people include blurred edges when they annotate writing. Pixels in between are unsure, as are
    strokes with a maximum between `faint` and `certain`; fainter strokes are paper.
    """
    import cv2

    stroke = cv2.blur(cv2.dilate(depth, np.ones((9, 9), np.uint8)), (9, 9))  # maximum of the stroke
    share = depth / stroke.clip(0.05)
    labels = np.full(depth.shape, UNSURE, np.uint8)
    labels[(share > 0.52) & (stroke > certain)] = 255
    labels[(share < 0.32) | (stroke < faint)] = 0
    return labels


def typical_depth(depth: np.ndarray) -> float:
    """Typical ink depth: the upper class of Otsu's threshold over pixels that are not clearly paper."""
    import cv2

    values = (depth[depth > 0.08] * 255).astype(np.uint8)
    if values.size < 100:
        return 1.0
    threshold, _ = cv2.threshold(values.reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
    upper = values[values > threshold]
    return float(np.median(upper)) / 255 if upper.size else 1.0
