"""The restorer that measured best for its size: convolutions for the detail, attention for the surroundings.

A U-Net whose deepest level, one token for 16 x 16 pixels, is a transformer. Its tokens give a gain and an
offset of each colour, which undo what is smooth (shade, tint, fading) whatever the strokes are; the way up
adds a change of each pixel.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.restoration.vit import Block
from vision_core.unet import UNet, zeroed


class HybridRestorer(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 3, H, W), not bounded; H and W multiples of 16.

    Untrained it is the identity. Positions come from convolutions alone, so any size will do.

    Args:
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution; the last is that of the tokens.
        down, up: convolution blocks at each of these but the last, on the way down and up.
        depth, heads: of the transformer.
    """

    multiple = 16  # heights and widths that it takes are multiples of this
    patch_side = 16  # of the pixels that one token stands for

    def __init__(
        self,
        widths: tuple[int, ...] = (40, 80, 160, 320),
        down: tuple[int, ...] = (1, 2, 3),
        up: tuple[int, ...] = (2, 2, 2),
        depth: int = 4,
        heads: int = 5,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "widths": list(widths),
            "down": list(down),
            "up": list(up),
            "depth": depth,
            "heads": heads,
        }
        if len(widths) != 4 or len(down) != 3 or len(up) != 3:
            raise ValueError(f"four widths and three counts of blocks are needed, got {self.architecture}")
        self.unet = UNet(3, 3, widths, (*down, 0), up)
        self.position = nn.Conv2d(widths[-1], widths[-1], 3, padding=1, groups=widths[-1])
        self.transformer = nn.ModuleList(Block(widths[-1], heads) for _ in range(depth))
        self.norm = nn.LayerNorm(widths[-1])
        self.light = zeroed(nn.Conv2d(widths[-1], 6, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 16 or x.shape[3] % 16:
            raise ValueError(f"expected (B, 3, H, W) with H and W multiples of 16, got {tuple(x.shape)}")
        tokens, features = self.embed(x)
        for block in self.transformer:
            tokens = block(tokens)
        around = self.norm(tokens).mT.unflatten(2, features[-1].shape[2:])  # (B, D, H / 16, W / 16)
        around = around.to(features[-1].dtype).contiguous(memory_format=torch.channels_last)
        gain, offset = enlarged(self.light(around).float(), 16).split(3, 1)
        return x + x * gain + offset + self.unet.decode([*features[:-1], around]).float()

    def embed(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Tokens (B, N, D) of patches of 16 x 16 pixels, and the features of all levels."""
        features = self.unet.encode(x - 0.5)
        tokens = features[-1] + self.position(features[-1])
        return tokens.flatten(2).mT, features

    def attention(self, x: Tensor) -> list[Tensor]:
        """The attention of each transformer block, (B, heads, N, N)."""
        tokens, _ = self.embed(x)
        maps = []
        for block in self.transformer:
            assert isinstance(block, Block)
            maps.append(block.attention(tokens))
            tokens = block(tokens)
        return maps


def enlarged(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
