"""Training crops for the detail network, clean and damaged, with strokes of every size.

Pages at their own scale, enlarged and reduced; their writing on other papers; print and handwriting of many
scripts; blank paper, covers and photographs. Fading, tint and shade are part of the target, since they cannot
be inferred from a crop; see `light`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vision_core import devices
from vision_core.restoration import damage, ink, text
from vision_core.restoration.degrade import KINDS
from vision_core.restoration.thumbnail import thumbnail

AGED = 0.15  # share of crops with foxing, tide lines or rings, which `degrade` does not have
AROUND = 1.5  # side of the region in the thumbnail, relative to the crop's, for one crop in three

Image = np.ndarray  # float32 (S, S, 3) in [0, 1]
Mask = np.ndarray  # float32 (S, S) in [0, 1]


@dataclass(frozen=True)
class Sample:
    """The damaged crop and its target, uint8 (3, S, S), ink (1, S, S) as in `ink`, and a thumbnail."""

    damaged: Tensor
    target: Tensor
    ink: Tensor
    thumbnail: Tensor


@dataclass(frozen=True)
class World:
    """The sources of crops: clean pages and photographs, uint8 (H, W, 3), and font files."""

    pages: Sequence[Image]
    photographs: Sequence[Image] = ()
    fonts: Sequence[Path] = ()
    _inks: dict[int, np.ndarray] = field(default_factory=dict)
    _both: dict[int, np.ndarray] = field(default_factory=dict)  # page and ink, (H, W, 4)

    def sample(self, seed: int, side: int, plain: bool = False, kind: str | None = None) -> Sample:
        """The crop of a seed.

        Args:
            plain: a page at its own scale with the original's mixture, for validation.
            kind: the only kind of damage.
        """
        rng = np.random.default_rng(seed)
        region = side if plain or rng.random() < 0.65 else round(AROUND * side)
        clean, truth = self._page(rng, region, 1.0) if plain else self._clean(rng, region)
        steps = _mixture(rng) if plain else _steps(rng) if kind is None else _drawn(rng, [kind])
        verso = None if plain else self._verso(rng, region)
        darkest = _darkness(clean, truth)
        damaged, target = _damage(_tensor(clean), steps, verso, rng, plain, darkest, kind is None)
        top, left = (int(rng.integers(region - side + 1)) for _ in range(2))
        area = (slice(None), slice(top, top + side), slice(left, left + side))
        seen = thumbnail(damaged.permute(1, 2, 0).contiguous().numpy())
        parts = [part[area].contiguous() for part in (damaged, target, torch.from_numpy(truth)[None])]
        return Sample(parts[0], parts[1], parts[2], torch.from_numpy(seen))

    def pair(self, seed: int, side: int) -> tuple[Tensor, Tensor]:
        """A crop of a page, clean and with the original's mixture, uint8 (3, S, S), for validation."""
        rng = np.random.default_rng(seed)
        clean, _ = self._page(rng, side, 1.0)
        return _bytes(_tensor(clean)), _damage(_tensor(clean), _mixture(rng), None, rng, usual=True)[0]

    def _clean(self, rng: np.random.Generator, side: int) -> tuple[Image, np.ndarray]:
        """A clean crop and its ink, uint8."""
        chance = rng.random()
        if chance < 0.5:
            scale = _log(rng, 0.5, 1.7) if rng.random() < 0.5 else 1.0
            clean, truth = self._page(rng, side, scale)
            if rng.random() < 0.2:
                clean = _paled(rng, clean)
        elif chance < 0.72:
            clean, truth = _written(rng, self._mask(rng, side))
        elif chance < 0.92 or not self.photographs:
            clean, truth = _written(rng, text.mask(rng, side, self.fonts))
        elif chance < 0.95:
            clean, truth = _written(rng, np.zeros((side, side), np.float32))
        else:
            photograph = self.photographs[int(rng.integers(len(self.photographs)))]
            clean, truth = _cut(rng, photograph, side, 1.0) / 255, np.zeros((side, side), np.uint8)
        if rng.random() < 0.08:
            self._surround(rng, clean, truth)
        if rng.random() < 0.15:
            clean = np.repeat(clean @ np.array(damage.LUMA, np.float32)[:, None], 3, 2)
        if rng.random() < 0.1:  # nearly black on white, as many scans are
            low, high = np.percentile(clean, (2, 70))
            clean = (clean - 0.8 * low) / max(high - 0.8 * low, 0.1)
        return clean.clip(0, 1).astype(np.float32), truth

    def _page(self, rng: np.random.Generator, side: int, scale: float) -> tuple[Image, np.ndarray]:
        number = int(rng.integers(len(self.pages)))
        if number not in self._both:
            self._both[number] = np.dstack([self.pages[number], self._ink(number)])
        cut = _cut(rng, self._both[number], side, scale)
        ends = np.array([0, ink.UNSURE, 255], np.uint8)[np.digitize(cut[..., 3], (40, 215))]
        return (cut[..., :3] / 255).astype(np.float32), ends

    def _mask(self, rng: np.random.Generator, side: int) -> Mask:
        """The writing of a page alone, at a random scale and stroke width."""
        import cv2

        scale = _log(rng, 0.4, 3.2)
        cut = _cut(rng, self._ink(int(rng.integers(len(self.pages)))), side, scale) / 255
        if scale > 1:  # keeps enlarged edges sharp
            cut = cv2.GaussianBlur(cut, (0, 0), 0.5 * scale)
        width = 0.5 + rng.normal(0, 0.1)
        return ((cut - width) * max(2.0, 2 * scale) + 0.5).clip(0, 1).astype(np.float32)

    def _verso(self, rng: np.random.Generator, side: int) -> Mask:
        """The ink of the other side: of another hand and size, usually mirrored."""
        if rng.random() < 0.7:
            mask = self._mask(rng, side)
        else:
            mask = text.mask(rng, side, self.fonts)
        return np.ascontiguousarray(mask[:, ::-1]) if rng.random() < 0.9 else mask

    def _surround(self, rng: np.random.Generator, clean: Image, truth: np.ndarray) -> None:
        """Cover one side of a crop with a table, a book cover or a dark background, in place."""
        import cv2

        side = clean.shape[0]
        angle, depth = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.45) * side
        y, x = np.mgrid[:side, :side] - side / 2
        cover = 1 / (
            1
            + np.exp(
                (-(x * math.cos(angle) + y * math.sin(angle) - depth) / rng.uniform(0.3, 2)).clip(-50, 50)
            )
        )
        if self.photographs and rng.random() < 0.3:
            behind = _cut(rng, self.photographs[int(rng.integers(len(self.photographs)))], side, 1.0) / 255
        else:
            behind = rng.uniform(0, 0.4) * rng.uniform(0.7, 1.3, 3) + 0.05 * _cloud(rng, side, 12)[..., None]
        shadow = 1 - rng.uniform(0, 0.4) * cv2.GaussianBlur(cover, (0, 0), rng.uniform(2, 9))
        share = cover[..., None]
        clean[:] = clean * shadow[..., None] * (1 - share) + behind * share
        truth[cover > 0.5] = 0
        truth[(cover > 0.05) & (cover <= 0.5)] = ink.UNSURE

    def _ink(self, number: int) -> np.ndarray:
        if number not in self._inks:
            self._inks[number] = ink.of_clean_page(self.pages[number])
        return self._inks[number]


