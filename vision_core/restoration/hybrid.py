"""The restorer that measured best for its size: attention for the light, convolutions for the detail.

Two networks that share no weights, since errors of the light, alike in all pixels, would drown the gradient
of the strokes. One reads a thumbnail with transformer blocks and answers with a gain and an offset for each
8 x 8 pixels; one is a U-shaped network in the manner of Ronneberger et al. 2015, and changes what differs
from the light around it.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.restoration.vit import Block


class ConvBlock(nn.Module):
    """x + conv(relu(conv(x))), 3 x 3, starting as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


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
        self.head = _zeroed(nn.Conv2d(channels, 6, 3, padding=1))

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
        most, least = F.max_pool2d(x, 8), -F.max_pool2d(-x, 8)
        features = self.stem(torch.cat([2 * mean - 1, 4 * spread, most - mean, least - mean], 1))
        tokens = self.down(features)
        tokens = tokens + self.position(tokens)
        return tokens.flatten(2).mT, (tokens.shape[2], tokens.shape[3]), features


class Detail(nn.Module):
    """A change of what differs from the light around it: (B, 3, H, W) -> the same, 0 on average.

    Dense 3 x 3 convolutions at 1/2, 1/4, 1/8 ... of the resolution.
    """

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()

        def level(width: int) -> nn.Module:
            return nn.Sequential(*(ConvBlock(width) for _ in range(blocks)))

        self.stem = nn.Conv2d(24, widths[0], 3, padding=1)  # of 2 x 2 pixels side by side
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.encoder = nn.ModuleList(level(width) for width in widths)
        self.decoder = nn.ModuleList(level(width) for width in widths[:-1])
        self.head = _zeroed(nn.Conv2d(widths[0], 12, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        light = smooth(x)
        features = self.stem(F.pixel_unshuffle(torch.cat([4 * (x - light), light - 0.5], 1), 2))
        skips = []
        for encoder, down in zip(self.encoder, self.down, strict=False):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = self.encoder[-1](features)
        for up, decoder, skip in zip(reversed(self.up), reversed(self.decoder), reversed(skips), strict=True):
            features = decoder(F.pixel_shuffle(up(features), 2) + skip)
        change = F.pixel_shuffle(self.head(features), 2).float()
        return change - smooth(change)


class HybridRestorer(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 3, H, W), not bounded; H and W multiples of 16.

    Untrained it is the identity. Positions come from convolutions alone, so any size will do.

    Args:
        widths: channels of the detail at 1/2, 1/4 and 1/8 of the resolution.
        blocks: convolution blocks on the way down, and again on the way up, at each of these.
        channels, width, depth, heads: of the light: convolutions at 1/8, transformer at 1/16.
    """

    multiple = 16  # heights and widths that it takes are multiples of this
    patch_side = 16  # of the pixels that one token stands for

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 96),
        blocks: int = 2,
        channels: int = 64,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "widths": list(widths),
            "blocks": blocks,
            "channels": channels,
            "width": width,
            "depth": depth,
            "heads": heads,
        }
        self.light = Light(channels, width, depth, heads)
        self.detail = Detail(tuple(widths), blocks)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 16 or x.shape[3] % 16:
            raise ValueError(f"expected (B, 3, H, W) with H and W multiples of 16, got {tuple(x.shape)}")
        gain, offset = enlarged(self.light(x), 8).split(3, 1)
        return x + x * gain + offset + self.detail(x)

    def attention(self, x: Tensor) -> list[Tensor]:
        """The attention of each transformer block, (B, heads, N, N)."""
        tokens, _, _ = self.light.embed(x)
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
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
