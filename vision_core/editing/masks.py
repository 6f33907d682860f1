"""Creates, reads, checks, grows and saves masks: bool (H, W), True where a picture may change."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vision_core.files import atomic
from vision_core.pictures import images
from vision_core.pictures.strength import strength

KINDS = ("center", "rectangle", "circle", "corners", "multiple", "ellipses")


def shape(kind: str, height: int, width: int, size: float | None = None) -> np.ndarray:
    """A mask of one of the `KINDS` for a picture of `height` x `width` pixels.

    Args:
        kind: `center`, a central rectangle; `rectangle`, one at two thirds of width and height; `circle`, in
            the centre; `corners`, rectangles in the upper left and lower right; `multiple`, two rectangles
            side by side; `ellipses`, two of them side by side.
        size: of each part, as a share of the picture's sides (a circle's radius: of the shorter side);
            None is the kind's own.

    Raises:
        ValueError: another kind, or a size outside (0, 1].
    """
    sizes = dict(zip(KINDS, (2 / 3, 1 / 4, 1 / 3, 1 / 3, 1 / 4, 1 / 4), strict=True))
    if kind not in sizes:
        raise ValueError(f"no mask is called {kind!r}; there are {', '.join(KINDS)}")
    size = sizes[kind] if size is None else size
    if not 0 < size <= 1:
        raise ValueError(f"the size of a mask is {size:g}; a share above 0 and up to 1 was expected")
    rows, columns = np.mgrid[:height, :width]
    y, x = (rows + 0.5) / height, (columns + 0.5) / width
    match kind:
        case "center":
            return _within(y, x, 0.5, 0.5, size)
        case "rectangle":
            middle = min(2 / 3 + size / 2, 1 - size / 2)
            return _within(y, x, middle, middle, size)
        case "circle":
            short = min(height, width)
            return np.hypot((y - 0.5) * height, (x - 0.5) * width) <= max(
                size * short, 0.71
            )  # at least one pixel
        case "corners":
            return ((y < size) & (x < size)) | ((y >= 1 - size) & (x >= 1 - size))
        case "multiple":
            return _within(y, x, 0.5, 0.25, size) | _within(y, x, 0.5, 0.75, size)
        case _:
            round_ = [np.hypot((y - 0.5) / size, (x - at) / (0.75 * size)) <= 0.5 for at in (0.3, 0.7)]
            return round_[0] | round_[1]


def box(height: int, width: int, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """The rectangle from (left, top) to (right, bottom), which is excluded, in whole pixels.

    Raises:
        ValueError: it is empty or leaves the picture.
    """
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            f"the box {left}, {top}, {right}, {bottom} does not lie in a picture of {width} x {height} pixels"
        )
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def brush(
    height: int, width: int, strokes: Sequence[Sequence[tuple[float, float]]], radius: float
) -> np.ndarray:
    """Round strokes of `radius` pixels through points (x, y); one point is a dot.

    Raises:
        ValueError: no stroke, a point that is not finite, or a radius below half a pixel.
    """
    if radius < 0.5 or not strokes or not all(strokes):
        raise ValueError(f"expected strokes of a radius of 0.5 or more, got {len(strokes)} of {radius:g}")
    canvas = np.zeros((height, width), np.uint8)
    for stroke in strokes:
        points = np.asarray(stroke, float).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise ValueError("a stroke holds a point that is not finite")
        points = np.clip(points, -width - height, 2 * (width + height)).round().astype(np.int32)
        for start, end in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            cv2.line(canvas, start.tolist(), end.tolist(), 1, max(1, round(2 * radius)))
    return canvas.astype(bool)


def grow(mask: np.ndarray, pixels: float) -> np.ndarray:
    """Grow the mask by a Euclidean distance in pixels; a negative one shrinks it."""
    if pixels < 0:
        return ~grow(~mask, -pixels)
    result = mask.copy()
    if pixels and mask.any():
        near = around(mask, int(np.ceil(min(pixels, max(mask.shape)))))
        result[near] = distance(mask[near]) <= pixels
    return result


def around(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """The slices of a non-empty mask's bounding box with `margin` pixels around it."""
    return _slices(np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0)), margin, mask.shape)


