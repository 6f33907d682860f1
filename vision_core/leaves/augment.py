"""Augmentation: random views for training, and six single kinds to inspect or to balance classes."""

import math
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vision_core.devices import generator
from vision_core.leaves.generate import GROUNDS, ground
from vision_core.leaves.masks import leaf_mask
from vision_core.pictures import images
from vision_core.pictures.images import Picture

KINDS = ("flip", "rotate", "crop", "blur", "contrast", "perspective")
GROUNDS_DRAWN = 64  # number of different backgrounds


def random_views(squares: Tensor, crop: int, rng: torch.Generator) -> Tensor:
    """One random view of each picture, as from another camera in another place.

    Half of the leaves that can be segmented get another background. Then the picture is cropped (to half of
    its area or more), mirrored, rotated by up to 20 degrees and shaded from one side; exposure, white balance
    and contrast change, and some are blurred or saved as a poor JPEG. The borders are filled by reflection.

    Args:
        squares: uint8 (B, 3, S, S).
        crop: side of the view.

    Returns:
        float (B, 3, crop, crop) in [0, 1].
    """
    count, side = len(squares), squares.shape[-1]
    rand = torch.rand(14, count, generator=rng)
    seeds = torch.randint(2**31, (count,), generator=rng).tolist()
    moved = [_other_ground(*each) for each in zip(squares, (rand[7] < 0.5).tolist(), seeds, strict=True)]
    x = torch.stack(moved).float() / 255
    share = (0.5 + 0.5 * rand[0]).sqrt()  # of the side that is kept
    angle = (2 * rand[1] - 1) * math.radians(20)
    flip = 1 - 2 * (rand[2] < 0.5).float()
    shift = (1 - share) * (2 * rand[3:5] - 1)
    cos, sin = share * angle.cos(), share * angle.sin()
    theta = torch.stack([cos * flip, -sin, shift[0], sin * flip, cos, shift[1]], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, [count, 3, crop, crop], align_corners=False)
    if side > 2 * crop:  # or the sampling would skip pixels
        x = F.interpolate(x, size=(2 * crop, 2 * crop), mode="area")
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    x = lit(x, 2.4 * rand[5] - 1.5, 0.5 * rand[8] - 0.25, rand[9] * 0.9 * (rand[10] < 0.4), rand[11])
    contrast = (0.8 + 0.4 * rand[6]).view(-1, 1, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (mean + (x - mean) * contrast).clamp(0, 1)
    return torch.stack([_worn(*each) for each in zip(x, rand[12].tolist(), rand[13].tolist(), strict=True)])


def lit(images: Tensor, stops: Tensor, warmth: Tensor, shade: Tensor, side: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] in another light.

    Args:
        stops: (B,), of exposure: 1 doubles the light.
        warmth: (B,), logarithm of what red gains and blue loses; 0.15 is about 1,500 kelvin.
        shade: (B,) in [0, 1], how dark the side in the shade is.
        side: (B,) in [0, 1], where that is, as a share of the full circle.
    """
    height, width = images.shape[2:]
    y, x = (torch.linspace(-1, 1, size) for size in (height, width))
    turn = (2 * math.pi * side).view(-1, 1, 1)
    across = torch.sigmoid(6 * (turn.cos() * x + turn.sin() * y[:, None]))[:, None]
    gain = torch.stack([warmth.exp(), torch.ones_like(warmth), (-warmth).exp()], 1)[..., None, None]
    light = gain * (1 - shade.view(-1, 1, 1, 1) * across) * 2.0 ** stops.view(-1, 1, 1, 1)
    bright = images.clamp(0, 1) ** 2.2 * light
    # a camera rolls off where it would clip
    return torch.where(bright > 0.8, 1 - 0.2 * torch.exp(-(bright - 0.8) / 0.2), bright) ** (1 / 2.2)


def _other_ground(square: Tensor, replace: bool, seed: int) -> Tensor:
    """A picture uint8 (3, S, S); if wanted and if the leaf can be segmented, on a drawn background."""
    if not replace:
        return square
    rgb = square.permute(1, 2, 0).numpy()
    try:
        mask = leaf_mask(rgb)
    except ValueError:
        return square
    pasted = on_ground(rgb, mask, drawn_ground(seed % GROUNDS_DRAWN, len(rgb)))
    return torch.from_numpy(pasted).permute(2, 0, 1)


@lru_cache(GROUNDS_DRAWN)  # as slow to draw as a picture is to embed
def drawn_ground(number: int, side: int) -> np.ndarray:
    """One of the drawn backgrounds: float (side, side, 3)."""
    return ground(np.random.default_rng(number), GROUNDS[number % len(GROUNDS)], side)


def on_ground(rgb: np.ndarray, mask: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The leaf of a picture, with a soft edge and a shadow, on another background: uint8 (H, W, 3)."""
    cover = cv2.GaussianBlur(cv2.erode(mask.astype(np.float32), np.ones((3, 3))), (0, 0), 1.0)[..., None]
    fallen = np.roll(cover, (len(rgb) // 40, len(rgb) // 50), (0, 1))
    shadow = 1 - 0.4 * cv2.GaussianBlur(fallen, (0, 0), len(rgb) / 50)[..., None]
    return (rgb * cover + 255 * below * shadow * (1 - cover)).clip(0, 255).round().astype(np.uint8)


def _worn(image: Tensor, blur: float, saved: float) -> Tensor:
    """A quarter of the pictures (3, H, W) blurred, a third saved as JPEG of quality 30 to 90."""
    if blur > 0.25 and saved > 0.33:
        return image
    rgb = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    if blur < 0.25:
        rgb = cv2.GaussianBlur(rgb, (0, 0), 0.6 + 6 * blur)
    if saved < 0.33:
        _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(30 + 180 * saved)])
        rgb = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    return torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)


