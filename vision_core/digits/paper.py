"""Finds the one mark on a photograph of paper: its ink, without desk, shadows, rules and printed boxes."""

from dataclasses import dataclass

import cv2
import numpy as np

from vision_core.pictures.images import Picture

SIDE = 640  # pixels of the longer side in which a mark is looked for
SMALLEST = 280  # a smaller picture is enlarged, each pixel to a square
ZOOM = 160  # a mark smaller than this is looked at again in the pixels of the photograph
WINDOWS = (0.07, 0.13, 0.25)  # of the ground around a stroke, as shares of the shorter side
STRENGTHS = (0.5, 0.7)  # of the strongest contrast, above which a pixel is ink
FLOORS = (24.0, 128.0)  # of dark and light ink: the least brightness that contrast is a share of
FAINTEST = 0.1  # contrast of ink with its ground
UNEVEN = 0.12  # of the ink's contrast, which most of the ground has at most
LEAST = 0.02  # of the picture's longer side, which a mark measures at least
FADING = 0.12  # of the size of a mark, over which the edge of ink fades at most
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
    return _ink(*_darker(_on_white(picture)))


def _on_white(picture: Picture) -> np.ndarray:
    if picture.alpha is None:
        return picture.rgb
    share = picture.alpha[..., None] / np.float32(255)
    return np.rint(picture.rgb * share + 255 * (1 - share)).astype(np.uint8)


