"""The trainer, on generated pages and crops of 32 pixels."""

from dataclasses import replace

import pytest
import torch

from vision_core import checkpoints
from vision_core.events import Done, Epoch, Step
from vision_core.restoration import (
    HybridRestorer,
    Settings,
    ViTRestorer,
    data,
    load,
    networks,
    pages,
    resume,
    train,
    validation,
)
from vision_core.restoration.train import batches, recipe
from vision_core.restoration.validation import Validation
from vision_core.runs import Run


@pytest.fixture(autouse=True)
def small(monkeypatch, tiny_hybrid):
    """The hybrid network at a tiny size, small generated pages, and a validation of small crops."""
    monkeypatch.setattr(validation, "SIDE", 32)
    monkeypatch.setattr(pages, "page", lambda number, seed=0: _page(number, seed))


def _page(number, seed, draw_page=pages.page):
    return draw_page(number, seed, width=64, height=64)


QUICK = Settings(epochs=2, crops=8, batch_size=4, crop=32, lr=1e-3, generated=0.25)


@pytest.fixture
def whole(tmp_path):
    list(train(tmp_path / "whole", QUICK))
    return tmp_path / "whole"


def test_a_run_reports_every_term_and_keeps_what_it_should(tmp_path):
    events = list(train(tmp_path / "run", QUICK))
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert steps[0].losses.keys() == {"total", "l1", "perceptual"}
    losses = steps[0].losses
    weighted = losses["l1"] + 0.1 * losses["perceptual"]
    assert losses["total"] == pytest.approx(weighted, rel=1e-5)
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert epochs[-1].metrics["gain"].keys() >= {"noise", "holes", "mixture", "undamaged"}
    assert isinstance(events[-1], Done) and events[-1].result["val_psnr"] > 5
    names = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.*")}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "last.safetensors",
        "best.safetensors",
        "best_val_l1.safetensors",
        "previews/epoch_0001.jpg",
        "previews/epoch_0002.jpg",
    }


def test_every_parameter_moves(tmp_path, whole):
    trained, facts = checkpoints.load(whole / "last.safetensors", HybridRestorer)
    first = networks.build("hybrid").state_dict()
    still = [name for name, value in trained.state_dict().items() if torch.equal(value, first[name])]
    assert still == [] and facts["crop"] == 32 and facts["perceptual"] == "gradient"


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, whole):
    events = train(tmp_path / "part", QUICK)
    for event in events:
        if isinstance(event, Epoch):
            break
    events.close()
    assert Run(tmp_path / "part").status() == "stopped"
    list(resume(tmp_path / "part"))
    for name in ("last", "best"):
        assert (tmp_path / "part" / f"{name}.safetensors").read_bytes() == (
            whole / f"{name}.safetensors"
        ).read_bytes()
    with pytest.raises(ValueError, match="complete"):
        list(resume(whole))


def test_training_lowers_the_loss(tmp_path):
    settings = replace(QUICK, epochs=6, crops=32, batch_size=8, lr=1e-2, generated=0.0, every=6, ema=0.5)
    events = [event for event in train(tmp_path / "run", settings) if isinstance(event, Step)]
    first, last = (sum(e.losses["l1"] for e in part) for part in (events[:4], events[-4:]))
    assert last < 0.9 * first


