"""The twelve kinds of damage, as functions of an image (3, H, W) in [0, 1], a CPU generator and parameters.

The generator is the only source of randomness. Values may leave [0, 1]; `degrade` clamps them at the end.
"""

import io
import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Generator, Tensor
from torch.nn import functional as F

from vision_core.restoration import enlarge

LUMA = (0.299, 0.587, 0.114)
CROP = 256  # side of a crop that the numbers of stains, folds and holes refer to


def noise(image: Tensor, generator: Generator, sigma: float) -> Tensor:
    """Gaussian noise of standard deviation `sigma`."""
    return image + sigma * _normal(image, generator)


def salt_and_pepper(image: Tensor, generator: Generator, ratio: float) -> Tensor:
    """Set a share `ratio` of the values, independently per channel, to 0 or 1."""
    chance = torch.rand(image.shape, generator=generator).to(image.device)
    image = torch.where(chance < ratio / 2, 0.0, image)
    return torch.where(chance > 1 - ratio / 2, 1.0, image)


def blur(image: Tensor, generator: Generator, sigma: float) -> Tensor:
    """Gaussian blur; the original's kernels of 3, 5, 7 pixels have sigma 0.8, 1.1, 1.4."""
    reach = max(1, math.ceil(3 * sigma))
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-reach, reach + 1)]
    # sums of shifted images are ten times as fast on the CPU as a convolution of one channel
    for axis in (1, 2):
        side = image.shape[axis]
        padding = (reach, reach, 0, 0) if axis == 2 else (0, 0, reach, reach)
        padded, image = F.pad(image[None], padding, "replicate")[0], torch.zeros_like(image)
        for start, weight in enumerate(weights):
            image.add_(padded.narrow(axis, start, side), alpha=weight / sum(weights))
    return image


def fade(image: Tensor, generator: Generator, gain: float, lift: float) -> Tensor:
    """gain * x + lift, which reduces contrast and turns black into grey."""
    return gain * image + lift


def tint(image: Tensor, generator: Generator, green: float, blue: float) -> Tensor:
    """Scale the green and blue channels, as in yellowed paper."""
    return image * image.new_tensor([1.0, green, blue]).view(3, 1, 1)


def stains(image: Tensor, generator: Generator, number: float, radius: float, factor: float) -> Tensor:
    """Spots with an irregular outline, a soft edge and a darker rim, which transmit `factor` of the light."""
    _, height, width = image.shape
    keep = torch.ones_like(image)
    for _ in range(_count(number, height, width)):
        size = radius * _between(generator, 0.6, 1.2)
        left, top, window = _window(generator, height, width, 1.6 * size + 8)
        if not window[0].numel():
            continue
        y, x = (part.to(image.device) for part in window)
        shape = (len(y), len(x))
        distance = torch.hypot(y[:, None] - top, x[None] - left)
        distance = distance * (1 + 0.25 * _smooth(shape, generator, 4).to(image.device))
        inside = torch.sigmoid((size - distance) / _between(generator, 0.7, 5))
        rim = torch.exp(-(((distance - size) / _between(generator, 1.5, 4)) ** 2)) * _between(
            generator, 0, 0.35
        )
        # browns: blue is absorbed most
        absorbed = (1 - factor) * image.new_tensor(
            [_between(generator, 0.6, 1), 1.0, _between(generator, 1, 1.2)]
        )
        cover = (inside * (1 + 0.15 * _smooth(shape, generator, 8).to(image.device)) + rim).clamp(0, 1.3)
        area = (slice(None), slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1))
        keep[area] *= (1 - absorbed.view(3, 1, 1) * cover).clamp(min=0.05)
    return image * keep


