"""Tests of the trainer on generated pages and crops of 32 pixels."""

from dataclasses import replace

import pytest
import torch

from vision_core import checkpoints
from vision_core.events import Done, Epoch, Step
from vision_core.restoration import (
    PageRestorer,
    Settings,
    ViTRestorer,
    data,
    learn_detail,
    learn_whole,
    load,
    networks,
    pages,
    resume,
    train,
    validation,
)
from vision_core.restoration.learn_whole import recipe
from vision_core.restoration.validation import Validation
from vision_core.runs import Run


@pytest.fixture(autouse=True)
def small(monkeypatch, tiny_network):
    """The network at a tiny size, small generated pages, and a validation of small crops."""
    monkeypatch.setattr(validation, "SIDE", 32)
    monkeypatch.setattr(pages, "page", lambda number, seed=0: _page(number, seed))


def _page(number, seed, draw_page=pages.page):
    return draw_page(number, seed, width=64, height=64)


QUICK = Settings(epochs=2, crops=8, batch_size=4, crop=32, lr=1e-3)
ORIGINAL = replace(QUICK, network="tiny", epochs=1, crops=2, batch_size=2)


@pytest.fixture
def whole(tmp_path):
    list(train(tmp_path / "whole", QUICK))
    return tmp_path / "whole"


def test_a_run_reports_every_term_and_keeps_what_it_should(tmp_path):
    events = list(train(tmp_path / "run", QUICK))
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.step for step in steps] == [1, 2, 3, 4]
    weights = learn_detail.Lesson.weights
    losses = steps[0].losses
    assert losses.keys() == {"total", *weights}
    assert losses["total"] == pytest.approx(sum(weights[n] * losses[n] for n in weights), rel=1e-4)
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert epochs[-1].metrics.keys() >= {"val_score", "val_gain", "val_undamaged", "val_ink"}
    assert isinstance(events[-1], Done) and events[-1].result["val_psnr"] > 5
    names = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.*")}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "last.safetensors",
        "best.safetensors",
        "previews/epoch_0001.jpg",
        "previews/epoch_0002.jpg",
    }


@pytest.mark.parametrize("part", ["light", "detail"])
def test_every_parameter_of_a_part_moves_and_none_of_the_other(tmp_path, part):
    settings = replace(QUICK, only=part, epochs=3, crops=16)
    list(train(tmp_path / "run", settings))
    trained, facts = checkpoints.load(tmp_path / "run" / "last.safetensors", PageRestorer)
    first = networks.build("pages").state_dict()
    for name, value in trained.state_dict().items():
        assert torch.equal(value, first[name]) == (name.split(".")[0] != part), name
    assert facts["crop"] == 32 and facts["only"] == part


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


@pytest.mark.parametrize(("part", "term"), [("detail", "ink"), ("light", "doubt")])
def test_training_lowers_the_loss(tmp_path, part, term):
    settings = replace(QUICK, only=part, epochs=8, crops=64, batch_size=8, lr=3e-3, every=8, ema=0.5)
    events = [event for event in train(tmp_path / "run", settings) if isinstance(event, Step)]
    first, last = (sum(e.losses[term] for e in some) / 8 for some in (events[:8], events[-8:]))
    assert last < first - 0.1


def test_one_seed_gives_the_same_batches_and_another_epoch_others(page):
    source = [data.Page("a", page)]
    lesson = learn_whole.Lesson(source, source, seed=0, size=4, count=1, side=32)
    first, again, other = (next(lesson.batches(epoch)) for epoch in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (4, 3, 32, 32)


class Same(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x


def test_one_crop_in_ten_is_left_undamaged():
    lengths = [len(recipe(seed)["steps"]) for seed in range(1000)]
    assert 60 < lengths.count(0) < 140 and lengths.count(1) > 300 and max(lengths) > 4


def test_the_validation_of_the_original_is_the_same_every_time_and_knows_the_identity(page):
    first, again = (Validation([data.Page("a", page)], 3) for _ in range(2))
    assert torch.equal(first.damaged, again.damaged)
    scores = first.measure(Same())
    assert scores["val_gain"] == pytest.approx(0, abs=1e-4) and scores["val_undamaged"] > 90
    by_hand = (first.damaged - first.clean)[:-5].pow(2).mean((1, 2, 3)).clamp(min=1e-10)
    assert scores["val_psnr"] == pytest.approx((-10 * by_hand.log10()).mean().item(), abs=1e-3)


def test_the_original_trains_too(tmp_path):
    events = list(train(tmp_path / "run", replace(ORIGINAL, generated=0.5)))
    losses = events[0].losses
    assert losses["total"] == pytest.approx(losses["l1"] + 0.1 * losses["perceptual"], rel=1e-5)
    assert isinstance(events[-1], Done)
    network, _ = load(tmp_path / "run" / "last.safetensors")
    assert isinstance(network, ViTRestorer) and network.architecture["image_size"] == 32


def test_a_training_can_start_from_weights(tmp_path, whole):
    settings = replace(QUICK, start=str(whole / "last.safetensors"), lr=1e-12, epochs=1)
    list(train(tmp_path / "on", settings))
    before, after = (
        checkpoints.load(folder / "last.safetensors", PageRestorer)[0].state_dict()
        for folder in (whole, tmp_path / "on")
    )
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_wrong_settings_and_folders_are_one_sentence(tmp_path, whole):
    for change, message in (
        ({"network": "huge"}, "was expected"),
        ({"crop": 40}, "divisible by 16"),
        ({"lr": 2.0}, "above 0 and below 1"),
        ({"schedule": "steps"}, "cosine or constant"),
        ({"generated": 1.5}, "a number from 0 to 1"),
        ({"only": "colour"}, "detail or light"),
        ({"floor": 0.0}, "above 0 and below 1"),
        ({"epochs": 0}, "from 1 to"),
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