def _ink(level: np.ndarray, floor: float) -> np.ndarray:
    """`find` for dark ink, uint8 (H, W)."""
    small = _resized(level, SIDE)
    ink, box = _look(small, floor)
    longer = max(box[2] - box[0], box[3] - box[1])
    scale = max(level.shape) / max(small.shape)
    if scale > 1.2 and longer < ZOOM:
        top, left, bottom, right = (round(edge * scale) for edge in box)
        margin = round(0.8 * longer * scale)
        near = level[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        ink, _ = _look(_resized(near, SIDE), floor)
    return ink


def _resized(level: np.ndarray, side: int) -> np.ndarray:
    longer = max(level.shape)
    if longer < SMALLEST:
        return np.kron(level, np.ones((-(-SMALLEST // longer),) * 2, np.uint8))
    if longer <= side:
        return level
    size = [max(1, round(n * side / longer)) for n in level.shape[::-1]]
    return cv2.resize(level, size, interpolation=cv2.INTER_AREA)


def _look(level: np.ndarray, floor: float) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The ink of the one mark, and its box (top, left, bottom, right) in `level`."""
    level, first = _without_rules(_sheet_only(level), floor), None
    for strength in STRENGTHS:
        found = _strokes(level, floor, strength)
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
    if float(np.median(found.contrast)) > UNEVEN * found.peak:
        raise NoDigit(GROUND)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return _soft(found, mask), box


def _darker(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture (H, W, 3) as (H, W) in which its ink is darker than its ground, and the floor of contrast.

    Between the strokes of light ink the ground looks like dark ink, and the other way round; but such gaps
    are no different from what lies around all strokes.
    """
    levels = rgb.min(2), 255 - rgb.max(2)
    small = [_resized(level, SIDE) for level in levels]
    masks = [
        _strokes(_sheet_only(level), floor, STRENGTHS[0]) for level, floor in zip(small, FLOORS, strict=True)
    ]
    masks = [np.zeros_like(small[0]) if marks is None else marks.mask for marks in masks]
    if not (either := masks[0] | masks[1]).any():
        return levels[0], FLOORS[0]
    rows, columns = np.flatnonzero(either.any(1)), np.flatnonzero(either.any(0))
    margin = max(np.ptp(rows), np.ptp(columns)) // 2 + 4
    near = tuple(slice(max(0, at[0] - margin), at[-1] + margin) for at in (rows, columns))
    distances = [
        float(np.median(level[near]) - np.median(level[mask > 0])) if mask.any() else 0.0
        for level, mask in zip(small, masks, strict=True)
    ]
    light = distances[1] > distances[0]
    return levels[light], FLOORS[light]


def _window(level: np.ndarray, share: float) -> np.ndarray:
    side = max(3, round(share * min(level.shape)) | 1)
    return cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))


def _sheet_only(level: np.ndarray) -> np.ndarray:
    """The level with everything beside a bright sheet painted over by the sheet's nearest pixels."""
    window = _window(level, WINDOWS[1])
    edge = len(window)  # else a strip of desk narrower than the window would vanish
    padded = cv2.copyMakeBorder(level, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    ground = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, window)[edge:-edge, edge:-edge]
    _, bright = cv2.threshold(ground, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
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
    _, found = cv2.distanceTransformWithLabels(1 - inner, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(found, np.intp)
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


def _contrast(level: np.ndarray, floor: float, share: float) -> np.ndarray:
    """How much darker a pixel is than the ground around it, as a share of that ground: (h, w) in 0..1."""
    ground = cv2.morphologyEx(level, cv2.MORPH_CLOSE, _window(level, share)).astype(np.float32)
    return (ground - level) / np.maximum(ground, floor)


def _strokes(level: np.ndarray, floor: float, strength: float) -> _Marks | None:
    """What stands out, None where nothing does.

    The window is the smallest in which strokes are whole, for larger ones take in shadows, too; but a larger
    one where it adds next to nothing, for there the ground is surer.
    """
    found = [_stands_out(level, floor, share, strength) for share in WINDOWS]
    there = [marks for marks in found if marks is not None]
    missed = [_missed(level, marks) for marks in there]
    whole = [marks for marks, share in zip(there, missed, strict=True) if share < 0.02]
    if not whole:
        return there[int(np.argmin(missed))] if there else None
    chosen = whole[0]
    for larger in whole[1:]:
        if larger.mask.sum() < 1.15 * chosen.mask.sum():
            chosen = larger
    return chosen


def _missed(level: np.ndarray, marks: _Marks) -> float:
    """The share of what is as dark as the ink beside it: much where strokes are wider than the window."""
    ink = marks.mask > 0
    darkest = float(np.median(level[ink]))
    contrast = min(0.95, float(np.median(marks.contrast[ink])))
    limit = darkest + 0.25 * contrast / (1 - contrast) * max(darkest, 8)
    dark = (ink | (level <= limit)).astype(np.uint8)
    _, labels = cv2.connectedComponents(dark, connectivity=8)
    touched = np.isin(labels, np.unique(labels[ink]))
    return float(touched.sum() / ink.sum() - 1)


def _stands_out(level: np.ndarray, floor: float, share: float, strength: float) -> _Marks | None:
    contrast = _contrast(level, floor, share)
    steady = cv2.GaussianBlur(contrast, (0, 0), 1.0)
    noise = 1.5 * float(np.median(steady))
    highest = float(steady.max())
    if highest < max(FAINTEST, 5 * noise):
        return None
    peak = float(np.median(steady[steady > 0.5 * highest]))  # ink has a grain, with a few darkest spots
    mask = _with_edges(steady, (steady > strength * peak).astype(np.uint8), peak)
    return _Marks(contrast, mask, peak) if mask.any() else None


def _with_edges(contrast: np.ndarray, mask: np.ndarray, peak: float) -> np.ndarray:
    """The parts of a mask that have edges as ink has; shades fade over much of their size."""
    x, y = (
        cv2.Sobel(contrast, cv2.CV_32F, 1, 0, scale=1 / 8),
        cv2.Sobel(contrast, cv2.CV_32F, 0, 1, scale=1 / 8),
    )
    slope = np.hypot(x, y)
    rim = mask - cv2.erode(mask, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    at = labels[rim > 0]
    mean = np.bincount(at, slope[rim > 0], count) / np.maximum(np.bincount(at, minlength=count), 1)
    size = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    keep = mean * np.maximum(6, FADING * size) > peak
    keep[0] = False
    return keep[labels].astype(np.uint8)


def _without_rules(level: np.ndarray, floor: float) -> np.ndarray:
    """The level with the lines of ruled and squared paper painted over; they run from edge to edge."""
    height, width = level.shape
    contrast = _contrast(level, floor, WINDOWS[0])
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
    square = np.ones((3, 3), np.uint8)
    rules = cv2.bitwise_and(cv2.dilate(found, square), cv2.dilate(thin, square))
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
    if not pieces:
        raise NoDigit(EMPTY)  # specks
    if len(pieces) > 12:
        raise NoDigit(GROUND)
    group, others = {pieces[0]}, pieces[1:]
    while near := [i for i in others if i not in group and any(_belongs(stats[i], stats[j]) for j in group)]:
        group |= {*near}
    main = np.isin(labels, [*group])
    if max(np.ptp(at) for at in np.nonzero(main)) < LEAST * max(mask.shape):
        raise NoDigit(EMPTY)
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
    together = max(x0 + w0, x1 + w1) - min(x0, x1), max(y0 + h0, y1 + h1) - min(y0, y1)
    if gap < 0.15 * size and together[0] < 1.1 * together[1]:
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
    width = 2 * float(cv2.distanceTransform(mark.astype(np.uint8), cv2.DIST_L2, 5).max())
    rim = max(7, round(0.5 * width) | 1)  # the soft edge of a stroke lies around what is surely ink
    near = cv2.dilate(mark.astype(np.uint8), np.ones((rim, rim), np.uint8))
    ink = (ink * near).astype(np.float32)
    rows, columns = np.flatnonzero((ink > 0.1).any(1)), np.flatnonzero((ink > 0.1).any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