def bleed_through(
    image: Tensor, generator: Generator, strength: float, sigma: float, verso: Tensor | None = None
) -> Tensor:
    """Add the mirrored and blurred ink of the reverse side with `strength`."""
    _, height, width = image.shape
    back = image if verso is None else verso
    shift = [
        int(torch.randint(-size // 3, size // 3 + 1, (), generator=generator)) for size in (height, width)
    ]
    grey = (back * back.new_tensor(LUMA).view(3, 1, 1)).sum(0, keepdim=True)
    paper = grey.flatten()[:: max(1, grey.numel() // 4096)].quantile(0.8)
    ink = ((paper - grey) / paper.clamp(min=0.05)).clamp(0, 1)  # (1, H, W)
    ink = blur(ink.flip(2).roll(shift, (1, 2)), generator, sigma)
    spread = 0.7 + 0.3 * _smooth((height, width), generator, 4).to(image.device)
    absorbed = strength * image.new_tensor([0.9, 1.0, 1.1]).view(3, 1, 1)  # ink has a brown halo
    return image * (1 - absorbed * ink * spread)


def creases(image: Tensor, generator: Generator, number: float, depth: float, width: float) -> Tensor:
    """Folds: a dark line next to a light one, with one side slightly shaded."""
    _, rows, columns = image.shape
    y, x = torch.arange(rows)[:, None] / 1.0, torch.arange(columns)[None] / 1.0
    shade = torch.ones(rows, columns)
    waves = 2 * _smooth((rows, columns), generator, 6)
    patchy = (0.75 + 0.5 * _smooth((rows, columns), generator, 8)).clamp(0, 1.2)
    for _ in range(_count(number, rows, columns)):
        angle = _between(generator, 0, math.pi)
        through = (_between(generator, 0, rows), _between(generator, 0, columns))
        across = (y - through[0]) * math.cos(angle) + (x - through[1]) * math.sin(angle) + waves
        side = torch.sigmoid(-across / 2).mul_(torch.exp(across.clamp(max=0).div_(40)))
        change = side.mul_(-0.15 * depth).add_(1)
        near = (across.abs() < 6 * width).nonzero(as_tuple=True)  # beyond, both lines are below 1e-6
        units = across[near] / width
        lines = torch.exp(-(units**2)) - 0.4 * torch.exp(-((units - 2) ** 2))
        change[near] -= depth * lines * patchy[near]
        shade *= change
    return image * shade.to(image.device)


def holes(image: Tensor, generator: Generator, number: float, radius: float, tracks: float) -> Tensor:
    """Worm holes and tracks, through which the background is visible."""
    _, height, width = image.shape
    mask = Image.new("L", (2 * width, 2 * height))  # twice as large, for smooth outlines
    pen = ImageDraw.Draw(mask)
    for _ in range(_count(number, height, width)):
        x, y = _between(generator, 0, 2 * width), _between(generator, 0, 2 * height)
        size, turn = 2 * radius * _between(generator, 0.5, 1.2), _between(generator, 0, math.pi)
        reach = [size * _between(generator, 0.7, 1.2) for _ in range(9)]
        corners = [(turn + 2 * math.pi * i / 9, r) for i, r in enumerate(reach)]
        pen.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for a, r in corners], fill=255)
    for _ in range(_count(tracks, height, width)):
        x, y = _between(generator, 0, 2 * width), _between(generator, 0, 2 * height)
        heading, points = _between(generator, 0, 2 * math.pi), [(x, y)]
        for _ in range(int(_between(generator, 6, 18))):
            heading += _between(generator, -0.7, 0.7)
            x, y = x + 10 * math.cos(heading), y + 10 * math.sin(heading)
            points.append((x, y))
        pen.line(points, fill=255, width=int(_between(generator, 3, 8)), joint="curve")
    small = mask.resize((width, height), Image.Resampling.BOX)
    cover = torch.from_numpy(np.array(small)).to(image) / 255
    behind = (
        _between(generator, 0.03, 0.2) if _between(generator, 0, 1) < 0.7 else _between(generator, 0.85, 1)
    )
    rim = blur(cover[None], generator, 1.2)[0] * 0.3  # paper is darker around a hole
    color = behind * image.new_tensor([1.0, 0.93, 0.85]).view(3, 1, 1)
    return image * (1 - cover) * (1 - rim * (1 - cover)) + color * cover


def uneven_light(image: Tensor, generator: Generator, depth: float) -> Tensor:
    """A smooth shadow of up to `depth`: from one side, towards the corners, and in patches."""
    _, height, width = image.shape
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None]
    angle = _between(generator, 0, 2 * math.pi)
    shares = [_between(generator, 0, 1) for _ in range(3)]
    slope = (y * math.sin(angle) + x * math.cos(angle)) / math.sqrt(2)
    corners = torch.hypot(y - _between(generator, -0.5, 0.5), x - _between(generator, -0.5, 0.5)) ** 2
    field = shares[0] * slope + shares[1] * corners + shares[2] * _smooth((height, width), generator, 3)
    field = (field - field.min()) / (field.max() - field.min()).clamp(min=1e-6)
    return image * (1 - depth * field).to(image.device)


def low_resolution(image: Tensor, generator: Generator, factor: float) -> Tensor:
    """Downsample by `factor`, and upsample again."""
    size = image.shape[1:]
    small = [max(1, round(side / factor)) for side in size]
    coarse = F.interpolate(image[None], small, mode="bilinear", antialias=True)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=False)[0]


def jpeg(image: Tensor, generator: Generator, quality: float) -> Tensor:
    """Encode as JPEG of `quality` with Pillow, and decode."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=round(quality))
    again = np.array(Image.open(buffer))
    return torch.from_numpy(again).permute(2, 0, 1).to(image) / 255


def _normal(image: Tensor, generator: Generator) -> Tensor:
    return torch.randn(image.shape, generator=generator).to(image)


def _between(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()


def _count(number: float, height: int, width: int) -> int:
    """Scale a number per crop to an image of this size."""
    return round(number * max(1.0, math.sqrt(height * width) / CROP))


def _smooth(size: tuple[int, int], generator: Generator, cells: int) -> Tensor:
    """A smooth random field (H, W), about -1 to 1, from `cells` values per side."""
    coarse = torch.randn(cells, cells, generator=generator).clamp(-2, 2) / 2
    down, across = (enlarge.weights(cells, side, "bicubic", True) for side in size)
    return down @ coarse @ across.mT


def _window(
    generator: Generator, height: int, width: int, reach: float
) -> tuple[float, float, tuple[Tensor, Tensor]]:
    """A random centre (x, y) and the rows and columns of the image within `reach` of it."""
    x, y = _between(generator, 0, width), _between(generator, 0, height)
    rows = torch.arange(max(0, int(y - reach)), min(height, int(y + reach) + 1))
    columns = torch.arange(max(0, int(x - reach)), min(width, int(x + reach) + 1))
    return x, y, (rows, columns)
