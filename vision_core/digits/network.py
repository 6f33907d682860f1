"""LeNet-style digit classifier, small enough to redraw in a browser: 27,354 parameters.

Source: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition";
ReLU and max-pooling replace the original tanh and averaging.
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.checkpoints import HubMixin
from vision_core.safety.bounds import Bounds, Several, Whole

MEAN, STD = 0.1307, 0.3081  # of MNIST's 60,000 training images, in [0, 1]


class DigitNet(nn.Module, HubMixin, library_name="vision-core", license="apache-2.0"):
    """(B, 1, 28, 28) in [0, 1] -> (B, 10) logits."""

    bounds: ClassVar[Bounds] = {"channels": Several(Whole(1, 1024), 2, 2), "hidden": Whole(1, 65_536)}

    def __init__(self, channels: tuple[int, int] = (4, 8), hidden: int = 128) -> None:
        super().__init__()
        self.architecture = {"channels": list(channels), "hidden": hidden}
        self.conv1 = nn.Conv2d(1, channels[0], kernel_size=3)
        self.conv2 = nn.Conv2d(channels[0], channels[1], kernel_size=3)
        self.fc1 = nn.Linear(channels[1] * 5 * 5, hidden)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)["logits"]

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """The activations of every layer by name, after the ReLU; the last are the `logits`."""
        conv1 = F.relu(self.conv1((x - MEAN) / STD))  # (B, 4, 26, 26)
        pool1 = F.max_pool2d(conv1, 2)  # (B, 4, 13, 13)
        conv2 = F.relu(self.conv2(pool1))  # (B, 8, 11, 11)
        pool2 = F.max_pool2d(conv2, 2)  # (B, 8, 5, 5)
        fc1 = F.relu(self.fc1(pool2.flatten(1)))  # (B, 128)
        logits = self.fc2(fc1)  # (B, 10)
        return {"conv1": conv1, "pool1": pool1, "conv2": conv2, "pool2": pool2, "fc1": fc1, "logits": logits}
