"""AnchorNet: how large the box at an anchor should be, from the features inside each size.

Source: Lin et al. 2024, "Text-Driven Image Editing via Learnable Regions" (CVPR), and its released code for
the layers. There a straight-through Gumbel choice is trained through a sampler that passes no gradient; here
the probabilities themselves are what is trained, see `train`.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.safety.bounds import Bounds, OneOf, Whole

GRID = 8  # cells along the side of a box


class AnchorNet(nn.Module):
    """Features of the boxes (B, M, C, 8, 8) -> log-probabilities (B, M) of the M sizes.

    1,678 parameters for 6 sizes. The projection C -> 12 that precedes them is drawn from the seed of
    construction and fixed, unless `train_projection`; either way it is part of the state.
    """

    bounds: ClassVar[Bounds] = {
        "features": Whole(1, 65_536),
        "sizes": Whole(1, 64),
        "projected": Whole(1, 1024),
        "train_projection": OneOf(True, False),
    }

    def __init__(
        self, features: int, sizes: int = 6, projected: int = 12, train_projection: bool = False
    ) -> None:
        super().__init__()
        self.architecture = {
            "features": features,
            "sizes": sizes,
            "projected": projected,
            "train_projection": train_projection,
        }
        weight = torch.randn(projected, features) / features**0.5
        if train_projection:
            self.projection = nn.Parameter(weight)
        else:
            self.register_buffer("projection", weight)
        self.conv1 = nn.Conv2d(projected * sizes, 8, 1)
        self.conv2 = nn.Conv2d(8, 4, 1)
        self.fc1 = nn.Linear(4 * GRID * GRID, 4)
        self.fc2 = nn.Linear(4, sizes)
        nn.init.constant_(self.fc1.bias, 0.1)  # four units: none may begin dead
        nn.init.zeros_(self.fc2.weight)  # no size is preferred before there is a reason
        nn.init.zeros_(self.fc2.bias)

    def forward(self, boxes: Tensor) -> Tensor:
        if boxes.shape[1:] != (
            expected := (self.architecture["sizes"], self.projection.shape[1], GRID, GRID)
        ):
            raise ValueError(f"expected boxes (B, {', '.join(map(str, expected))}), got {tuple(boxes.shape)}")
        x = torch.einsum("bmchw,pc->bmphw", boxes, self.projection)
        x = F.layer_norm(x, x.shape[1:]).flatten(1, 2)  # (B, M * 12, 8, 8)
        x = F.relu(self.conv2(F.relu(self.conv1(x)))).flatten(1)
        return F.log_softmax(self.fc2(F.leaky_relu(self.fc1(x), 0.1)), -1)


def pool(features: Tensor, boxes: Tensor) -> Tensor:
    """The features inside each box, bilinearly at 8 x 8 points: (C, h, w) and boxes (N, 4) -> (N, C, 8, 8).

    Args:
        boxes: left, top, right, bottom in [0, 1] of the picture's width and height.

    Source: He et al. 2017, "Mask R-CNN" (RoIAlign with one sample a cell).
    """
    if features.ndim != 3 or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"expected (C, h, w) and (N, 4), got {tuple(features.shape)}, {tuple(boxes.shape)}")
    step = (torch.arange(GRID) + 0.5) / GRID
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    x, y = left + (right - left) * step, top + (bottom - top) * step  # (N, 8) each
    points = torch.stack((x[:, None].expand(-1, GRID, -1), y[..., None].expand(-1, -1, GRID)), -1)
    whole = features[None].expand(len(boxes), -1, -1, -1)
    return F.grid_sample(whole, points * 2 - 1, padding_mode="border", align_corners=False)
