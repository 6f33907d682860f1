"""Conversions between sRGB, OKLab and CIELAB, for NumPy arrays and differentiable torch tensors.

Sources: OKLab, Ottosson 2020, https://bottosson.github.io/posts/oklab/; CIELAB, CIE 015:2018 (D65, 2 degree
observer) on the linear sRGB of IEC 61966-2-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", np.ndarray, Tensor)
else:
    Array = TypeVar("Array")

Space = Literal["oklab", "lab"]

LMS_FROM_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OKLAB_FROM_LMS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
XYZ_FROM_RGB /= XYZ_FROM_RGB.sum(1, keepdims=True)  # relative to white, so greys are exactly neutral
LAB_FROM_F = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])

# Below the knee, a straight line replaces the cube root; the offset belongs to the curve above it. CIELAB
# defines both. OKLab has neither; its knee, below all 8-bit colours but black, keeps the gradient finite.
OKLAB_CURVE = (1e-6, 0.0)
LAB_CURVE = ((6 / 29) ** 3, 4 / 29)


def srgb_to_oklab(rgb: Array) -> Array:
    """sRGB (..., 3) in [0, 1] -> OKLab (..., 3): lightness in [0, 1], a and b within about 0.33 of 0."""
    return _mix(_root(_mix(_linear(_checked(rgb)), LMS_FROM_RGB), *OKLAB_CURVE), OKLAB_FROM_LMS)


def oklab_to_srgb(lab: Array) -> Array:
    """OKLab (..., 3) -> sRGB (..., 3), clipped to [0, 1]."""
    return _gamma(oklab_to_linear(lab))


def oklab_to_linear(lab: Array) -> Array:
    """OKLab (..., 3) -> linear light (..., 3), outside of [0, 1] for colours out of gamut."""
    lms = _cube(_mix(_checked(lab), np.linalg.inv(OKLAB_FROM_LMS)), *OKLAB_CURVE)
    return _mix(lms, np.linalg.inv(LMS_FROM_RGB))


def srgb_to_lab(rgb: Array) -> Array:
    """sRGB (..., 3) in [0, 1] -> CIELAB (..., 3): lightness in [0, 100], a and b within about 108 of 0."""
    return _mix(_root(_mix(_linear(_checked(rgb)), XYZ_FROM_RGB), *LAB_CURVE), LAB_FROM_F)


def lab_to_srgb(lab: Array) -> Array:
    """CIELAB (..., 3) -> sRGB (..., 3), clipped to [0, 1]."""
    xyz = _cube(_mix(_checked(lab), np.linalg.inv(LAB_FROM_F)), *LAB_CURVE)
    return _gamma(_mix(xyz, np.linalg.inv(XYZ_FROM_RGB)))


def encode(rgb: np.ndarray, space: Space) -> np.ndarray:
    """uint8 sRGB (..., 3) -> float32 coordinates (..., 3) in the named space."""
    if rgb.dtype != np.uint8:
        raise ValueError(f"colours are {rgb.dtype}, expected uint8 sRGB")
    forward = _pair(space)[0]
    return forward(rgb.astype(np.float32) / 255)


def decode(points: np.ndarray, space: Space) -> np.ndarray:
    """Coordinates (..., 3) in the named space -> the nearest uint8 sRGB (..., 3) inside the gamut cube."""
    backward = _pair(space)[1]
    return np.rint(backward(points) * 255).astype(np.uint8)


def _pair(space: str):
    if space == "oklab":
        return srgb_to_oklab, oklab_to_srgb
    if space == "lab":
        return srgb_to_lab, lab_to_srgb
    raise ValueError(f"colour space {space!r} is unknown, expected 'oklab' or 'lab'")


def _checked(x: Array) -> Array:
    if x.ndim == 0 or x.shape[-1] != 3 or "float" not in str(x.dtype):
        raise ValueError(f"got {x.dtype} {tuple(x.shape)}, expected floats of shape (..., 3)")
    return x


def _mix(x: Array, matrix: np.ndarray) -> Array:
    """x @ matrix.T with the type, dtype and device of x."""
    if isinstance(x, np.ndarray):
        return x @ matrix.T.astype(x.dtype)
    return x @ x.new_tensor(matrix.T)


# The curves compute both branches and select one by multiplication. The unselected branch is clipped to stay
# finite, so that its gradient is 0 and never NaN.


def _linear(rgb: Array) -> Array:
    low = rgb <= 0.04045
    return low * (rgb / 12.92) + ~low * ((rgb.clip(0.04045, None) + 0.055) / 1.055) ** 2.4


def _gamma(linear: Array) -> Array:
    linear = linear.clip(0, 1)
    low = linear <= 0.0031308
    return (low * (linear * 12.92) + ~low * (1.055 * linear.clip(0.0031308, None) ** (1 / 2.4) - 0.055)).clip(
        0, 1
    )


def _root(x: Array, knee: float, offset: float) -> Array:
    low = x <= knee
    slope = (knee ** (1 / 3) - offset) / knee
    return low * (x * slope) + ~low * (x.clip(knee, None) ** (1 / 3) - offset)


def _cube(y: Array, knee: float, offset: float) -> Array:
    edge = knee ** (1 / 3) - offset
    low = y <= edge
    return low * (y * (knee / edge)) + ~low * (y + offset) ** 3
