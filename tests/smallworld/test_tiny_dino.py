"""Tests of the DINO of the small world: views, teacher, collapse metrics."""

from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from vision_core.smallworld import data, dino, train, world

PLAIN = torch.tensor([0.5, 0.5, 0.5, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5])  # nothing is mirrored or tinted


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return dino.Network(width=32, layers=1, directions=64)


@pytest.fixture
def pictures():
    return torch.randint(256, (3, 2, 3, 128, 128), generator=torch.Generator().manual_seed(0)).byte()


def settings(**changes) -> train.Settings:
    return train.defaults("dino", {"batch_size": 4, "steps": 2, "scenes": 8} | changes)


def test_the_whole_picture_is_a_view(pictures):
    views = dino.cut(pictures, PLAIN.expand(3, 3, -1), (128, 128), 128)
    assert torch.allclose(views, pictures[:, [0, 1, 0]] / 127.5 - 1, atol=1e-4)


def test_a_view_is_cut_out_and_mirrored(pictures):
    luck = PLAIN.expand(3, 2, -1).clone()
    luck[..., 1:4] = torch.tensor([0.0, 1.0, 0.0])  # at the left, at the bottom, mirrored
    views = dino.cut(pictures, luck, (32, 32), 32)
    assert torch.allclose(views, pictures[..., -32:, :32].flip(-1) / 127.5 - 1, atol=1e-4)


def test_views_are_tinted_one_by_one(pictures):
    luck = PLAIN.expand(3, 2, -1).clone()
    luck[0, 0, 4], luck[1, 1, 6:] = 0.0, torch.tensor([0.0, 0.5, 1.0])  # grey; less red and more blue
    plain = dino.cut(pictures, PLAIN.expand(3, 2, -1), (128, 128), 64)
    views = dino.cut(pictures, luck, (128, 128), 64)
    assert torch.allclose(views[0, 0], plain[0, 0].mean(0).expand(3, -1, -1), atol=1e-5)
    expected = (plain[1, 1] + 1) * torch.tensor([0.9, 1.0, 1.1])[:, None, None] - 1
    assert torch.allclose(views[1, 1], expected.clamp(-1, 1), atol=1e-5)
    same = torch.ones(3, 2, dtype=torch.bool)
    same[0, 0] = same[1, 1] = False
    assert torch.equal(views[same], plain[same]) and views.abs().max() <= 1


def test_elsewhere_are_the_same_things():
    offsets = set()
    for number in range(40):
        scene = world.scene(number)
        other = world.elsewhere(scene, Random(number))
        assert other.things == scene.things and other.seed != scene.seed
        assert np.array_equal(world.masks(other, 32), world.masks(scene, 32))
        offsets.add((other.ground, other.sky))
    assert len(offsets) > 10


def test_a_sample_is_two_pictures_of_the_same_things():
    pictures, luck = next(iter(dino.batches(settings(), 1)))
    assert pictures.shape == (4, 2, 3, 128, 128) and pictures.dtype == torch.uint8
    assert luck.shape == (4, 2 + dino.LOCALS, dino.DRAWS) and 0 <= luck.min() and luck.max() < 1
    rendered = [torch.from_numpy(data.pictures(0, 8, None, it)).permute(0, 3, 1, 2) for it in dino.PLACES]
    for pair in pictures:
        matches = [
            {k for k in range(8) for it in rendered if torch.equal(it[k], picture)} for picture in pair
        ]
        assert len(matches[0]) == 1 and matches[0] == matches[1] and not torch.equal(*pair)


def test_workers_draw_what_is_lacking_and_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CHUNK", 4)
    alone = list(dino.batches(settings(), 3))
    ahead = list(dino.batches(settings(workers=1, cache=str(tmp_path)), 3))
    assert len(list(tmp_path.rglob("*.npy"))) == 2 * len(dino.PLACES)
    for one, other in zip(alone, ahead, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_teacher_follows_the_student_ever_more_slowly(network):
    model: Any = dino.Network(**network.architecture)
    model.load_state_dict(network.state_dict())
    student, teacher = model.student["head"].directions, model.teacher["head"].directions
    with torch.no_grad():
        student += 1
        before = teacher.clone()
        model._follow()
        assert torch.allclose(teacher - before, torch.tensor(9 / 11), atol=1e-5)
        model.steps.fill_(1e6)
        student.copy_(teacher + 1)
        before = teacher.clone()
        model._follow()
    assert torch.allclose(teacher - before, torch.tensor(1 - dino.MOMENTUM), atol=1e-5)


def test_no_view_is_compared_with_itself(network, pictures):
    """The loss is the mean over the pairs, computed another way."""
    luck = torch.rand(3, 4, dino.DRAWS, generator=torch.Generator().manual_seed(1))
    model = network.eval()
    with torch.no_grad():
        loss = dino.distillation(*model(pictures, luck))
        whole = dino.cut(pictures, luck[:, :2], dino.WHOLE, dino.SIZES[0])
        part = dino.cut(pictures, luck[:, 2:], dino.PART, dino.SIZES[1])
        expected = dino.centred(model._outputs(model.teacher, whole).flatten(0, 1)).unflatten(0, (3, 2))
        predictions = [model._outputs(model.student, it) / dino.STUDENT_HEAT for it in (whole, part)]
    logs = torch.cat(predictions, 1).log_softmax(-1)
    each = [
        -(expected[:, t] * logs[:, s]).sum(-1).mean().item() for t in range(2) for s in range(4) if s != t
    ]
    assert loss.item() == pytest.approx(np.mean(each), rel=1e-4)


def test_centred_answers_use_all_directions_alike():
    answers = torch.rand(40, 5, generator=torch.Generator().manual_seed(0)) * 0.2
    answers[:, 0] += 0.1  # the answer to everything
    shares = dino.centred(answers, rounds=50)
    assert torch.allclose(shares.sum(1), torch.ones(40), atol=1e-5)
    assert torch.allclose(shares.sum(0), torch.full((5,), 8.0), atol=1e-3)
    heat = min(dino.TEACHER_HEAT, dino.SHARPENED * (answers - answers.mean(0)).std().item())
    logs = shares.log() - answers / heat  # what the iteration adds is of rows and columns alone
    assert torch.allclose(logs - logs[:1] - logs[:, :1] + logs[0, 0], torch.zeros(40, 5), atol=1e-3)


def test_answers_that_differ_little_are_sharpened():
    answers = torch.rand(40, 5, generator=torch.Generator().manual_seed(0)) * 0.01
    assert torch.allclose(dino.centred(answers), dino.centred(answers / 100 + 0.5), atol=1e-2)
    assert dino.centred(answers).amax(1).mean() > 0.5
    assert torch.allclose(dino.centred(torch.ones(40, 5)), torch.full((40, 5), 0.2))


def test_a_collapse_is_told(network, monkeypatch):
    monkeypatch.setattr(dino, "TESTED", 24)
    model: Any = dino.Network(**network.architecture).eval()
    before = dino.measure(model, settings(), None)
    torch.nn.init.zeros_(model.teacher["head"].mlp[-1].weight)  # one answer to every picture
    scores = dino.measure(model, settings(), None)
    assert scores["directions"] == 1 < before["directions"]
    assert scores["spread"] == pytest.approx(64, rel=1e-3) and before["spread"] < 64
