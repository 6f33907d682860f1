"""Tests of the filler: known pixels, sizes, training, resuming."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from small_models import finish

from vision_core import checkpoints, runs
from vision_core.devices import generator, seeded
from vision_core.editing import masks, photo_training
from vision_core.editing.fill import filler, filler_train, holes, inpainting, push_pull
from vision_core.editing.fill.filler import Filler
from vision_core.editing.fill.filler_train import Settings, decibels
from vision_core.events import Done, Epoch, Preview, Step
from vision_core.pictures import images

SMALL = {"widths": (8, 12), "down": (1, 1), "up": (1,)}


def network(trained: bool = True) -> Filler:
    """A small one; `trained` moves every weight away from where it starts."""
    with seeded(0):
        model = Filler(**SMALL)
        if trained:
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Bent stripes in colour: what is in a hole can be told from what is around it."""
    folder = tmp_path_factory.mktemp("photos")
    rows, columns = np.mgrid[:72, :90]
    for number in range(4):
        waves = [np.sin((columns + (1 + c) * rows) / 2.5 + number + rows / 30) for c in range(3)]
        rgb = (128 + 100 * np.stack(waves, -1)).round().astype(np.uint8)
        images.save(images.Picture(rgb), folder / f"{number}.png")
    return folder


@pytest.fixture
def settings(photos) -> Settings:
    return Settings(
        str(photos), epochs=3, steps=2, batch_size=3, crop=32, ema=0.5, device="cpu", lr=3e-3, **SMALL
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (16, 16), (17, 33), (50, 31)])
def test_known_pixels_stay_bit_for_bit_at_any_size(size):
    smooth = torch.rand(2, 3, *size, generator=generator(1))
    hole = torch.rand(2, 1, *size, generator=generator(2)) < 0.5
    hole[0, 0, 0, 0] = True
    with torch.inference_mode():
        assert torch.equal(network(trained=False)(smooth, hole), smooth)
        filled = network()(smooth, hole)
    assert filled.shape == smooth.shape and filled.isfinite().all()
    changed = (filled != smooth).any(1, keepdim=True)
    assert changed.any() and not (changed & ~hole).any()


def test_every_parameter_gets_a_gradient_and_the_default_fits_in_a_file_of_14_megabytes():
    model = network().train()
    hole = torch.rand(2, 1, 24, 24, generator=generator(3)) < 0.5
    model(torch.rand(2, 3, 24, 24, generator=generator(4)), hole).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    with torch.device("meta"):
        assert 2 * sum(parameter.numel() for parameter in Filler().parameters()) < 14e6


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"got \(1, 3, 8, 8\), \(1, 1, 8, 9\)"):
        network()(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 9, dtype=torch.bool))


@pytest.mark.parametrize("size", [(2, 1), (1, 7), (40, 60), (70, 900)])
def test_a_picture_keeps_what_is_known_and_an_untrained_network_is_the_smooth_filling(size):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (*size, 3), np.uint8)
    hole = rng.random(size) < 0.3
    hole.flat[0], hole.flat[-1] = True, False
    plain, _ = finish(filler.fill(network(trained=False), rgb, hole))
    assert (plain == push_pull.fill(rgb, hole)).all()
    filled, events = finish(filler.fill(network(), rgb, hole))
    assert (filled[~hole] == rgb[~hole]).all() and (filled != plain).any()
    steps = [event for event in events if isinstance(event, Step)]
    assert steps[-1].step == steps[-1].total == len(steps) and isinstance(events[-1], Preview)
    broken = np.where(hole[..., None], 255 - rgb, rgb)
    assert (
        finish(filler.fill(network(), broken, hole))[0] == filled
    ).all()  # what was there is not looked at


def test_the_mean_of_all_views_turns_with_the_picture():
    rng = np.random.default_rng(0)
    rgb, hole = rng.integers(0, 256, (32, 32, 3), np.uint8), rng.random((32, 32)) < 0.4
    x = torch.rand(1, 3, 24, 40, generator=generator(0))
    for turn in range(filler.TURNS):
        assert torch.equal(filler._turned_back(filler._turned(x, turn), turn), x), turn
    views = [filler._turned(x, turn) for turn in range(filler.TURNS)]
    assert len({view.numpy().tobytes() for view in views}) == filler.TURNS
    filled, _ = finish(filler.fill(network(), rgb, hole))
    turned, _ = finish(filler.fill(network(), np.rot90(rgb).copy(), np.rot90(hole).copy()))
    assert np.abs(np.rot90(filled).astype(int) - turned).max() <= 1


