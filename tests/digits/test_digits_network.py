import pytest
import torch
from torch.nn import functional as F

from vision_core import checkpoints
from vision_core.digits import DigitNet
from vision_core.digits.network import MEAN, STD

SHAPES = {
    "conv1.weight": (4, 1, 3, 3),
    "conv1.bias": (4,),
    "conv2.weight": (8, 4, 3, 3),
    "conv2.bias": (8,),
    "fc1.weight": (128, 200),
    "fc1.bias": (128,),
    "fc2.weight": (10, 128),
    "fc2.bias": (10,),
}


def test_names_shapes_and_count_are_the_documented_ones():
    state = DigitNet().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == SHAPES
    assert sum(value.numel() for value in state.values()) == 27_354


def test_layers_have_the_documented_shapes_and_the_last_is_the_answer():
    model, x = DigitNet(), torch.rand(3, 1, 28, 28)
    layers = model.layers(x)
    assert {name: tuple(value.shape[1:]) for name, value in layers.items()} == {
        "conv1": (4, 26, 26),
        "pool1": (4, 13, 13),
        "conv2": (8, 11, 11),
        "pool2": (8, 5, 5),
        "fc1": (128,),
        "logits": (10,),
    }
    assert torch.equal(layers["logits"], model(x))
    assert all((layers[name] >= 0).all() for name in ("conv1", "pool1", "conv2", "pool2", "fc1"))


def test_pixels_in_0_to_1_are_normalised_as_mnist():
    model, x = DigitNet(), torch.rand(2, 1, 28, 28)
    by_hand = F.conv2d((x - 0.1307) / 0.3081, model.conv1.weight, model.conv1.bias).relu()
    assert torch.allclose(model.layers(x)["conv1"], by_hand)
    assert (MEAN, STD) == (0.1307, 0.3081)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = DigitNet()
    F.cross_entropy(model(torch.rand(32, 1, 28, 28)), torch.arange(32) % 10).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_hub_format_round_trip(tmp_path):
    model, x = DigitNet(channels=(2, 3), hidden=16).eval(), torch.rand(2, 1, 28, 28)
    model.save_pretrained(tmp_path)
    ours, _ = checkpoints.load(tmp_path / "model.safetensors", DigitNet)
    assert torch.equal(ours(x), model(x))
    again = DigitNet.from_pretrained(tmp_path)
    assert again.architecture == {"channels": [2, 3], "hidden": 16}
    assert torch.equal(again(x), model(x))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="is not a complete"):
        DigitNet.from_pretrained(tmp_path)
