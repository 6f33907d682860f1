"""Without an optional package every road to it ends with the line that installs it."""

import json
import subprocess
import sys
from pathlib import Path

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
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], input="\n".join(commands), capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for line, (command, extra) in zip(done.stdout.splitlines(), commands.items(), strict=True):
        status, said = json.loads(line)
        if extra:
            assert status == 2 and f"pip install 'vision-core[{extra}]'" in said, (command, said)
        else:
            assert status == 0, (command, said)
