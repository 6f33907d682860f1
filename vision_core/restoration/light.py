"""Illumination correction: a smooth field of gain and offset, predicted from a thumbnail of the page."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision_core.restoration import surroundings
from vision_core.restoration.network import PageRestorer
from vision_core.restoration.thumbnail import thumbnail

ROWS = 256  # processed at once
LEAST = 0.02  # weight below which no correction is applied
MARGIN = 1.2  # required decrease of the predicted log error; keeps clean held-out pages above 34 dB
TYPICAL = 0.6  # assumed brightness of a page
SHADE = 0.02  # mean squared relative shade that is evened out; shallower ones are on clean pages, too
MIRRORED: tuple[list[int], ...] = ([], [2], [3], [2, 3])


@dataclass(frozen=True)
class Answer:
    """An illumination correction.

    Args:
        field: float32 (6, 6, 6): gains of the three colours, then their offsets, on a grid over `box`.
        sure: confidence of the correction, 0 to 1.
        box: top, left, bottom and right of the page in the picture.
        page: float32 (h, w), a low-resolution mask of the page; None if the page fills the picture.
        even: float32 (6, 6), gains that remove uneven light and keep the brightest place; see `evenness`.
    """

    field: np.ndarray
    sure: float
    box: tuple[int, int, int, int]
    page: np.ndarray | None = None
    even: np.ndarray | None = None

    def applied(self, picture: np.ndarray, wish: float = 0.5) -> np.ndarray:
        """Correct a picture: not at all at 0, as far as the network is confident at 0.5, fully at 1.

        uint8 or uint16 (H, W, 3), like the input.
        """
        share = 2 * wish * self.sure if wish <= 0.5 else self.sure + (2 * wish - 1) * (1 - self.sure)
        identity = np.array([1, 1, 1, 0, 0, 0], np.float32)[:, None, None]
        field = identity + share * (self.field - identity)
        if self.even is not None:
            field[:3] += (1 - self.sure) * min(2 * wish, 2 - 2 * wish) * (self.even - 1)
        if np.abs(field - identity).max() < LEAST / 10 or (share < LEAST and self.even is None):
            return picture
        height, width, _ = picture.shape
        top, left, bottom, right = self.box
        down, across = (
            _weights(*place, field.shape[1]) for place in ((top, bottom, height), (left, right, width))
        )
        page_down = page_across = None
        if self.page is not None:
            page_down, page_across = (
                _weights(0, side, side, of) for side, of in zip((height, width), self.page.shape, strict=True)
            )
        import cv2

        out, most = np.empty_like(picture), np.iinfo(picture.dtype).max
        columns = (field @ across.T).astype(np.float32)  # (6, 6, W)
        for first in range(0, height, ROWS):
            rows = slice(first, first + ROWS)
            inside = None
            if page_down is not None and page_across is not None:
                inside = (page_down[rows] @ self.page @ page_across.T).clip(0, 1)
            planes = []
            for color, before in enumerate(cv2.split(picture[rows].astype(np.float32))):
                after = before * (down[rows] @ columns[color]) + most * (down[rows] @ columns[3 + color])
                planes.append(after if inside is None else before + inside * (after - before))
            out[rows] = np.rint(cv2.merge(planes).clip(0, most)).astype(picture.dtype)
        return out

    def plain(self) -> dict[str, Any]:
        """Plain data for JSON; the inverse is `Answer.of`."""
        page, even = (None if part is None else part.round(3).tolist() for part in (self.page, self.even))
        field = self.field.tolist()
        return {"field": field, "sure": self.sure, "box": list(self.box), "page": page, "even": even}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Answer":
        field, page, even = (
            None if plain[name] is None else np.array(plain[name], np.float32)
            for name in ("field", "page", "even")
        )
        assert field is not None
        top, left, bottom, right = plain["box"]
        return cls(field, plain["sure"], (top, left, bottom, right), page, even)


@torch.inference_mode()
def read_light(picture: np.ndarray, network: PageRestorer) -> tuple[Answer, np.ndarray]:
    """The illumination correction of a picture, and its page, uint8 (h, w, 3)."""
    box, page = surroundings.find(picture)
    top, left, bottom, right = box
    inside = np.ascontiguousarray(picture[top:bottom, left:right])
    device = next(network.parameters()).device
    statistics = torch.from_numpy(thumbnail(inside))[None].to(device)
    fields, errors = _predictions(network.eval(), statistics)
    field, sure = (part.cpu() for part in _agreed(fields, errors))
    even = evenness(fields)[0].cpu().numpy()
    return Answer(field[0].numpy(), sure[0].item(), box, page, even), inside


@torch.inference_mode()
def consulted(network: PageRestorer, thumbnails: Tensor) -> tuple[Tensor, Tensor]:
    """The ensemble prediction for thumbnails, (B, 14, 24, 24), over all light networks and four mirrorings.

    Returns the mean field, (B, 6, 6, 6), and its weight, (B,), which is near 1 if the predicted error is
    smaller than that of the original illumination by a margin. The variance of the ensemble counts as error.
    """
    return _agreed(*_predictions(network, thumbnails))


def _predictions(network: PageRestorer, thumbnails: Tensor) -> tuple[Tensor, Tensor]:
    """The fields, (N, B, 6, 6, 6), of all light networks and mirrorings, and the mean log errors, (B, 2)."""
    fields, expected = [], []
    for light in (network.light, *network.others):
        for axes in MIRRORED:
            field, errors = light(thumbnails.flip(axes))
            fields.append(field.flip(axes))
            expected.append(errors)
    return torch.stack(fields), torch.stack(expected).mean(0)


def _agreed(fields: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
    mean = fields.mean(0)
    gain, offset = (fields - mean).split(3, 2)
    apart = (TYPICAL * gain + offset).square().mean((0, 2, 3, 4))
    promised = torch.log(errors[:, 0].exp() + apart)
    return mean, torch.sigmoid(4 * (errors[:, 1] - promised - MARGIN))


def evenness(fields: Tensor) -> Tensor:
    """Gains, (B, 6, 6), that remove the uneven light in which most of the predictions agree, else 1.

    Often it is not known how bright a page should be, but that it should be evenly bright. The brightest
    place keeps its level.

    Args:
        fields: predictions for B pages, (N, B, 6, 6, 6).
    """
    gain, offset = fields.split(3, 2)
    level = (gain + offset / TYPICAL).mean(2)  # (N, B, 6, 6)
    relative = level / level.amin((2, 3), keepdim=True)
    median = relative.median(0).values
    depth = (median - 1).square().mean((1, 2))
    apart = (relative - median).square().mean((2, 3)).median(0).values
    weight = torch.sigmoid(4 * torch.log(depth / (SHADE + 10 * apart) + 1e-6))
    return 1 + weight[:, None, None] * (median - 1)


def _weights(start: int, end: int, length: int, fields: int) -> np.ndarray:
    """(length, fields): bicubic weights of a grid from `start` to `end` at each pixel."""
    at = ((np.arange(length) + 0.5 - start) / (end - start) * fields - 0.5).clip(-0.5, fields - 0.5)
    first = np.floor(at).astype(int)
    part = at - first
    near, far = part, 1 - part
    a = -0.75  # as torch's and OpenCV's bicubic
    weights = {
        -1: ((a * (near + 1) - 5 * a) * (near + 1) + 8 * a) * (near + 1) - 4 * a,
        0: ((a + 2) * near - (a + 3)) * near * near + 1,
        1: ((a + 2) * far - (a + 3)) * far * far + 1,
        2: ((a * (far + 1) - 5 * a) * (far + 1) + 8 * a) * (far + 1) - 4 * a,
    }
    out = np.zeros((length, fields), np.float32)
    for offset, weight in weights.items():
        np.add.at(out, (np.arange(length), (first + offset).clip(0, fields - 1)), weight)
    return out
