"""Converts colour spaces that a file gives by name or formula to sRGB, at full bit depth.

Sources: ITU-T H.273 (cICP and nclx), ITU-R BT.2100 (PQ and HLG), ICC.1:2022 (matrix profiles),
W3C PNG (gAMA, cHRM).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Curve = Callable[[np.ndarray], np.ndarray]  # float64 in [0, 1] -> linear light, 1 at white

D50, D65 = (0.9642, 1.0, 0.8249), (0.3127, 0.3290)
PRIMARIES = {  # x, y of red, green, blue and white, by H.273
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), (0.310, 0.316)),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
}
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), D65)
NAMES = {
    1: "BT.709",
    4: "BT.470 M",
    5: "BT.601",
    6: "BT.601",
    7: "SMPTE 240M",
    9: "BT.2020",
    11: "DCI-P3",
    12: "Display P3",
}
PQ, HLG, LINEAR, SRGB_LIKE = 16, 18, 8, (1, 6, 11, 13, 14, 15)  # video's curves are shown as sRGB's is
WHITE_NITS = 203  # luminance of paper white in PQ and HLG, from BT.2408
ROOTS = 1 << 18  # size of the table of sRGB's curve: its error is a fifth of a 16-bit step
KNEE = 0.6  # relative to white; HDR is compressed above it only
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Space:
    """Conversion of samples to linear light: a curve per channel, then a matrix to linear sRGB."""

    name: str
    curves: tuple[Curve, ...]
    matrix: np.ndarray
    hdr: int = 0  # PQ or HLG, whose white may be many times as bright as paper's

    @property
    def note(self) -> str:
        dim = ", its bright parts compressed" if self.hdr else ""
        return f"colours were converted from {self.name} to sRGB{dim}"


def named(primaries: int, transfer: int) -> Space | str | None:
    """The space of H.273's numbers; None if it is sRGB or unspecified, a sentence if we do not know it."""
    if transfer not in (2, 4, 5, LINEAR, PQ, HLG, *SRGB_LIKE) or primaries not in (2, *PRIMARIES):
        return (
            f"its colour space (primaries {primaries}, transfer {transfer}) is unknown and was taken as sRGB"
        )
    if primaries in (1, 2, 5, 6) and transfer in (2, *SRGB_LIKE):
        return None
    curve: Curve = {4: _gamma(2.2), 5: _gamma(2.8), LINEAR: _gamma(1.0), PQ: _pq, HLG: _hlg}.get(
        transfer, _srgb
    )
    name = NAMES[1 if primaries == 2 else primaries]
    name += {PQ: " PQ (HDR)", HLG: " HLG (HDR)", LINEAR: " linear", 4: " gamma 2.2", 5: " gamma 2.8"}.get(
        transfer, ""
    )
    hdr = transfer if transfer in (PQ, HLG) else 0
    return Space(name, (curve,) * 3, _to_srgb(PRIMARIES[1 if primaries == 2 else primaries]), hdr)


def adobe_rgb() -> Space:
    """The colour space of cameras that follow DCF option R03."""
    return Space("Adobe RGB", (_gamma(563 / 256),) * 3, _to_srgb(ADOBE_RGB))


def from_png(gamma: bytes | None, chromaticities: bytes | None) -> Space | None:
    """The space of a PNG's gAMA and cHRM; None if it is practically sRGB."""
    exponent = int.from_bytes(gamma) / 100_000 if gamma and len(gamma) == 4 else 0.0
    xy = np.zeros((4, 2))
    if chromaticities and len(chromaticities) == 32:
        white, *others = np.array(struct.unpack(">8I", chromaticities)).reshape(4, 2) / 100_000
        xy = np.array([*others, white])
    srgb = np.array(PRIMARIES[1])
    other_colors = bool(xy[:, 1].all()) and np.abs(xy - srgb).max() > 0.01
    other_gamma = 0.05 < exponent < 2 and abs(exponent - 1 / 2.2) > 0.02
    if not (other_colors or other_gamma):
        return None
    curve = _gamma(1 / exponent) if other_gamma else _srgb
    return Space("its gamma and primaries", (curve,) * 3, _to_srgb(xy if other_colors else srgb))


def from_profile(profile: bytes) -> Space | None:
    """The space of an ICC profile of three colorants or one grey curve; None for tables, which need a CMM."""
    tags = {}
    for n in range(min(int.from_bytes(profile[128:132]), 200)):
        name, at, size = struct.unpack_from(">4sII", profile, 132 + 12 * n)
        tags[name] = profile[at : at + size]
    if b"A2B0" in tags:
        return None
    if b"kTRC" in tags:
        grey = _curve(tags[b"kTRC"])
        return Space("its profile", (grey,) * 3, np.eye(3))
    colorants = [
        np.array(struct.unpack_from(">3i", tags[each], 8)) / 65536 for each in (b"rXYZ", b"gXYZ", b"bXYZ")
    ]
    red, green, blue = (_curve(tags[each]) for each in (b"rTRC", b"gTRC", b"bTRC"))
    srgb = _adapted(PRIMARIES[1])
    return Space("its profile", (red, green, blue), np.linalg.inv(srgb) @ np.stack(colorants, 1))


