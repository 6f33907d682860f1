"""Finds the one mark on a photograph of paper: its ink, without sheet, desk, shadows, rules and printed boxes."""

from dataclasses import dataclass

import cv2
import numpy as np

from vision_core.images import Picture

SIDE = 640  # pixels of the longer side in which a mark is looked for
SMALLEST = 280  # a smaller picture is enlarged, each pixel to a square
ZOOM = 160  # a mark smaller than this is looked at again in the pixels of the photograph
WINDOWS = (0.07, 0.13, 0.25)  # of the ground around a stroke, as shares of the shorter side
STRENGTHS = (0.5, 0.7)  # of the strongest contrast, above which a pixel is ink
FAINTEST = 0.1  # contrast of ink with its ground
EMPTY = "the picture is empty: a digit that stands out from its ground was expected"
SEVERAL = "there is more than one mark: cut the picture to a single digit"
CUT = "the mark is cut off by the edge: a whole digit with a margin around it was expected"
GROUND = "there is no plain ground: a single digit on plain, ruled or squared paper was expected"


class NoDigit(ValueError):
    """The picture shows no single mark that could be a digit; the message says what it shows."""


@dataclass(frozen=True)
class _Marks:
    """What stands out at one window: contrast (h, w) in 0..1, where it is ink, and that ink's contrast."""

    contrast: np.ndarray
    mask: np.ndarray
    peak: float


def find(picture: Picture) -> np.ndarray:
    """The ink of the one mark in a picture, float32 (h, w) in 0..1, dark or light on its ground.

    Raises:
        NoDigit: nothing, more than one mark, one that is cut off, or no plain ground.
    """
    rgb = _on_white(picture)
    dark, light = rgb.min(2), 255 - rgb.max(2)  # each ink in the channel where it is strongest
    return _ink(max(dark, light, key=lambda level: _distance(_resized(level, SIDE))))


def _on_white(picture: Picture) -> np.ndarray:
    if picture.alpha is None:
        return picture.rgb
    share = picture.alpha[..., None] / np.float32(255)
    return np.rint(picture.rgb * share + 255 * (1 - share)).astype(np.uint8)


