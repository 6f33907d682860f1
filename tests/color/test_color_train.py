"""Tests of training a colour map: learning, seeds, stopping, resuming."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vision_core import color, runs
from vision_core.color import feedback, objective
from vision_core.color.metrics import measure
from vision_core.color.palette import Palette, count_colors
from vision_core.events import Done, Preview, Step

SMALL = {"layers": 2, "hidden": 32, "batch": 128, "lr": 3e-3, "precision": "float32"}


def gradient_picture(size: int = 64) -> np.ndarray:
    """Smooth in all three channels, so that every share can be met."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1)
    return (np.dstack([x, y, (x + y) / 2]) * 255).astype(np.uint8)


PALETTE = Palette(
    np.array([[240, 230, 200], [200, 80, 40], [60, 90, 160], [20, 20, 30]], np.uint8),
    np.array([0.4, 0.3, 0.2, 0.1]),
)


def finish(events) -> color.ColorMap:
    return next(event.result for event in events if isinstance(event, Done))


def state(color_map: color.ColorMap) -> bytes:
    return b"".join(value.numpy().tobytes() for value in color_map.model.state_dict().values())


def test_it_learns_the_shares_of_the_palette():
    picture = gradient_picture()
    trained = finish(color.train(picture, PALETTE, color.Settings(epochs=250, **SMALL)))
    output = trained.recolor_colors(picture.reshape(-1, 3)).reshape(picture.shape)
    scores = measure(picture, output, PALETTE)
    assert scores["missing"] == []
    assert scores["total_variation"] < 0.1
    torch.manual_seed(0)
    untrained = color.ColorMap(color.ColorMapper(2, 32), PALETTE, {})
    before = untrained.recolor_colors(picture.reshape(-1, 3)).reshape(picture.shape)
    assert measure(picture, before, PALETTE)["total_variation"] > 2 * scores["total_variation"]


@pytest.mark.parametrize("head", ["rgb", "palette"])
def test_every_term_moves_every_parameter(head):
    settings = color.Settings(head=head, **SMALL)
    far = np.tile(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8), (64, 1, 1))  # torn even by this network
    counted = replace(count_colors(gradient_picture()), pairs=far)
    torch.manual_seed(0)
    model = color.ColorMapper(2, 32, head, PALETTE.colors.tolist())
    with torch.no_grad():
        model.out.weight.mul_(4)
    task = objective.task(
        counted,
        PALETTE,
        torch.device("cpu"),
        misplaced=np.array([True, False, False, False]),
        before=np.tile(PALETTE.colors[:1], (len(counted.colors), 1)),
    )
    for name, value in objective.terms(model, objective.draw(task, settings, 1), task, settings).items():
        model.zero_grad(set_to_none=True)
        value.backward(retain_graph=True)
        still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not still, f"{name} has no gradient in {still}"


def test_the_seed_decides():
    settings = color.Settings(epochs=5, **SMALL)
    first, again = (finish(color.train(gradient_picture(), PALETTE, settings)) for _ in range(2))
    other = finish(color.train(gradient_picture(), PALETTE, color.Settings(epochs=5, seed=1, **SMALL)))
    assert state(first) == state(again)
    assert state(first) != state(other)


def test_steps_tell_each_loss_apart_and_previews_come():
    picture = gradient_picture()
    events = list(
        color.train(picture, PALETTE, color.Settings(epochs=12, **SMALL), thumbnail=picture[::4, ::4])
    )
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.step for step in steps] == list(range(1, 13))
    weights = vars(color.LossWeights())
    for step in steps:
        assert step.losses["total"] == pytest.approx(
            sum(weights[n] * step.losses[n] for n in weights), rel=1e-4
        )
    previews = [event for event in events if isinstance(event, Preview)]
    assert [preview.title for preview in previews] == ["epoch 1", "epoch 10"]
    assert previews[0].image.shape == (16, 16, 3)


