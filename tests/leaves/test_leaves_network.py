"""Tests of the network, its gate and its metrics."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch.nn import functional as F

from vision_core import checkpoints, torchvision_cpu, weights
from vision_core.devices import generator, seeded
from vision_core.leaves import LeafNet, gap, gate
from vision_core.leaves.evaluate import calibration_error, fit_temperature, measures, refusal, wilson
from vision_core.leaves.network import WIDTH, pooled


@pytest.fixture(scope="module")
def net():
    with seeded(0):
        model = LeafNet(["a", "b", "c", "d"], crop=32)
    model.load_frozen()
    return model.eval()


def test_parameters_are_those_of_mobilenet_and_only_the_head_is_trained(net):
    assert sum(p.numel() for p in net.features.parameters()) == 2_223_872
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == WIDTH * 4 + 4
    assert sum(p.requires_grad for p in LeafNet(["a", "b"], unfrozen=1).features.parameters()) == 3


def test_features_are_torchvisions_and_folding_keeps_them(net):
    torchvision_cpu.prepare()
    from safetensors.torch import load_file
    from torchvision.models import mobilenet_v2

    whole = mobilenet_v2()
    whole.load_state_dict(load_file(weights.find("mobilenet")), strict=False)  # its classifier does not come
    images = torch.rand(2, 3, 64, 64, generator=generator(1))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = whole.eval().features((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        assert torch.allclose(net.maps(images)[0][-1], expected, atol=1e-4)
        assert torch.allclose(net.folded()(net.normalised(images)), expected, atol=1e-3)
        both = (pooled(net.maps(images)) + pooled(net.maps(images.flip(3)))) / 2
        assert both.shape == (2, WIDTH)
        assert torch.allclose(net.embed(images), both)
        assert torch.allclose(net(images), net(both), atol=1e-5)


def test_an_embedding_is_the_mean_over_a_picture_and_its_reduced_copy(net):
    both = LeafNet(["a", "b", "c", "d"], crop=96, reduced=64).eval()
    both.load_state_dict(net.state_dict())
    images = torch.rand(2, 3, 96, 96, generator=generator(1))
    small = torch.from_numpy(
        np.stack(
            [cv2.resize(x.permute(1, 2, 0).numpy(), (64, 64), interpolation=cv2.INTER_LINEAR) for x in images]
        )
    ).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = (net.embed(images) + net.embed(small)) / 2
        assert torch.allclose(both.embed(images), expected, atol=1e-4)
    for reduced in (47, 96, 200):
        with pytest.raises(ValueError, match="at least half, and less than, the crop of 96 pixels"):
            LeafNet(["a", "b"], crop=96, reduced=reduced)


@pytest.mark.parametrize("unfrozen", [0, 2])
def test_a_checkpoint_holds_what_was_trained_and_names_the_rest(net, tmp_path, unfrozen):
    model = LeafNet(["a", "b"], unfrozen, crop=32)
    model.load_frozen()
    checkpoints.save(tmp_path / "m.safetensors", model, {})
    size = (tmp_path / "m.safetensors").stat().st_size
    assert size < 40_000 if unfrozen == 0 else 1_000_000 < size < 4_000_000
    again, _ = checkpoints.load(tmp_path / "m.safetensors", LeafNet)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )
    with torch.no_grad():
        model.features[0][0].weight.add_(1)
    checkpoints.save(tmp_path / "other.safetensors", model, {})
    with pytest.raises(ValueError, match="trained on another features"):
        checkpoints.load(tmp_path / "other.safetensors", LeafNet)


def test_a_backbone_of_ones_own_is_kept_whole(net, tmp_path):
    model = LeafNet(["a", "b"], backbone=None, crop=32)
    assert model.frozen == ()
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(ValueError, match="does not hold the features of MobileNetV2"):
        model.load_backbone(tmp_path / "junk.safetensors")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"classes": ["a"]}, "two or more classes"),
        ({"classes": ["a", "a"]}, "different names"),
        ({"unfrozen": 20}, "20 blocks"),
        ({"crop": 8}, "crop is 8"),
        ({"backbone": "other"}, "backbone is 'other'"),
    ],
)
def test_impossible_networks_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        LeafNet(**{"classes": ["a", "b"], **arguments})


def cloud(seed, count, width=200):
    """Embeddings of unit spread near a plane of 8 dimensions, in two classes."""
    rng = generator(5)
    basis, means = torch.randn(8, width, generator=rng) / 8**0.5, torch.randn(2, 8, generator=rng)
    rng = generator(seed)
    labels = torch.arange(count) % 2
    inside = 0.5 * torch.randn(count, 8, generator=rng) + means[labels]
    return inside @ basis + 0.05 * torch.randn(count, width, generator=rng), labels


def test_gate_refuses_the_asked_share_and_what_is_elsewhere():
    train, labels = cloud(0, 400)
    validation, new = cloud(1, 300)[0], cloud(2, 300)[0]
    fitted = gate.fit(train[None], labels, validation, refused=0.05)
    assert (fitted(validation) > 1).float().mean().item() == pytest.approx(0.05, abs=0.01)
    assert (fitted(new) > 1).float().mean() < 0.15
    off = new + torch.randn(new.shape, generator=generator(9))  # off the plane
    basis = torch.linalg.svd(train - train.mean(0), full_matrices=False).Vh[:8]
    beside = train.mean(0) + 20 * basis  # on the plane, and far from both classes
    assert (fitted(off) > 1).all() and (fitted(beside) > 1).all()


def test_gate_measures_the_distance_beyond_that_to_all_leaves_and_the_angle_to_the_nearest():
    train, labels = cloud(0, 400)
    rng = generator(7)
    views = torch.stack([train, *(train + 0.3 * torch.randn(2, *train.shape, generator=rng))])
    fitted = gate.fit(views, labels, train).double()
    x, (inside, *others) = cloud(3, 20)[0].double(), views.double() @ fitted.axes
    halves = (inside, (others[0] + others[1]) / 2)
    means = torch.stack([(halves[0] + halves[1])[labels == c].mean(0) / 2 for c in (0, 1)])
    shares = (1 / (1 + gate.VIEWS), *2 * [gate.VIEWS / (1 + gate.VIEWS) / 2])
    parts = [*zip(shares, (inside, *others), strict=True)]
    apart = [(share, seen - means[labels]) for share, seen in parts]
    within = torch.stack([share * part.T @ part / len(train) for share, part in apart]).sum(0)
    ridge = gate.RIDGE * within.trace() / len(within) * torch.eye(len(within), dtype=within.dtype)
    inverse = torch.linalg.inv(within + ridge)
    away = (x @ fitted.axes)[:, None] - means
    nearest = torch.einsum("bci,ij,bcj->bc", away, inverse, away).amin(1)
    overall = torch.stack([share * seen.square().mean(0) for share, seen in parts]).sum(0) + ridge.diagonal()
    measured = fitted.parts(x)
    assert torch.allclose(measured[:, 0], nearest - ((x @ fitted.axes) ** 2 / overall).sum(1), rtol=1e-3)
    white = torch.einsum("bi,ij,nj->bn", x @ fitted.axes, inverse, inside)
    length = [torch.einsum("bi,ij,bj->b", v, inverse, v).sqrt() for v in (x @ fitted.axes, inside)]
    assert torch.allclose(1 - measured[:, 1], (white / length[0][:, None] / length[1]).amax(1), atol=1e-4)
    assert torch.allclose(measured[:, 2], (x - x @ fitted.axes @ fitted.axes.T).norm(dim=1), atol=1e-4)


def test_what_other_cameras_change_is_not_refused():
    """A view moves a leaf along one direction that two photographs of one camera never differ in."""
    (train, labels), (validation, _), (new, _) = (cloud(seed, 400) for seed in range(3))
    aside, elsewhere = 12 * F.normalize(torch.randn(2, train.shape[1], generator=generator(8)), dim=1)
    views = torch.stack([train, train + aside, train - aside])
    alone, several = (gate.fit(view, labels, validation) for view in (views[:1], views))
    assert (alone(new + aside) > 1).float().mean() > 0.9 and (several(new + aside) > 1).float().mean() < 0.1
    assert (several(new) > 1).float().mean() < 0.1 and (several(new + elsewhere) > 1).all()


def test_measures_match_scikit_learn_and_the_formulas():
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 200)
    probabilities = random.dirichlet(np.ones(3), 200)
    probabilities[np.arange(200), truth] += 0.6
    probabilities /= probabilities.sum(1, keepdims=True)
    scores = measures(probabilities, truth, ["a", "b", "c"], [str(i) for i in range(200)])
    predicted = probabilities.argmax(1)
    assert scores["accuracy"] == (predicted == truth).mean()
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    low, high = scores["macro_f1_interval"]
    assert low < scores["macro_f1"] < high and high - low < 0.15
    assert (
        np.array(scores["confusion"]).sum() == 200
        and np.trace(scores["confusion"]) == (predicted == truth).sum()
    )
    worst = scores["top_losses"][0]
    assert worst["loss"] == pytest.approx(-np.log(probabilities[np.arange(200), truth].min()))
    assert scores["per_class"]["b"]["support"] == (truth == 1).sum()
    edges, total = np.linspace(0, 1, 16), 0.0
    for low, high in pairwise(edges):
        inside = (probabilities.max(1) >= low) & (probabilities.max(1) < high)
        if inside.any():
            total += (
                abs((predicted == truth)[inside].mean() - probabilities.max(1)[inside].mean()) * inside.mean()
            )
    assert calibration_error(probabilities, truth) == pytest.approx(total)
    with pytest.raises(ValueError, match="no pictures"):
        measures(probabilities[:0], truth[:0], ["a", "b", "c"], [])


def test_wilson_interval_is_that_of_the_tables():
    assert wilson(8, 10) == pytest.approx([0.490, 0.943], abs=1e-3)
    assert wilson(10, 10)[1] == pytest.approx(1) and wilson(10, 10)[0] == pytest.approx(0.722, abs=1e-3)


def test_temperature_undoes_overconfidence():
    truth = torch.arange(600) % 3
    logits = F.one_hot(truth, 3).float() * 1.5 + torch.randn(600, 3, generator=generator(3))
    right = fit_temperature(logits, truth)
    assert fit_temperature(3 * logits, truth) == pytest.approx(3 * right, rel=1e-3)
    assert fit_temperature(1000.0 * F.one_hot(truth, 3), truth) >= 0.2  # nothing to learn from, and bounded


def test_gap_has_the_thresholds_of_the_alarm():
    for train, alarm in ((0.85, "none"), (0.91, "mild"), (1.01, "serious")):
        assert gap({"train_accuracy": train, "val_accuracy": 0.8})["alarm"] == alarm


def test_refusal_counts_both_sides():
    scores = refusal(np.array([0.2, 0.5, 1.1, 0.3]), np.array([2.0, 0.9]))
    assert scores == {"leaves_refused": 0.25, "others_refused": 0.5, "auroc": 7 / 8}
