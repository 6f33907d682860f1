"""A U-Net of residual 3 x 3 convolutions that starts at half resolution.

Source: Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation". The blocks
are residual and have no normalisation. Pixel unshuffling folds the input into channels, which avoids slow
convolutions of few channels at full resolution.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.safety.bounds import Bounds, Several, Whole

BOUNDS: Bounds = {
    "widths": Several(Whole(1, 4096), 1, 8),
    "down": Several(Whole(0, 64), 1, 8),
    "up": Several(Whole(0, 64), 0, 8),
}


class ConvBlock(nn.Module):
    """x + conv(relu(conv(x))), 3 x 3, initialised to the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        # in place: halves the time spent outside the convolutions
        return self.conv2(F.relu_(self.conv1(x))).add_(x)


class UNet(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, H, W), initially 0; H and W must be multiples of 2 ** len(widths).

    Args:
        widths: channels at 1/2, 1/4, 1/8 ... of the resolution.
        down: encoder blocks at each of these resolutions.
        up: decoder blocks at each resolution but the last.
    """

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int], down: Sequence[int], up: Sequence[int]
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * inputs, widths[0], 3, padding=1)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.down = nn.ModuleList(_level(w, count) for w, count in zip(widths, down, strict=True))
        self.up = nn.ModuleList(_level(w, count) for w, count in zip(widths[:-1], up, strict=True))
        self.head = zeroed(nn.Conv2d(widths[0], 4 * outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> list[Tensor]:
        """The encoder features of each level, finest first."""
        features = [self.down[0](self.stem(F.pixel_unshuffle(x, 2)))]
        for shrink, level in zip(self.shrink, self.down[1:], strict=True):
            features.append(level(shrink(features[-1])))
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """The features of `encode` -> (B, outputs, H, W)."""
        return self.decode_with(features, 0)[0]

    def decode_with(self, features: list[Tensor], level: int) -> tuple[Tensor, Tensor]:
        """Like `decode`, but also returns the decoder features of one level; level 0 is the finest."""
        *skips, x = features
        at_level = x
        for number in reversed(range(len(skips))):
            x = self.up[number](F.pixel_shuffle(self.grow[number](x), 2) + skips[number])
            at_level = x if number >= level else at_level
        return F.pixel_shuffle(self.head(x), 2), at_level


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Set the weights and the bias of `layer` to 0 and return it."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _level(width: int, blocks: int) -> nn.Module:
    return nn.Sequential(*(ConvBlock(width) for _ in range(blocks)))