def centre(squares: Tensor, crop: int) -> Tensor:
    """uint8 (B, 3, S, S) -> the centre 7/8, for evaluation: float (B, 3, crop, crop) in [0, 1]."""
    x = squares.float() / 255
    side = round(x.shape[-1] * 7 / 8)
    start = (x.shape[-1] - side) // 2
    x = x[..., start : start + side, start : start + side]
    return x if side == crop else F.interpolate(x, (crop, crop), mode="bilinear", antialias=True)


def augment(picture: Picture, kind: str, seed: int = 0) -> Picture:
    """Augment a picture in one of the six ways, with a strength drawn from the seed; the size stays.

    Raises:
        ValueError: another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no augmentation {kind!r}; there are {', '.join(KINDS)}")
    rand = torch.rand(8, generator=generator(seed, KINDS.index(kind))).tolist()
    image = Image.fromarray(picture.rgb)
    return Picture(np.array(_augmented(image, kind, rand)))


def _augmented(image: Image.Image, kind: str, rand: list[float]) -> Image.Image:
    from PIL import ImageEnhance, ImageFilter

    width, height = image.size
    match kind:
        case "flip":
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        case "rotate":
            angle = math.copysign(10 + 30 * rand[0], rand[1] - 0.5)
            return _quad(image, _turned(angle))
        case "crop":
            keep = 0.65 + 0.25 * rand[0]
            left, top = (1 - keep) * rand[1] * width, (1 - keep) * rand[2] * height
            box = (left, top, left + keep * width, top + keep * height)
            return image.resize(image.size, Image.Resampling.BICUBIC, box)
        case "blur":
            return image.filter(ImageFilter.GaussianBlur((0.006 + 0.012 * rand[0]) * max(image.size)))
        case "contrast":
            image = ImageEnhance.Contrast(image).enhance(1.4 + 0.6 * rand[0])
            return ImageEnhance.Brightness(image).enhance(0.8 + 0.4 * rand[1])
        case _:
            corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]], float)
            return _quad(image, corners * (1 - 0.3 * np.array(rand).reshape(4, 2)))


def _turned(angle: float) -> np.ndarray:
    turn = math.radians(angle)
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]], float)
    return corners @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])


def _quad(image: Image.Image, corners: np.ndarray) -> Image.Image:
    """The part of the picture inside four corners, in units of half its sides; mirrored beyond its edges."""
    width, height = image.size
    padded = Image.fromarray(
        np.pad(np.asarray(image), ((height // 2,) * 2, (width // 2,) * 2, (0, 0)), "symmetric")
    )
    points = (corners + 1) / 2 * (width, height) + (width // 2, height // 2)
    return padded.transform(
        image.size, Image.Transform.QUAD, points.ravel().tolist(), Image.Resampling.BICUBIC
    )


def gallery(picture: Picture, seed: int = 0) -> dict[str, Picture]:
    """The picture itself and its six augmentations."""
    return {"original": picture, **{kind: augment(picture, kind, seed) for kind in KINDS}}


def balance(folder: Path, files: dict[str, list[str]], out: Path, seed: int = 0) -> dict[str, int]:
    """Fill up every class to the size of the largest with augmented pictures in `out`; returns their counts.

    Args:
        files: the pictures of each class, within `folder`.
    """
    most, written = max(map(len, files.values())), {}
    for name, names in files.items():
        missing = most - len(names) if names else 0
        for n in range(missing):
            source, kind = names[n % len(names)], KINDS[(n // len(names) + n) % len(KINDS)]
            picture = augment(images.read(folder / source), kind, seed + n)
            images.save(picture, out / name / f"{Path(source).stem}_{kind}_{n}.jpg")
        written[name] = missing
    return written