def _ink(level: np.ndarray) -> np.ndarray:
    """`find` for dark ink, uint8 (H, W)."""
    small = _resized(level, SIDE)
    ink, box = _look(small)
    longer = max(box[2] - box[0], box[3] - box[1])
    scale = max(level.shape) / max(small.shape)
    if scale > 1.2 and longer < ZOOM:
        top, left, bottom, right = (round(edge * scale) for edge in box)
        margin = round(0.8 * longer * scale)
        near = level[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        ink, _ = _look(_resized(near, SIDE))
    return ink


def _resized(level: np.ndarray, side: int) -> np.ndarray:
    longer = max(level.shape)
    if longer < SMALLEST:
        return np.kron(level, np.ones((-(-SMALLEST // longer),) * 2, np.uint8))
    if longer <= side:
        return level
    size = [max(1, round(n * side / longer)) for n in level.shape[::-1]]
    return cv2.resize(level, size, interpolation=cv2.INTER_AREA)


def _look(level: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The ink of the one mark, and its box (top, left, bottom, right) in `level`."""
    level, first = _without_rules(_sheet_only(level)), None
    for strength in STRENGTHS:
        found = _strokes(level, strength)
        if found is None:
            raise NoDigit(EMPTY)
        try:
            mask = _single(_without_boxes(found.mask))
            break
        except NoDigit as error:  # the stronger part alone may be one mark, and the rest a shadow
            first = first or error
    else:
        assert first
        raise first
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return _soft(found, mask), box


def _distance(level: np.ndarray) -> float:
    """How much darker what stands out is than most of what is around it; that of ink, not of gaps in it."""
    marks = _strokes(_sheet_only(level), STRENGTHS[0])
    if marks is None:
        return 0.0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marks.mask, connectivity=8)
    if count < 2:
        return 0.0
    x, y, w, h, _ = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())].tolist()
    margin = max(w, h) // 2
    rows, columns = slice(max(0, y - margin), y + h + margin), slice(max(0, x - margin), x + w + margin)
    around, inside = level[rows, columns].astype(float), marks.mask[rows, columns] > 0
    ground = float(np.median(around))
    return (ground - float(np.median(around[inside]))) / max(ground, 24)


def _window(level: np.ndarray, share: float) -> np.ndarray:
    side = max(3, round(share * min(level.shape)) | 1)
    return cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))


def _sheet_only(level: np.ndarray) -> np.ndarray:
    """The level with everything beside a bright sheet painted over by the sheet's nearest pixels."""
    window = _window(level, WINDOWS[1])
    edge = len(window)  # else a strip of desk narrower than the window would vanish
    padded = cv2.copyMakeBorder(level, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    ground = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, window)[edge:-edge, edge:-edge]
    limit, bright = cv2.threshold(ground, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if not 0.05 < bright.mean() < 0.98:
        return level
    light, dark = ground[bright > 0].mean(), ground[bright == 0].mean()
    if light - dark < 0.2 * light:
        return level
    contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)
    sheet = np.zeros_like(bright)
    cv2.drawContours(sheet, [outline], -1, 1, -1)
    hull = cv2.contourArea(cv2.convexHull(outline))
    if not 0.08 * level.size < sheet.sum() < 0.98 * level.size or sheet.sum() < 0.9 * hull:
        return level
    if _sharpness(level, sheet, outline) < 0.6 * (light - dark):
        return level  # the soft edge of a shadow
    inner = cv2.erode(sheet, np.ones((7, 7), np.uint8), borderValue=1)
    _, labels = cv2.distanceTransformWithLabels(1 - inner, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros(labels.max() + 1, np.uint8)
    nearest[labels[inner > 0]] = level[inner > 0]
    return nearest[labels]


def _sharpness(level: np.ndarray, sheet: np.ndarray, outline: np.ndarray) -> float:
    """How much darker it is a few pixels outside of a sheet than inside, at the median of its outline."""
    height, width = level.shape
    kernel = np.ones((9, 9), np.uint8)
    inside, outside = cv2.dilate(level, kernel), cv2.erode(level, kernel)
    x, y = outline[:, 0].T
    free = (x > 6) & (y > 6) & (x < width - 7) & (y < height - 7)
    if free.sum() < 20:
        return 0.0
    return float(np.median(inside[y[free], x[free]].astype(float) - outside[y[free], x[free]]))


def _contrast(level: np.ndarray, share: float) -> np.ndarray:
    """How much darker a pixel is than the ground around it, as a share of that ground: (h, w) in 0..1."""
    ground = cv2.morphologyEx(level, cv2.MORPH_CLOSE, _window(level, share)).astype(np.float32)
    return (ground - level) / np.maximum(ground, 24)


def _strokes(level: np.ndarray, strength: float) -> _Marks | None:
    """What stands out at the smallest window to which a larger one adds little; None where nothing does."""
    found = None
    for share in WINDOWS:
        marks = _stands_out(level, share, strength)
        if marks is None:
            continue
        if found is not None and not _grows(found, marks):
            break
        found = marks
    return found


def _stands_out(level: np.ndarray, share: float, strength: float) -> _Marks | None:
    contrast = _contrast(level, share)
    steady = cv2.GaussianBlur(contrast, (0, 0), 0.8)
    noise = 1.5 * float(np.median(steady))
    peak = float(steady.max())
    if peak < max(FAINTEST, 5 * noise):
        return None
    return _Marks(contrast, (steady > strength * peak).astype(np.uint8), peak)


def _grows(before: _Marks, after: _Marks) -> bool:
    """Whether a larger window finds clearly more ink: the strokes were wider than the smaller one."""
    return bool(after.mask.sum() > 1.15 * before.mask.sum())


def _without_rules(level: np.ndarray) -> np.ndarray:
    """The level with the lines of ruled and squared paper painted over; they run from edge to edge."""
    height, width = level.shape
    contrast = _contrast(level, WINDOWS[0])
    noise = float(np.median(contrast))
    thin = (contrast > max(0.05, 3 * noise, 0.12 * float(contrast.max()))).astype(np.uint8)
    least = 0.6 * min(height, width)
    lines = cv2.HoughLinesP(thin, 1, np.pi / 360, int(0.4 * least), None, least, 0.04 * min(height, width))
    if lines is None:
        return level
    found = np.zeros_like(level)
    for x0, y0, x1, y1 in lines.reshape(-1, 4):
        if _from_edge_to_edge(x0, y0, x1, y1, height, width):
            cv2.line(found, (int(x0), int(y0)), (int(x1), int(y1)), 1, 3)
    if not found.any():
        return level
    rules = cv2.dilate(found, np.ones((3, 3), np.uint8)) & cv2.dilate(thin, np.ones((3, 3), np.uint8))
    return cv2.inpaint(level, rules, 3, cv2.INPAINT_TELEA)


def _from_edge_to_edge(x0: int, y0: int, x1: int, y1: int, height: int, width: int) -> bool:
    near = 0.06 * min(height, width)
    ends = [min(x, y, width - 1 - x, height - 1 - y) < near for x, y in ((x0, y0), (x1, y1))]
    return all(ends)


def _without_boxes(mask: np.ndarray) -> np.ndarray:
    """The mask without printed frames; where one holds something, what is outside of it is left out, too."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    inside = np.zeros_like(mask)
    frames = np.zeros_like(mask)
    for outline in contours:
        corners = cv2.minAreaRect(outline)
        area = cv2.contourArea(outline)
        filled = np.zeros_like(mask)
        cv2.drawContours(filled, [outline], -1, 1, -1)
        ink = int((mask & filled).sum())
        if area < 0.02 * mask.size or area < 0.9 * corners[1][0] * corners[1][1] or ink > 0.5 * area:
            continue
        thick = max(2, round(1.5 * ink / cv2.arcLength(outline, True)))
        frames |= filled
        inside |= cv2.erode(filled, np.ones((2 * thick + 1,) * 2, np.uint8))
    if not frames.any():
        return mask
    within = mask & inside
    return within if within.any() else mask & (1 - frames)


def _single(mask: np.ndarray) -> np.ndarray:
    """The mask of the one mark there; its pieces may lie a little apart."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not count > 1:
        raise NoDigit(EMPTY)
    pieces = [i + 1 for i in np.argsort(-areas) if areas[i] >= max(4, 0.02 * areas.max())]
    if len(pieces) > 12:
        raise NoDigit(GROUND)
    group, others = {pieces[0]}, pieces[1:]
    while near := [i for i in others if i not in group and any(_belongs(stats[i], stats[j]) for j in group)]:
        group |= {*near}
    main = np.isin(labels, [*group])
    rest = sum(int(areas[i - 1]) for i in others if i not in group and areas[i - 1] > 0.1 * main.sum())
    if rest:
        raise NoDigit(SEVERAL)
    _refuse_cut(main)
    return main


def _belongs(piece: np.ndarray, other: np.ndarray) -> bool:
    """Whether two components make one digit: one above the other and near, or one small and very near."""
    (x0, y0, w0, h0, a0), (x1, y1, w1, h1, a1) = piece.tolist(), other.tolist()
    across = min(x0 + w0, x1 + w1) - max(x0, x1)  # shared columns; below 0 the gap
    down = min(y0 + h0, y1 + h1) - max(y0, y1)
    size = max(w0, h0, w1, h1)
    gap = np.hypot(max(0, -across), max(0, -down))
    if across > 0.3 * min(w0, w1) and gap < 0.25 * size:
        return True
    return gap < 0.12 * size and min(a0, a1) < 0.35 * max(a0, a1)


def _refuse_cut(mark: np.ndarray) -> None:
    """Refuse a mark that a long piece of the picture's edge cuts off."""
    edges = [mark[0], mark[-1], mark[:, 0], mark[:, -1]]
    width = 2 * float(cv2.distanceTransform(mark.astype(np.uint8), cv2.DIST_L2, 5).max())
    cut = [edge.sum() > 0.4 * width for edge in edges]
    if any(cut) and sum(cut) < 3:  # a picture cut to the digit's box touches it everywhere
        raise NoDigit(CUT)


def _soft(found: _Marks, mark: np.ndarray) -> np.ndarray:
    """The ink of a mark by its contrast, cut to its box; the paper's grain is none."""
    level = float(np.quantile(found.contrast[mark], 0.75))
    noise = min(0.4, 3 * float(np.median(found.contrast)) / level)
    ink = np.clip((found.contrast / level - noise) / (1 - noise), 0, 1)
    near = cv2.dilate(mark.astype(np.uint8), np.ones((7, 7), np.uint8))
    ink = (ink * near).astype(np.float32)
    rows, columns = np.flatnonzero((ink > 0.1).any(1)), np.flatnonzero((ink > 0.1).any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
