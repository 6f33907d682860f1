"""Putting an edit into its picture: crop with context, resize to the painter, blend back.

Whichever painter is used, pixels outside the mask stay bit-identical.
"""

import cv2
import numpy as np

from vision_core.editing import masks
from vision_core.editing.masks import distance
from vision_core.editing.regions import Box
from vision_core.safety.limits import check_size

FRAME = 0.02  # maximum width of a frame, as a share of the side
PLAIN = 8.0  # maximum standard deviation of its lines, in grey levels
CONTRAST = 15.0  # minimum mean difference to the picture


def window(mask: np.ndarray, padding: float = 0.5, least: int = 0, square: bool = False) -> Box:
    """The window that the painter sees: the mask's bounding box and some context around it.

    Args:
        mask: bool (H, W), not empty.
        padding: context on each side, as a share of the bounding box's longer side.
        least: minimum of both sides in pixels, as far as the picture reaches.
        square: make the window as square as the picture allows.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        raise ValueError("the mask is empty: mark what may change")
    spans = [(int(indices[0]), int(indices[-1]) + 1) for indices in (rows, columns)]
    context = round(padding * max(end - start for start, end in spans))
    sides = [max(end - start + 2 * context, least) for start, end in spans]
    if square:
        sides = [max(sides)] * 2
    (top, bottom), (left, right) = (
        _widen(span, side, limit) for span, side, limit in zip(spans, sides, mask.shape, strict=True)
    )
    return Box(left, top, right, bottom)


def resize(rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 or bool (H, W[, 3]): area averages down, Lanczos up; the dtype stays."""
    if rgb.shape[:2] == (height, width):
        return rgb
    smaller = height * width < rgb.shape[0] * rgb.shape[1]
    if rgb.dtype == bool:  # a thin stroke must not vanish: whatever touches the mask is mask
        cover = cv2.resize(rgb.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return cover > (0.01 if smaller else 0.5)
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4)


def opacity(mask: np.ndarray, feather: float) -> np.ndarray:
    """Weight of the edit, float32 (H, W): 0 outside the mask, rising smoothly to 1 `feather` pixels inside.

    A narrower mask reaches 1 at its deepest point. The picture's border does not count as an edge.
    """
    if not np.isfinite(feather) or feather < 0:
        raise ValueError(f"the feather is {feather}; 0 or more pixels were expected")
    deep = distance(~mask)
    rise = np.clip(deep / max(min(feather, float(deep.max())), 0.5), 0, 1)
    return (rise * rise * (3 - 2 * rise)).astype(np.float32)


def blend(rgb: np.ndarray, painted: np.ndarray, mask: np.ndarray, feather: float = 0) -> np.ndarray:
    """`painted` where the mask is, `rgb` elsewhere, mixed within `feather` pixels of its edge.

    Args:
        rgb, painted: uint8 (H, W, 3).
        mask: bool (H, W).
    """
    if rgb.shape != painted.shape or rgb.shape[:2] != mask.shape:
        raise ValueError(f"sizes differ: {rgb.shape}, {painted.shape} and a mask of {mask.shape}")
    result = rgb.copy()
    if mask.any():
        near = masks.around(mask, 1)  # with what lies around it, where there is some
        inside, part = mask[near], result[near]
        alpha = opacity(inside, feather)[inside][:, None]
        part[inside] = (painted[near][inside] * alpha + part[inside] * (1 - alpha)).round()
    return result


def paste(rgb: np.ndarray, part: np.ndarray, where: Box, mask: np.ndarray, feather: float = 0) -> np.ndarray:
    """The picture with an edit of the window `where` blended in; `part` may have another size."""
    rows, columns = where.slices
    fitted = resize(part, where.bottom - where.top, where.right - where.left)
    result = rgb.copy()  # what lies outside the window was not painted
    result[rows, columns] = blend(rgb[rows, columns], fitted, mask[rows, columns], feather)
    return result


def match_colors(painted: np.ndarray, rgb: np.ndarray, mask: np.ndarray, ring: float = 12) -> np.ndarray:
    """Undo a painter's colour shift: a gain and an offset per channel, fitted on the known pixels around.

    A painter also returns the pixels around the mask. Its change to those within `ring` pixels of the mask is
    inverted and applied everywhere.

    Args:
        painted, rgb: uint8 (H, W, 3), the painter's and the true pixels.
    """
    near = (distance(mask) <= ring) & ~mask
    if near.sum() < 16:
        return painted
    painted_colors, true_colors = painted[near].astype(np.float64), rgb[near].astype(np.float64)
    spread = painted_colors.std(0)
    gain = np.clip(np.where(spread > 1, true_colors.std(0) / np.maximum(spread, 1), 1), 0.8, 1.25)
    moved = (painted - painted_colors.mean(0)) * gain + true_colors.mean(0)
    return moved.round().clip(0, 255).astype(np.uint8)