def test_leaving_early_keeps_the_model_and_resume_reaches_the_same_numbers(tmp_path):
    settings = color.Settings(epochs=30, **SMALL)
    whole = finish(color.train(gradient_picture(), PALETTE, settings))
    model = tmp_path / "m.safetensors"
    events = color.train(gradient_picture(), PALETTE, settings, out=tmp_path / "run", save=model)
    for event in events:
        if isinstance(event, Step) and event.step == 11:
            break
    events.close()
    assert color.load(model).metadata["training_epochs"] == 11
    assert state(color.load(tmp_path / "run" / "last.safetensors")) == state(color.load(model))
    assert runs.Run(tmp_path / "run").status() == "stopped"
    resumed = finish(color.resume(tmp_path / "run"))
    assert state(resumed) == state(whole) == state(color.load(model))
    logged = [e["step"] for e in runs.Run(tmp_path / "run").events() if e["event"] == "step"]
    assert logged == list(range(1, 31))


def test_a_finished_run_is_not_resumed_and_its_model_stays(tmp_path):
    model = tmp_path / "m.safetensors"
    settings = color.Settings(epochs=3, **SMALL)
    finish(color.train(gradient_picture(), PALETTE, settings, out=tmp_path / "run", save=model))
    model.write_bytes(b"fine-tuned since")
    with pytest.raises(ValueError, match="is complete"):
        finish(color.resume(tmp_path / "run"))
    assert model.read_bytes() == b"fine-tuned since"


def test_what_cannot_be_trained_leaves_an_earlier_run_alone(tmp_path):
    settings = color.Settings(epochs=2, **SMALL)
    out = tmp_path / "run"
    finish(color.train(gradient_picture(), PALETTE, settings, out=out))
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    for palette, sentence in (
        (settings, "already holds a run"),
        ({"device": "cuda:9"}, "not available on this machine"),
    ):
        other = (
            palette if isinstance(palette, color.Settings) else color.Settings(epochs=2, **palette, **SMALL)
        )
        with pytest.raises(ValueError, match=sentence):
            finish(color.train(gradient_picture(), PALETTE, other, out=out, replace=other is not settings))
        assert {path.name: path.read_bytes() for path in out.iterdir()} == files


@pytest.mark.parametrize("damage", [b"", b"PK", b"no archive", None])
def test_damaged_inputs_of_a_run_are_a_sentence(tmp_path, damage):
    settings = color.Settings(epochs=2, **SMALL)
    next(events := color.train(gradient_picture(), PALETTE, settings, out=tmp_path / "run"))
    events.close()
    file = tmp_path / "run" / "colors.npz"
    file.unlink() if damage is None else file.write_bytes(damage)
    with pytest.raises(ValueError, match="the inputs of"):
        finish(color.resume(tmp_path / "run"))


def test_a_new_training_forgets_the_ratings_of_the_old_model(tmp_path):
    model = tmp_path / "m.safetensors"
    feedback.add(model, PALETTE, [feedback.Rating()] * 4)
    settings = color.Settings(epochs=2, **SMALL)
    finish(color.train(gradient_picture(), PALETTE, settings, out=tmp_path / "run", save=model))
    assert feedback.read(model, PALETTE) == []


def test_a_disk_too_full_for_the_state_is_told_at_the_start_and_still_takes_the_model(tmp_path):
    code = (
        "import resource, numpy as np; from vision_core import color, runs\n"
        "rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_400_000,) * 2)\n"  # model: 1.07 MB, state: 3.2
        "asked = (rgb, color.extract(rgb), color.Settings(epochs=200))\n"
        "try: list(color.train(*asked, out='run', save='m.pth'))\n"
        "except OSError as error: print(error.errno, error.filename)"
    )
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True
    )
    assert process.stdout.split() == [str(errno.EFBIG), "run/resume.pt"], process.stderr
    assert runs.Run(tmp_path / "run").status() == "failed"
    assert 0 < color.load(tmp_path / "m.pth").metadata["training_epochs"] <= 100


