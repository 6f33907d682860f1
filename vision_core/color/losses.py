"""The loss terms of a colour map, as pure differentiable functions.

`points` (N, 3) are output colours and `palette` (K, 3) target colours, both in CIELAB / 100. The `shares`
(K,) of the palette sum to 1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def sliced_wasserstein(points: Tensor, palette: Tensor, shares: Tensor, directions: Tensor) -> Tensor:
    """Mean 1-Wasserstein distance from the points to the weighted palette along unit `directions` (P, 3).

    In one dimension, it is the mean distance of equal quantiles. Its gradient does not vanish far away.

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
    """Soft assignment of points to palette colours, (N, K): softmax of -(distance / width)^2."""
    return F.softmax(-_distances(points, palette).square() / width**2, dim=1)


def usage(choice: Tensor, shares: Tensor, floor: float = 1e-4) -> Tensor:
    """Kullback-Leibler divergence between the palette's shares and the soft histogram of `choice` (N, K).

    Penalises missing colours strongly, even rare ones.
    """
    if choice.ndim != 2 or choice.shape[1:] != shares.shape:
        raise ValueError(f"choice {tuple(choice.shape)} does not fit shares {tuple(shares.shape)}")
    used = choice.mean(dim=0)
    return (shares * ((shares + floor) / (used + floor)).log()).sum()


def nearest_color(points: Tensor, palette: Tensor) -> Tensor:
    """Mean distance from the points to their nearest palette colours."""
    return _distances(points, palette).min(dim=1).values.mean()


def entropy(choice: Tensor) -> Tensor:
    """Mean entropy, in nats, of the soft assignments (N, K): 0 if each point is at one palette colour."""
    return -(choice * choice.clamp_min(1e-12).log()).sum(dim=1).mean()


def curvature(middle: Tensor, plus: Tensor, minus: Tensor) -> Tensor:
    """Smoothness term: mean length of the second difference f(x + d) - 2 f(x) + f(x - d), each (N, 3).

    Linear ramps cost nothing, so contrast is free; a step costs its height. The second difference is also the
    interpolation error of a LUT.
    """
    return (plus + minus - 2 * middle).square().sum(dim=1).add(1e-8).sqrt().mean()


def tearing(pairs: Tensor, kept: float) -> Tensor:
    """Grain term: mean distance in excess of `kept` between the outputs of similar neighbours, (P, 2, 3).

    Prevents speckle: where the map is steep, neighbouring pixels of grass or a wall would otherwise be mapped
    to different palette colours.
    """
    first, second = pairs.unbind(dim=1)
    return ((first - second).square().sum(dim=1).add(1e-8).sqrt() - kept).relu().mean()


def structure(points: Tensor, target: Tensor, chroma: float = 0.02) -> Tensor:
    """Structure term: mean squared distance to `target` colours (N, 3), with weight `chroma` for a and b.

    Preserves the order of lightness, so that the picture stays recognisable.
    """
    _check(points, target)
    lightness, a, b = ((points - target) ** 2).mean(dim=0)
    return lightness + chroma * (a + b)


def _distances(points: Tensor, palette: Tensor) -> Tensor:
    """(N, 3), (K, 3) -> (N, K), without a matrix product: exact, and faster for few colours."""
    return torch.cdist(points, palette, compute_mode="donot_use_mm_for_euclid_dist")


def _check(points: Tensor, other: Tensor, shares: Tensor | None = None) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or other.ndim != 2 or other.shape[1] != 3:
        raise ValueError(f"colours must be (N, 3), got {tuple(points.shape)} and {tuple(other.shape)}")
    if shares is not None and shares.shape != other.shape[:1]:
        raise ValueError(f"{tuple(shares.shape)} shares for {len(other)} palette colours")
