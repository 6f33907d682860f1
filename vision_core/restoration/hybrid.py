"""The restorer that measured best for its size: convolutions for the detail, attention for the light.

Two networks that share no weights, since errors of the light, alike in all pixels, would drown the gradient
of the strokes. A U-Net cleans the detail: what it changes is 0 on average over 16 x 16 pixels. The other
reads a thumbnail of what is clean then with transformer blocks, and answers with a gain and an offset of each
colour for each 8 x 8 pixels.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core import unet
from vision_core.bounds import Bounds, Whole
from vision_core.restoration import enlarge
from vision_core.restoration.vit import Block
from vision_core.unet import ConvBlock, UNet, zeroed


class Light(nn.Module):
    """What to do about light and colour: (B, 3, H, W) -> gain and offset, (B, 6, H / 8, W / 8).

    It sees mean, spread, brightest and darkest of each 8 x 8 pixels; tokens stand for 16 x 16.
    """

    def __init__(self, channels: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(12, channels, 3, padding=1), nn.ReLU(), ConvBlock(channels), ConvBlock(channels)
        )
        self.down = nn.Conv2d(channels, width, 2, 2)
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.transformer = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.up = nn.Conv2d(width, 4 * channels, 1)
        self.decoder = ConvBlock(channels)
        self.head = zeroed(nn.Conv2d(channels, 6, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        tokens, size, features = self.embed(x)
        for block in self.transformer:
            tokens = block(tokens)
        around = self.up(self.norm(tokens).mT.unflatten(2, size))
        return 0.1 * self.head(self.decoder(F.pixel_shuffle(around, 2) + features)).float()

    def embed(self, x: Tensor) -> tuple[Tensor, tuple[int, int], Tensor]:
        """Tokens (B, N, D) of patches of 16 x 16 pixels, rows and columns of them, finer features."""
        mean = F.avg_pool2d(x, 8)
        spread = (F.avg_pool2d(x * x, 8) - mean * mean).clamp(min=1e-6).sqrt()
        columns = x.unflatten(2, (-1, 8))
        most, least = (
            columns.amax(3).unflatten(3, (-1, 8)).amax(4),
            columns.amin(3).unflatten(3, (-1, 8)).amin(4),
        )
        features = self.stem(torch.cat([2 * mean - 1, 4 * spread, most - mean, least - mean], 1))
        tokens = self.down(features)
        tokens = tokens + self.position(tokens)
        return tokens.flatten(2).mT, (tokens.shape[2], tokens.shape[3]), features


class Detail(nn.Module):
    """A change of what differs from the light around it: (B, 3, H, W) -> the same, 0 on average."""

    def __init__(self, widths: tuple[int, ...], down: tuple[int, ...], up: tuple[int, ...]) -> None:
        super().__init__()
        self.unet = UNet(6, 3, widths, down, up)

    def forward(self, x: Tensor) -> Tensor:
        light = smooth(x)
        change = self.unet(torch.cat([4 * (x - light), light - 0.5], 1)).float().contiguous()
        return change - smooth(change)


class HybridRestorer(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 3, H, W), not bounded; H and W multiples of 16.

    Untrained it is the identity. Positions come from convolutions alone, so any size will do.

    Args:
        widths: channels of the detail at 1/2, 1/4, 1/8 and 1/16 of the resolution.
        down, up: convolution blocks at each of these on the way down, and at each but the last on the way up.
        channels, width, depth, heads: of the light: convolutions at 1/8, transformer at 1/16.
    """

    multiple = 16  # heights and widths that it takes are multiples of this
    patch_side = 16  # of the pixels that one token stands for
    bounds: ClassVar[Bounds] = {
        **unet.BOUNDS,
        **dict.fromkeys(("channels", "width"), Whole(1, 4096)),
        **dict.fromkeys(("depth", "heads"), Whole(1, 64)),
    }

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128, 128),
        down: tuple[int, ...] = (1, 2, 2, 1),
        up: tuple[int, ...] = (2, 2, 1),
        channels: int = 64,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "widths": list(widths),
            "down": list(down),
            "up": list(up),
            "channels": channels,
            "width": width,
            "depth": depth,
            "heads": heads,
        }
        self.detail = Detail(tuple(widths), tuple(down), tuple(up))
        self.light = Light(channels, width, depth, heads)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 16 or x.shape[3] % 16:
            raise ValueError(f"expected (B, 3, H, W) with H and W multiples of 16, got {tuple(x.shape)}")
        x = x.contiguous()  # channels last are slow for operations on three channels
        return self.relit(x + self.detail(x))

    def relit(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in another light, its detail as it is."""
        gain, offset = enlarged(self.light(x.detach()), 8).split(3, 1)  # the light teaches the detail nothing
        return x + x * gain + offset

    def attention(self, x: Tensor) -> list[Tensor]:
        """The attention of each transformer block, (B, heads, N, N)."""
        tokens, _, _ = self.light.embed(x + self.detail(x))
        maps = []
        for block in self.light.transformer:
            assert isinstance(block, Block)
            maps.append(block.attention(tokens))
            tokens = block(tokens)
        return maps


def smooth(x: Tensor) -> Tensor:
    """The light of (B, 3, H, W): means of 16 x 16 pixels, and lines between them."""
    return enlarged(F.avg_pool2d(x, 16), 16)


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Bilinear."""
    down, across = (enlarge.weights(side, factor * side, "bilinear", False) for side in x.shape[2:])
    with torch.autocast(x.device.type, enabled=False):
        return down.to(x.device) @ x.float() @ across.to(x.device).mT
