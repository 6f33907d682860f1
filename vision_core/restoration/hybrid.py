"""The restorer that measured best for its size: convolutions for the detail, attention where it is coarse.

A U-shaped network in the manner of Ronneberger et al. 2015: dense 3 x 3 convolutions at 1/2, 1/4 and 1/8 of
the page's resolution, transformer blocks at 1/16. What comes out is a change of the input: a light and colour
correction read off the tokens, a gain and an offset for each patch, plus a fine residual.
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


class HybridRestorer(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 3, H, W), not bounded; H and W multiples of 16.

    Untrained it is the identity. Positions come from convolutions alone, so any size will do.

    Args:
        widths: channels at 1/2, 1/4 and 1/8 of the resolution.
        blocks: convolution blocks on the way down, and again on the way up, at each of these.
        width, depth, heads: of the transformer at 1/16.
    """

    multiple = 16  # heights and widths that it takes are multiples of this
    patch_side = 16  # of the pixels that one token stands for

    def __init__(
        self,
        widths: tuple[int, int, int] = (32, 64, 128),
        blocks: int = 1,
        width: int = 192,
        depth: int = 4,
        heads: int = 6,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "widths": list(widths),
            "blocks": blocks,
            "width": width,
            "depth": depth,
            "heads": heads,
        }
        levels = [*widths, width]
        self.stem = nn.Conv2d(24, widths[0], 3, padding=1)  # of 2 x 2 pixels side by side, see `_halves`
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(levels))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(levels))
        self.encoder = nn.ModuleList(nn.Sequential(*(ConvBlock(w) for _ in range(blocks))) for w in widths)
        self.decoder = nn.ModuleList(nn.Sequential(*(ConvBlock(w) for _ in range(blocks))) for w in widths)
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.transformer = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.light = nn.Linear(width, 6)  # gain and offset of red, green and blue
        self.fine = nn.Conv2d(widths[0], 12, 3, padding=1)
        for name in ("light", "fine"):
            for parameter in getattr(self, name).parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        tokens, size, skips = self.embed(x)
        for block in self.transformer:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        features = tokens.mT.unflatten(2, size)
        for up, decoder, skip in zip(reversed(self.up), reversed(self.decoder), reversed(skips), strict=True):
            features = decoder(F.pixel_shuffle(up(features), 2) + skip)
        fine = F.pixel_shuffle(self.fine(features), 2)
        light = 0.1 * self.light(tokens).mT.unflatten(2, size).float()  # (B, 6, H / 16, W / 16)
        light = F.interpolate(light, x.shape[2:], mode="bilinear", align_corners=False)
        gain, offset = light.split(3, 1)
        return x + x * gain + offset + fine

    def embed(self, x: Tensor) -> tuple[Tensor, tuple[int, int], list[Tensor]]:
        """Tokens (B, N, D) of the patches of 16 x 16 pixels, rows and columns of them, finer features."""
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 16 or x.shape[3] % 16:
            raise ValueError(f"expected (B, 3, H, W) with H and W multiples of 16, got {tuple(x.shape)}")
        features, skips = self.stem(_halves(x)), []
        for encoder, down in zip(self.encoder, self.down, strict=True):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = features + self.position(features)
        return features.flatten(2).mT, (features.shape[2], features.shape[3]), skips

    def attention(self, x: Tensor) -> list[Tensor]:
        """The attention of each transformer block, (B, heads, N, N)."""
        tokens, _, _ = self.embed(x)
        maps = []
        for block in self.transformer:
            assert isinstance(block, Block)
            maps.append(block.attention(tokens))
            tokens = block(tokens)
        return maps


def _halves(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 24, H / 2, W / 2): what differs from the light around it, and that light.

    Taken apart, because otherwise the paper's brightness, alike in all pixels, drowns the gradient of the
    strokes and of the noise: the network then learns light and colours alone for a long time.
    """
    light = F.interpolate(F.avg_pool2d(x, 16), x.shape[2:], mode="bilinear", align_corners=False)
    return F.pixel_unshuffle(torch.cat([4 * (x - light), light - 0.5], 1), 2)
