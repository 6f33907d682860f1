"""The gate in front of the answer: how unlike the leaves trained on an embedding is.

Sources: Ren et al. 2021, "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection": the
distance to the nearest class less that to all leaves at once; Sun et al. 2022, "Out-of-Distribution Detection
with Deep Nearest Neighbors": the angle to the nearest leaf; Wang et al. 2022, "ViM: Out-Of-Distribution with
Virtual-logit Matching": what lies off the axes, which photographs of other things have much of.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AXES = 384  # principal axes kept
LEAVES = 3000  # to compare with, at most
REFUSED = 0.02  # share of the validation leaves beyond 1; of new leaves it is about one and a half times that
OFF = 0.005  # of these, beyond it for what lies off the axes
RIDGE = 0.15  # of the mean variance, added in all directions: a few thousand leaves do not know all
SEEN = 4.0  # times as much as the leaves count what other cameras see of them, together
CLIPPED = 6.0  # units from what is usual: a single number of an embedding says no more than that


class Gate(nn.Module):
    """Embeddings in units of what is usual (B, D) -> strangeness (B,), which is up to 1 for what is known.

    Both parts look at `axes` whitened so that leaves of one class lie in a ball: what differs between two
    photographs of one kind of leaf (light, ground, camera) counts little.

    Args:
        classes, leaves, axes, width: numbers of class means, of leaves to compare with, of axes, and D.
    """

    axes: Tensor
    whitening: Tensor
    spread: Tensor
    means: Tensor
    leaves: Tensor
    usual: Tensor
    unit: Tensor
    limits: Tensor

    def __init__(self, classes: int, leaves: int, axes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("axes", torch.zeros(width, axes))
        self.register_buffer("whitening", torch.zeros(axes, axes))
        self.register_buffer("spread", torch.ones(axes))  # variance of all leaves along the axes
        self.register_buffer("means", torch.zeros(classes, axes))  # of the classes, whitened
        self.register_buffer("leaves", torch.zeros(leaves, axes))  # their directions, whitened
        self.register_buffer("usual", torch.zeros(2))
        self.register_buffer("unit", torch.ones(2))
        self.register_buffer("limits", torch.ones(2))  # of the first two parts together, and of the third

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return len(self.means), len(self.leaves), self.axes.shape[1], len(self.axes)

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.together(self.parts(embeddings)).div(self.limits).amax(1)

    def together(self, parts: Tensor) -> Tensor:
        """The three parts (B, 3) as two numbers (B, 2): the first two in units of their own, added."""
        return torch.stack([(parts[:, :2] - self.usual).div(self.unit).sum(1), parts[:, 2]], 1)

    def parts(self, embeddings: Tensor) -> Tensor:
        """(B, 3): squared distance to the nearest class less that to all; 1 - cosine to a leaf; residual."""
        embeddings = embeddings.clamp(-CLIPPED, CLIPPED)
        inside = embeddings @ self.axes
        white = inside @ self.whitening
        nearest = (white[:, None] - self.means).square().sum(2).amin(1)
        alike = (F.normalize(white, dim=1) @ self.leaves.T).amax(1)
        beyond = nearest - (inside.square() / self.spread).sum(1)
        return torch.stack([beyond, 1 - alike, (embeddings - inside @ self.axes.T).norm(dim=1)], 1)


def fit(train: Tensor, labels: Tensor, known: Tensor, refused: float = REFUSED) -> Gate:
    """A gate for embeddings (V, N, D) of leaves of classes (N,), which refuses a share of others (M, D).

    The first of the V are of the leaves as they are, the rest of what other cameras see of them: what these
    change counts little afterwards. A class lies halfway between the two.
    """
    train = train.clamp(-CLIPPED, CLIPPED).double()
    views, leaves, width = train.shape
    share = torch.tensor([1.0] + (views - 1) * [SEEN / max(1, views - 1)], dtype=train.dtype)
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
    spread = (share * inside).square().sum((0, 1)) + ridge
    state = {"axes": axes, "whitening": whitening, "spread": spread, "means": means @ whitening}
    gate.load_state_dict({**state, "leaves": F.normalize(inside[0, some] @ whitening, dim=1)}, strict=False)
    set_limits(gate, gate.parts(known), refused)
    return gate


def set_limits(gate: Gate, known: Tensor, refused: float = REFUSED) -> None:
    """Scale the parts (M, 3) of known leaves: 0 for the most usual, 1 where it refuses."""
    gate.unit.copy_(known[:, :2].std(0, unbiased=False).clamp_min(1e-3))
    gate.usual.copy_(known[:, :2].amin(0))
    first, off = gate.together(known).T
    off = off.quantile(1 - OFF) * 1.02
    gate.limits.copy_(torch.stack([first.quantile(1 - refused), off]).clamp_min(1e-3))
