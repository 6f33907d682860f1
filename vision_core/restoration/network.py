"""The page restorer: one network for detail and ink, and one for the illumination.

They share no weights and are trained on different data: strokes on widely varied generated damage, the
illumination on realistic pages.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.restoration import enlarge
from vision_core.restoration.thumbnail import CHANNELS, FIELDS
from vision_core.safety.bounds import Bounds, Several, Whole
from vision_core.unet import ConvBlock, UNet, zeroed


class Glance(nn.Module):
    """A thumbnail, (B, 14, 24, 24) -> features (B, C, 6, 6)."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        first, middle, last = widths
        self.layers = nn.Sequential(
            nn.Conv2d(CHANNELS, first, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(first, middle, 3, 2, 1),
            nn.GELU(),
            ConvBlock(middle),
            nn.Conv2d(middle, last, 3, 2, 1),
            nn.GELU(),
            ConvBlock(last),
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (CHANNELS, FIELDS, FIELDS):
            raise ValueError(f"expected (B, {CHANNELS}, {FIELDS}, {FIELDS}), got {tuple(x.shape)}")
        return self.layers(2 * x - 1)


class Detail(nn.Module):
    """(B, 3, H, W) in [0, 1] and a thumbnail -> the same with restored detail, and ink logits (B, 1, H, W).

    The input is the difference of each pixel to its surroundings. The change is zero-mean over 16 x 16
    pixels, apart from a gain per colour and 8 x 8 pixels for stains and bleed-through; otherwise errors of
    the paper, which affect all pixels alike, would dominate those of the strokes. The untrained network is
    the identity. H and W are multiples of 2 ** len(widths), at least 16.
    """

    def __init__(self, widths: tuple[int, ...], down: tuple[int, ...], up: tuple[int, ...]) -> None:
        super().__init__()
        self.multiple = max(16, 2 ** len(widths))
        self.unet = UNet(6, 4, widths, down, up)
        self.cover = nn.Sequential(ConvBlock(widths[2]), zeroed(nn.Conv2d(widths[2], 3, 1)))
        self.glance = Glance((32, 64, 96))
        self.context = nn.Linear(96, 2 * widths[-1])
        for parameter in self.context.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, thumbnail: Tensor) -> tuple[Tensor, Tensor]:
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % self.multiple or x.shape[3] % self.multiple:
            raise ValueError(
                f"expected (B, 3, H, W) with H and W multiples of {self.multiple}, got {tuple(x.shape)}"
            )
        around = smooth(x)
        features = self.unet.encode(torch.cat([4 * (x - around), around - 0.5], 1))
        gain, offset = self.context(self.glance(thumbnail).mean((2, 3)))[..., None, None].chunk(2, 1)
        features[-1] = features[-1] * (1 + gain) + offset
        decoded, coarse = self.unet.decode_with(features, 2)
        change, ink = decoded.float().contiguous().split([3, 1], 1)
        # scaled down, because one optimiser step moves all weights of a head
        cover = 0.05 * enlarged(self.cover(coarse), x.shape[2:])
        return x * (1 + cover) + change - smooth(change), ink


class Light(nn.Module):
    """A thumbnail -> gain and offset per colour, (B, 6, 6, 6), and predicted errors, (B, 2).

    The latter are the log mean squared errors expected with this illumination and with the original one.
    """

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        last = widths[-1]
        self.glance = Glance(widths)
        self.whole = nn.Sequential(
            nn.Linear(2 * last, 2 * last), nn.GELU(), nn.Linear(2 * last, 2 * last), nn.GELU()
        )
        self.page = nn.Linear(2 * last, 6)
        self.error = nn.Linear(2 * last, 2)
        self.around = nn.Linear(2 * last, last)
        self.places = nn.Sequential(
            nn.Conv2d(last, last, 3, padding=1), nn.GELU(), zeroed(nn.Conv2d(last, 6, 1))
        )
        for parameter in self.page.parameters():
            nn.init.zeros_(parameter)

    def forward(self, thumbnail: Tensor) -> tuple[Tensor, Tensor]:
        features = self.glance(thumbnail)
        whole = self.whole(torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1))
        places = self.places(features + self.around(whole)[..., None, None])
        correction = self.page(whole)[..., None, None] + places
        identity = correction.new_tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]).view(1, 6, 1, 1)
        return (identity + correction).float(), self.error(whole).float()


class PageRestorer(nn.Module):
    """Both networks. `detail` runs on tiles of a page, `light` once on its thumbnail.

    There may be an ensemble of light networks, of which `light` is trained; their disagreement counts as
    uncertainty.

    Args:
        widths: channels of the detail network at 1/2, 1/4, 1/8 and 1/16 of the resolution.
        down, up: blocks of the encoder at each resolution, and of the decoder at each but the last.
        light: channels of a light network at 24 x 24, 12 x 12 and 6 x 6.
        lights: number of light networks.
    """

    bounds: ClassVar[Bounds] = {
        "widths": Several(Whole(1, 2048), 3, 6),
        "down": Several(Whole(0, 32), 3, 6),
        "up": Several(Whole(0, 32), 2, 5),
        "light": Several(Whole(1, 2048), 3, 3),
        "lights": Whole(1, 16),
    }

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128, 128),
        down: tuple[int, ...] = (1, 2, 3, 4),
        up: tuple[int, ...] = (2, 3, 3),
        light: tuple[int, int, int] = (48, 96, 128),
        lights: int = 1,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "widths": list(widths),
            "down": list(down),
            "up": list(up),
            "light": list(light),
            "lights": lights,
        }
        self.multiple = max(16, 2 ** len(widths))  # heights and widths of tiles are multiples of this
        self.detail = Detail(tuple(widths), tuple(down), tuple(up))
        self.light, *others = (Light(tuple(light)) for _ in range(lights))  # pyright: ignore[reportArgumentType]
        self.others = nn.ModuleList(others)

    def forward(self, x: Tensor, thumbnail: Tensor) -> tuple[Tensor, Tensor]:
        """Restore small whole pages, with illumination; returns them and their ink logits."""
        restored, ink = self.detail(x, thumbnail)
        return relit(restored, self.light(thumbnail)[0]), ink


def relit(x: Tensor, light: Tensor) -> Tensor:
    """Apply gains and offsets, (B, 6, h, w), interpolated to the size of (B, 3, H, W)."""
    gain, offset = F.interpolate(light, x.shape[2:], mode="bicubic", align_corners=False).split(3, 1)
    return x * gain + offset


def smooth(x: Tensor) -> Tensor:
    """Local means of (B, C, H, W): over 16 x 16 pixels, interpolated."""
    return enlarged(F.avg_pool2d(x, 16), x.shape[2:])


def enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear interpolation, (B, C, h, w) -> (B, C, H, W), float32."""
    down, across = (
        enlarge.weights(side, length, "bilinear", False).to(x.device)
        for side, length in zip(x.shape[2:], size, strict=True)
    )
    with torch.autocast(x.device.type, enabled=False):
        return down @ x.float() @ across.mT