def _paled(rng: np.random.Generator, clean: Image) -> Image:
    """Fade the ink of a page towards the surrounding paper and, usually, towards brown."""
    import cv2

    side = len(clean)
    paper = cv2.blur(cv2.dilate(clean, np.ones((15, 15), np.uint8)), (31, 31))
    share = rng.uniform(0.25, 0.8) * np.array([1, rng.uniform(1, 1.2), rng.uniform(1, 1.4)])
    share = share * (1 + 0.2 * _cloud(rng, side, 4)[..., None])
    return (paper + (clean - paper) * share.clip(0, 1)).astype(np.float32)


def _darkness(clean: Image, truth: np.ndarray) -> float:
    """Relative darkness of the ink of a crop against its paper, in [0, 1]; 1 if there is hardly any ink."""
    here = truth == 255
    if here.mean() < 0.003 or not (truth == 0).any():
        return 1.0
    luma = clean @ np.array(damage.LUMA, np.float32)
    return float(1 - np.median(luma[here]) / max(np.median(luma[truth == 0]), 0.05))


def _written(rng: np.random.Generator, mask: Mask) -> tuple[Image, np.ndarray]:
    """Compose writing in any ink on any paper; returns the sheet and its exact ink map."""
    import cv2

    side = len(mask)
    tone = rng.uniform(0.45, 0.97)
    paper = np.clip(tone - np.array([0, rng.uniform(0, 0.08), rng.uniform(0, 0.2)]), 0.2, 1)
    dark = rng.uniform(0.02, 0.4) * tone * (1 + rng.uniform(-0.3, 0.3, 3)).clip(0, None)
    if rng.random() < 0.25:  # brown ink that has paled
        dark = rng.uniform(0.45, 0.8) * tone * np.array([1, rng.uniform(0.75, 1), rng.uniform(0.5, 0.95)])
    if rng.random() < 0.08:
        dark = rng.permutation([rng.uniform(0.5, 0.75), rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3)]) * tone
    clouds = rng.uniform(0, 0.05) * _cloud(rng, side, 3) + rng.uniform(0, 0.03) * _cloud(
        rng, side, side // 10
    )
    grain = rng.normal(0, rng.uniform(0.001, 0.012), (side, side))
    sheet = paper * (1 + clouds + grain)[..., None]
    if rng.random() < 0.1:
        sheet = sheet * (1 - rng.uniform(0.1, 0.4) * _ruled(rng, side))[..., None]
    dense = (
        rng.uniform(0.6, 1)
        + rng.uniform(0, 0.25) * _cloud(rng, side, 12)
        + rng.uniform(0, 0.2) * _cloud(rng, side, side // 6)
    )
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.35, 0.9))
    cover = (soft * np.clip(dense, 0.3, 1))[..., None]
    truth = ink.strokes(soft, 0.12, 0.25)
    return (sheet * (1 - cover) + dark * cover).clip(0, 1).astype(np.float32), truth


