"""Tests of the colour commands; errors are one sentence and status 2."""

import json
import zlib
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import command_line
import numpy as np
import pytest
import torch
from PIL import Image

from vision_core import color
from vision_core.color import lut, lut_files, palette_files
from vision_core.files import bundled
from vision_core.pictures import images
from vision_core.weights import find

CAT = bundled("assets") / "color" / "cat.jpg"
MODEL = find("color")


run, mistake = (partial(call, "color") for call in (command_line.run, command_line.mistake))


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(images.read(CAT).rgb[::6, ::6]).save("small.png")
    lut_files.write("look.cube", 1 - lut.identity(5))  # applied at once, where it matters little what is


def test_palette_writes_what_it_prints():
    output = run("palette", "small.png", "--colors", 6, "--out", "p.json")
    assert len(output["colors"]) == 6
    assert sum(output["shares"]) == pytest.approx(1)
    assert palette_files.to_hex(palette_files.read("p.json").colors) == output["colors"]


def test_train_apply_lut_lowpoly_feedback():
    Path("p.hex").write_text("f0e6c8\nc85028\n3c5aa0\n14141e\n")
    trained = run("train", "small.png", "--palette", "p.hex", "--save", "m.safetensors", "--epochs", 30)
    assert trained["epochs"] == 30
    assert Path(trained["run"]).parent == Path("runs/color")
    assert Path(trained["run"], "metrics.jsonl").is_file()
    Path("shelf").mkdir()
    for name in ("a.png", "b.jpg"):
        Image.open("small.png").save(Path("shelf") / name)
    written = run("apply", "shelf", "--model", "m.safetensors", "--out", "done")["written"]
    assert sorted(written) == ["done/a.png", "done/b.jpg"]
    assert run("lut", "--model", "m.safetensors", "--out", "m.cube", "--size", 17)["size"] == 17
    assert lut_files.read("m.cube").shape == (17, 17, 17, 3)
    assert run("lowpoly", "small.png", "--out", "l.svg", "--model", "m.safetensors")["triangles"] > 10
    assert Path("l.svg").read_text().startswith("<?xml") or "<svg" in Path("l.svg").read_text()
    words = ("--model", "m.safetensors", "--source", "small.png", "--rate", "#3c5aa0=2", "--epochs", 20)
    usage = {row["color"]: row for row in run("feedback", *words)["usage"]}
    assert usage["#3c5aa0"]["wanted"] > 0.25
    assert json.loads(Path("m.feedback.json").read_text())["sessions"][0]["ratings"]
    before = Path("m.feedback.json").read_bytes()
    run("feedback", *words, "--save", "new.safetensors")
    assert Path("m.feedback.json").read_bytes() == before  # that model was not tuned again
    assert len(json.loads(Path("new.feedback.json").read_text())["sessions"]) == 2


def test_compare_writes_a_grid_and_a_table():
    output = run("compare", "small.png", "small.png", "--out", "grid.png", "--model", MODEL)
    assert len(output["table"]) == 6
    assert images.read("grid.png").rgb.shape[1] > 1000
    assert json.loads(Path("grid.json").read_text()) == output["table"]


