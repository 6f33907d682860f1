"""Extracts a single digit from a photograph of paper, without desk, shadows, rules and printed boxes."""

from dataclasses import dataclass

import cv2
import numpy as np

from vision_core.pictures.images import Picture

SIDE = 640  # longer side, in pixels, at which marks are detected
SMALLEST = 280  # smaller pictures are enlarged by pixel replication
ZOOM = 160  # smaller marks are processed again at the full resolution
WINDOWS = (0.07, 0.13, 0.25)  # for the local background, as shares of the shorter side
STRENGTHS = (0.5, 0.7)  # ink thresholds, as shares of the peak contrast
FLOORS = (24.0, 128.0)  # minimum background level in the contrast ratio, for dark and light ink
FAINTEST = 0.1  # minimum contrast of ink
UNEVEN = 0.12  # maximum median contrast of the background, as a share of the ink's
LEAST = 0.02  # minimum size of a mark, as a share of the longer side
FADING = 0.12  # maximum width of an ink edge, as a share of the mark's size
COMMON = 0.1  # share of a picture that may be as bright as light ink
EMPTY = "the picture is empty: a digit that contrasts with its background was expected"
SEVERAL = "there is more than one mark: crop the picture to a single digit"
CUT = "the mark is cut off at the edge: a whole digit with a margin around it was expected"
BACKGROUND = "there is no plain background: a single digit on plain, ruled or squared paper was expected"


class NoDigit(ValueError):
    """The picture does not show a single mark that could be a digit; the message gives the reason."""


@dataclass(frozen=True)
class _Marks:
    """Ink detected with one window size: contrast (h, w) in 0..1, ink mask, and peak contrast of the ink."""

    contrast: np.ndarray
    mask: np.ndarray
    peak: float