def test_a_stop_request_ends_after_the_step(tmp_path):
    run, last = runs.Run(tmp_path / "run"), 0
    settings = color.Settings(epochs=1000, **SMALL)
    for event in color.train(gradient_picture(), PALETTE, settings, out=run.folder, save=tmp_path / "m.pth"):
        last = event.step if isinstance(event, Step) else 0
        if last == 7:
            runs.request_stop(run)
    assert last == 7
    assert color.load(tmp_path / "m.pth").metadata["training_epochs"] == 7


def test_early_stopping_waits_for_patience():
    settings = color.Settings(epochs=500, patience=200, cosine=False, **{**SMALL, "lr": 1e-12})
    steps = [e.step for e in color.train(gradient_picture(), PALETTE, settings) if isinstance(e, Step)]
    assert len(steps) == 200  # nothing improves on the untrained network


def test_a_one_colour_target_and_a_one_colour_source_train():
    one = Palette(np.array([[10, 200, 30]], np.uint8), np.ones(1))
    trained = finish(color.train(gradient_picture(), one, color.Settings(epochs=120, **SMALL)))
    output = trained.recolor_colors(gradient_picture().reshape(-1, 3))
    assert np.abs(output.astype(int) - [10, 200, 30]).mean() < 8
    dull = np.full((8, 8, 3), 77, np.uint8)
    assert finish(color.train(dull, PALETTE, color.Settings(epochs=3, **SMALL))).palette is PALETTE


def test_transport_keeps_the_order_of_lightness_and_reaches_the_palette():
    counted = count_colors(gradient_picture())
    from vision_core.color.spaces import encode

    lab, palette = encode(counted.colors, "oklab"), encode(PALETTE.colors, "oklab")
    expected = objective.transport(lab, counted.counts, palette, PALETTE.shares)
    order = lab[:, 0].argsort()
    assert (np.diff(expected[order, 0]) >= -1e-6).all()
    assert expected[:, 0].min() >= palette[:, 0].min() - 1e-6
    assert expected[:, 0].max() <= palette[:, 0].max() + 1e-6


def test_fine_tuning_moves_usage_in_the_asked_direction(tmp_path):
    picture = gradient_picture()
    trained = finish(color.train(picture, PALETTE, color.Settings(epochs=200, **SMALL)))
    ratings = [feedback.Rating(usage) for usage in (-2, 0, 2, 0)]
    feedback.add(tmp_path / "m.safetensors", PALETTE, ratings)
    sessions = feedback.read(tmp_path / "m.safetensors", PALETTE)
    assert sessions == feedback.read(tmp_path / "m.safetensors", PALETTE) == [ratings]
    shares, misplaced = feedback.wishes(PALETTE, sessions)
    tuned = finish(color.fine_tune(trained, picture, shares, misplaced))
    before, after = trained.used_shares(picture), tuned.used_shares(picture)
    assert after[0] < before[0] - 0.1
    assert after[2] > before[2] + 0.1
    assert np.abs(after - shares).sum() / 2 < 0.1
    assert tuned.metadata["fine_tuned_epochs"] == 150


def test_what_is_misplaced_leaves_its_place():
    picture = gradient_picture()
    trained = finish(color.train(picture, PALETTE, color.Settings(epochs=200, **SMALL)))
    misplaced = np.array([False, True, False, False])
    tuned = finish(color.fine_tune(trained, picture, PALETTE.shares, misplaced))
    colors = count_colors(picture).colors
    from vision_core.color.palette import assign

    before, after = (assign(m.recolor_colors(colors), PALETTE.colors) for m in (trained, tuned))
    stayed = (after[before == 1] == 1).mean()
    assert stayed < 0.6


def test_settings_that_cannot_work_are_refused():
    for bad in (
        {"lr": float("nan")},
        {"epochs": 0},
        {"batch": 3},
        {"precision": "int8"},
        {"head": "lab"},
        {"batch": 1 << 20},
    ):
        with pytest.raises(ValueError, match=next(iter(bad))):
            color.Settings(**bad)
    with pytest.raises(ValueError, match="weight of nearest is nan"):
        color.LossWeights(nearest=float("nan"))