def test_applying_replaces_neither_a_result_nor_an_original():
    for name in ("d1/a.png", "d1/a-2.png", "d2/a.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.open("small.png").save(name)
    assert len(run("apply", "d1", "d2", "--lut", "look.cube", "--out", "d3")["written"]) == 3
    assert len(list(Path("d3").iterdir())) == 3
    again = run("apply", "d1", "gone.png", "--lut", "look.cube", "--out", "d3", status=1)
    assert len(again["written"]) == 2 and "no file" in again["failed"]["gone.png"]
    assert list(run("apply", "d2/a.png", "--lut", "look.cube", "--out", "v2.1")["written"]) == ["v2.1/a.png"]
    before = Path("d2/a.png").read_bytes()
    assert "would replace" in mistake("apply", "d2/a.png", "--lut", "look.cube", "--out", "d2")
    assert "would replace" in mistake("apply", "d2/a.png", "--lut", "look.cube", "--out", "d2/a.png")
    assert Path("d2/a.png").read_bytes() == before


def test_transparent_pixels_have_no_colour():
    pixels = np.zeros((50, 50, 4), np.uint8)
    pixels[:10, :10] = (220, 40, 40, 255)
    pixels[20:, 20:] = (0, 0, 255, 0)
    Image.fromarray(pixels).save("sticker.png")
    result = {"colors": ["#dc2828"], "shares": [1.0], "file": None, "notes": []}
    assert run("palette", "sticker.png") == result


def test_applying_leaves_out_what_is_no_image_and_says_so():
    Path("bad.png").write_text("not an image")
    Path("cut.avif").write_bytes(avif("small.png")[:-50])
    words = ("apply", "bad.png", "cut.avif", "small.png", "--lut", "look.cube", "--out", "done")
    output = run(*words, status=1)
    assert list(output["written"]) == ["done/small.png"]
    assert "not an image" in output["failed"]["bad.png"] and "damaged" in output["failed"]["cut.avif"]


def avif(name: str) -> bytes:
    buffer = BytesIO()
    Image.open(name).save(buffer, "AVIF")
    return buffer.getvalue()


def test_a_stopped_batch_goes_on():
    Path("done").mkdir()
    Path("done/small.png").write_bytes(b"of an earlier call")
    words = ("apply", "small.png", CAT, "--lut", "look.cube", "--out", "done")
    output = run(*words, "--skip-existing")
    assert (output["skipped"], list(output["written"])) == (["done/small.png"], ["done/cat.jpg"])
    assert Path("done/small.png").read_bytes() == b"of an earlier call"
    assert len(run(*words)["written"]) == 2 and images.read("done/small.png")


def bomb(path: Path) -> None:
    """A PNG of 12000 x 12000 black pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    rows = zlib.compress(b"\0" * (12000 * 12001 // 8), 9)
    header = (12000).to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def test_mistakes_are_sentences():
    bomb(Path("bomb.png"))
    Path("empty.png").touch()
    Path("drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    Path("folder").mkdir()
    assert "is empty" in mistake("palette", "empty.png")
    assert "SVG" in mistake("palette", "drawing.svg")
    assert "144 megapixels" in mistake("palette", "bomb.png")
    assert "is a folder" in mistake("palette", "folder")
    assert "no file" in mistake("palette", "missing.png")
    assert "either a TARGET picture or --palette" in mistake("train", "small.png", "--save", "m.pth")
    assert "saved as .safetensors or .pth" in mistake("train", "small.png", "small.png", "--save", "m.bin")
    assert "lr is nan" in mistake("train", "small.png", "small.png", "--save", "m.pth", "--lr", "nan")
    assert "no loss term 'beauty'" in mistake(
        "train", "small.png", "small.png", "--save", "m.pth", "--weight", "beauty=1"
    )
    assert "there is no file" in mistake("train", "--resume", "nowhere")
    assert "remove --save" in mistake("train", "--resume", "nowhere", "--save", "m.pth")
    assert "--out FOLDER is missing" in mistake("train", "small.png", "small.png")
    assert "strengths" in mistake("apply", "small.png", "--model", MODEL, "--out", "o.png", "--strength", "2")
    for command in (("apply", "small.png", "--model", MODEL), ("compare", "small.png", "small.png")):
        assert "a picture is saved as .png" in mistake(*command, "--out", "result.gif")
    assert "has no usage" in mistake("feedback", "--model", MODEL, "--source", "small.png", "--rate", "#12")
    assert "not in the model's palette" in mistake(
        "feedback", "--model", MODEL, "--source", "small.png", "--rate", "#123456=1"
    )


class Evil:
    def __reduce__(self):
        return (Path("owned").touch, ())


def test_models_that_are_not_are_refused_and_run_nothing():
    torch.save({"model_state_dict": Evil()}, "evil.pth")
    assert "refused" in mistake("lut", "--model", "evil.pth", "--out", "m.cube")
    assert not Path("owned").exists()
    Path("cut.safetensors").write_bytes(MODEL.read_bytes()[:5000])
    assert "not a complete" in mistake("lut", "--model", "cut.safetensors", "--out", "m.cube")
    digits = bundled("models") / "digits" / "final_model_weights.pth"
    assert "DigitNet" in mistake("lut", "--model", digits, "--out", "m.cube")
    assert not Path("m.cube").exists()


def test_a_model_that_tells_nothing_of_its_training_is_refused():
    trained = color.load(MODEL)
    for name, value in (("settings", None), ("settings", {"batch": 10**9}), ("fine_tuned_epochs", "x")):
        color.save(replace(trained, metadata={**trained.metadata, name: value}), "odd.safetensors")
        words = ("--model", "odd.safetensors", "--source", "small.png", "--rate", "#ffffff=1")
        assert "has no valid palette" in mistake("feedback", *words)


def test_odd_pictures_go_through():
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save("dot.png")
    Image.fromarray(np.zeros((20000, 1, 3), np.uint8)).save("line.png")
    for name in ("dot.png", "line.png"):
        assert run("palette", name)["shares"] == [1.0]
        run("apply", name, "--model", MODEL, "--out", "o.png")
        assert images.read("o.png").rgb.shape == images.read(name).rgb.shape