def _ruled(rng: np.random.Generator, side: int) -> Mask:
    """Thin horizontal and sometimes vertical lines, as on ruled paper and in tables."""
    import cv2

    lines = np.zeros((side, side), np.float32)
    for axis in range(1 + (rng.random() < 0.4)):
        step, at = rng.uniform(16, 90), rng.uniform(0, 60)
        while at < side:
            ends = (0, at, side, at + rng.uniform(-2, 2)) if axis == 0 else (at, 0, at, side)
            a, b = (round(v) for v in ends[:2]), (round(v) for v in ends[2:])
            cv2.line(lines, tuple(a), tuple(b), 1.0, 1 + int(rng.random() < 0.2), cv2.LINE_AA)
            at += step
    return lines


def _steps(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Draw the damage of one crop, wider than the recipes of `degrade`: kinds and parameters, in order."""
    chance = rng.random()
    if chance < 0.09:
        return {}
    if chance < 0.5:
        steps = _mixture(rng)
        extra = {
            "bleed_through": 0.3,
            "creases": 0.15,
            "holes": 0.1,
            "uneven_light": 0.2,
            "low_resolution": 0.1,
            "jpeg": 0.3,
        }
    elif chance < 0.75:
        steps, extra = _drawn(rng, [str(rng.choice(list(KINDS)))]), {}
    else:  # typical of real pages: little noise, visible bleed-through
        steps = {"noise": {"sigma": rng.uniform(0.002, 0.025)}} if rng.random() < 0.5 else {}
        extra = {
            "bleed_through": 0.6,
            "stains": 0.3,
            "uneven_light": 0.4,
            "fading": 0.4,
            "yellow_tint": 0.3,
            "jpeg": 0.5,
            "blur": 0.25,
            "creases": 0.2,
        }
    steps |= _drawn(rng, [kind for kind, share in extra.items() if rng.random() < share])
    return {kind: steps[kind] for kind in KINDS if kind in steps}


def _drawn(rng: np.random.Generator, kinds: list[str]) -> dict[str, dict[str, float]]:
    """Draw parameters from the range of each kind, which is wider for common damage of real pages."""
    wider = {
        "bleed_through": {"strength": (0.08, 0.72), "sigma": (0.3, 3.2)},
        "noise": {"sigma": (0.003, 0.09)},
        "jpeg": {"quality": (95, 25)},
    }
    ranges = {kind: KINDS[kind].ranges | wider.get(kind, {}) for kind in kinds}
    return {
        kind: {name: float(rng.uniform(*sorted(ends))) for name, ends in each.items()}
        for kind, each in ranges.items()
    }


def _mixture(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Draw several kinds at once, as the original project does."""
    shares = {
        "fading": 0.6,
        "yellow_tint": 0.6,
        "stains": 0.4,
        "blur": 0.7,
        "noise": 0.7,
        "salt_and_pepper": 0.5,
    }
    steps = _drawn(rng, [kind for kind, share in shares.items() if rng.random() < share])
    if "stains" in steps:
        steps["stains"] |= {"radius": float(rng.uniform(10, 50)), "factor": float(rng.uniform(0.3, 0.7))}
    return steps


LIGHT = ("fading", "yellow_tint", "uneven_light")


def _damage(
    clean: Tensor,
    steps: dict[str, dict[str, float]],
    verso: Mask | None,
    rng: np.random.Generator,
    usual: bool = False,
    darkest: float = 1.0,
    aged: bool = False,
) -> tuple[Tensor, Tensor]:
    """Damage (3, S, S) in [0, 1]: returns the damaged crop, and the clean one under the same light, uint8.

    With `usual`, tints are those of aged paper and stains are brown; otherwise both have any colour. The
    other side's ink has at most nine tenths of `darkest`, the darkness of the page's own ink.
    With `aged`, some also have foxing, tide lines or rings.
    """
    damaged, target = clean, clean
    tinted = clean.new_tensor(rng.uniform(0.8, 1.0, 3).astype(np.float32)).view(3, 1, 1)
    any_tint, grey_grain = rng.random() < 0.3 and not usual, rng.random() < 0.2
    any_stain = None if usual or rng.random() < 0.65 else clean.new_tensor(rng.uniform(0.2, 1.2, 3))
    seed = int(rng.integers(2**31))
    for number, (kind, parameters) in enumerate(steps.items()):
        if kind == "bleed_through" and verso is not None:
            strength = min(parameters["strength"], max(0.06, 0.9 * darkest))
            damaged = _shown_through(damaged, verso, rng, strength, parameters["sigma"])
        elif kind == "yellow_tint" and any_tint:
            damaged, target = damaged * tinted, target * tinted
        elif kind in LIGHT:
            damaged, target = (
                KINDS[kind].apply(x, devices.generator(seed, number), **parameters) for x in (damaged, target)
            )
        elif kind == "stains" and any_stain is not None:
            plain = KINDS[kind].apply(torch.ones_like(damaged), devices.generator(seed, number), **parameters)
            absorbed = any_stain.view(3, 1, 1).float() * (1 - plain[1])
            damaged = damaged * (1 - absorbed).clamp(min=0.05)
        elif kind == "noise" and grey_grain:
            grain = torch.randn(damaged.shape[1:], generator=devices.generator(seed, number))
            damaged = damaged + parameters["sigma"] * grain
        else:
            damaged = KINDS[kind].apply(damaged, devices.generator(seed, number), **parameters)
    if aged and not usual and steps and rng.random() < AGED:
        damaged = damaged * torch.from_numpy(_aged(rng, clean.shape[1]))
    return _bytes(damaged), _bytes(target)


def _aged(rng: np.random.Generator, side: int) -> Image:
    """Transmission of foxing, tide lines and rings, float32 (3, S, S) in (0, 1]."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    kept = np.ones((3, side, side), np.float32)
    for kind in rng.choice(["foxing", "tide", "ring"], int(rng.integers(1, 3)), replace=False):
        cover = np.zeros((side, side), np.float32)
        if kind == "foxing":
            for _ in range(int(_log(rng, 4, 60))):
                left, top = rng.uniform(0, side, 2)
                squared = ((x - left) ** 2 + (y - top) ** 2) / _log(rng, 1.5, 14) ** 2
                cover += rng.uniform(0.3, 1) * np.exp(-(squared ** rng.uniform(0.8, 2)))
        elif kind == "tide":  # the rim of a wet area, which is darker or lighter than the rest
            level = (_cloud(rng, side, int(rng.integers(2, 5))) - rng.uniform(-0.4, 0.4)) * side / 4
            level += 2 * _cloud(rng, side, side // 12)
            cover += np.exp(-((level / rng.uniform(1.5, 7)) ** 2))
            cover += rng.uniform(-0.15, 0.5) / (1 + np.exp(-(level / rng.uniform(1, 5)).clip(-50, 50)))
        else:
            left, top = rng.uniform(-0.3 * side, 1.3 * side, 2)
            off = np.hypot(x - left, y - top) - rng.uniform(0.15, 0.8) * side
            cover += np.exp(-((off / rng.uniform(1.5, 8)) ** 2))
            cover *= (0.7 + 0.6 * _cloud(rng, side, 5)).clip(0, 1)
        absorbed = rng.uniform(0.08, 0.55) * np.array([rng.uniform(0.4, 0.95), 0.9, rng.uniform(0.9, 1.2)])
        kept *= (1 - absorbed[:, None, None] * cover.clip(-0.3, 1.2)).clip(0.1, 1).astype(np.float32)
    return kept


def _shown_through(
    image: Tensor, verso: Mask, rng: np.random.Generator, strength: float, sigma: float
) -> Tensor:
    """Add the other side's ink: blurred or sharp, brownish, and uneven over the page."""
    import cv2

    soft = cv2.GaussianBlur(verso, (0, 0), sigma)
    uneven = (0.75 + 0.6 * _cloud(rng, len(verso), 4)).clip(0, 1)
    absorbed = image.new_tensor([rng.uniform(0.8, 1), 1.0, rng.uniform(1, 1.1)]).view(3, 1, 1)
    return image * (1 - strength * absorbed * torch.from_numpy(soft * uneven.astype(np.float32)))


def _cut(rng: np.random.Generator, page: np.ndarray, side: int, scale: float) -> np.ndarray:
    """A random square of a uint8 page at `scale`, perhaps mirrored: float32 in 0..255."""
    import cv2

    wide = min(round(side / scale), *page.shape[:2])
    cut = _square(rng, page, wide)
    for _ in range(3):  # the surroundings of pages are nearly black
        if cut.ndim == 2 or cut[::8, ::8, :3].mean() > 48:
            break
        cut = _square(rng, page, wide)
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    if rng.random() < 0.25:
        cut = cut[::-1]
    if wide != side:
        how = cv2.INTER_AREA if wide > side else cv2.INTER_CUBIC
        cut = cv2.resize(np.ascontiguousarray(cut), (side, side), interpolation=how)
    return np.ascontiguousarray(cut, np.float32)


def _square(rng: np.random.Generator, page: np.ndarray, wide: int) -> np.ndarray:
    top, left = (int(rng.integers(have - wide + 1)) for have in page.shape[:2])
    return page[top : top + wide, left : left + wide]


def _cloud(rng: np.random.Generator, side: int, cells: int) -> Mask:
    """A smooth random field, about -1 to 1, from `cells` values per side."""
    import cv2

    coarse = rng.uniform(-1, 1, (max(2, cells), max(2, cells))).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _tensor(image: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))


def _bytes(image: Tensor) -> Tensor:
    """Round to 8 bits, as in a file, so that nothing finer can be learned."""
    return (image.clamp(0, 1) * 255).round().byte()
