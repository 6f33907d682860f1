"""Tests of digits on photographs of paper: correct, or rejected for the right reason."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vision_core import checkpoints, digits, weights
from vision_core.cli import app
from vision_core.digits import paper
from vision_core.digits.classify import normalise
from vision_core.digits.measure import predict
from vision_core.pictures import images
from vision_core.pictures.images import Picture

ROOT = Path(__file__).parents[2]
INK = np.array([[16, 20, 30], [255, 255, 255]])  # the colours of the page's canvas


@pytest.fixture(scope="module")
def scenes():
    """The benchmark's grounds."""
    spec = importlib.util.spec_from_file_location("digits_paper", ROOT / "benchmarks" / "digits_paper.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def answers(scenes, name, count):
    source = scenes.load_mnist(None, count)
    rng = np.random.default_rng([7, scenes.grounds().index(name)])
    pictures = scenes.pictures(name, scenes.inks_of(name, source, rng), rng)
    return [(digit, *scenes.judge(rgb)) for (digit, _), rgb in zip(source, pictures, strict=True)]


READ = ("desk", "shadow", "hand_shadow", "squared", "ruled", "printed_box", "pencil", "chalk", "screen")
REFUSED = ("two digits", "cut", "empty", "empty ruled", "empty squared", "no paper")


@pytest.mark.parametrize("name", READ)
def test_digits_on_paper_are_read(scenes, name):
    result = answers(scenes, name, 6)
    assert sum(digit == answer for digit, answer, _ in result) >= 5, result
    assert sum(answer not in (digit, None) for digit, answer, _ in result) <= 1, result


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_single_digit_is_refused(scenes, name):
    result = answers(scenes, name, 5)
    assert all(answer is None for _, answer, _ in result), result
    reason = {"two digits": "more than one mark", "empty": "is empty"}.get(name, "")
    assert sum(reason in why for _, _, why in result) >= 4, result


def test_a_small_digit_in_a_large_turned_photograph(tmp_path):
    seven = digits.load().test.first(1)[7, 0].numpy()
    large = np.asarray(Image.fromarray(seven).resize((140, 140), Image.Resampling.BICUBIC)) / 255
    sheet = np.full((3000, 2000), 235, np.uint8)
    sheet[700:840, 1200:1340] = 235 - 200 * large
    photo = Image.fromarray(sheet).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    photo.save(tmp_path / "photo.jpg", exif=exif, quality=92)
    result = CliRunner().invoke(app, ["digits", "predict", str(tmp_path / "photo.jpg"), "--json"])
    assert (result.exit_code, json.loads(result.stdout)["digit"]) == (0, 7)


@pytest.mark.parametrize("width", [40, 60])
def test_paper_between_ink_and_a_shadow_is_no_light_ink(width):
    """A stroke across the edge of a shadow, which fades over `width` pixels."""
    y, x = np.mgrid[:400, :400]
    light = 0.4 + 0.6 * np.clip((x + y - 400) / max(width, 1) + 0.5, 0, 1)
    paper_and_ink = np.full((400, 400), 225, np.uint8)
    cv2.line(paper_and_ink, (170, 110), (220, 290), 20, 16)
    level = np.rint(paper_and_ink * light).astype(np.uint8)
    ink = paper.find(Picture(np.repeat(level[..., None], 3, 2)))
    rows, columns = (np.flatnonzero((ink > 0.5).any(axis)) for axis in (1, 0))
    assert np.ptp(rows) > 2.5 * np.ptp(columns)  # the stroke's shape, not a wedge


def test_an_unsure_answer_is_no_answer(tmp_path):
    """A mark between two digits: the network's own probabilities decide."""
    model, _ = checkpoints.load(weights.find("digits"), digits.DigitNet)
    test = digits.load().test
    unsure = predict(model, test.images).softmax(1).max(1).values.argmin()
    image = test.images[unsure, 0].numpy()
    Image.fromarray(255 - image).resize((280, 280), Image.Resampling.NEAREST).save(tmp_path / "x.png")
    result = CliRunner().invoke(app, ["digits", "predict", str(tmp_path / "x.png"), "--json"])
    output = json.loads(result.stdout)
    assert result.exit_code == 1 and output["digit"] is None and max(output["probabilities"]) < 0.6
    assert digits.answer(np.eye(10)[3]) == 3 and digits.answer(np.full(10, 0.1)) is None


def test_mnist_pictures_come_through_as_they_are():
    """Raw 28 x 28 images: looking for a sheet must not change what the network gets."""
    test = digits.load().test
    results = []
    for image, label in zip(test.images[:150, 0].numpy(), test.labels[:150].tolist(), strict=True):
        probabilities = digits.classify(Picture(np.repeat(image[..., None], 3, 2)))
        results.append(probabilities.argmax() == label)
    assert np.mean(results) >= 0.97


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_page_and_command_line_prepare_a_drawing_alike():
    """A drawing saved from the page, in its colours, gives the page's own 28 x 28 picture."""
    script = ROOT / "tests" / "js" / "prepared.mjs"
    process = subprocess.run(["node", script], capture_output=True, text=True, check=True)
    lines = process.stdout.splitlines()
    assert len(lines) == 12
    for line in map(json.loads, lines):
        ink = np.array(line["ink"], np.float32).reshape(line["side"], -1) / 255
        theirs = np.array(line["normal"]).reshape(28, 28)
        assert np.abs(normalise(ink) - theirs).max() <= 3  # the canvas has 256 greys
        saved = np.rint(INK[0] + ink[..., None] * (INK[1] - INK[0])).astype(np.uint8)
        for rgb in (saved, 255 - saved):
            assert np.abs(normalise(paper.find(Picture(rgb))) - theirs).max() <= 4


def test_the_photographs_of_the_case(shared_data):
    case = shared_data / "cases" / "digit-photos"
    for name in ("five_desk", "five_shadow", "five_squared", "five_plain"):
        assert digits.classify(images.read(case / f"{name}.png")).argmax() == 5
    refused = {"empty_ruled": "is empty", "empty_shaded": "is empty", "two": "more than one mark"}
    for name, reason in refused.items():
        with pytest.raises(digits.NoDigit, match=reason):
            digits.classify(images.read(case / f"{name}.png"))


def test_the_edge_of_a_hard_shadow_is_not_that_of_a_sheet():
    two = digits.load().test.first(1)[2, 0].numpy()
    ink = np.zeros((400, 400), np.float32)
    ink[110:290, 110:290] = (
        np.asarray(Image.fromarray(two).resize((180, 180), Image.Resampling.BICUBIC)) / 255
    )
    y, x = np.mgrid[:400, :400]
    light = np.where(x / 2 + y > 330, 0.45, 1.0)
    level = np.rint(230 * light * (1 - 0.9 * ink)).astype(np.uint8)
    assert digits.answer(digits.classify(Picture(np.repeat(level[..., None], 3, 2)))) == 2


def test_strokes_thinner_than_the_network_knows_are_widened():
    lines = {
        2: [(140, 140), (170, 105), (230, 100), (260, 140), (240, 200), (140, 300), (270, 300)],
        3: [(140, 110), (260, 105), (190, 190), (250, 230), (240, 290), (180, 310), (140, 290)],
    }
    for digit, points in lines.items():
        level = np.full((400, 400), 235, np.uint8)
        cv2.polylines(level, [np.array(points, np.int32)], False, 90, 2, cv2.LINE_AA)
        assert digits.answer(digits.classify(Picture(np.repeat(level[..., None], 3, 2)))) == digit


def test_an_empty_squared_sheet_is_called_empty():
    level = np.full((420, 360), 238, np.uint8)
    for at in range(7, 420, 19):
        cv2.line(level, (0, at), (359, at + 9), 205, 1, cv2.LINE_AA)
        cv2.line(level, (at - 9, 0), (at, 419), 205, 1, cv2.LINE_AA)
    with pytest.raises(paper.NoDigit, match="is empty"):
        paper.find(Picture(np.repeat(level[..., None], 3, 2)))
