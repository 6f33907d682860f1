"""Tests of the colour losses against independent computations and numerical gradients."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from vision_core.color import losses


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def cloud(random, *shape) -> torch.Tensor:
    return torch.tensor(random.random(shape))


def unit(directions: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(directions - 0.5, dim=1)


def test_sliced_wasserstein_matches_scipy(random):
    points, palette, directions = cloud(random, 4000, 3), cloud(random, 7, 3), unit(cloud(random, 8, 3))
    shares = torch.tensor(random.dirichlet(np.ones(7)))
    expected = np.mean(
        [wasserstein_distance(points @ d, palette @ d, None, shares.numpy()) for d in directions]
    )
    result = losses.sliced_wasserstein(points, palette, shares, directions)
    assert result.item() == pytest.approx(expected, abs=2e-3)  # 4,000 quantiles stand for the integral


def test_sliced_wasserstein_is_zero_for_the_palette_itself(random):
    palette = cloud(random, 4, 3)
    points = palette.repeat_interleave(torch.tensor([1, 2, 3, 4]), 0)[torch.randperm(10)]
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    assert losses.sliced_wasserstein(points, palette, shares, unit(cloud(random, 5, 3))).item() < 1e-12


def test_usage_is_the_divergence_of_the_soft_histogram(random):
    choice = torch.tensor(random.dirichlet(np.ones(5), size=30))
    shares = torch.tensor(random.dirichlet(np.ones(5)))
    p, q = shares.numpy(), choice.numpy().mean(axis=0)
    assert losses.usage(choice, shares, floor=0).item() == pytest.approx(float((p * np.log(p / q)).sum()))


def test_nearest_color_and_entropy_match_numpy(random):
    points, palette = cloud(random, 20, 3), cloud(random, 6, 3)
    distances = np.linalg.norm(points.numpy()[:, None] - palette.numpy(), axis=2)
    assert losses.nearest_color(points, palette).item() == pytest.approx(distances.min(axis=1).mean())
    weights = np.exp(-((distances / 0.3) ** 2))
    weights /= weights.sum(axis=1, keepdims=True)
    choice = losses.assignment(points, palette, 0.3)
    assert np.allclose(choice, weights)
    assert losses.entropy(choice).item() == pytest.approx(-(weights * np.log(weights)).sum(axis=1).mean())


def test_curvature_ignores_ramps_and_sees_steps(random):
    x, step = cloud(random, 50, 3), cloud(random, 50, 3) * 0.1
    matrix = cloud(random, 3, 3)
    assert losses.curvature(x @ matrix, (x + step) @ matrix, (x - step) @ matrix).item() < 1.1e-4
    zero, one = torch.zeros(50, 3), torch.tensor([[1.0, 0, 0]]).expand(50, 3)
    assert losses.curvature(zero, one, zero).item() == pytest.approx(1, abs=1e-3)


def test_structure_counts_lightness_more(random):
    points = cloud(random, 10, 3)
    shift = torch.zeros(3, dtype=torch.float64)
    shift[0] = 0.1
    lighter = losses.structure(points + shift, points).item()
    redder = losses.structure(points + shift.roll(1), points).item()
    assert lighter == pytest.approx(0.01)
    assert redder == pytest.approx(0.02 * 0.01)


def test_tearing_counts_what_pairs_are_apart_beyond_the_limit(random):
    pairs = cloud(random, 20, 2, 3)
    distance = np.linalg.norm(pairs[:, 0] - pairs[:, 1], axis=1)
    expected = np.maximum(distance - 0.5, 0).mean()
    assert losses.tearing(pairs, 0.5).item() == pytest.approx(expected, rel=1e-5)
    assert losses.tearing(pairs, 3.0).item() == 0


def test_every_loss_has_the_gradient_of_its_value(random):
    points, palette = cloud(random, 6, 3).requires_grad_(), cloud(random, 4, 3)
    shares = torch.tensor(random.dirichlet(np.ones(4)))
    directions = unit(cloud(random, 3, 3))
    for loss in (
        lambda p: losses.sliced_wasserstein(p, palette, shares, directions),
        lambda p: losses.usage(losses.assignment(p, palette, 0.4), shares),
        lambda p: losses.nearest_color(p, palette),
        lambda p: losses.entropy(losses.assignment(p, palette, 0.4)),
        lambda p: losses.curvature(p, p**2, p**3),
        lambda p: losses.structure(p, palette[[0, 1, 2, 3, 0, 1]]),
        lambda p: losses.tearing(p.view(3, 2, 3), 0.1),
    ):
        assert torch.autograd.gradcheck(loss, (points,))


def test_shapes_that_do_not_fit_are_named():
    points, palette = torch.zeros(5, 3), torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"\(3,\) shares for 4"):
        losses.sliced_wasserstein(points, palette, torch.ones(3), torch.eye(3))
    with pytest.raises(ValueError, match=r"\(5, 2\)"):
        losses.structure(torch.zeros(5, 2), points)
    with pytest.raises(ValueError, match="does not fit"):
        losses.usage(torch.zeros(5, 4), torch.ones(3))
