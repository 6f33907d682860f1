"""The network of the original project: a plain vision transformer over 16 x 16 patches.

Source: historic-manuscript-restoration (NOTICE.md); Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words".
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.distributed import dropout
from vision_core.safety.bounds import Bounds, OneOf, Real, Whole

SIZES = {  # width, blocks, heads -> parameters: 5,683,797 / 21,983,637 / 86,433,813 / 304,148,245
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}


class Block(nn.Module):
    """Pre-norm transformer block: (B, N, D) -> (B, N, D)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._drop(self.proj(self._attend(self.norm1(x))))
        return x + self._drop(self.fc2(self._drop(F.gelu(self.fc1(self.norm2(x))))))

    def attention(self, x: Tensor) -> Tensor:
        """Attention weights of this block: (B, N, D) -> (B, heads, N, N), rows sum to 1."""
        query, key, _ = self._split(self.norm1(x))
        return (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)

    def _attend(self, x: Tensor) -> Tensor:
        query, key, value = self._split(x)
        attended = F.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).flatten(2)  # (B, N, D)

    def _split(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        parts = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        return parts.permute(2, 0, 3, 1, 4)  # (3, B, heads, N, D / heads)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


class ViTRestorer(nn.Module):
    """(B, 3, S, S) in [0, 1] -> (B, 3, S, S), unbounded, where S is `image_size`.

    The output patches and the input are fused by a 1 x 1 convolution. Position embeddings are learned, so
    the input size is fixed.

    Args:
        size: tiny, small, base or large.
    """

    bounds: ClassVar[Bounds] = {
        "size": OneOf(*SIZES),
        "image_size": Whole(1, 4096),
        "patch": Whole(1, 256),
        "dropout": Real(0, 0.99),
    }

    def __init__(
        self, size: str = "base", image_size: int = 256, patch: int = 16, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size is {size!r}; {', '.join(SIZES)} was expected")
        if patch < 1 or image_size < patch or image_size % patch:
            raise ValueError(f"image_size is {image_size}; a multiple of the patch, {patch}, was expected")
        width, depth, heads = SIZES[size]
        self.architecture: dict[str, Any] = {
            "size": size,
            "image_size": image_size,
            "patch": patch,
            "dropout": dropout,
        }
        self.multiple, self.patch_side, self.dropout = image_size, patch, dropout
        self.patch = nn.Conv2d(3, width, patch, patch)
        self.position = nn.Parameter(torch.zeros(1, (image_size // patch) ** 2, width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 3 * patch * patch)
        self.fuse = nn.Conv2d(6, 3, 1)
        for name, parameter in self.named_parameters():
            if name == "position" or (name.endswith("weight") and parameter.ndim == 2):
                nn.init.trunc_normal_(parameter, std=0.02)
        for conv in (self.patch, self.fuse):
            nn.init.kaiming_normal_(conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x)
        for block in self.blocks:
            tokens = block(tokens)
        patch, side = self.architecture["patch"], x.shape[-1] // self.architecture["patch"]
        patches = self.head(self.norm(tokens)).view(len(x), side, side, patch, patch, 3)
        page = patches.permute(0, 5, 1, 3, 2, 4).reshape(x.shape)
        return self.fuse(torch.cat([page, x], 1))

    def embed(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, N, D), patch and position embeddings."""
        size = self.architecture["image_size"]
        if x.shape[1:] != (3, size, size):
            raise ValueError(f"expected (B, 3, {size}, {size}), got {tuple(x.shape)}")
        tokens = self.patch(x).flatten(2).mT + self.position
        return dropout(tokens, self.dropout, self.training)

    def attention(self, x: Tensor) -> list[Tensor]:
        """The attention of each block, (B, heads, N, N)."""
        tokens, maps = self.embed(x), []
        for block in self.blocks:
            assert isinstance(block, Block)
            maps.append(block.attention(tokens))
            tokens = block(tokens)
        return maps
