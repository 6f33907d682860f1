"""Random damage for training crops: the original project's mixtures, and a wider range as on real pages."""

import numpy as np
import torch
from torch import Tensor

from vision_core import devices
from vision_core.restoration import damage, sheets
from vision_core.restoration.degrade import KINDS
from vision_core.restoration.sheets import Image, Mask

AGED = 0.15  # share of crops with foxing, tide lines or rings, which `degrade` does not have
LIGHT = ("fading", "yellow_tint", "uneven_light")  # kinds that are part of the target, see `light`


def wide(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Draw the damage of one crop, wider than the recipes of `degrade`: kinds and parameters, in order."""
    chance = rng.random()
    if chance < 0.09:
        return {}
    if chance < 0.5:
        steps = usual(rng)
        extra = {
            "bleed_through": 0.3,
            "creases": 0.15,
            "holes": 0.1,
            "uneven_light": 0.2,
            "low_resolution": 0.1,
            "jpeg": 0.3,
        }
    elif chance < 0.75:
        steps, extra = draw(rng, [str(rng.choice(list(KINDS)))]), {}
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
    steps |= draw(rng, [kind for kind, share in extra.items() if rng.random() < share])
    return {kind: steps[kind] for kind in KINDS if kind in steps}


def draw(rng: np.random.Generator, kinds: list[str]) -> dict[str, dict[str, float]]:
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


def usual(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Draw several kinds at once, as often as the original project does, but with tints of any strength."""
    shares = {
        "fading": 0.6,
        "yellow_tint": 0.6,
        "stains": 0.4,
        "blur": 0.7,
        "noise": 0.7,
        "salt_and_pepper": 0.5,
    }
    steps = draw(rng, [kind for kind, share in shares.items() if rng.random() < share])
    if "stains" in steps:
        steps["stains"] |= {"radius": float(rng.uniform(10, 50)), "factor": float(rng.uniform(0.3, 0.7))}
    return steps


def original(clean: Image, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Damage a page as the original project does: its kinds, probabilities, ranges and order.

    Noise is blurred with the page, and fading and tint dim both. Discs stain without regard to colour.

    Args:
        clean: float32 (H, W, 3) in [0, 1].

    Returns:
        the damaged page, and the clean one under the same light, uint8 (3, H, W).
    """
    import cv2

    seed = int(rng.integers(2**31))
    damaged = target = sheets.tensor(clean)
    if rng.random() < 0.7:
        damaged = damage.noise(damaged, devices.generator(seed, 0), rng.uniform(0.01, 0.08))
    if rng.random() < 0.7:
        damaged = damage.blur(damaged, devices.generator(seed, 1), rng.choice([0.8, 1.1, 1.4]))
    if rng.random() < 0.6:
        gain, lift = rng.uniform(0.6, 0.9), rng.uniform(0.05, 0.15)
        damaged, target = (gain * x + lift for x in (damaged, target))
    if rng.random() < 0.5:
        damaged = damage.salt_and_pepper(damaged, devices.generator(seed, 2), rng.uniform(0.001, 0.01))
    if rng.random() < 0.6:
        yellow = target.new_tensor([1, 0.95, 0.8]).view(3, 1, 1)
        damaged, target = damaged * yellow, target * yellow
    if rng.random() < 0.4:
        soft = int(rng.choice([1, 9]))
        for _ in range(int(rng.integers(1, 6))):
            disc = np.zeros(clean.shape[:2], np.float32)
            center = [int(rng.integers(side)) for side in (clean.shape[1], clean.shape[0])]
            cv2.circle(disc, center, int(rng.integers(10, 51)), 1, -1)
            cover = torch.from_numpy(cv2.GaussianBlur(disc, (soft, soft), 0))
            damaged = damaged * (1 - (1 - rng.uniform(0.3, 0.7)) * cover)
    return to_bytes(damaged), to_bytes(target)


def apply(
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
    return to_bytes(damaged), to_bytes(target)


def _aged(rng: np.random.Generator, side: int) -> Image:
    """Transmission of foxing, tide lines and rings, float32 (3, S, S) in (0, 1]."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    transmission = np.ones((3, side, side), np.float32)
    for kind in rng.choice(["foxing", "tide", "ring"], int(rng.integers(1, 3)), replace=False):
        cover = np.zeros((side, side), np.float32)
        if kind == "foxing":
            for _ in range(int(sheets.log_uniform(rng, 4, 60))):
                left, top = rng.uniform(0, side, 2)
                squared = ((x - left) ** 2 + (y - top) ** 2) / sheets.log_uniform(rng, 1.5, 14) ** 2
                cover += rng.uniform(0.3, 1) * np.exp(-(squared ** rng.uniform(0.8, 2)))
        elif kind == "tide":  # the rim of a wet area, which is darker or lighter than the rest
            level = (sheets.cloud(rng, side, int(rng.integers(2, 5))) - rng.uniform(-0.4, 0.4)) * side / 4
            level += 2 * sheets.cloud(rng, side, side // 12)
            cover += np.exp(-((level / rng.uniform(1.5, 7)) ** 2))
            cover += rng.uniform(-0.15, 0.5) / (1 + np.exp(-(level / rng.uniform(1, 5)).clip(-50, 50)))
        else:
            left, top = rng.uniform(-0.3 * side, 1.3 * side, 2)
            off = np.hypot(x - left, y - top) - rng.uniform(0.15, 0.8) * side
            cover += np.exp(-((off / rng.uniform(1.5, 8)) ** 2))
            cover *= (0.7 + 0.6 * sheets.cloud(rng, side, 5)).clip(0, 1)
        absorbed = rng.uniform(0.08, 0.55) * np.array([rng.uniform(0.4, 0.95), 0.9, rng.uniform(0.9, 1.2)])
        transmission *= (1 - absorbed[:, None, None] * cover.clip(-0.3, 1.2)).clip(0.1, 1).astype(np.float32)
    return transmission


def _shown_through(
    image: Tensor, verso: Mask, rng: np.random.Generator, strength: float, sigma: float
) -> Tensor:
    """Add the other side's ink: blurred or sharp, brownish, and uneven over the page."""
    import cv2

    soft = cv2.GaussianBlur(verso, (0, 0), sigma)
    uneven = (0.75 + 0.6 * sheets.cloud(rng, len(verso), 4)).clip(0, 1)
    absorbed = image.new_tensor([rng.uniform(0.8, 1), 1.0, rng.uniform(1, 1.1)]).view(3, 1, 1)
    return image * (1 - strength * absorbed * torch.from_numpy(soft * uneven.astype(np.float32)))


def to_bytes(image: Tensor) -> Tensor:
    """Round to 8 bits, as in a file, so that nothing finer can be learned."""
    return (image.clamp(0, 1) * 255).round().byte()
