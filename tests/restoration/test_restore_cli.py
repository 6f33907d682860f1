"""Tests of the restore commands; errors are one sentence and status 2."""

from functools import partial
from pathlib import Path

import command_line
import numpy as np
import pytest
from typer.testing import CliRunner

from vision_core import checkpoints
from vision_core.cli import app
from vision_core.pictures import images
from vision_core.restoration import batch, reports

run, mistake = (partial(call, "restore") for call in (command_line.run, command_line.mistake))


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch, picture, network):
    monkeypatch.chdir(tmp_path)
    images.save(picture, "page.png")
    checkpoints.save("model.safetensors", network, {})


def test_damage_can_be_repeated_from_its_recipe():
    first = run(
        "damage", "page.png", "--out", "a.png", "--kind", "noise", "--kind", "stains", "--severity", 3
    )
    assert [step["kind"] for step in first["recipe"]["steps"]] == ["stains", "noise"]
    run("damage", "page.png", "--out", "b.png", "--recipe", "a.json")
    for option in ("seed", "severity"):
        message = mistake("damage", "page.png", "--out", "c.png", "--recipe", "a.json", f"--{option}", "4")
        assert f"--recipe defines the damage: remove --{option}" in message
    Path("empty.json").write_text('{"seed": 0, "steps": []}')
    assert "no steps" in mistake("damage", "page.png", "--out", "c.png", "--recipe", "empty.json")
    a, b, clean = (images.read(name).rgb for name in ("a.png", "b.png", "page.png"))
    assert np.array_equal(a, b) and not np.array_equal(a, clean)
    assert images.read("a.png").dpi == pytest.approx((300, 300), abs=0.1)


def test_a_refused_damage_writes_nothing(tmp_path):
    step = '{"seed": 1, "steps": [{"kind": "blur", "severity": %s, "sigma": %s}]}'
    for severity, sigma in (("NaN", "1.0"), ("1", "1e999"), ("9", "1.0"), ("1", "99")):
        (tmp_path / "r.json").write_text(step % (severity, sigma))
        mistake("damage", "page.png", "--out", "d.png", "--recipe", "r.json")
        assert not (tmp_path / "d.png").exists() and not (tmp_path / "d.json").exists()
    (tmp_path / "d.json").mkdir()
    assert "d.json is a folder" in mistake("damage", "page.png", "--out", "d.png")
    assert "cannot save an image as '.xyz'" in mistake("damage", "page.png", "--out", "e.xyz")
    assert not [path for path in tmp_path.iterdir() if path.name in ("d.png", "e.xyz", "e.json")]


