"""Tests of the commands."""

import json
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import command_line
import pytest
from PIL import Image

from vision_core.leaves.generate import CLASSES

ask = partial(command_line.ask, "leaves")


def test_look_at_a_folder(leaf_folder, tmp_path):
    status, output = ask("distribution", leaf_folder, "--out", tmp_path / "classes.html")
    assert status == 0 and output["counts"] == dict.fromkeys(CLASSES, 15) and output["ratio"] == 1
    assert "plotly" in (tmp_path / "classes.html").read_text()
    status, output = ask("split", leaf_folder, "--out", tmp_path / "manifest.json", "--seed", 1)
    assert status == 0 and sum(output["counts"]["rust"].values()) == 15 and output["leaks"] == []
    assert json.loads((tmp_path / "manifest.json").read_text())["classes"] == list(CLASSES)
    leaf = next((leaf_folder / "rust").iterdir())
    status, output = ask("augment", leaf, "--out", tmp_path / "kinds")
    assert status == 0 and len(output["kinds"]) == 6 and len(output["files"]) == 7
    assert all(Image.open(file).size == (64, 64) for file in output["files"])
    assert ask("augment", leaf_folder, "--out", tmp_path / "more", "--balance")[1][
        "written"
    ] == dict.fromkeys(CLASSES, 0)
    status, output = ask("transform", leaf_folder / "rust", "--out", tmp_path / "steps")
    stem = Path(next(iter(output["leaves"]))).stem
    names = {path.name.removeprefix(stem) for path in (tmp_path / "steps").iterdir()}
    assert {"_blur.png", "_mask.png", "_roi.png", "_analysis.png", "_landmarks.png", ".json"} <= names


