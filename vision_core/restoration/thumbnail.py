"""Thumbnails of statistics of a page: illumination, noise and sharpness in 24 x 24 fields."""

import numpy as np

FIELDS = 24  # rows and columns of a thumbnail
CHANNELS = 14
LONGEST = 32  # side of a field in pixels; larger pages are reduced first


def thumbnail(page: np.ndarray) -> np.ndarray:
    """Statistics of a page, uint8 (H, W, 3) -> float32 (14, 24, 24), most of them in [0, 1].

    Mean, standard deviation, minimum and maximum of each colour in a field, then noise (difference to the
    3 x 3 median) and sharpness (gradient) of the luma at full resolution. The number of fields does not
    depend on the size of the page, so its resolution affects only noise and sharpness.
    """
    import cv2

    luma = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
    grain = cv2.absdiff(luma, cv2.medianBlur(luma, 3))
    soft = cv2.blur(luma, (3, 3)).astype(np.int16)
    edges = np.zeros_like(luma)
    edges[:, :-2] = np.abs(soft[:, 2:] - soft[:, :-2])
    rows, columns = (FIELDS * min(LONGEST, max(4, round(side / FIELDS))) for side in page.shape[:2])
    reduced = cv2.resize(page, (columns, rows), interpolation=cv2.INTER_AREA)
    values = reduced.astype(np.float32) / 255
    mean = _fields(values)
    spread = np.sqrt(np.maximum(_fields(values**2) - mean**2, 0))
    soft, window = cv2.blur(reduced, (3, 3)), np.ones((rows // FIELDS, columns // FIELDS), np.uint8)
    centres = (
        slice(window.shape[0] // 2, None, window.shape[0]),
        slice(window.shape[1] // 2, None, window.shape[1]),
    )
    darkest, brightest = (
        extreme(soft, window)[centres].astype(np.float32) / 255 for extreme in (cv2.erode, cv2.dilate)
    )
    fine = np.stack([_fields(grain), _fields(edges)], 2) / 255
    parts = [mean, 4 * spread, darkest, brightest, 16 * np.minimum(fine, 1 / 16)]
    return np.concatenate(parts, 2).transpose(2, 0, 1).astype(np.float32)


def _fields(values: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) -> its mean in each field, float32 (24, 24) or (24, 24, 3)."""
    import cv2

    return cv2.resize(values.astype(np.float32), (FIELDS, FIELDS), interpolation=cv2.INTER_AREA)