def test_thin_holes_are_the_networks_and_wide_ones_are_not():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (100, 100, 3), np.uint8)
    thin, wide = masks.brush(100, 100, [[(5, 5), (90, 5)]], 3), masks.box(100, 100, 30, 30, 60, 60)

    def both(hole):
        return [
            finish(inpainting.Classical(network(trained)).paint(rgb, hole))[0] for trained in (True, False)
        ]

    one, other = both(thin | wide)
    changed = (one != other).any(-1)
    assert (
        changed[thin].any() and not changed[wide].any() and (one[~thin & ~wide] == rgb[~thin & ~wide]).all()
    )
    assert not filler.affordable(np.ones((4, 4), bool))  # nothing is known: push-pull's answer is taken


def test_decibels_are_minus_the_psnr_in_the_hole():
    rng = np.random.default_rng(0)
    filled, clean = rng.random((2, 2, 3, 9, 8))
    hole = rng.random((2, 1, 9, 8)) < 0.5
    expected = np.mean(
        [10 * np.log10(((f - c)[:, h[0]] ** 2).mean()) for f, c, h in zip(filled, clean, hole, strict=True)]
    )
    result = decibels(*map(torch.from_numpy, (filled, clean, hole)))
    assert result.item() == pytest.approx(expected, rel=1e-9)
    x, y = (torch.from_numpy(part).requires_grad_() for part in (filled, clean))
    assert torch.autograd.gradcheck(lambda x, y: decibels(x, y, torch.from_numpy(hole), 1e-3), (x, y))
    with pytest.raises(ValueError, match=r"\(2, 3, 9, 8\), \(1, 3, 9, 8\)"):
        decibels(x, y[:1], torch.from_numpy(hole))


@pytest.mark.parametrize("number", range(len(holes._KINDS)))
def test_each_kind_of_hole_is_drawn_from_the_seed(number):
    kind = holes._KINDS[number]
    masks_drawn = [kind(np.random.default_rng(seed), 96) for seed in (0, 0, 1)]
    assert masks_drawn[0].shape == (96, 96) and masks_drawn[0].dtype == bool
    assert (masks_drawn[0] == masks_drawn[1]).all() and (masks_drawn[0] != masks_drawn[2]).any()


def test_holes_are_never_empty_nor_everything():
    rng = np.random.default_rng(0)
    shares = [holes.draw(rng, 32).mean() for _ in range(300)]
    assert 0 < min(shares) and max(shares) < 1 and np.std(shares) > 0.1


def test_batches_are_a_function_of_seed_epoch_and_number_whoever_makes_them(settings):
    photos, _ = filler_train._photos(settings)
    alone, helped, other = (
        list(filler_train.batches(photos, chosen, epoch))
        for chosen, epoch in ((settings, 1), (replace(settings, workers=1), 1), (settings, 2))
    )
    for (crops, marks), (same, marked) in zip(alone, helped, strict=True):
        assert crops.shape == (3, 3, 32, 32) and crops.dtype == torch.uint8
        assert marks.shape == (3, 1, 32, 32) and marks.dtype == torch.bool
        assert torch.equal(crops, same) and torch.equal(marks, marked)
    assert not torch.equal(alone[0][0], alone[1][0]) and not torch.equal(alone[0][0], other[0][0])


def test_a_photograph_smaller_than_a_crop_is_mirrored():
    photo = np.random.default_rng(0).integers(0, 256, (5, 90, 3), np.uint8)
    crop = photo_training.square_at(photo, 12, np.zeros(2))
    assert (crop[:5] == photo[:, :12]).all() and (crop[5:10] == photo[::-1, :12]).all()


def test_the_loss_falls_on_one_batch(settings, monkeypatch, tmp_path):
    batch = filler_train._batch(filler_train._photos(settings)[0], settings, 1, 0)
    monkeypatch.setattr(filler_train, "batches", lambda photos, settings, epoch: [batch] * settings.steps)
    changed = replace(settings, epochs=1, steps=120, widths=(16, 24))
    events = filler_train.train(tmp_path / "run", changed)
    losses = [event.losses["db"] for event in events if isinstance(event, Step)]
    assert np.mean(losses[-10:]) < losses[0] - 4


