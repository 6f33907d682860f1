"""Tests of tasks and recipes on photographs."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from vision_core.cli import app
from vision_core.pictures import images


@pytest.fixture(scope="module")
def disc() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:90, :120]
    inside = np.hypot(rows - 45, columns - 60) < 25
    rgb = np.where(inside[..., None], (200, 60, 40), (40, 90, 160)) + rng.integers(-12, 13, (90, 120, 3))
    return rgb.clip(0, 255).astype(np.uint8), inside


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["remove", "--mask", "circle", "--left", "9"], "only extend adds pixels: remove --left"),
        (["complete", "--ratio", "16:9"], "only extend adds pixels: remove --ratio"),
        (["extend", "--mask", "circle", "--left", "9"], "extend paints what it adds: remove --mask"),
        (["extend", "--ratio", "16:9", "--top", "9"], "not both: remove --top"),
        (["remove", "--mask", "circle", "--prompt", "grass"], "takes no text: remove --prompt"),
    ],
)
def test_an_option_that_the_task_would_ignore_is_refused(disc, tmp_path, words, said):
    images.save(images.Picture(disc[0]), tmp_path / "in.png")
    arguments = [
        "edit",
        "task",
        words[0],
        str(tmp_path / "in.png"),
        *words[1:],
        "--out",
        str(tmp_path / "a.png"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and said in result.stderr and not (tmp_path / "a.png").exists()


def test_a_task_and_its_recipe_again(disc, tmp_path):
    images.save(images.Picture(disc[0]), tmp_path / "in.png")
    runner, first, second = CliRunner(), tmp_path / "a.png", tmp_path / "b.png"
    command = [
        "edit",
        "task",
        "remove",
        str(tmp_path / "in.png"),
        "--mask",
        "box:40,30,60,50",
        "--out",
        str(first),
    ]
    result = runner.invoke(app, [*command, "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["recipe"]["task"] == "remove"
    result = runner.invoke(
        app, ["edit", "again", str(first), "--image", str(tmp_path / "in.png"), "--out", str(second)]
    )
    assert result.exit_code == 0 and first.read_bytes() == second.read_bytes()
    assert "note" not in result.stdout
    images.save(images.Picture(255 - disc[0]), tmp_path / "other.png")
    other = ["--image", str(tmp_path / "other.png"), "--out", str(second)]
    assert "shows another picture than" in runner.invoke(app, ["edit", "again", str(first), *other]).stdout
    assert (
        runner.invoke(
            app, ["edit", "again", str(tmp_path / "in.png"), "--image", "x", "--out", "y.png"]
        ).exit_code
        == 2
    )