def extends(mask: np.ndarray) -> bool:
    """Whether the mask covers a whole side of the picture, as when it is extended."""
    return any(bool(side.all()) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))


def distance(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest one of the mask, in pixels, float32 (H, W); 0 inside."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def depth(mask: np.ndarray, border: bool = True) -> np.ndarray:
    """Distance of each pixel of the mask to its edge, in pixels, float32 (H, W); 0 outside.

    Args:
        border: whether the mask also ends at the border of the picture.
    """
    padded = np.pad(mask, 1, mode="constant" if border else "edge").astype(np.uint8)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]


def deepest(mask: np.ndarray) -> tuple[int, int]:
    """Row and column of the pixel of a mask that is farthest from its edge."""
    y, x = np.unravel_index(int(depth(mask).argmax()), mask.shape)
    return int(y), int(x)


def fill_enclosed(mask: np.ndarray) -> np.ndarray:
    """The mask with its holes filled, as for a lasso drawn around an object."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(mask))


def check(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask as bool (H, W): bool itself, uint8 from 128 on, or float in [0, 1] from 0.5 on.

    Raises:
        ValueError: another size or type, values that are not finite or out of range, nothing marked.
    """
    mask = np.asarray(mask)
    if mask.shape != (height, width):
        raise ValueError(
            f"the mask has shape {mask.shape}; this picture needs ({height}, {width}), rows first"
        )
    if mask.dtype == np.uint8:
        mask = mask >= 128
    elif mask.dtype.kind == "f":
        if not np.isfinite(mask).all() or mask.min() < 0 or mask.max() > 1:
            raise ValueError("the mask holds values that are not numbers between 0 and 1")
        mask = mask >= 0.5
    elif mask.dtype != bool:
        raise ValueError(f"the mask is of type {mask.dtype}; bool, uint8 or float was expected")
    if not mask.any():
        raise ValueError("the mask is empty: mark what may change")
    return mask


def read(source: str | Path | bytes, height: int, width: int) -> np.ndarray:
    """A mask from an image file, see `of`.

    Raises:
        ValueError: as `images.read` and `check`.
    """
    return of(images.read(source), height, width)


def of(picture: images.Picture, height: int, width: int) -> np.ndarray:
    """A picture as a mask: True where its `strength` is at least one half.

    Raises:
        ValueError: as `check` and `strength`.
    """
    if (size := picture.rgb.shape[:2]) != (height, width):
        raise ValueError(
            f"the mask has {size[1]} x {size[0]} pixels, but the picture has {width} x {height}: "
            "save it in the size of the picture"
        )
    return check(strength(picture), height, width)


def encode(mask: np.ndarray) -> bytes:
    """Encode as a PNG, white where the mask is True; see `decode`, and `read` for those of others."""
    buffer = BytesIO()
    Image.fromarray(mask).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """The mask, bool (H, W), from the output of `encode`."""
    with Image.open(BytesIO(data)) as image:
        return np.array(image)


def tiles(
    mask: np.ndarray, side: int, context: int
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """The tiles of at most `side` pixels a side that touch the mask, without and with their context."""
    for top in range(0, mask.shape[0], side):
        for left in range(0, mask.shape[1], side):
            part = mask[top : top + side, left : left + side]
            if part.any():
                rows, columns = np.flatnonzero(part.any(1)) + top, np.flatnonzero(part.any(0)) + left
                yield _slices(rows, columns, 0, mask.shape), _slices(rows, columns, context, mask.shape)


def _slices(
    rows: np.ndarray, columns: np.ndarray, margin: int, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    return (
        slice(max(0, int(rows[0]) - margin), min(shape[0], int(rows[-1]) + 1 + margin)),
        slice(max(0, int(columns[0]) - margin), min(shape[1], int(columns[-1]) + 1 + margin)),
    )


def save(mask: np.ndarray, path: str | Path) -> None:
    """Write the mask as a PNG, atomically; another suffix is a `ValueError`."""
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"a mask is saved as .png, not as {str(path)!r}")
    with atomic(path) as file:
        file.write(encode(mask))


def _within(y: np.ndarray, x: np.ndarray, center_y: float, center_x: float, size: float) -> np.ndarray:
    return (np.abs(y - center_y) <= size / 2) & (np.abs(x - center_x) <= size / 2)
