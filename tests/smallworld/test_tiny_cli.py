"""Tests of the commands of the small world."""

from functools import partial

import command_line
import pytest

from vision_core.cli.edit_tiny import app

ask = partial(command_line.ask, app=app)


def test_train_export_evaluate(tmp_path):
    run, models = tmp_path / "run", tmp_path / "models"
    arguments = ["--steps", 1, "--epochs", 2, "--batch-size", 2, "--scenes", 4, "--device", "cpu"]
    status, trained = ask("train", "judge", "--out", run, *arguments)
    assert status == 0 and trained["weights"] == str(run / "last.safetensors")
    status, exported = ask("export", run, "--out", models)
    assert status == 0 and exported["out"] == str(models / "judge.safetensors")
    status, measured = ask("evaluate", models, "--edits", 2, "--scenes", 4)
    assert status == 0 and 0 <= measured["thing_accuracy"] <= 1
    status, again = ask("train", "--resume", run)
    assert status == 2 and "is complete" in again["error"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["train", "judge"], "--out FOLDER"),
        (
            ["train", "--out", "x"],
            "NETWORK is missing, expected one of autoencoder, clip, dino, judge, painter",
        ),
        (["train", "gan", "--out", "x"], "network is 'gan'"),
        (["train", "painter", "--out", "x"], "name its folder"),
        (["train", "--resume", "x"], "x/config.json"),
        (["export", "x", "--out", "y"], "x/config.json"),
        (["evaluate", "x"], "x holds no network of the small world"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, output = ask(*arguments)
    assert status == 2 and sentence in output["error"]
    assert list(tmp_path.iterdir()) == []