def test_left_and_resumed_equals_uninterrupted_and_every_weight_has_moved(settings, tmp_path):
    whole = list(filler_train.train(tmp_path / "whole", settings))
    for place in (1, 4, 6):
        cut = tmp_path / f"cut{place}"
        events = filler_train.train(cut, settings)
        assert len(list(islice(events, place))) == place
        events.close()
        assert isinstance(list(filler_train.resume(cut))[-1], Done)
        for name in ("last", "best"):
            files = [folder / f"{name}.safetensors" for folder in (cut, tmp_path / "whole")]
            assert files[0].read_bytes() == files[1].read_bytes(), f"left after event {place}"
    epochs = [event for event in whole if isinstance(event, Epoch)]
    assert [event.epoch for event in epochs] == [1, 2, 3]
    assert {"val_psnr", "gain_strokes_7", "gain_strokes_15", "gain_lost_70"} <= epochs[-1].metrics.keys()
    trained, _ = checkpoints.load(tmp_path / "whole" / "last.safetensors", Filler)
    begun = photo_training.network(Filler, settings).state_dict()
    assert not [name for name, value in trained.state_dict().items() if torch.equal(value, begun[name])]


def test_holes_as_large_as_things_have_their_share_of_the_square():
    rng = np.random.default_rng(0)
    drawn = [holes.thing(rng, 64) for _ in range(200)]
    shares = [hole.mean() for hole in drawn]
    assert 0.01 <= min(shares) < 0.03 and 0.12 < max(shares) <= 0.35
    assert sum(hole[[0, -1]].any() or hole[:, [0, -1]].any() for hole in drawn) > 20  # some touch the rim


def test_the_coarse_loss_is_zero_for_the_truth_and_ignores_what_is_known():
    clean, hole = (
        torch.rand(2, 3, 16, 16, generator=generator(5)),
        torch.zeros(2, 1, 16, 16, dtype=torch.bool),
    )
    hole[:, :, 4:9, 5:12] = True
    assert filler_train.coarse(clean, clean, hole) == 0
    assert filler_train.coarse(torch.where(hole, clean, 0), clean, hole) == 0
    flat = filler_train.coarse(clean + 0.1 * hole, clean, hole)
    noisy = filler_train.coarse(
        clean + 0.1 * hole * torch.randn(2, 3, 16, 16, generator=generator(6)).sign(), clean, hole
    )
    assert flat > noisy > 0  # a wrong colour counts more than noise


def test_training_for_wide_holes_resumes(settings, tmp_path):
    wide = replace(settings, holes="wide")
    whole = list(filler_train.train(tmp_path / "whole", wide))
    events = filler_train.train(tmp_path / "cut", wide)
    list(islice(events, 4))
    events.close()
    assert isinstance(list(filler_train.resume(tmp_path / "cut"))[-1], Done)
    files = [tmp_path / name / "last.safetensors" for name in ("cut", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
    last = [event for event in whole if isinstance(event, Epoch)][-1]
    assert {"l1", "gain_smooth"} <= last.metrics.keys()


def test_a_trained_network_is_written_in_half_precision_and_used(settings, tmp_path, monkeypatch):
    list(filler_train.train(tmp_path / "run", replace(settings, epochs=1)))
    path = filler_train.export(tmp_path / "run", tmp_path / "filler.safetensors")
    model, metadata = filler.load(path)
    assert metadata["photographs"] == 3 and "train_dir" not in metadata
    assert path.stat().st_size < 0.6 * (tmp_path / "run" / "best.safetensors").stat().st_size
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    hole = masks.brush(40, 50, [[(5, 5), (40, 9)]], 3)
    monkeypatch.setattr(filler, "shipped", lambda: model)
    result, _ = finish(inpainting.Classical().paint(rgb, hole))
    assert (result == finish(filler.fill(model, rgb, hole))[0]).all()
    monkeypatch.setattr(filler, "shipped", lambda: None)
    fallback, _ = finish(inpainting.Classical().paint(rgb, hole))
    assert (fallback != result).any() and (fallback[~hole] == rgb[~hole]).all()


def test_what_cannot_be_trained_is_refused(tmp_path, photos):
    with pytest.raises(ValueError, match="divisible by 16"):
        Settings("x", crop=100)
    with pytest.raises(ValueError, match="lr is 2"):
        Settings("x", lr=2)
    with pytest.raises(ValueError, match="there is no folder"):
        list(filler_train.train(tmp_path / "run", Settings(str(tmp_path / "nothing"))))
    assert not (tmp_path / "run").exists()
    (tmp_path / "one").mkdir()
    images.save(images.read(photos / "0.png"), tmp_path / "one" / "0.png")
    with pytest.raises(ValueError, match="at least two"):
        list(filler_train.train(tmp_path / "run", Settings(str(tmp_path / "one"))))
    with pytest.raises(ValueError, match="run of 'digits'"):
        runs.create(tmp_path / "digits", "digits", Settings("x"))
        list(filler_train.resume(tmp_path / "digits"))
