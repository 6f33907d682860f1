"""The colour network: its size, its gradients, its names."""

import pytest
import torch

from vision_core.color.network import ColorMapper

TEN = [[25 * i, 10 * i, 255 - 25 * i] for i in range(10)]


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_rgb_head_has_267523_parameters():
    assert parameters(ColorMapper(layers=5, hidden=256, head="rgb")) == 267_523


def test_palette_head_of_ten_colours_has_269322_parameters():
    assert parameters(ColorMapper(layers=5, hidden=256, head="palette", palette=TEN)) == 269_322


@pytest.mark.parametrize("head", ["rgb", "palette"])
def test_every_parameter_gets_a_gradient_and_colours_stay_colours(head):
    model = ColorMapper(layers=2, hidden=16, head=head, palette=TEN)
    output = model(torch.rand(64, 3))
    assert output.shape == (64, 3)
    assert output.min() >= 0
    assert output.max() <= 1
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_palette_head_answers_with_a_palette_colour_when_it_is_sure():
    model = ColorMapper(layers=1, hidden=8, head="palette", palette=TEN)
    logits = torch.zeros(1, 10)
    logits[0, 3] = 50
    assert torch.allclose(model.color(logits), torch.tensor([TEN[3]]) / 255)


def test_a_colour_is_mapped_the_same_in_any_company():
    model = ColorMapper(layers=2, hidden=16).train()
    colors = torch.rand(32, 3)
    assert torch.allclose(model(colors)[:4], model(colors[:4]), atol=1e-6)


def test_parameter_names_are_those_of_saved_files():
    names = set(ColorMapper(layers=1, hidden=8, head="palette", palette=TEN).state_dict())
    assert names == {
        "trunk.0.weight",
        "trunk.0.bias",
        "trunk.2.weight",
        "trunk.2.bias",
        "out.weight",
        "out.bias",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "lab"}, "head is 'lab'"),
        ({"head": "palette"}, "needs colours"),
        ({"layers": 0}, "1 to 64 layers"),
        ({"layers": 200_000}, "1 to 64 layers"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ColorMapper(**arguments)
