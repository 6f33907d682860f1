"""The colour map: a small MLP from sRGB to sRGB, applied to every pixel independently.

Source: the network of MusicVisualizer (five hidden layers of 256, an RGB head, later a softmax over the
palette). LayerNorm replaces its BatchNorm, with the same number of parameters: the output for a colour must
not depend on the other colours in the batch.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vision_core.checkpoints import HubMixin
from vision_core.safety.bounds import Bounds, OneOf, Real, Several, Whole

Head = Literal["rgb", "palette"]
MAX_LAYERS, MAX_HIDDEN = 64, 4096  # bounds the time and memory that a model file can request
MAX_TEMPERATURE = 1000


class ColorMapper(nn.Module, HubMixin):
    """(N, 3) sRGB in [0, 1] -> (N, 3) sRGB in [0, 1].

    Args:
        head: "rgb" is a sigmoid, "palette" a softmax over the palette that outputs the mean colour.
        palette: K colours of 0..255, for the palette head.
        temperature: divides the logits of the palette head; smaller values approach a hard choice.
    """

    bounds: ClassVar[Bounds] = {
        "layers": Whole(1, MAX_LAYERS),
        "hidden": Whole(1, MAX_HIDDEN),
        "head": OneOf("rgb", "palette"),
        "palette": Several(Several(Whole(0, 255), 3, 3), 0, 256),
        "temperature": Real(1e-6, MAX_TEMPERATURE),
    }

    def __init__(
        self,
        layers: int = 5,
        hidden: int = 256,
        head: Head = "rgb",
        palette: Sequence[Sequence[int]] = (),
        temperature: float = 0.5,
    ) -> None:
        super().__init__()
        if not (1 <= layers <= MAX_LAYERS and 1 <= hidden <= MAX_HIDDEN):
            sizes = f"1 to {MAX_LAYERS} layers of 1 to {MAX_HIDDEN} units"
            raise ValueError(f"expected {sizes}, got {layers} of {hidden}")
        if head not in ("rgb", "palette"):
            raise ValueError(f"head is {head!r}, expected 'rgb' or 'palette'")
        if head == "palette" and not (len(palette) and 0 < temperature <= MAX_TEMPERATURE):
            raise ValueError(
                f"a palette head needs colours and a temperature above 0, at most {MAX_TEMPERATURE}; "
                f"got {len(palette)}, {temperature}"
            )
        self.head, self.temperature = head, temperature
        self.palette_rgb = [list(map(int, color)) for color in palette]
        sizes = [3, *[hidden] * layers]
        blocks = [(nn.Linear(i, o), nn.ReLU(), nn.LayerNorm(o)) for i, o in pairwise(sizes)]
        self.trunk = nn.Sequential(*[part for block in blocks for part in block])
        self.out = nn.Linear(hidden, len(self.palette_rgb) if head == "palette" else 3)
        self.palette: Tensor
        shown = np.reshape(self.palette_rgb, (-1, 3)).astype(np.float32) / 255
        self.register_buffer("palette", torch.tensor(shown), persistent=False)
        self.architecture: dict[str, Any] = {"layers": layers, "hidden": hidden, "head": head}
        if head == "palette":
            self.architecture |= {"palette": self.palette_rgb, "temperature": temperature}

    def logits(self, x: Tensor) -> Tensor:
        """(N, 3) -> (N, 3) before the sigmoid, or (N, K) before the softmax."""
        return self.out(self.trunk(2 * x - 1))

    def color(self, logits: Tensor) -> Tensor:
        """Convert the logits of the head to sRGB (N, 3)."""
        if self.head == "rgb":
            return torch.sigmoid(logits.float())
        # in float32, because autocast would round the colours
        choice = torch.softmax(logits.float() / self.temperature, dim=1)
        return (choice[:, :, None] * self.palette).sum(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.color(self.logits(x))