def find(picture: Picture) -> np.ndarray:
    """Extract the ink of the only mark in a picture, dark or light, as float32 (h, w) in 0..1.

    Raises:
        NoDigit: no mark, several marks, a mark that is cut off, or no plain background.
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
    """The ink of the only mark, and its box (top, left, bottom, right) in `level`."""
    sheet = _sheet(level)
    marks, mask = _mark(_filled(level, sheet), floor)
    if sheet is not None and mask[cv2.dilate(1 - sheet, np.ones((9, 9), np.uint8)) > 0].any():
        marks, mask = _mark(level, floor)  # the edge of a shadow was taken for that of a sheet
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return _soft(marks, mask), box


def _mark(level: np.ndarray, floor: float) -> tuple[_Marks, np.ndarray]:
    """All ink, and the mask of the only mark in it."""
    first = None
    level, rules, contrast = _without_rules(level, floor)
    for strength in STRENGTHS:
        marks = _strokes(level, floor, strength)
        if marks is None:
            raise NoDigit(EMPTY)
        if marks.peak < 0.8 * contrast:
            raise NoDigit(EMPTY)  # what is left of the rules
        try:
            mask = _single(_without_boxes(_beside(rules, marks.mask)))
            break
        except NoDigit as error:  # at the higher threshold, only a shadow may disappear
            first = first or error
    else:
        assert first
        raise first
    if float(np.median(marks.contrast)) > UNEVEN * marks.peak:
        raise NoDigit(BACKGROUND)
    return marks, mask


def _darker(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """Convert a picture (H, W, 3) to levels (H, W) with dark ink; also returns the contrast floor.

    The gaps between strokes of light ink look like dark ink, and vice versa. But only real ink differs from
    the background around all strokes.
    """
    levels = rgb.min(2), 255 - rgb.max(2)
    small = [_resized(level, SIDE) for level in levels]
    masks = [
        _strokes(_filled(level, _sheet(level)), floor, STRENGTHS[0])
        for level, floor in zip(small, FLOORS, strict=True)
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
    light = distances[1] > distances[0] and _is_rare(small[1], masks[1] > 0, distances[1])
    return levels[light], FLOORS[light]


def _is_rare(level: np.ndarray, ink: np.ndarray, distance: float) -> bool:
    """Whether little else in the picture is as dark as `ink`: between strokes and a shadow, paper is.

    Args:
        distance: of its level from that of its ground.
    """
    alike = level <= np.median(level[ink]) + 0.25 * distance
    return bool(alike.mean() - ink.mean() < COMMON)


def _window(level: np.ndarray, share: float) -> np.ndarray:
    side = max(3, round(share * min(level.shape)) | 1)
    return cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))


def _filled(level: np.ndarray, sheet: np.ndarray | None) -> np.ndarray:
    """Replace everything outside a sheet of paper by the nearest pixels of the sheet."""
    if sheet is None:
        return level
    inner = cv2.erode(sheet, np.ones((7, 7), np.uint8), borderValue=1)
    _, index = cv2.distanceTransformWithLabels(1 - inner, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(index, np.intp)
    nearest = np.zeros(labels.max() + 1, np.uint8)
    nearest[labels[inner > 0]] = level[inner > 0]
    return nearest[labels]


def _sheet(level: np.ndarray) -> np.ndarray | None:
    """The mask of a bright sheet of paper on a darker ground, 0 or 1; None if there is none."""
    window = _window(level, WINDOWS[1])
    edge = len(window)  # padding; without it, a strip of desk narrower than the window would vanish
    padded = cv2.copyMakeBorder(level, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    background = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, window)[edge:-edge, edge:-edge]
    _, bright = cv2.threshold(background, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if not 0.05 < bright.mean() < 0.98:
        return None
    light, dark = background[bright > 0].mean(), background[bright == 0].mean()
    if light - dark < 0.2 * light:
        return None
    contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)
    sheet = np.zeros_like(bright)
    cv2.drawContours(sheet, [outline], -1, 1, -1)
    hull = cv2.contourArea(cv2.convexHull(outline))
    if not 0.08 * level.size < sheet.sum() < 0.98 * level.size or sheet.sum() < 0.9 * hull:
        return None
    if _sharpness(level, outline) < 0.6 * (light - dark):
        return None  # a soft edge, so it is a shadow
    return sheet


def _sharpness(level: np.ndarray, outline: np.ndarray) -> float:
    """Median brightness step across the outline of a sheet, from a few pixels inside to outside."""
    height, width = level.shape
    kernel = np.ones((9, 9), np.uint8)
    inside, outside = cv2.dilate(level, kernel), cv2.erode(level, kernel)
    x, y = outline[:, 0].T
    free = (x > 6) & (y > 6) & (x < width - 7) & (y < height - 7)
    if free.sum() < 20:
        return 0.0
    return float(np.median(inside[y[free], x[free]].astype(float) - outside[y[free], x[free]]))


def _contrast(level: np.ndarray, floor: float, share: float) -> np.ndarray:
    """Contrast to the local background, relative to its level: (h, w) in 0..1."""
    background = cv2.morphologyEx(level, cv2.MORPH_CLOSE, _window(level, share)).astype(np.float32)
    return (background - level) / np.maximum(background, floor)


def _strokes(level: np.ndarray, floor: float, strength: float) -> _Marks | None:
    """Detect ink; None if there is none.

    Uses the smallest window in which strokes are complete, since larger windows also pick up shadows. If a
    larger one adds next to nothing, it is preferred, because its background estimate is more reliable.
    """
    detections = [_detect(level, floor, share, strength) for share in WINDOWS]
    candidates = [marks for marks in detections if marks is not None]
    missed = [_missed(level, marks) for marks in candidates]
    whole = [marks for marks, share in zip(candidates, missed, strict=True) if share < 0.02]
    if not whole:
        return candidates[int(np.argmin(missed))] if candidates else None
    chosen = whole[0]
    for larger in whole[1:]:
        if larger.mask.sum() < 1.15 * chosen.mask.sum():
            chosen = larger
    return chosen


def _missed(level: np.ndarray, marks: _Marks) -> float:
    """Area adjacent to the ink and as dark, relative to the ink; large if strokes exceed the window."""
    ink = marks.mask > 0
    darkest = float(np.median(level[ink]))
    contrast = min(0.95, float(np.median(marks.contrast[ink])))
    limit = darkest + 0.25 * contrast / (1 - contrast) * max(darkest, 8)
    dark = (ink | (level <= limit)).astype(np.uint8)
    _, labels = cv2.connectedComponents(dark, connectivity=8)
    touched = np.isin(labels, np.unique(labels[ink]))
    return float(touched.sum() / ink.sum() - 1)


def _detect(level: np.ndarray, floor: float, share: float, strength: float) -> _Marks | None:
    contrast = _contrast(level, floor, share)
    steady = cv2.GaussianBlur(contrast, (0, 0), 1.0)
    noise = 1.5 * float(np.median(steady))
    highest = float(steady.max())
    if highest < max(FAINTEST, 5 * noise):
        return None
    peak = float(np.median(steady[steady > 0.5 * highest]))  # robust to the few darkest spots of grainy ink
    mask = _with_edges(steady, (steady > strength * peak).astype(np.uint8), peak)
    return _Marks(contrast, mask, peak) if mask.any() else None


def _with_edges(contrast: np.ndarray, mask: np.ndarray, peak: float) -> np.ndarray:
    """Keep the components with sharp edges, like ink; shadows fade over much of their size."""
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


def _without_rules(level: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Inpaint the lines of ruled and squared paper; also returns their mask and contrast.

    Of many lines some are found only after the others are gone.
    """
    rules, contrast = np.zeros_like(level), _contrast(level, floor, WINDOWS[0])
    for _ in range(4):
        if (lines := _rules(level, floor)) is None:
            break
        level, rules = cv2.inpaint(level, lines, 3, cv2.INPAINT_TELEA), rules | lines
    return level, rules, float(np.quantile(contrast[rules > 0], 0.9)) if rules.any() else 0.0


