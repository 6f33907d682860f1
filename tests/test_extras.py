"""Tests that commands without their optional package print how to install it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITHOUT = """
import json, sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        gone = name.split(".")[0] in ("diffusers", "open_clip", "transformers", "onnxscript", "streamlit")
        return None if gone else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from typer.testing import CliRunner
from vision_core.cli import app

for line in sys.stdin.read().splitlines():
    done = CliRunner().invoke(app, [*line.split("|"), "--json"])
    print(json.dumps([done.exit_code, done.stdout]))
"""


def test_each_command_that_lacks_packages_says_the_line_that_brings_them(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps({"scene.png": ["a scene", "a red ball"]}))
    scene, replace = tmp_path / "scene.png", f"edit|task|replace|{tmp_path / 'scene.png'}|--mask|circle"
    commands = {
        f"edit|scene|--out|{scene}": "",
        f"{replace}|--prompt|a ball|--out|{tmp_path / 'a.png'}|--backend|tiny": "editing",
        f"edit|run|{scene}|--caption|a scene|--prompt|a red ball|--out|{tmp_path / 'b'}": "editing",
        f"edit|train|--data|{tmp_path}|--out|{tmp_path / 'c'}": "editing",
        f"edit|tiny|train|clip|--out|{tmp_path / 'd'}": "editing",
        f"edit|tiny|evaluate|{ROOT / 'models' / 'editing'}": "editing",
        "serve": "apps",
    }
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT], input="\n".join(commands), capture_output=True, text=True, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr
    for line, (command, extra) in zip(process.stdout.splitlines(), commands.items(), strict=True):
        status, message = json.loads(line)
        if extra:
            assert status == 2 and f"pip install 'vision-core[{extra}]'" in message, (command, message)
        else:
            assert status == 0, (command, message)


OURS = """
import sys
from vision_core import extras

if sys.argv[1] == "loaded":
    import apps
try:
    extras.use_own_apps()
except ValueError as error:
    print(error)
import apps
print(apps.__file__)
"""


@pytest.mark.parametrize("package", [True, False])
def test_a_folder_apps_of_the_user_is_not_taken_for_our_pages(tmp_path, package):
    folder = tmp_path / "apps"
    folder.mkdir()
    (folder / ("__init__.py" if package else "mine.py")).write_text("")
    (tmp_path / "script.py").write_text(OURS)  # its folder is the first place to look, as with `python -m`

    def said(how: str) -> str:
        command = [sys.executable, "script.py", how]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert said("new").strip() == str(ROOT / "apps" / "__init__.py")
    if package:
        assert f"another package named apps is already imported, {folder}" in said("loaded")