def test_generate_train_evaluate_predict_explain_bundle(tmp_path):
    data, run, model = tmp_path / "data", tmp_path / "run", tmp_path / "leaf.zip"
    status, output = ask("generate", "--out", data, "--images", 24, "--seed", 2, "--size", 64)
    assert status == 0 and output["counts"] == dict.fromkeys(CLASSES, 6)
    status, output = ask(
        "train", data, "--out", run, "--epochs", 2, "--crop", 32, "--batch-size", 8, "--cache-features"
    )
    assert status == 0 and output["metrics"]["test"]["images"] == 4
    assert "already holds a run" in ask("train", data, "--out", run)[1]["error"]
    assert "is complete" in ask("train", "--resume", run)[1]["error"]
    assert ask("bundle", run, "--out", model)[1]["bytes"] == model.stat().st_size
    status, output = ask("evaluate", data, "--model", model, "--ground")
    assert status == 0 and {"accuracy", "macro_f1", "ece", "per_class", "confusion"} <= output.keys()
    assert output["images"] == 24 and output["trained_on"] == 20 and sum(map(sum, output["confusion"])) == 24
    leaf = next((data / "rot").iterdir())
    status, output = ask("predict", leaf, data / "rust", "--model", model)
    assert status == 0 and len({each["file"] for each in output["predictions"]}) == 7
    first = output["predictions"][0]
    assert first["file"] == str(leaf) and first["label"] in CLASSES and isinstance(first["known"], bool)
    assert first["probability"] == max(first["probabilities"].values())
    status, output = ask("explain", leaf, "--out", tmp_path / "why.png", "--model", model)
    assert status == 0 and Image.open(tmp_path / "why.png").height == 32


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["distribution", "nowhere"], "there is no folder nowhere"),
        (["train", "nowhere", "--out", "run"], "there is no folder"),
        (["train", "--out", "run"], "data is missing: Folder, or ZIP of one, whose subfolders are"),
        (["train", "nowhere"], "--out FOLDER is missing"),
        (["train", "--resume", "nowhere"], "there is no file"),
        (["predict", "nothing.jpg", "--model", "nothing.zip"], "there is no weights file nothing.zip"),
        (["bundle", "nowhere", "--out", "m.zip"], "there is no file"),
        (["bundle", "nowhere", "--out", "m.exe"], "no known form"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    status, output = ask(*arguments)
    assert status == 2 and sentence in output["error"] and "\n" not in output["error"]
    assert not (tmp_path / "run").exists()


def packed(path, files):
    with ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_class_folders_is_used_as_the_folder_is(leaf_folder, tmp_path):
    files = {
        f"leaves/{path.relative_to(leaf_folder)}": path.read_bytes() for path in leaf_folder.rglob("*.jpg")
    }
    data = packed(
        tmp_path / "leaves.zip", {**files, "__MACOSX/leaves/rust/._0.jpg": b"", "leaves/a.txt": b""}
    )
    assert ask("distribution", data)[1]["counts"] == dict.fromkeys(CLASSES, 15)
    run = tmp_path / "run"
    train = ("train", data, "--out", run, "--epochs", 1, "--crop", 32, "--cache-features", "--views", 1)
    status, output = ask(*train)
    assert status == 0 and sum(map(sum, (n.values() for n in output["images"].values()))) == 60
    assert all((run / "pictures" / "leaves" / name).is_dir() for name in CLASSES)
    status, output = ask("evaluate", data, "--model", run / "model.safetensors", "--camera")
    assert status == 0 and output["images"] == 60 and output["camera"]["as it is"]["of_clean"] == 1
    status, output = ask("teach", data, "--out", tmp_path / "taught.safetensors")
    assert status == 0 and output["metrics"]["left_out"]["images"] == 60


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"../a.jpg": b"x"}, "the name '../a.jpg' in the ZIP leads out of its folder"),
        ({"/etc/a.jpg": b"x"}, "leads out of its folder"),
        ({"C:\\a.jpg": b"x"}, "leads out of its folder"),
        ({"a.jpg": b"x", "a.jpg/b.jpg": b"x"}, "'a.jpg/b.jpg' of the ZIP cannot be written"),
        ({"README.md": b"x"}, "it holds no pictures"),
        ({"rust/a.jpg": b"x" * 2_000_000}, "more than 1 MB"),
        ({f"rust/{n}.jpg": b"x" for n in range(9)}, "at most 8 are accepted"),
        ({"rust/a.jpg": b"x"}, "x.zip has only the class 'rust'"),
        ({"a.zip": b"x", "b.zip": b"x"}, "the ZIP holds another archive, 'a.zip': unpack that first"),
    ],
)
def test_a_zip_that_cannot_be_used_is_one_sentence(tmp_path, monkeypatch, files, sentence):
    monkeypatch.setenv("VISION_CORE_MAX_LEAVES_MB", "1")
    monkeypatch.setenv("VISION_CORE_MAX_LEAVES_PICTURES", "8")
    status, output = ask("train", packed(tmp_path / "x.zip", files), "--out", tmp_path / "run")
    assert status == 2 and sentence in output["error"] and "/tmp/tmp" not in output["error"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("flags", 1, "the ZIP is encrypted: pack it without a password"),
        ("method", 9, "'rust/a.jpg' in the ZIP is compressed in an unusual way: use Deflate"),
        ("content", b"y", "'rust/a.jpg' in the ZIP is damaged: Bad CRC-32"),
    ],
)
def test_why_a_zip_is_not_unpacked_is_said(tmp_path, field, value, sentence):
    path = packed(tmp_path / "x.zip", {"rust/a.jpg": b"x"})
    data = bytearray(path.read_bytes())
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    match field:
        case "flags":
            data[local + 6] = data[central + 8] = value
        case "method":
            data[local + 8] = data[central + 10] = value
        case _:
            at = local + 30 + len("rust/a.jpg")
            data[at : at + 1] = value
    path.write_bytes(data)
    status, output = ask("distribution", path)
    assert status == 2 and sentence in output["error"]


def test_a_zip_of_another_name_and_one_of_macos_are_read_and_other_files_are_named(leaf_folder, tmp_path):
    files = {f"grün/{path.name}": path.read_bytes() for path in (leaf_folder / "rust").glob("*.jpg")}
    files |= {f"scab/{path.name}": path.read_bytes() for path in (leaf_folder / "scab").glob("*.jpg")}
    path = packed(tmp_path / "leaves.bak", files)
    data = bytearray(path.read_bytes())  # macOS does not mark its names as UTF-8
    for mark, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            data[at + offset] &= ~8
    path.write_bytes(data)
    assert ask("distribution", path)[1]["counts"] == {"grün": 15, "scab": 15}
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    status, output = ask("distribution", tmp_path / "x.rar")
    assert status == 2 and "x.rar is a file, and no ZIP" in output["error"]
