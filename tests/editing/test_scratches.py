"""Tests of synthetic scratches and their detector."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from vision_core import checkpoints
from vision_core.editing import photo_training
from vision_core.editing.find import drawn_damage, scratches, scratches_train
from vision_core.editing.find.scratches import ScratchNet
from vision_core.editing.find.scratches_train import Settings
from vision_core.events import Done, Epoch, Step
from vision_core.pictures import images


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    folder = tmp_path_factory.mktemp("photos")
    rows, columns = np.mgrid[:80, :90]
    for number in range(3):
        level = 120 + 40 * np.sin(columns / 20 + number) * np.cos(rows / 15)
        images.save(
            images.Picture(np.repeat(level[..., None], 3, 2).astype(np.uint8)), folder / f"{number}.png"
        )
    return Settings(
        str(folder),
        epochs=2,
        steps=2,
        batch_size=4,
        crop=32,
        ema=0.5,
        device="cpu",
        widths=(8, 12),
        down=(1, 1),
        up=(1,),
        lr=5e-3,
    )


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_drawn_where_it_is_said_to_be(seed):
    rgb = np.full((96, 120, 3), 128, np.uint8)
    worn, mark = drawn_damage.wear(rgb, np.random.default_rng(seed))
    change = np.abs(worn.astype(int) - rgb).mean(2)
    assert mark.any() and (change[mark] > 5).mean() > 0.8
    assert (change[~mark] > 45).sum() < 0.2 * mark.sum()  # soft edges alone lie beside it


def test_both_losses_are_their_formulas():
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(size=(2, 1, 5, 6)), rng.random((2, 1, 5, 6)) < 0.3
    chance = 1 / (1 + np.exp(-logits))
    entropy = -np.where(truth, np.log(chance), np.log(1 - chance)).mean()
    dice = 1 - 2 * chance[truth].sum() / (chance.sum() + truth.sum() + 1)
    result = scratches_train.losses(torch.from_numpy(logits), torch.from_numpy(truth))
    assert result["entropy"].item() == pytest.approx(entropy, rel=1e-5)
    assert result["dice"].item() == pytest.approx(dice, rel=1e-5)
    with pytest.raises(ValueError, match=r"\(2, 1, 5, 6\) and damage \(1, 1, 5, 6\)"):
        scratches_train.losses(torch.from_numpy(logits), torch.from_numpy(truth[:1]))


def test_pictures_of_any_size_are_looked_at_and_other_sides_refused():
    network = ScratchNet((8, 12), (1, 1), (1,)).eval()
    network.unet.head.bias.data.fill_(3.0)  # it says yes everywhere
    for size in ((1, 1), (33, 50), (20, 3000)):
        assert scratches.find(np.zeros((*size, 3), np.uint8), network).all()
        assert not scratches.find(np.zeros((*size, 3), np.uint8), network, sure=0.99).any()
    with pytest.raises(ValueError, match="multiples of 4"):
        network(torch.zeros(1, 3, 8, 9))


def test_a_narrower_network_is_gone_on_with_in_a_wider_one(settings, tmp_path):
    small = ScratchNet(settings.widths, settings.down, settings.up)
    for parameter in small.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    checkpoints.save(tmp_path / "small.safetensors", small, {})
    wider = replace(settings, start=str(tmp_path / "small.safetensors"), widths=(12, 20))
    model = photo_training.network(ScratchNet, wider)
    x = torch.rand(2, 3, 16, 16)
    assert torch.allclose(model(x), small(x), atol=1e-5) and model.architecture["widths"] == [12, 20]
    model(x).square().sum().backward()
    assert all(parameter.grad.any() for parameter in model.parameters())
    for other in (replace(wider, widths=(8, 11)), replace(wider, down=(1, 2)), replace(wider, up=(0,))):
        with pytest.raises(ValueError, match="no narrower one of the same depth"):
            photo_training.network(ScratchNet, other)


def test_clean_crops_are_taken_where_the_network_to_start_with_is_wrong(settings, tmp_path, monkeypatch):
    photo = np.full((90, 90, 3), 60, np.uint8)
    photo[70:76, 20:26] = 255
    monkeypatch.setattr(scratches, "chance", lambda rgb, *_: (rgb[..., 0] > 200).astype(np.float32))
    checkpoints.save(tmp_path / "start.safetensors", ScratchNet((8, 12), (1, 1), (1,)), {})
    (places,) = scratches_train.mistakes([photo], str(tmp_path / "start.safetensors"))
    assert len(places) == 12 and (places >= (70, 20)).all() and (places < (76, 26)).all()
    for name, share in (("CLEAN", 1.0), ("MISTAKES", 1.0), ("SCENERY", 0.0)):
        monkeypatch.setattr(scratches_train, name, share)
    changed = replace(settings, batch_size=40)
    with_it, without = (
        scratches_train._batch([(photo, known)], changed, 0, 0)[0].amax((1, 2, 3)) > 180
        for known in (places, scratches_train.NONE)
    )
    assert with_it.all() and not without.all()


def test_a_mark_is_as_long_as_it_shows_and_certain_somewhere():
    likely = np.zeros((20, 30), np.float32)
    likely[4, 2:20], likely[4, 10] = 0.75, 0.95  # certain in one place
    likely[12, 2:20] = 0.8  # nowhere
    likely[16:18, 5:7] = 0.92
    expected = likely >= 0.7
    assert (scratches.marks(likely, 0.7) == expected).all()
    expected[12] = False
    assert (scratches.marks(likely) == expected).all()
    assert not scratches.marks(np.zeros((3, 4), np.float32)).any()


def test_a_network_learns_to_find_drawn_lines(settings, tmp_path):
    changed = replace(settings, epochs=1, steps=60, batch_size=6, widths=(12, 16))
    result = list(scratches_train.train(tmp_path / "run", changed))
    losses = [event.losses["entropy"] for event in result if isinstance(event, Step)]
    assert np.mean(losses[-10:]) < 0.7 * losses[0]


def test_left_and_resumed_equals_uninterrupted_and_every_weight_has_moved(settings, tmp_path):
    whole = list(scratches_train.train(tmp_path / "whole", settings))
    events = scratches_train.train(tmp_path / "cut", settings)
    assert len(list(islice(events, 4))) == 4
    events.close()
    assert isinstance(list(scratches_train.resume(tmp_path / "cut"))[-1], Done)
    for name in ("last", "best"):
        files = [tmp_path / run / f"{name}.safetensors" for run in ("cut", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()
    metrics = [event.metrics for event in whole if isinstance(event, Epoch)][-1]
    assert {"f1", "recall", "precision", "clean_marked"} <= metrics.keys()
    trained, _ = checkpoints.load(tmp_path / "whole" / "last.safetensors", ScratchNet)
    begun = ScratchNet(settings.widths, settings.down, settings.up).state_dict()
    zero = [name for name, value in trained.state_dict().items() if not value.any()]
    assert not zero and begun.keys() == trained.state_dict().keys()
    path = scratches_train.export(tmp_path / "whole", tmp_path / "scratches.safetensors")
    kept, metadata = checkpoints.load(path, ScratchNet)
    assert "train_dir" not in metadata and kept.architecture == trained.architecture
    x = torch.rand(1, 3, 16, 16)
    assert (kept.eval()(x) - trained.eval()(x)).abs().mean() < 1e-2


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(ValueError, match="divisible by 16"):
        Settings("x", crop=100)
    with pytest.raises(ValueError, match="there is no folder"):
        list(scratches_train.train(tmp_path / "run", Settings(str(tmp_path / "nothing"))))
