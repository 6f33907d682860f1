import pytest
import torch
from torch.nn import functional as F

from vision_core import checkpoints
from vision_core.restoration import HybridRestorer, ViTRestorer, build, load, networks


@pytest.mark.parametrize(
    ("size", "parameters"),
    [("tiny", 5_683_797), ("small", 21_983_637), ("base", 86_433_813), ("large", 304_148_245)],
)
def test_the_original_has_its_parameters(size, parameters):
    with torch.device("meta"):
        network = ViTRestorer(size)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_original_restores_squares_of_its_size_and_uses_every_parameter():
    network = build("tiny", image_size=32)
    out = network(torch.rand(2, 3, 32, 32))
    assert out.shape == (2, 3, 32, 32)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    with pytest.raises(ValueError, match=r"expected \(B, 3, 32, 32\), got \(1, 3, 32, 48\)"):
        network(torch.rand(1, 3, 32, 48))


def test_patches_come_back_where_they_were():
    network = build("tiny", image_size=32).eval()
    page = torch.rand(1, 3, 32, 32)
    patches = page.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 4, 5, 1).reshape(1, 4, 768)
    network.head = torch.nn.Identity()
    network.norm = torch.nn.Identity()
    network.blocks = torch.nn.ModuleList()
    network.embed = lambda x: patches
    weight = torch.zeros(3, 6, 1, 1)
    weight[range(3), range(3)] = 1
    network.fuse.weight.data, network.fuse.bias.data = weight, torch.zeros(3)
    assert torch.equal(network(page), page)


def test_the_hybrid_starts_as_the_identity(untrained):
    x = torch.rand(2, 3, 48, 32)
    assert torch.equal(untrained(x), x)


def test_light_is_a_gain_and_an_offset(untrained):
    """With nothing but biases in its last layer, the whole is x times a gain and an offset."""
    x = torch.rand(1, 3, 32, 48)
    gain, offset = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.0, -0.5, 0.5])
    untrained.light.head.bias.data = 10 * torch.cat([gain, offset])  # it answers in tenths
    expected = x * (1 + gain.view(3, 1, 1)) + offset.view(3, 1, 1)
    assert torch.allclose(untrained(x), expected, atol=1e-6)


def test_detail_leaves_the_light_alone(network):
    """What the detail network adds has no mean over 16 x 16 pixels to speak of."""
    x = torch.rand(1, 3, 96, 96)
    change = network.detail(x)
    assert change.abs().mean() > 0.01
    assert F.avg_pool2d(change, 16).abs().mean() < 0.05 * change.abs().mean()


def test_an_error_of_the_light_teaches_the_detail_nothing(untrained):
    """A page that is only too dark: the light has a gradient, the detail, which cannot help, next to none."""
    clean = torch.rand(1, 3, 64, 64)
    (untrained(clean - 0.2) - clean).square().mean().backward()
    light, detail = (part.head.weight.grad.abs().max() for part in (untrained.light, untrained.detail.unet))
    assert light > 1e-3 and detail < 0.02 * light


def test_the_hybrid_takes_any_multiple_of_16_and_uses_every_parameter(network):
    network.train()
    for block in network.modules():
        if hasattr(block, "conv2"):
            torch.nn.init.normal_(block.conv2.weight, std=0.05)
    out = network(torch.rand(1, 3, 80, 48))
    assert out.shape == (1, 3, 80, 48)
    out.square().sum().backward()
    unused = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert unused == []
    with pytest.raises(ValueError, match="multiples of 16"):
        network(torch.rand(1, 3, 40, 48))


@pytest.mark.parametrize("original", [True, False])
def test_attention_is_a_share(network, original):
    model = build("tiny", image_size=32).eval() if original else network
    for found in model.attention(torch.rand(1, 3, 32, 32)):
        assert found.shape[-2:] == (4, 4)
        assert torch.allclose(found.sum(-1), torch.ones(()))


def test_attention_is_what_the_block_uses(network):
    """The shares, applied to the values by hand, give what the fast kernel gives."""
    block, x = network.light.transformer[0], torch.randn(1, 6, 16)
    values = block._split(block.norm1(x))[2]
    by_hand = (block.attention(x) @ values).transpose(1, 2).flatten(2)
    assert torch.allclose(block._attend(block.norm1(x)), by_hand, atol=1e-6)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_both_kinds_are_loaded_by_their_files(network, tmp_path, suffix):
    x = torch.rand(1, 3, 32, 32)
    checkpoints.save(tmp_path / f"a{suffix}", network, {"epoch": 3})
    again, facts = load(tmp_path / f"a{suffix}")
    assert isinstance(again, HybridRestorer) and facts == {"epoch": 3}
    assert torch.equal(again(x), network(x))
    original = build("tiny", image_size=32).eval()
    checkpoints.save(tmp_path / f"b{suffix}", original, {})
    assert torch.equal(load(tmp_path / f"b{suffix}")[0](x), original(x))


def test_strange_files_and_names_are_one_sentence(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a complete"):
        load(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="there are hybrid, tiny, small, base, large"):
        build("huge")
    assert networks.NETWORKS[0] == "hybrid"