def test_run_writes_a_page_and_its_verdict(picture):
    words = ("run", "page.png", "--model", "model.safetensors", "--out")
    output = run(*words, "a.png", "--no-gate", "--report", "a.csv")
    assert output["failed"] == 0 and output["pages"][0]["written"] == "a.png"
    assert output["pages"][0]["reason"] and not np.array_equal(images.read("a.png").rgb, picture.rgb)
    assert open("a.csv").readline().startswith("source,page,written,outcome,reason,notes")
    run(*words, "b.png", "--strength", 0, "--no-gate")
    assert np.array_equal(images.read("b.png").rgb, picture.rgb)
    images.save(images.Picture(np.full_like(picture.rgb, 255)), "mask.png")
    run(*words, "c.png", "--protect", "mask.png", "--no-gate")
    assert np.array_equal(images.read("c.png").rgb, picture.rgb)
    layer = np.zeros(picture.rgb.shape[:2], np.uint8)  # where it is opaque the original stays
    layer[:, : layer.shape[1] // 2] = 255
    for name, mask in (
        ("layer", images.Picture(np.zeros_like(picture.rgb), layer)),
        ("labels", images.Picture(np.repeat(layer[..., None] // 255, 3, 2))),
    ):
        images.save(mask, f"{name}.png")
        run(*words, f"with-{name}.png", "--protect", f"{name}.png", "--no-gate")
        kept = (images.read(f"with-{name}.png").rgb == picture.rgb).all(2)
        assert kept[layer > 0].all() and not kept[layer == 0].all()
    images.save(images.Picture(np.zeros_like(picture.rgb)), "black.png")
    assert "protects nothing" in mistake(*words, "e.png", "--protect", "black.png")
    run(*words, "d.tif", "--output", "binary", "--no-gate")
    assert set(np.unique(images.read("d.tif").rgb)) <= {0, 255}


def test_a_folder_tells_how_many_failed():
    images.save(images.read("page.png"), "in/a.png")
    with open("in/b.png", "wb") as file:
        file.write(b"no picture")
    output = run("run", "in", "--out", "out", "--model", "model.safetensors", status=1)
    assert output["failed"] == 1 and len(output["pages"]) == 2


def test_a_full_disk_says_which_page_failed_though_the_report_cannot_be_written(monkeypatch, picture):
    images.save(picture, "in/a.png")
    images.save(images.Picture(picture.rgb[::-1].copy()), "in/b.png")

    def full(page, path):
        if "b" in path.name:
            raise OSError(28, "No space left on device", str(path))
        real(page, path)

    real = batch.images.save
    monkeypatch.setattr(batch.images, "save", full)
    monkeypatch.setattr(reports.files, "write_text", lambda path, text: full(None, path.with_name("b")))
    words = ("run", "in", "--out", "out", "--model", "model.safetensors", "--report", "r.csv")
    output = mistake(*words)
    assert "page 1 of in/b.png could not be written (No space left on device)" in output


def test_pages_are_drawn_and_can_be_shown_in_the_flow():
    output = run("pages", "--out", "pages", "--number", 2)
    assert len(output["files"]) == 2 and images.read(output["files"][0]).rgb.shape == (1280, 848, 3)
    flow = run("flow", "page.png", "--out", "flow", "--model", "model.safetensors")
    assert len(flow["files"]) == 6


def test_evaluate_tells_pairs_from_pages(picture):
    images.save(picture, "pairs/x_source.png")
    images.save(picture, "pairs/x_target.png")
    output = run("evaluate", "pairs", "--model", "model.safetensors")
    assert output["rows"][0]["page"] == "x" and "mean_gain" in output["summary"]


def test_train_and_resume(tiny_network, monkeypatch):
    from vision_core.restoration import pages, validation

    real = pages.page
    monkeypatch.setattr(pages, "page", lambda number, seed=0: real(number, seed, width=64, height=64))
    monkeypatch.setattr(validation, "SIDE", 32)
    small = ("--epochs", 1, "--crops", 4, "--batch-size", 2, "--crop", 32)
    output = run("train", "--out", "run", *small)
    assert output["val_psnr"] > 5 and output["val_ink"] >= 0
    assert run("train", "--only", "light", "--out", "light", *small)["val_strange"] > 5
    parts = ("run/last.safetensors", "light/last.safetensors")
    assert run("join", *parts, "--out", "both.safetensors")["out"] == "both.safetensors"
    assert "complete" in mistake("train", "--resume", "run")
    assert "already holds a run" in mistake("train", "--out", "run", *small)


def test_mistakes_are_one_sentence():
    assert "no damage is called 'fire'" in mistake("damage", "page.png", "--out", "a.png", "--kind", "fire")
    words = ["restore", "damage", "page.png", "--out", "a.png", "--severity", "9"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "--severity" in result.output and not Path("a.png").exists()
    assert "strength is 2" in mistake("run", "page.png", "--out", "a.png", "--strength", 2)
    assert "no file" in mistake("run", "missing.png", "--out", "a.png", "--method", "classical")
    assert "would replace" in mistake("run", "page.png", "--out", "page.png", "--method", "classical")
    assert "there is no weights file" in mistake("run", "page.png", "--out", "a.png", "--model", "none.pth")
    assert "--out FOLDER is missing" in mistake("train")
    assert "schedule is 'steps'" in mistake("train", "--out", "r", "--schedule", "steps")
