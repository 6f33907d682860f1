"""Tests of every limit, its message and variable, and of the table in the docs."""

import ast
import re
from pathlib import Path

import numpy as np
import pdf_files
import pytest
from PIL import Image
from typer.testing import CliRunner

from vision_core.cli import app
from vision_core.pictures import documents, images
from vision_core.safety import guarded, limits
from vision_core.safety.limits import LIMITS, check_size
from vision_core.safety.messages import LONGEST


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_accepted_and_one_more_is_refused_with_both_numbers(name, monkeypatch):
    limit = LIMITS[name]
    limit.check(limit.value, "it")
    for more in (limit.value + 1, 10**400, float("inf"), float("nan")):
        with pytest.raises(ValueError) as refused:
            limit.check(more, "it")
        text = str(refused.value)
        assert text.startswith("it has ") and len(text) <= LONGEST
        assert f"at most {limit.default:,.10g} are accepted ({limit.variable})" in text
    monkeypatch.setenv(limit.variable, "3")
    limit.check(3 * limit.scale, "it")
    with pytest.raises(ValueError, match="at most 3 are accepted"):
        limit.check(3 * limit.scale + 1, "it")


@pytest.mark.parametrize("text", ["many", "-1", "0", "nan", "inf", "1e400", "\x1b[31m"])
def test_a_variable_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv("VISION_CORE_MAX_PIXELS", text)
    with pytest.raises(ValueError, match=r"VISION_CORE_MAX_PIXELS is '.*'; a number of pixels was expected"):
        limits.PIXELS.check(1, "it")


def test_the_size_of_a_picture_is_refused_by_its_numbers():
    check_size(5000, 10_000, "x.png")
    with pytest.raises(
        ValueError, match=r"x\.png has 10,000 x 5,001 pixels, 50\.01 megapixels; at most 50 are"
    ):
        check_size(5001, 10_000, "x.png")
    with pytest.raises(ValueError, match=r"50\.001 megapixels; at most 50 are"):  # not "50; at most 50"
        check_size(7143, 7000, "x.png")
    for side in (100_001, 10**400, float("inf"), float("nan")):
        with pytest.raises(
            ValueError,
            match=r"it has .* pixels; at most 100,000 a side are accepted \(VISION_CORE_MAX_SIDE\)",
        ):
            check_size(1, side, "it")


def test_the_docs_print_the_table_and_name_tests_that_exist():
    root = Path(__file__).parents[2]
    text = (root / "docs" / "security.md").read_text()
    assert limits.table() in text, "print(limits.table()) gives the table of docs/security.md"
    named = {word for word in text.split("`") if word.startswith("tests/")}
    assert len(named) > 9 and all((root / word).is_file() for word in named)


def test_every_command_asks_for_the_limit_of_pixels_when_it_reads(tmp_path, monkeypatch):
    picture, several, pdf = tmp_path / "a.png", tmp_path / "b.tif", tmp_path / "c.pdf"
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (110, 150, 3), np.uint8))
    image.save(picture)
    image.save(several, save_all=True, append_images=[image])
    pdf_files.page(pdf, pdf_files.scan())
    table, out = tmp_path / "two.cube", tmp_path / "out"
    table.write_text("LUT_3D_SIZE 2\n" + "0 0 0\n" * 8)
    restored = ["--method", "classical", "--out", out]
    commands = [
        ["color", "apply", picture, "--lut", table, "--out", out / "a.png"],
        *(["restore", "run", file, *restored] for file in (picture, several, pdf)),
        ["edit", "task", "extend", picture, "--out", out / "e.png", "--left", 5, "--backend", "classical"],
        ["digits", "predict", picture],
    ]
    guarded.read(picture)  # the process was started without the variable
    monkeypatch.setenv("VISION_CORE_MAX_PIXELS", "1000")
    for words in commands:
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code in (1, 2), (words, result.output, result.exception)
        message = " ".join(result.output.split())
        assert re.search(
            r"has 1\d0 x 1\d0 pixels, 0\.0165 megapixels; at most 0\.001 are accepted", message
        ), message
        assert "(VISION_CORE_MAX_PIXELS)" in message and "Traceback" not in message
    monkeypatch.setenv("VISION_CORE_MAX_PIXELS", "20000")
    monkeypatch.setenv("VISION_CORE_MAX_PAGES", "1")
    for door in (documents.count, guarded.count):
        with pytest.raises(ValueError, match=r"b\.tif has more pages than the 1 that .*MAX_PAGES"):
            door(several)
    monkeypatch.delenv("VISION_CORE_MAX_PAGES")
    assert guarded.count(several) == 2 and guarded.read(picture).rgb.shape == (110, 150, 3)


def test_a_larger_limit_counts_as_well_and_a_variable_that_is_wrong_is_not_blamed_on_the_file(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("RGB", (100, 100)).save(tmp_path / "a.bmp")
    assert images.read(tmp_path / "a.bmp").rgb.shape == (100, 100, 3)
    for name in ("PIXELS", "SIDE", "FILE_MB"):
        with monkeypatch.context() as patch, pytest.raises(ValueError, match=f"^VISION_CORE_MAX_{name} is"):
            patch.setenv(f"VISION_CORE_MAX_{name}", "many")
            images.read(tmp_path / "a.bmp")


def test_no_other_module_has_limits_of_its_own():
    """Limits of pixels, bytes, pages and sides of files; limits within a format stay in its parser."""
    root, places = Path(__file__).parents[2], []
    own = re.compile(
        r"(MAX|MOST|LARGEST|LONGEST).*(PIXELS|BYTES|PAGES|SIDE|SECONDS|FILE)|(MEGA)?PIXELS|MEGABYTES"
    )
    for file in [*(root / "vision_core").rglob("*.py"), *(root / "apps").rglob("*.py")]:
        if file.name == "limits.py":
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and own.fullmatch(node.id):
                places.append(f"{file}:{node.lineno} {node.id}")
            if isinstance(node, ast.Constant) and node.value in (50_000_000, 37_000_000):
                places.append(f"{file}:{node.lineno} {node.value}")
    assert not places
