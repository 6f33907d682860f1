"""The gate that rejects unknown pictures by an out-of-distribution score.

Sources: Ren et al. 2021, "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection": the
distance to the nearest class minus the distance to all leaves; Sun et al. 2022, "Out-of-Distribution
Detection with Deep Nearest Neighbors": the angle to the nearest training leaf; Wang et al. 2022, "ViM:
Out-Of-Distribution with Virtual-logit Matching": the residual outside the principal axes, which is large for
photographs without leaves.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AXES = 600  # principal axes kept
LEAVES = 1500  # maximum number of training leaves to compare with
REFUSED = 0.02  # share of the validation leaves to reject; of new leaves, about 0.03 are rejected
RESIDUAL_REFUSED = 0.005  # share of them rejected by the residual alone
RIDGE = 0.15  # regularises the covariance, as a share of the mean variance: a few thousand leaves are few
VIEWS = 2.0  # weight of all augmented views of a leaf together, relative to the leaf itself
CLIP = 6.0  # features are clipped at this many standard deviations


class Gate(nn.Module):
    """Standardised embeddings (B, D) -> out-of-distribution scores (B,), up to 1 for known leaves.

    Embeddings are projected on principal `axes` and whitened by the covariance within the classes: what
    differs between two photographs of one kind of leaf (light, background, camera) counts little.

    Args:
        classes, leaves, axes, width: numbers of class means, of training leaves kept, of axes, and D.
    """

    axes: Tensor
    whitening: Tensor
    variance: Tensor
    means: Tensor
    leaves: Tensor
    offset: Tensor
    scale: Tensor
    limits: Tensor

    def __init__(self, classes: int, leaves: int, axes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("axes", torch.zeros(width, axes))
        self.register_buffer("whitening", torch.zeros(axes, axes))
        self.register_buffer("variance", torch.ones(axes))  # of all leaves along the axes
        self.register_buffer("means", torch.zeros(classes, axes))  # of the classes, whitened
        self.register_buffer("leaves", torch.zeros(leaves, axes))  # their directions, whitened
        self.register_buffer("offset", torch.zeros(2))
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("limits", torch.ones(2))  # of the first two parts together, and of the third

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return len(self.means), len(self.leaves), self.axes.shape[1], len(self.axes)

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.combined(self.parts(embeddings)).div(self.limits).amax(1)

    def combined(self, parts: Tensor) -> Tensor:
        """The sum of the first two parts, each scaled, and the third: (B, 3) -> (B, 2)."""
        return torch.stack([(parts[:, :2] - self.offset).div(self.scale).sum(1), parts[:, 2]], 1)

    def parts(self, embeddings: Tensor) -> Tensor:
        """(B, 3): relative Mahalanobis distance; 1 - cosine to the nearest training leaf; residual norm."""
        embeddings = embeddings.clamp(-CLIP, CLIP)
        inside = embeddings @ self.axes
        white = inside @ self.whitening
        nearest = (white[:, None] - self.means).square().sum(2).amin(1)
        alike = (F.normalize(white, dim=1) @ self.leaves.T).amax(1)
        beyond = nearest - (inside.square() / self.variance).sum(1)
        return torch.stack([beyond, 1 - alike, (embeddings - inside @ self.axes.T).norm(dim=1)], 1)


def fit(train: Tensor, labels: Tensor, known: Tensor, refused: float = REFUSED) -> Gate:
    """Fit a gate on embeddings (V, N, D) of leaves of classes (N,), rejecting a share of `known` (M, D).

    The first of the V views is unaugmented. The variation between the views counts little in the score. The
    mean of a class is halfway between the mean of its leaves and that of their augmented views.
    """
    train = train.clamp(-CLIP, CLIP).double()
    views, leaves, width = train.shape
    share = torch.tensor([1.0] + (views - 1) * [VIEWS / max(1, views - 1)], dtype=train.dtype)
    share = (share / share.sum() / leaves).sqrt()[:, None, None]
    count = min(AXES, width, max(1, leaves - 1))
    every = train.flatten(0, 1)
    axes = torch.linalg.eigh(every.T @ every / len(every)).eigenvectors.flip(1)[:, :count]
    inside = train @ axes
    halfway = inside[0].lerp(inside[1:].mean(0), 0.5) if views > 1 else inside[0]
    classes = int(labels.max()) + 1
    means = torch.stack([halfway[labels == label].mean(0) for label in range(classes)])
    apart = (share * (inside - means[labels])).flatten(0, 1)
    within = apart.T @ apart
    ridge = RIDGE * within.trace().clamp_min(1e-9) / count
    whitening = torch.linalg.cholesky(torch.linalg.inv(within + ridge * torch.eye(count, dtype=within.dtype)))
    some = torch.linspace(0, leaves - 1, min(LEAVES, leaves)).round().long()
    gate = Gate(classes, len(some), count, width)
    variance = (share * inside).square().sum((0, 1)) + ridge
    state = {"axes": axes, "whitening": whitening, "variance": variance, "means": means @ whitening}
    gate.load_state_dict({**state, "leaves": F.normalize(inside[0, some] @ whitening, dim=1)}, strict=False)
    set_limits(gate, gate.parts(known), refused)
    return gate


def set_limits(gate: Gate, known: Tensor, refused: float = REFUSED) -> None:
    """Scale by the parts (M, 3) of known leaves: the score is 1 at the rejection limit."""
    gate.scale.copy_(known[:, :2].std(0, unbiased=False).clamp_min(1e-3))
    gate.offset.copy_(known[:, :2].amin(0))
    first, off = gate.combined(known).T
    off = off.quantile(1 - RESIDUAL_REFUSED) * 1.02
    gate.limits.copy_(torch.stack([first.quantile(1 - refused), off]).clamp_min(1e-3))
