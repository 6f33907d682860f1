"""Tests of settings: validation, command options and paths from their fields."""

import json
import sys
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from vision_core.cli.training import training
from vision_core.cli.verbs import Answer
from vision_core.events import Done
from vision_core.settings import absolute, check, from_plain, setting

TRAINERS = [
    "color.objective",
    "digits.train",
    "leaves.train",
    "restoration.train",
    "editing.train",
    "editing.fill.filler_train",
    "smallworld.train",
]


@dataclass(frozen=True)
class Settings:
    data: str = setting(help="Folder of pictures.", path=True)
    epochs: int = setting(3, "Passes over the data.", least=1)
    lr: float = setting(0.1, "Learning rate.", above=0, below=1)
    share: float = setting(0.5, "A share.", least=0, most=1)
    way: Literal["short", "long"] = setting("short", "Which way.")
    flipped: bool = setting(True, "Whether it is flipped.", option="--flipped/--upright")
    patience: int | None = setting(None, "Epochs to wait.", least=0)
    inner: float = setting(2.0, least=1)

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, "epochs is 0; a number of 1 or more was expected"),
        ({"lr": 0.0}, "lr is 0.0; a number above 0 and below 1 was expected"),
        ({"lr": 1.0}, "lr is 1.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"share": 1.01}, "share is 1.01; a number from 0 to 1 was expected"),
        ({"way": "far"}, "way is 'far'; short or long was expected"),
        ({"patience": -1}, "patience is -1"),
        ({"inner": 0.5}, "inner is 0.5"),
    ],
)
def test_values_out_of_bounds_are_refused_with_the_bounds(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        Settings("x", **change)


def test_values_on_their_bounds_pass():
    for change in ({"epochs": 1}, {"share": 0.0}, {"share": 1.0}, {"patience": 0}, {"way": "long"}):
        assert from_plain(Settings, {"data": "x", **change}) == Settings("x", **change)


def test_paths_become_absolute_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute(Settings("pictures")) == Settings(str(tmp_path / "pictures"))


@pytest.fixture
def app(monkeypatch):
    """A program whose only `train` is that of a module with the settings above."""
    module = ModuleType("a_trainer")
    module.Settings = Settings  # pyright: ignore[reportAttributeAccessIssue]

    def train(out, settings, *, replace=False):
        yield Done({"settings": vars(settings), "replace": replace})

    module.train, module.resume = train, lambda out: iter(())  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "a_trainer", module)
    app = typer.Typer()
    app.callback()(lambda: None)

    @training(app, "a_trainer", arguments=("data",))
    def _train(folder: Path, result: dict) -> Answer:
        """Train on pictures."""
        return Answer(str(folder), result)

    return app


def ask(app, *words):
    result = CliRunner().invoke(app, ["train", *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_a_command_has_the_defaults_of_the_settings_and_takes_every_option(app):
    status, output = ask(app, "pictures", "--out", "run")
    assert status == 0 and output["settings"] == vars(Settings("pictures")) and output["replace"] is False
    words = "pictures --out run --epochs 7 --lr 0.5 --way long --upright --patience 2 --replace".split()
    status, output = ask(app, *words)
    settings = Settings("pictures", epochs=7, lr=0.5, way="long", flipped=False, patience=2)
    assert status == 0 and output["settings"] == vars(settings) and output["replace"] is True


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--out", "run"], "data is missing: Folder of pictures."),
        (["pictures"], "--out FOLDER is missing"),
        (["pictures", "--out", "run", "--lr", "2"], "lr is 2.0; a number above 0 and below 1 was expected"),
        (["pictures", "--out", "run", "--way", "far"], "way is 'far'; short or long was expected"),
        (["--resume", "run", "--epochs", "4"], "remove --epochs"),
    ],
)
def test_mistakes_are_the_sentences_of_the_settings(app, words, sentence):
    status, output = ask(app, *words)
    assert status == 2 and sentence in output["error"]


def test_help_shows_what_a_field_says_but_not_the_fields_without_help(app):
    text = CliRunner().invoke(app, ["train", "--help"], terminal_width=200).stdout
    assert all(word in text for word in ("Train on pictures.", "Folder of pictures.", "--way", "short|long"))
    assert "--inner" not in text


@pytest.mark.parametrize("name", TRAINERS)
def test_help_of_every_setting_is_a_sentence(name):
    kind = import_module(f"vision_core.{name}").Settings
    helps = {each.name: each.metadata["help"] for each in fields(kind) if each.metadata.get("help")}
    assert helps and all(help.endswith(".") for help in helps.values())
