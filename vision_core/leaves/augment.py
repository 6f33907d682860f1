"""Augmentation: random views for training, and six kinds, one at a time, to look at or to balance with."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vision_core.devices import generator
from vision_core.pictures import images
from vision_core.pictures.images import Picture

KINDS = ("flip", "rotate", "crop", "blur", "contrast", "perspective")


def random_views(squares: Tensor, crop: int, drawn: torch.Generator) -> Tensor:
    """One random view of each picture: cropped, mirrored, turned, brightness and contrast jittered.

    The crop keeps 70 % of the area or more, so that a lesion is rarely cut away; turned is up to 15 degrees,
    jittered up to 0.2. Scale, turn and place are one resampling; what lies outside is mirrored.

    Args:
        squares: uint8 (B, 3, S, S).
        crop: side of the view.

    Returns:
        float (B, 3, crop, crop) in [0, 1].
    """
    count, side = len(squares), squares.shape[-1]
    rand = torch.rand(7, count, generator=drawn)
    share = (0.7 + 0.3 * rand[0]).sqrt()  # of the side that is kept
    angle = (2 * rand[1] - 1) * math.radians(15)
    flip = 1 - 2 * (rand[2] < 0.5).float()
    shift = (1 - share) * (2 * rand[3:5] - 1)
    cos, sin = share * angle.cos(), share * angle.sin()
    theta = torch.stack([cos * flip, -sin, shift[0], sin * flip, cos, shift[1]], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, [count, 3, crop, crop], align_corners=False)
    x = squares.float() / 255
    if side > 2 * crop:  # or the sampling would skip pixels
        x = F.interpolate(x, size=(2 * crop, 2 * crop), mode="area")
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    brightness, contrast = (0.8 + 0.4 * rand[5:7]).view(2, -1, 1, 1, 1)
    x = x * brightness
    grey = (
        (x * x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1))
        .sum(1, keepdim=True)
        .mean((2, 3), keepdim=True)
    )
    return (grey + (x - grey) * contrast).clamp(0, 1)


def centre(squares: Tensor, crop: int) -> Tensor:
    """uint8 (B, 3, S, S) -> the middle 7/8, what is measured on: float (B, 3, crop, crop) in [0, 1]."""
    x = squares.float() / 255
    side = round(x.shape[-1] * 7 / 8)
    start = (x.shape[-1] - side) // 2
    x = x[..., start : start + side, start : start + side]
    return x if side == crop else F.interpolate(x, (crop, crop), mode="bilinear", antialias=True)


def augment(picture: Picture, kind: str, seed: int = 0) -> Picture:
    """One of the six kinds, as strong as the seed says; the size stays.

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
    """The picture as it is, and each of the six kinds of it."""
    return {"original": picture, **{kind: augment(picture, kind, seed) for kind in KINDS}}


def balance(folder: Path, files: dict[str, list[str]], out: Path, seed: int = 0) -> dict[str, int]:
    """Write augmented pictures to `out`: with them every class has as many as the largest. How many of each.

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