def poisson(painted: np.ndarray, rgb: np.ndarray, mask: np.ndarray, longest: int = 160) -> np.ndarray:
    """Add a smooth membrane to the painted pixels, so that they meet the picture at the mask's edge.

    Gradient-domain cloning in its membrane form: the difference to the true pixels just outside the mask is
    continued inside by Laplace's equation, solved at most `longest` pixels wide, for it is smooth.
    Source: Perez et al. 2003, "Poisson Image Editing"; Farbman et al. 2009, "Coordinates for Instant Image
    Cloning".
    """
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import spsolve

    gap = rgb.astype(np.float32) - painted
    scale = min(1.0, longest / max(mask.shape))
    height, width = (max(2, round(side * scale)) for side in mask.shape)
    known = (~mask).astype(np.float32)
    weight = cv2.resize(known, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.resize(gap * known[..., None], (width, height), interpolation=cv2.INTER_AREA)
    small /= np.maximum(weight, 1e-6)[..., None]
    free = weight < 0.05
    if not free.any() or free.all():
        return painted
    number = np.cumsum(free).reshape(free.shape) - 1
    at = np.argwhere(free)
    count, right = np.zeros(len(at)), np.zeros((len(at), 3))
    rows, columns = [], []
    for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        beside = at + step
        inside = ((beside >= 0) & (beside < free.shape)).all(1)  # the picture's border has no slope across it
        y, x = beside[inside].T
        centre, open_ = np.flatnonzero(inside), free[y, x]
        count[centre] += 1
        rows.append(centre[open_])
        columns.append(number[y[open_], x[open_]])
        np.add.at(right, centre[~open_], small[y[~open_], x[~open_]])
    row, column = np.concatenate(rows), np.concatenate(columns)
    size = (len(at), len(at))
    matrix = csr_array((count, (np.arange(len(at)),) * 2), size) - csr_array(
        (np.ones(len(row)), (row, column)), size
    )
    small[free] = np.asarray(spsolve(matrix.tocsc(), right)).reshape(-1, 3)
    membrane = cv2.resize(small, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return (painted + membrane).round().clip(0, 255).astype(np.uint8)


def extend(
    rgb: np.ndarray, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0, seam: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A larger canvas, uint8 (H + top + bottom, W + left + right, 3), and the mask of its new pixels.

    The picture stands on it unchanged, the rest mirrors it. `seam` pixels of the picture's rim next to a new
    part belong to the mask, too, so that the seam can be painted over.

    Raises:
        ValueError: a negative number, nothing to add, a picture of more than PIXELS, or a seam that leaves
            nothing of it.
    """
    sides = (left, top, right, bottom)
    if not any(sides):
        raise ValueError("nothing to extend: add pixels at the left, top, right or bottom")
    if min(sides) < 0 or not 0 <= 2 * seam < min(rgb.shape[:2]):
        raise ValueError(f"cannot extend a picture by {sides} pixels with a seam of {seam}")
    height, width = rgb.shape[:2]
    check_size(top + height + bottom, left + width + right, "the extended picture")
    canvas = cv2.copyMakeBorder(rgb, top, bottom, left, right, cv2.BORDER_REFLECT)
    mask = np.ones(canvas.shape[:2], bool)
    rows = slice(top + seam * (top > 0), top + height - seam * (bottom > 0))
    mask[rows, left + seam * (left > 0) : left + width - seam * (right > 0)] = False
    return canvas, mask


def frame(rgb: np.ndarray) -> tuple[int, int, int, int]:
    """Width of a plain frame at left, top, right and bottom, such as the border of a scan; 0 without one.

    A frame ends within `FRAME` of the side and differs from what follows.
    """
    light = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    left, top, right, bottom = (_plain(side) for side in (light.T, light, light.T[::-1], light[::-1]))
    return left, top, right, bottom


def _plain(light: np.ndarray) -> int:
    """Number of plain lines, and half plain ones after them, before the picture begins."""
    longest, spare = round(FRAME * len(light)), light.shape[1] // 50
    lines = light[: longest + 3, spare : light.shape[1] - spare]
    count = int(np.argmax(np.append(lines.std(1) >= PLAIN, True)))
    if not 0 < count <= longest:
        return 0
    contrast = np.abs(lines[count + 2] - lines[:count].mean()).mean()
    return count + 2 if contrast >= CONTRAST else 0


def sides_for(height: int, width: int, ratio: str) -> tuple[int, int, int, int]:
    """Pixels to add at left, top, right and bottom for a shape `WIDTH:HEIGHT`, the picture in the middle.

    Raises:
        ValueError: no such shape, one outside 1:10 to 10:1, or the one that the picture has.
    """
    try:
        wide, tall = (float(part) for part in ratio.split(":"))
        shape = wide / tall
    except (ValueError, ZeroDivisionError):
        shape = float("nan")
    if not 0.1 <= shape <= 10:
        raise ValueError(f"{ratio[:40]!r} is no shape; WIDTH:HEIGHT such as 16:9 was expected, up to 10:1")
    more = max(0, round(height * shape) - width), max(0, round(width / shape) - height)
    if not any(more):
        raise ValueError(f"the picture of {width} x {height} pixels has the shape {ratio} already")
    return more[0] // 2, more[1] // 2, more[0] - more[0] // 2, more[1] - more[1] // 2


def _widen(span: tuple[int, int], side: int, limit: int) -> tuple[int, int]:
    """A span of `side` around `span`, inside 0 to `limit`."""
    side = min(side, limit)
    start = min(max((span[0] + span[1] - side) // 2, 0), limit - side)
    return start, start + side
