"""Colour spaces against scikit-image, published numbers and finite differences."""

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab

from vision_core.color import spaces

FORWARD = [spaces.srgb_to_oklab, spaces.srgb_to_lab]
PAIRS = [(spaces.srgb_to_oklab, spaces.oklab_to_srgb), (spaces.srgb_to_lab, spaces.lab_to_srgb)]
CORNERS = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], [0.0, 1.0]), -1).reshape(-1, 3)


def test_lab_agrees_with_scikit_image():
    rgb = np.concatenate([CORNERS, np.random.default_rng(0).random((500, 3))])
    lab = spaces.srgb_to_lab(rgb)
    assert np.abs(lab - rgb2lab(rgb)).max() < 0.02  # theirs leaves white a trace of colour, ours does not
    assert np.abs(spaces.lab_to_srgb(lab) - lab2rgb(lab)).max() < 2e-3


@pytest.mark.parametrize(
    ("rgb", "oklab"),  # the primaries as CSS Color 4 lists them
    [
        ((1, 1, 1), (1, 0, 0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 1, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_oklab_has_the_published_values(rgb, oklab):
    assert spaces.srgb_to_oklab(np.array(rgb, float)) == pytest.approx(oklab, abs=5e-5)


@pytest.mark.parametrize("convert", FORWARD)
def test_greys_are_neutral(convert):
    greys = np.linspace(0, 1, 256)[:, None].repeat(3, 1)
    lab = convert(greys)
    assert np.abs(lab[:, 1:] / lab[-1, 0]).max() < 1e-6
    assert (np.diff(lab[:, 0]) > 0).all()


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_numpy_and_torch_agree_and_the_way_back_returns(forward, backward):
    rgb = np.concatenate([CORNERS, np.random.default_rng(1).random((5, 100, 3)).reshape(-1, 3)])
    lab = forward(rgb)
    assert np.allclose(forward(torch.tensor(rgb)).numpy(), lab, atol=1e-12)
    assert np.allclose(backward(lab), rgb, atol=1e-6)
    assert np.allclose(backward(torch.tensor(lab)).numpy(), rgb, atol=1e-6)


@pytest.mark.parametrize("space", ["oklab", "lab"])
def test_every_eighth_level_survives_encoding(space):
    levels = np.append(np.arange(0, 256, 8), 255).astype(np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels), -1)
    assert np.array_equal(spaces.decode(spaces.encode(rgb, space), space), rgb)


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_gradients_match_finite_differences(forward, backward):
    rgb = torch.tensor(np.random.default_rng(2).uniform(0.005, 0.95, (20, 3)), requires_grad=True)
    assert torch.autograd.gradcheck(forward, rgb)
    assert torch.autograd.gradcheck(backward, forward(rgb).detach().requires_grad_())


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_gradients_are_finite_at_the_corners(forward, backward):
    for function, start in ((forward, CORNERS), (backward, forward(CORNERS))):
        x = torch.tensor(start, dtype=torch.float32, requires_grad=True)
        function(x).sum().backward()
        assert torch.isfinite(x.grad).all()


def test_black_has_a_gradient_that_leads_out_of_black():
    black = torch.zeros(3, requires_grad=True)
    spaces.srgb_to_oklab(black)[0].backward()
    assert (black.grad > 0).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"uint8 \(4, 3\), expected floats"):
        spaces.srgb_to_oklab(np.zeros((4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"float64 \(3, 4\)"):
        spaces.srgb_to_lab(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="'hsv' is unknown"):
        spaces.encode(np.zeros((1, 3), np.uint8), "hsv")
    with pytest.raises(ValueError, match="float64, expected uint8"):
        spaces.encode(np.zeros((1, 3)), "lab")
