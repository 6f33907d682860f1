"""Tests of the docs: commands run, options exist, links work."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from vision_core import digits
from vision_core.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/*/*.md"), *ROOT.glob("apps/*/*.md")}
)
README = (ROOT / "README.md").read_text()
SHORTER = {"color train": ["--epochs", "20"], "digits train": ["--epochs", "2", "--batches", "3"]}


def blocks(text: str, language: str = "") -> list[str]:
    """The code blocks of a language; "" are those that name none."""
    return [
        code for name, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if name == language
    ]


def commands(text: str, program: str) -> list[list[str]]:
    """The arguments of every line of a code block, or piece of inline code, that starts with `program`."""
    lines = [line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(rf"`({program} [^`\n]+)`", text)
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"{program} ")]


@pytest.mark.slow
def test_commands_of_the_readme_run_in_its_order(tmp_path, monkeypatch):
    """On smaller copies of the pictures: what is asked here is whether the commands work."""
    monkeypatch.chdir(tmp_path)
    _small_assets(tmp_path / "assets")
    _digit().save("drawing.png")
    lines = [line for block in blocks(README) for line in block.splitlines() if "vision-core" in line]
    ran = 0
    for arguments in (shlex.split(line)[1:] for line in lines if line.startswith("vision-core ")):
        if arguments[0] == "serve":  # started by the tests of the suite
            continue
        extra = SHORTER.get(" ".join(arguments[:2]), [])
        result = CliRunner().invoke(app, [*arguments, *extra])
        assert result.exit_code == 0, f"{arguments}: {result.output}"
        ran += 1
    assert ran >= 10
    for name in ("palace.gpl", "map.cube", "lowpoly.svg", "compare.png", "page/index.html", "mine.onnx"):
        assert (tmp_path / name).stat().st_size > 100

    [call] = blocks(README, "python")
    Path("recoloured.png").unlink()
    exec(compile(call, "README.md", "exec"), {})
    assert Image.open("recoloured.png").size == Image.open("assets/color/coffee.jpg").size


def _small_assets(folder: Path) -> None:
    for path in (ROOT / "assets").rglob("*.*"):
        target = folder / path.relative_to(ROOT / "assets")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png") and path.parent.name in ("color", "restoration"):
            with Image.open(path) as image:
                image.thumbnail((240, 240))
                image.save(target)
        else:
            target.symlink_to(path)


def _digit() -> Image.Image:
    return Image.fromarray(np.kron(digits.load().test.images[0].reshape(28, 28), np.ones((8, 8), np.uint8)))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_exist(path):
    text = path.read_text()
    for arguments in commands(text, "vision-core"):
        node, rest = get_command(app), arguments
        while rest and not rest[0].startswith("-") and (children := getattr(node, "commands", None)):
            assert rest[0].split("|")[0] in children, f"there is no command {' '.join(arguments)}"
            node, rest = children[rest[0].split("|")[0]], rest[1:]
        options = {
            option for parameter in node.get_params(typer.Context(node)) for option in parameter.opts
        } | {"--help"}
        unknown = {word for word in rest if word.startswith("--")} - options
        assert not unknown, f"vision-core {' '.join(arguments)} has no {unknown}"
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {arguments[0] for arguments in commands(text, "make")} <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path):
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


def test_the_map_names_what_is_there():
    [tree] = [block for block in blocks(README) if "pyproject.toml  " in block]
    named = [line.split()[0] for line in tree.splitlines()]
    assert [name for name in named if not (ROOT / name).exists()] == []
    modules = {f"vision_core/{path.name}" for path in (ROOT / "vision_core").glob("[!_]*.py")}
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in (ROOT / "vision_core").glob("*/__init__.py")}
    assert (modules | folders) - set(named) == set()