def test_one_seed_gives_the_same_batches_and_another_epoch_others(page):
    found = [data.Page("a", page)]
    first, again, other = (next(iter(batches(found, QUICK, 1, epoch))) for epoch in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (4, 3, 32, 32)


def test_paper_takes_colours_between_its_own_and_another_pages():
    """Of two plain pages each crop has one of the colours between, darker by a quarter at most."""
    colours = torch.tensor([[240, 220, 180], [200, 200, 190]], dtype=torch.uint8)
    found = [
        data.Page(name, c.view(3, 1, 1).expand(3, 64, 64)) for name, c in zip("ab", colours, strict=True)
    ]
    assert torch.allclose(found[0].paper.flatten(), colours[0] / 255)
    settings = replace(QUICK, generated=0.0, papers=1.0, batch_size=64)
    clean = next(iter(batches(found, settings, 1, 1)))[0].float()[:, :, 0, 0]
    clean = clean[(clean - clean.mean(1, keepdim=True)).abs().amax(1) > 1]  # without the grey ones
    (red, green, blue), (red2, green2, blue2) = colours.float()
    warmth = clean[:, 0] / clean[:, 2]  # exposure changes no ratio
    assert warmth.min() > red2 / blue2 - 0.02 and warmth.max() < red / blue + 0.02
    assert warmth.std() > 0.02 and len(warmth.unique()) > 20
    assert clean[:, 1].min() > 0.75 * green2 - 2 and clean[:, 1].max() < green + 2


@pytest.mark.parametrize("part", ["light", "detail"])
def test_a_part_can_learn_alone(tmp_path, whole, part):
    settings = replace(QUICK, start=str(whole / "last.safetensors"), only=part, epochs=1)
    list(train(tmp_path / "part", settings))
    before, after = (
        checkpoints.load(folder / "last.safetensors", HybridRestorer)[0].state_dict()
        for folder in (whole, tmp_path / "part")
    )
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {part}


def test_one_crop_in_ten_is_left_undamaged():
    lengths = [len(recipe(seed)["steps"]) for seed in range(1000)]
    assert 60 < lengths.count(0) < 140 and lengths.count(1) > 300 and max(lengths) > 4


def test_the_validation_is_the_same_every_time_and_knows_the_identity(page, untrained):
    first, again = (Validation([data.Page("a", page)], 3) for _ in range(2))
    assert torch.equal(first.damaged, again.damaged)
    found = first.measure(untrained)
    assert found["val_gain"] == pytest.approx(0, abs=1e-4) and found["val_undamaged"] > 90
    by_hand = (first.damaged - first.clean)[:-5].pow(2).mean((1, 2, 3)).clamp(min=1e-10)
    assert found["val_psnr"] == pytest.approx((-10 * by_hand.log10()).mean().item(), abs=1e-3)


def test_the_original_trains_too(tmp_path):
    settings = replace(QUICK, network="tiny", epochs=1, crops=2, batch_size=2, generated=0.0)
    assert isinstance(list(train(tmp_path / "run", settings))[-1], Done)
    network, _ = load(tmp_path / "run" / "last.safetensors")
    assert isinstance(network, ViTRestorer) and network.architecture["image_size"] == 32


def test_a_training_can_start_from_weights(tmp_path, whole):
    settings = replace(QUICK, start=str(whole / "last.safetensors"), lr=1e-12, epochs=1)
    list(train(tmp_path / "on", settings))
    before, after = (
        checkpoints.load(folder / "last.safetensors", HybridRestorer)[0].state_dict()
        for folder in (whole, tmp_path / "on")
    )
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_wrong_settings_and_folders_are_one_sentence(tmp_path, whole):
    for change, message in (
        ({"network": "huge"}, "was expected"),
        ({"crop": 40}, "a multiple of 16"),
        ({"lr": 2.0}, "between 0 and 1"),
        ({"schedule": "steps"}, "cosine, constant"),
        ({"generated": 1.5}, "share from 0 to 1"),
        ({"papers": -0.1}, "share from 0 to 1"),
        ({"only": "colour"}, "light or detail"),
        ({"only": "light", "network": "tiny"}, "light or detail"),
        ({"floor": 0.0}, "between 0 and 1"),
        ({"epochs": 0}, "1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(QUICK, **change)
    with pytest.raises(ValueError, match="no folder"):
        list(train(tmp_path / "x", replace(QUICK, train_dir=str(tmp_path / "missing"))))
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="already holds a run"):
        list(train(whole, QUICK))
    with pytest.raises(ValueError, match=r"config.json"):
        list(resume(tmp_path / "nothing"))