def _rules(level: np.ndarray, floor: float) -> np.ndarray | None:
    """The mask of the lines of ruled or squared paper, from edge to edge; None if there are none."""
    height, width = level.shape
    contrast = _contrast(level, floor, WINDOWS[0])
    noise = float(np.median(contrast))
    thin = (contrast > max(0.05, 3 * noise, 0.12 * float(contrast.max()))).astype(np.uint8)
    least = 0.6 * min(height, width)
    lines = cv2.HoughLinesP(thin, 1, np.pi / 360, int(0.4 * least), None, least, 0.04 * min(height, width))
    if lines is None:
        return None
    rules = np.zeros_like(level)
    for x0, y0, x1, y1 in lines.reshape(-1, 4):
        if _from_edge_to_edge(x0, y0, x1, y1, height, width):
            cv2.line(rules, (int(x0), int(y0)), (int(x1), int(y1)), 1, 3)
    if not rules.any():
        return None
    square = np.ones((3, 3), np.uint8)
    return cv2.bitwise_and(cv2.dilate(rules, square), cv2.dilate(thin, square))


def _beside(rules: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Remove what is left of the rules from a mask: components that lie on them."""
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    near = cv2.dilate(rules, np.ones((3, 3), np.uint8))
    share = np.bincount(labels[near > 0], minlength=count) / np.bincount(labels.ravel(), minlength=count)
    keep = share < 0.8
    keep[0] = False
    return keep[np.asarray(labels, np.intp)].astype(np.uint8)


def _from_edge_to_edge(x0: int, y0: int, x1: int, y1: int, height: int, width: int) -> bool:
    near = 0.06 * min(height, width)
    ends = [min(x, y, width - 1 - x, height - 1 - y) < near for x, y in ((x0, y0), (x1, y1))]
    return all(ends)


def _without_boxes(mask: np.ndarray) -> np.ndarray:
    """Remove printed frames from the mask; if a frame encloses ink, also everything outside of it."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    interiors = np.zeros_like(mask)
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
        interiors |= cv2.erode(filled, np.ones((2 * thick + 1,) * 2, np.uint8))
    if not frames.any():
        return mask
    enclosed = mask & interiors
    return enclosed if enclosed.any() else mask & (1 - frames)


def _single(mask: np.ndarray) -> np.ndarray:
    """Keep the only mark in the mask; its pieces may lie a little apart."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not count > 1:
        raise NoDigit(EMPTY)
    pieces = [i + 1 for i in np.argsort(-areas) if areas[i] >= max(4, 0.02 * areas.max())]
    if not pieces:
        raise NoDigit(EMPTY)  # only specks
    if len(pieces) > 12:
        raise NoDigit(BACKGROUND)
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
    """Whether two components belong to one digit: stacked and near, or one small and very near."""
    (x0, y0, w0, h0, a0), (x1, y1, w1, h1, a1) = piece.tolist(), other.tolist()
    across = min(x0 + w0, x1 + w1) - max(x0, x1)  # overlap of the columns; negative for a gap
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
    """Raise `NoDigit` if a long stretch of the mark touches the edge of the picture."""
    edges = [mark[0], mark[-1], mark[:, 0], mark[:, -1]]
    width = 2 * float(cv2.distanceTransform(mark.astype(np.uint8), cv2.DIST_L2, 5).max())
    cut = [edge.sum() > 0.4 * width for edge in edges]
    if any(cut) and sum(cut) < 3:  # a tight crop touches at all sides
        raise NoDigit(CUT)


def _soft(marks: _Marks, mark: np.ndarray) -> np.ndarray:
    """The ink of a mark with soft edges, from its contrast, cropped to its box and without paper grain."""
    level = float(np.quantile(marks.contrast[mark], 0.75))
    noise = min(0.4, 3 * float(np.median(marks.contrast)) / level)
    ink = np.clip((marks.contrast / level - noise) / (1 - noise), 0, 1)
    width = 2 * float(cv2.distanceTransform(mark.astype(np.uint8), cv2.DIST_L2, 5).max())
    rim = max(7, round(0.5 * width) | 1)  # the soft edge of a stroke surrounds the mask
    near = cv2.dilate(mark.astype(np.uint8), np.ones((rim, rim), np.uint8))
    ink = (ink * near).astype(np.float32)
    rows, columns = np.flatnonzero((ink > 0.1).any(1)), np.flatnonzero((ink > 0.1).any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
