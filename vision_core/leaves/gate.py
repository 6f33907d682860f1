"""The gate in front of the answer: how far an embedding lies from those of the leaves trained on.

Source: Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
Attacks" (Mahalanobis distance to the nearest class), in the principal subspace; and what lies outside of that
subspace, as in Wang et al. 2022, "ViM: Out-Of-Distribution with Virtual-logit Matching".
"""

import torch
from torch import Tensor, nn

AXES = 64  # principal axes kept; the rest is the residual
REFUSED = 0.02  # share of the validation leaves beyond 1; of new leaves it is about twice that


class Gate(nn.Module):
    """Embeddings (B, D) -> strangeness (B,), which is up to 1 for what is known.

    The root of the mean of two squares, each in units of what it is for a training leaf: the distance to the
    nearest class mean within the principal subspace, and the distance from that subspace.

    Args:
        classes, axes, width: numbers of class means, of principal axes, and D.
    """

    centre: Tensor
    axes: Tensor
    whitening: Tensor
    means: Tensor
    units: Tensor
    limit: Tensor

    def __init__(self, classes: int, axes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(axes, width))
        self.register_buffer("whitening", torch.zeros(axes, axes))
        self.register_buffer("means", torch.zeros(classes, axes))  # of the classes, whitened
        self.register_buffer("units", torch.ones(2))
        self.register_buffer("limit", torch.ones(()))

    @property
    def sizes(self) -> tuple[int, int, int]:
        return len(self.means), len(self.axes), len(self.centre)

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.parts(embeddings).div(self.units).square().mean(1).sqrt() / self.limit

    def parts(self, embeddings: Tensor) -> Tensor:
        """The two distances (B, 2), inside the subspace and from it."""
        away = embeddings - self.centre
        inside = away @ self.axes.T
        residual = (away - inside @ self.axes).norm(dim=1)  # a difference of squares would lose digits
        nearest = (inside @ self.whitening)[:, None, :].sub(self.means).square().sum(2).sqrt().amin(1)
        return torch.stack([nearest, residual], 1)


def fit(train: Tensor, labels: Tensor, validation: Tensor, refused: float = REFUSED) -> Gate:
    """A gate for embeddings (N, D) of classes (N,), which refuses a share of the validation's (M, D)."""
    train, validation = train.double(), validation.double()
    axes = min(AXES, train.shape[1] - 1, max(1, len(train) // 8))
    centre = train.mean(0)
    principal = torch.linalg.svd(train - centre, full_matrices=False).Vh[:axes]
    inside = (train - centre) @ principal.T
    classes = int(labels.max()) + 1
    means = torch.stack([inside[labels == label].mean(0) for label in range(classes)])
    spread = (inside - means[labels]).T.cov().reshape(axes, axes)
    spread = spread + 1e-3 * spread.trace() / axes * torch.eye(axes, dtype=spread.dtype)
    whitening = torch.linalg.inv(torch.linalg.cholesky(spread)).T
    gate = Gate(classes, axes, train.shape[1]).double()
    state = {"centre": centre, "axes": principal, "whitening": whitening, "means": means @ whitening}
    gate.load_state_dict(state, strict=False)
    gate.units.copy_(gate.parts(train).square().mean(0).sqrt().clamp_min(1e-9))
    gate.limit.copy_(gate(validation).quantile(1 - refused).clamp_min(1e-9))
    return gate.float()
