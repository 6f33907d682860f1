"""Features of the gate: writing, noise and sharpness of each cell before and after restoring."""

import numpy as np

CELL = 32  # pixels
DOT = 0.12  # share of the range by which a dot differs from the median of 3 x 3 pixels
BAND, MARGIN = 1024, 64  # rows processed together, and their context
NAMES = (
    "changed",
    "colour changed",
    "grain before",
    "grain after",
    "edges before",
    "edges after",
    "ink",
    "ink unsure",
    "dark before",
    "dark after",
    "vanished",
    "appeared",
    "ink vanished",
    "no ink appeared",
    "sharp vanished",
    "sharp appeared",
    "depth before",
    "depth after",
    "ink known",
    "dots before",
    "dots after",
    "changed beside dots",
    "soft dark vanished",
)
FEATURES = 3 * len(NAMES)


def cells(original: np.ndarray, restored: np.ndarray, ink: np.ndarray | None = None) -> np.ndarray:
    """Two pages, uint8 (H, W, 3), and predicted ink, uint8 (H, W) -> features, float32 (h, w, FEATURES).

    The square roots of the means over the cell, the 5 x 5 cells around it, and the page. Without a
    prediction, dark pixels of the restored page count as ink.
    """
    import cv2

    height = original.shape[0]
    parts = []
    for top in range(0, height, BAND):  # a large page at once would take gigabytes
        bottom = height if height - top < 2 * BAND else top + BAND
        first, last = max(0, top - MARGIN), min(height, bottom + MARGIN)
        rows = slice(first, last)
        maps = _maps(original[rows], restored[rows], None if ink is None else ink[rows])
        parts.append(_means(maps, top - first, bottom - first))
        if bottom == height:
            break
    near = np.concatenate(parts)
    around = cv2.blur(near, (5, 5), borderType=cv2.BORDER_REPLICATE).reshape(near.shape)
    whole = np.broadcast_to(near.mean((0, 1)), near.shape)
    return np.sqrt(np.concatenate([near, around, whole], 2).clip(0)).astype(np.float32)


def _means(maps: list[np.ndarray], top: int, bottom: int) -> np.ndarray:
    """The mean of each cell of rows `top` to `bottom`, float32 (h, w, number of maps)."""
    import cv2

    height, width = bottom - top, maps[0].shape[1]
    rows, columns = -(-height // CELL), -(-width // CELL)
    means = []
    for values in maps:
        beyond = (0, rows * CELL - height, 0, columns * CELL - width)
        padded = cv2.copyMakeBorder(values[top:bottom], *beyond, cv2.BORDER_REFLECT)
        means.append(cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA))
    return np.stack(means, 2).reshape(rows, columns, len(maps))


def _maps(original: np.ndarray, restored: np.ndarray, ink: np.ndarray | None) -> list[np.ndarray]:
    """Float32 (H, W) each, in the order of `NAMES`."""
    import cv2

    before, after = (_Seen(page) for page in (original, restored))
    sure = after.dark if ink is None else ink.astype(np.float32) / 255
    changed = np.abs(before.depth - after.depth)
    chroma = cv2.absdiff(original, restored).astype(np.float32)
    colour = (chroma.max(2) - chroma.min(2)) / 255
    spread = np.ones((5, 5), np.uint8)
    vanished = before.dark * (1 - cv2.dilate(after.dark, spread))
    appeared = after.dark * (1 - cv2.dilate(before.dark, spread))
    return [
        changed,
        colour,
        before.grain,
        after.grain,
        before.edges,
        after.edges,
        sure,
        4 * sure * (1 - sure),
        before.dark,
        after.dark,
        vanished,
        appeared,
        vanished * sure,
        appeared * (1 - sure),
        vanished * before.sharp,
        appeared * after.sharp,
        before.depth**2,
        after.depth**2,
        np.full_like(sure, ink is not None),
        before.dots,
        after.dots,
        changed * (1 - cv2.dilate(before.dots, np.ones((3, 3), np.uint8))),
        (before.soft - after.soft).clip(0),
    ]


class _Seen:
    """Maps of a page, float32 (H, W) each: noise, dots, edges, ink depth, dark pixels and sharpness."""

    def __init__(self, page: np.ndarray) -> None:
        import cv2

        luma = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
        smooth = cv2.medianBlur(luma, 3)
        self.grain = cv2.absdiff(luma, smooth).astype(np.float32) / 255
        self.dots = (self.grain > DOT).astype(np.float32)
        soft = cv2.blur(smooth, (3, 3))
        across, down = (
            cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 1024),
            cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 1024),
        )
        self.edges = np.abs(across) + np.abs(down)
        paper = _paper(smooth)
        self.depth = ((paper - smooth) / paper.clip(16)).clip(0, 1)
        typical = _typical(self.depth)
        self.dark = (self.depth > 0.5 * typical).astype(np.float32)
        self.soft = cv2.blur(self.depth, (15, 15))  # stains, holes and bleed-through, not strokes
        self.sharp = cv2.dilate(self.edges, np.ones((5, 5), np.uint8)) / max(typical, 0.05)


def _paper(luma: np.ndarray) -> np.ndarray:
    """Local brightness of the paper, float32 (H, W), computed at a quarter of the size."""
    import cv2

    height, width = luma.shape
    small = cv2.resize(luma, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    closed = cv2.blur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8)), (9, 9))
    return cv2.resize(closed, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _typical(depth: np.ndarray) -> float:
    """Typical ink depth of a page: the 90th percentile over pixels that are not clearly paper."""
    depths = depth[::2, ::2]
    depths = depths[depths > 0.1]
    return float(np.percentile(depths, 90)) if depths.size > 50 else 1.0
