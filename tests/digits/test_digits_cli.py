"""Tests of the commands."""

import resource
from functools import partial

import command_line
import pytest
from PIL import Image

from vision_core import digits
from vision_core.files import bundled

ask = partial(command_line.ask, "digits")


@pytest.fixture
def small(tiny):
    return ["--data", tiny, "--epochs", 2, "--batches", 2, "--batch-size", 16]


def test_train_export_site_predict(small, tmp_path):
    run, page = tmp_path / "run", tmp_path / "page"
    status, trained = ask("train", "--out", run, *small)
    assert status == 0
    assert trained["epoch"] == 2 and 0 <= trained["metrics"]["test_accuracy"] <= 1

    status, exported = ask("export", run, "--out", tmp_path / "run.json", "--dtype", "float32")
    assert status == 0
    assert {name: len(open(name, "rb").read()) for name in exported["files"]} == exported["files"]

    page.mkdir()
    (page / ".gitattributes").write_text("kept")
    status, site = ask("site", "--out", page, "--run", run)
    assert status == 0
    shown = digits.read_export(page / "data" / "digits.json").index["epochs"]
    assert [(e["epoch"], e.get("batch")) for e in shown] == [(0, None), (0.5, 1), (1, None), (2, None)]
    front = (page / "README.md").read_text("utf-8").split("---")[1]
    assert "sdk: static" in front and "app_file: index.html" in front
    assert {"index.html", "README.md", ".gitattributes"} <= {p.name for p in page.iterdir()}
    assert str(page / "data" / "digits.bin") in site["files"]
    assert ask("site", "--out", page, "--run", tmp_path / "none")[0] == 2  # and the page stays as it was
    assert digits.read_export(page / "data" / "digits.json").index["epochs"] == shown

    seven = digits.load().test.first(1)[7, 0].numpy()
    Image.fromarray(255 - seven).resize((280, 280)).save(tmp_path / "seven.png")
    status, read = ask("predict", tmp_path / "seven.png")
    assert (status, read["digit"]) == (0, 7)
    assert sum(read["probabilities"]) == pytest.approx(1, abs=1e-5)
    own = ask("predict", tmp_path / "seven.png", "--weights", run / "final_model_weights.pth")
    assert own[0] in (0, 1)  # two epochs of two batches need not be sure


def test_site_without_a_run_shows_the_default(tmp_path):
    assert ask("site", "--out", tmp_path / "page")[0] == 0
    shown = digits.read_export(tmp_path / "page" / "data" / "digits.json").index["epochs"]
    assert [e["epoch"] for e in shown if "batch" not in e] == list(range(21))
    assert [e["batch"] for e in shown if "batch" in e] == [1, 2, 5, 10, 20, 50]  # of 100 in the first epoch
    assert not (tmp_path / "page" / "package.json").exists()


def test_resume_needs_an_unfinished_run_and_keeps_its_settings(small, tmp_path):
    run = tmp_path / "run"
    assert "there is no file" in ask("train", "--resume", run)[1]["error"]
    assert "--out FOLDER is missing" in ask("train", *small)[1]["error"]
    assert ask("train", "--out", run, *small)[0] == 0
    assert "already holds a run" in ask("train", "--out", run, *small)[1]["error"]
    assert "is complete" in ask("train", "--resume", run)[1]["error"]
    status, message = ask("train", "--resume", run, "--lr", "0.1")
    assert (status, message["error"]) == (2, "--resume keeps the settings of the run: remove --lr")
    status, again = ask("train", "--out", run, "--replace", *small, "--seed", 4)
    assert status == 0 and again["seed"] == 4


def test_mistakes_are_one_sentence(tmp_path):
    status, output = ask("train", "--out", tmp_path / "run", "--data", tmp_path)
    assert status == 2 and "holds no train-images-idx3-ubyte" in output["error"]
    status, output = ask("train", "--out", tmp_path / "run", "--download")
    assert status == 2 and "requires a folder" in output["error"]
    status, output = ask("export", tmp_path, "--out", tmp_path / "x.json")
    assert status == 2 and "there is no file" in output["error"]
    assert not (tmp_path / "run").exists()


def test_the_page_is_not_written_over_itself():
    for folder in ("digits_site", "digits_site/data"):
        with pytest.raises(ValueError, match="is the source of the page"):
            digits.publish(bundled("apps") / folder)


def test_a_full_disk_leaves_an_older_page_as_it_was(tmp_path):
    """The kernel refuses files of more than 300 kB, as a full disk does in the middle of the page."""
    page, limits = tmp_path / "page", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        assert ask("site", "--out", page) == (2, {"error": f"File too large: {page}"})
        assert not page.exists()
        page.mkdir()
        (page / "index.html").write_text("the older page")
        (page / "mine.html").write_text("mine")
        assert ask("site", "--out", page)[0] == 2
        assert sorted(path.name for path in page.iterdir()) == ["index.html", "mine.html"]
        assert (page / "index.html").read_text() == "the older page"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ask("site", "--out", page)[0] == 0
    assert (page / "mine.html").read_text() == "mine" and (page / "data" / "digits.bin").is_file()
    assert (page / "index.html").read_text() != "the older page"
    assert not list(page.glob(".*"))
