"""Finds the page in a picture and its dark surroundings, such as a table, a cover or a scanner lid."""

import numpy as np

SMALL = 256  # longest side of the analysed picture
LEAST = 0.04  # share of the picture; smaller surroundings are ignored


def find(picture: np.ndarray) -> tuple[tuple[int, int, int, int], np.ndarray | None]:
    """The box (top, left, bottom, right) of the page in a picture, uint8 (H, W, 3), and its mask.

    The mask, float32 (h, w), has a low resolution; it is None if the page fills the picture. Areas that are
    much darker than the page, touch the edge of the picture and are not writing count as surroundings.
    """
    import cv2

    height, width, _ = picture.shape
    whole = (0, 0, height, width)
    scale = min(1.0, SMALL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if min(size) < 32:
        return whole, None
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    window = np.ones((9, 9), np.uint8)  # larger than a letter at this size
    paper = cv2.blur(cv2.morphologyEx(luma, cv2.MORPH_CLOSE, window), (5, 5))
    threshold, _ = cv2.threshold(paper, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = (paper <= threshold).astype(np.uint8)
    if not 0 < dark.sum() < dark.size or paper[dark > 0].mean() > 0.5 * paper[dark == 0].mean():
        return whole, None
    count, labels = cv2.connectedComponents(dark)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    around = np.isin(labels, np.unique(edge[edge > 0])) if count > 1 else np.zeros(dark.shape, bool)
    if not LEAST < around.mean() < 0.8:
        return whole, None
    inside = (~around).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside)
    if len(stats) < 2:
        return whole, None
    largest = stats[1:, cv2.CC_STAT_AREA].max()
    pages = [
        n for n in range(1, len(stats)) if stats[n, cv2.CC_STAT_AREA] > 0.2 * largest
    ]  # halves of a book
    inside = np.isin(labels, pages)
    rows, columns = np.flatnonzero(inside.mean(1) > 0.2), np.flatnonzero(inside.mean(0) > 0.2)
    if not rows.size or not columns.size:
        return whole, None
    box = (rows[0] / scale, columns[0] / scale, (rows[-1] + 1) / scale, (columns[-1] + 1) / scale)
    top, left, bottom, right = (round(float(value)) for value in box)
    soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.0)
    return (top, left, min(height, bottom), min(width, right)), soft