def convert(values: np.ndarray, space: Space) -> np.ndarray:
    """Samples, uint8 or uint16 (H, W, 3), in sRGB, of the same type."""
    most = int(np.iinfo(values.dtype).max)
    levels = np.arange(most + 1) / most
    tables = [curve(levels).astype(np.float32) for curve in space.curves]
    steps = np.linspace(0, 1, ROOTS + 1) ** 2  # the root of light is nearly what sRGB encodes
    encoded = np.where(steps <= 0.0031308, 12.92 * steps, 1.055 * steps ** (1 / 2.4) - 0.055)
    encoded = np.rint(encoded * most).astype(values.dtype)
    matrix, converted = space.matrix.T.astype(np.float32), np.empty_like(values)
    rows = max(1, (1 << 20) // values.shape[1])
    for top in range(0, len(values), rows):
        part = values[top : top + rows]
        linear = np.stack([table[part[..., n]] for n, table in enumerate(tables)], -1) @ matrix
        if space.hdr:
            linear = _compressed(linear, space.hdr)
        np.sqrt(np.clip(linear, 0, 1, out=linear), out=linear)
        converted[top : top + rows] = encoded[(linear * ROOTS + 0.5).astype(np.int32)]
    return converted


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Round full-range uint16 to uint8; uint8 is returned unchanged."""
    if values.dtype == np.uint8:
        return values
    narrow = np.empty(values.shape, np.uint8)
    for row, wide in zip(narrow, values, strict=True):
        row[...] = (wide.astype(np.uint32) * 255 + 32895) >> 16
    return narrow


def _compressed(linear: np.ndarray, kind: int) -> np.ndarray:
    """Compress scene or display light, 1 at paper white, above a knee towards 1; hues stay."""
    linear = np.maximum(linear, 0)
    if kind == HLG:  # the system gamma of a display of 1000 nits
        light = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
        linear = linear * np.power(np.maximum(light, 1e-6), np.float32(0.2))[..., None] * (1000 / WHITE_NITS)
    peak = linear.max(-1, keepdims=True)
    over = np.maximum(peak - KNEE, 0) / (1 - KNEE)
    return linear * np.where(peak > KNEE, (KNEE + (1 - KNEE) * over / (1 + over)) / np.maximum(peak, 1e-6), 1)


def _gamma(exponent: float) -> Curve:
    return lambda values: values**exponent


def _srgb(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _pq(values: np.ndarray) -> np.ndarray:
    root = values ** (1 / 78.84375)
    light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return light ** (1 / 0.1593017578125) * (10_000 / WHITE_NITS)


def _hlg(values: np.ndarray) -> np.ndarray:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)


def _curve(data: bytes) -> Curve:
    """A `curv` or `para` of an ICC profile."""
    if data[:4] == b"curv":
        (count,) = struct.unpack_from(">I", data, 8)
        values = np.array(struct.unpack_from(f">{count}H", data, 12))
        if count < 2:
            return _gamma(float(values[0]) / 256 if count else 1.0)
        return lambda x: np.interp(x, np.linspace(0, 1, count), values / 65535)
    if data[:4] != b"para":
        raise ValueError("an unknown curve")
    kind = int.from_bytes(data[8:10])
    g, *rest = np.array(struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", data, 12)) / 65536
    a, b, c, d, e, f = [*rest, *[0.0] * (6 - len(rest))] if rest else (1.0, 0.0, 0.0, -1.0, 0.0, 0.0)
    if kind in (1, 2):  # linear up to -b / a, with offset c
        return lambda x: np.where(x >= -b / a, np.maximum(a * x + b, 0) ** g + c, c)
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def _adapted(primaries: tuple | np.ndarray) -> np.ndarray:
    """(3, 3): linear RGB of these primaries to XYZ of D50, adapted by Bradford's matrix."""
    xyz = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    colors, white = xyz[:, :3], xyz[:, 3]
    to_xyz = colors * np.linalg.solve(colors, white)
    cones = (BRADFORD @ D50) / (BRADFORD @ white)
    return np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ to_xyz


def _to_srgb(primaries: tuple | np.ndarray) -> np.ndarray:
    return np.linalg.inv(_adapted(PRIMARIES[1])) @ _adapted(primaries)
