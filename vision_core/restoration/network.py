"""The restorer of pages: one network for the detail and the ink, one for the light.

They share no weights, and are trained on different worlds: what a stroke looks like wants the widest, what
the light of a clean page is wants pages as they are.
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

LIGHT_FIELDS = 6  # rows and columns of the answer of the light


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
    """(B, 3, H, W) in [0, 1] and a thumbnail -> the same restored in its light, logits of ink (B, 1, H, W).

    It reads how each pixel differs from the light around it. What it adds is 0 on average over 16 x 16
    pixels; apart from that it answers with a gain of each colour for each 8 x 8 pixels, for stains and what
    shows through, else errors of the paper, alike in all pixels, would drown those of the strokes. Untrained
    it is the identity. H and W are multiples of 2 ** len(widths), at least 16.
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
        # in twentieths: one step of the optimiser moves all of a head's weights
        cover = 0.05 * enlarged(self.cover(coarse), x.shape[2:])
        return x * (1 + cover) + change - smooth(change), ink


class Light(nn.Module):
    """A thumbnail -> gain and offset of each colour, (B, 6, 6, 6), and how sure it is of them, (B, 2).

    The second is the logarithm of the mean squared error that is to be expected with this light and with the
    page's own, (B, 2).
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
        answer = self.page(whole)[..., None, None] + places
        identity = answer.new_tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]).view(1, 6, 1, 1)
        return (identity + answer).float(), self.error(whole).float()


class PageRestorer(nn.Module):
    """Both; each works on its own: `detail` on tiles of a page, the light once on all of it.

    There may be several networks for the light, of which `light` is the one that is trained: where they do
    not agree none of them knows.

    Args:
        widths: channels of the detail at 1/2, 1/4, 1/8 and 1/16 of the resolution.
        down, up: convolution blocks at each of these on the way down, and at each but the last on the way up.
        light: channels of the light at 24 x 24, 12 x 12 and 6 x 6 fields.
        lights: how many networks for it there are.
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
        """Crops that are whole pages: restored and in a clean page's light, and their logits of ink."""
        restored, ink = self.detail(x, thumbnail)
        return relit(restored, self.light(thumbnail)[0]), ink


def relit(x: Tensor, light: Tensor) -> Tensor:
    """(B, 3, H, W) with gains and offsets, (B, 6, h, w), that go on smoothly between their fields."""
    gain, offset = F.interpolate(light, x.shape[2:], mode="bicubic", align_corners=False).split(3, 1)
    return x * gain + offset


def smooth(x: Tensor) -> Tensor:
    """What is around each pixel of (B, C, H, W): means of 16 x 16 pixels, and lines between them."""
    return enlarged(F.avg_pool2d(x, 16), x.shape[2:])


def enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, (B, C, h, w) -> (B, C, H, W), float32."""
    down, across = (
        enlarge.weights(side, length, "bilinear", False).to(x.device)
        for side, length in zip(x.shape[2:], size, strict=True)
    )
    with torch.autocast(x.device.type, enabled=False):
        return down @ x.float() @ across.mT
