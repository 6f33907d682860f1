"""What a colour map is trained on: seven terms, each a pure function with a gradient.

`points` are output colours in CIELAB / 100, (N, 3), as is `palette` (K, 3); its `shares` (K,) sum to 1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def sliced_wasserstein(points: Tensor, palette: Tensor, shares: Tensor, directions: Tensor) -> Tensor:
    """Mean 1-Wasserstein distance of the points to the weighted palette along unit `directions` (P, 3).

    On a line, the distance is the mean gap of equal quantiles. It pulls the whole distribution from afar.

    Source: Bonneel et al. 2015, "Sliced and Radon Wasserstein Barycenters of Measures".
    """
    _check(points, palette, shares)
    sorted_points = (directions @ points.T).sort(dim=1).values  # (P, N)
    line, order = (directions @ palette.T).sort(dim=1)  # (P, K)
    middle = (torch.arange(len(points), device=points.device) + 0.5) / len(points)
    index = torch.searchsorted(shares[order].cumsum(dim=1), middle.expand(len(directions), -1).contiguous())
    target = line.gather(1, index.clamp(max=len(palette) - 1))  # (P, N)
    return (sorted_points - target).abs().mean()


def assignment(points: Tensor, palette: Tensor, width: float) -> Tensor:
    """Soft choice of a palette colour for each point, (N, K): softmax of -(distance / width)^2."""
    return F.softmax(-_distances(points, palette).square() / width**2, dim=1)


def usage(choice: Tensor, shares: Tensor, floor: float = 1e-4) -> Tensor:
    """Kullback-Leibler divergence of the palette's shares from the mean of `choice` (N, K): a soft histogram.

    A colour that is asked for and hardly used costs much, even a rare one.
    """
    if choice.ndim != 2 or choice.shape[1:] != shares.shape:
        raise ValueError(f"choice {tuple(choice.shape)} does not fit shares {tuple(shares.shape)}")
    used = choice.mean(dim=0)
    return (shares * ((shares + floor) / (used + floor)).log()).sum()


def nearest_color(points: Tensor, palette: Tensor) -> Tensor:
    """Mean distance of the points to their nearest palette colour."""
    return _distances(points, palette).min(dim=1).values.mean()


def entropy(choice: Tensor) -> Tensor:
    """Mean entropy, in nats, of the soft choices (N, K): 0 when each point sits on one palette colour."""
    return -(choice * choice.clamp_min(1e-12).log()).sum(dim=1).mean()


def curvature(middle: Tensor, plus: Tensor, minus: Tensor) -> Tensor:
    """Mean length of f(x + d) - 2 f(x) + f(x - d), each (N, 3): how far the map is from linear nearby.

    The smoothness term. A linear ramp costs nothing, so contrast is free; a step costs its height. It is also
    what trilinear interpolation in a LUT gets wrong.
    """
    return (plus + minus - 2 * middle).square().sum(dim=1).add(1e-8).sqrt().mean()


def tearing(pairs: Tensor, kept: float) -> Tensor:
    """By how much neighbours that looked alike, (P, 2, 3), end up farther apart than `kept`, on average.

    The term against speckle. Where a steep part of the map crosses grass or a wall, each of its pixels falls
    to one palette colour or the other on its own.
    """
    first, second = pairs.unbind(dim=1)
    return ((first - second).square().sum(dim=1).add(1e-8).sqrt() - kept).relu().mean()


def structure(points: Tensor, wanted: Tensor, chroma: float = 0.02) -> Tensor:
    """Mean squared distance to the `wanted` colours (N, 3), `chroma` times as strict in a and b.

    Keeps what was lighter lighter, so that the picture stays readable.
    """
    _check(points, wanted)
    lightness, a, b = ((points - wanted) ** 2).mean(dim=0)
    return lightness + chroma * (a + b)


def _distances(points: Tensor, palette: Tensor) -> Tensor:
    """(N, 3), (K, 3) -> (N, K), without the detour over a matrix product: exact, and faster for so few."""
    return torch.cdist(points, palette, compute_mode="donot_use_mm_for_euclid_dist")


def _check(points: Tensor, other: Tensor, shares: Tensor | None = None) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or other.ndim != 2 or other.shape[1] != 3:
        raise ValueError(f"colours must be (N, 3), got {tuple(points.shape)} and {tuple(other.shape)}")
    if shares is not None and shares.shape != other.shape[:1]:
        raise ValueError(f"{tuple(shares.shape)} shares for {len(other)} palette colours")
