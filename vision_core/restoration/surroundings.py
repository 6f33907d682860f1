"""The page in a picture: where it is, and what lies around it, dark table, cover or scanner."""

import numpy as np

SMALL = 256  # longest side of the picture that is looked at
LEAST = 0.04  # of the picture: less around a page is not worth a mask


def find(picture: np.ndarray) -> tuple[tuple[int, int, int, int], np.ndarray | None]:
    """The box of the page (top, left, bottom, right) in uint8 (H, W, 3), and a small map of it.

    The map, float32 (h, w), is 1 on the page and 0 beside it; None where all of the picture is page. What is
    much darker than the page, touches the edge of the picture and is no writing lies around it.
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
