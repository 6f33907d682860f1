import copy

import pytest
import torch
from torch.nn import functional as F

from vision_core import checkpoints
from vision_core.restoration import PageRestorer, ViTRestorer, build, load, networks
from vision_core.restoration.light import consulted, evenness
from vision_core.restoration.thumbnail import CHANNELS, FIELDS


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


def thumbnails(number):
    return torch.rand(number, CHANNELS, FIELDS, FIELDS)


def test_untrained_it_is_the_identity(untrained):
    x = torch.rand(2, 3, 48, 32)
    restored, ink = untrained(x, thumbnails(2))
    assert torch.allclose(restored, x, atol=1e-6) and not ink.any() and ink.shape == (2, 1, 48, 32)


def test_light_is_a_gain_and_an_offset_of_each_colour(untrained):
    """With nothing but biases in its last layer, the whole is x times a gain and an offset."""
    x = torch.rand(1, 3, 32, 48)
    gain, offset = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.0, -0.5, 0.5])
    untrained.light.page.bias.data = torch.cat([gain, offset])
    expected = x * (1 + gain.view(3, 1, 1)) + offset.view(3, 1, 1)
    assert torch.allclose(untrained(x, thumbnails(1))[0], expected, atol=1e-5)


def test_what_the_detail_adds_leaves_the_light_alone(network):
    """Without covers, it has no mean over 16 x 16 pixels to speak of."""
    x = torch.rand(1, 3, 96, 96)
    torch.nn.init.zeros_(network.detail.cover[-1].weight)
    torch.nn.init.zeros_(network.detail.cover[-1].bias)
    change = network.detail(x, thumbnails(1))[0] - x
    assert change.abs().mean() > 0.01
    assert F.avg_pool2d(change, 16).abs().mean() < 0.05 * change.abs().mean()


def test_it_takes_any_multiple_of_16_and_uses_every_parameter(network):
    network.train()
    restored, ink = network(torch.rand(1, 3, 80, 48), thumbnails(1))
    assert restored.shape == (1, 3, 80, 48)
    _, expected = network.light(thumbnails(1))
    (restored.square().sum() + ink.square().sum() + expected.square().sum()).backward()
    unused = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert unused == []
    with pytest.raises(ValueError, match="multiples of 16"):
        network(torch.rand(1, 3, 40, 48), thumbnails(1))
    with pytest.raises(ValueError, match=r"expected \(B, 14, 24, 24\)"):
        network(torch.rand(1, 3, 48, 48), torch.rand(1, 3, 24, 24))


def test_attention_is_a_share():
    for weights in build("tiny", image_size=32).eval().attention(torch.rand(1, 3, 32, 32)):
        assert weights.shape[-2:] == (4, 4)
        assert torch.allclose(weights.sum(-1), torch.ones(()))


def test_attention_is_what_the_block_uses():
    """The shares, applied to the values by hand, give what the fast kernel gives."""
    block, x = build("tiny", image_size=32).eval().blocks[0], torch.randn(1, 6, 192)
    values = block._split(block.norm1(x))[2]
    by_hand = (block.attention(x) @ values).transpose(1, 2).flatten(2)
    assert torch.allclose(block._attend(block.norm1(x)), by_hand, atol=1e-5)


def test_detail_and_light_of_two_trainings_are_joined(network, untrained, tmp_path):
    checkpoints.save(tmp_path / "detail.safetensors", network, {"epoch": 1})
    checkpoints.save(tmp_path / "light.safetensors", untrained, {"epoch": 2})
    paths = [tmp_path / f"{name}.safetensors" for name in ("detail", "light", "both")]
    networks.join(paths[0], [paths[1]], paths[2])
    both, facts = load(paths[2])
    assert facts["detail"] == {"epoch": 1} and facts["lights"] == [{"epoch": 2}]
    for name, value in both.state_dict().items():
        source = network if name.startswith("detail") else untrained
        assert torch.allclose(value, source.state_dict()[name], atol=1e-3)
    assert paths[2].stat().st_size < 0.7 * paths[0].stat().st_size
    networks.join(paths[1], [paths[2], paths[0]], tmp_path / "again.safetensors")  # all lights of an ensemble
    again, facts = load(tmp_path / "again.safetensors")
    assert facts["lights"] == [{"epoch": 2}, {"epoch": 1}] and len(again.others) == 1
    for light, source in ((again.light, untrained.light), (again.others[0], network.light)):
        for name, value in light.state_dict().items():
            assert torch.allclose(value, source.state_dict()[name], atol=1e-3)


def test_lights_that_do_not_agree_are_not_taken(network, tmp_path):
    """Twice the same light says what it says alone; another one beside it makes it less sure, not more."""
    paths = [tmp_path / f"{name}.safetensors" for name in ("one", "other", "twice", "two")]
    checkpoints.save(paths[0], network, {})
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.light.page.bias[:3] += 0.3  # another opinion of the gains, as sure of itself
    checkpoints.save(paths[1], other, {})
    networks.join(paths[0], [paths[0], paths[0]], paths[2])
    networks.join(paths[0], [paths[0], paths[1]], paths[3])
    predictions = [consulted(load(path)[0], thumbnails(6)) for path in (paths[0], *paths[2:])]
    (alone, sure), (twice, still), (two, less) = predictions
    assert torch.allclose(alone, twice, atol=2e-3) and torch.allclose(sure, still, atol=2e-2)
    assert torch.allclose(two[:, :3], alone[:, :3] + 0.15, atol=2e-3)
    assert (less <= still).all() and (less < still).any()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_both_kinds_are_loaded_by_their_files(network, tmp_path, suffix):
    x = torch.rand(1, 3, 32, 32)
    checkpoints.save(tmp_path / f"a{suffix}", network, {"epoch": 3})
    again, facts = load(tmp_path / f"a{suffix}")
    assert isinstance(again, PageRestorer) and facts == {"epoch": 3}
    statistics = thumbnails(1)
    assert torch.equal(again(x, statistics)[0], network(x, statistics)[0])
    original = build("tiny", image_size=32).eval()
    checkpoints.save(tmp_path / f"b{suffix}", original, {})
    assert torch.equal(load(tmp_path / f"b{suffix}")[0](x), original(x))


def test_strange_files_and_names_are_one_sentence(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a complete"):
        load(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="there are pages, tiny, small, base, large"):
        build("huge")
    assert networks.NETWORKS[0] == "pages"


def test_uneven_light_is_evened_out_where_most_networks_agree():
    """The brightest place keeps its level, whatever level each network would give the page."""
    slope = torch.linspace(1, 1.5, 6).expand(6, 6)
    identity = torch.tensor([1.0, 1, 1, 0, 0, 0])[:, None, None].expand(6, 6, 6)

    def shaded(level: float, deep: float = 1.0) -> torch.Tensor:
        field = identity.clone()
        field[:3] *= level * (1 + deep * (slope - 1))
        return field[None]

    most = torch.stack([shaded(1.0), shaded(1.2), shaded(0.9), identity[None]])
    assert evenness(most)[0] == pytest.approx(slope.numpy(), abs=0.01)
    few = torch.stack([shaded(1.0), identity[None], identity[None]])
    assert evenness(few)[0] == pytest.approx(1.0, abs=0.01)
    slight = torch.stack([shaded(1.0, 0.15)] * 3)
    assert evenness(slight)[0] == pytest.approx(1.0, abs=0.01)
