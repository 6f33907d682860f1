"""Tests of the package without POSIX modules, as on Windows."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WITHOUT_POSIX = """
import builtins, importlib, os, pkgutil, signal, sys
from pathlib import Path

missing = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}
for name in ("SIGXCPU", "SIGALRM", "SIGUSR1", "SIGUSR2"):
    delattr(signal, name)
for name in ("getuid", "setsid", "killpg", "mkfifo", "nice", "sched_getaffinity"):
    delattr(os, name)
plain = builtins.__import__

def as_on_windows(name, globals=None, *arguments, **more):
    importer = (globals or {}).get("__name__", "")
    if name.split(".")[0] in missing and importer.split(".")[0] in ("vision_core", "apps"):
        raise ImportError(f"{name} is not there")  # the libraries beside us have their own ways on Windows
    return plain(name, globals, *arguments, **more)

builtins.__import__ = as_on_windows
import apps, vision_core

for package in (vision_core, apps):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith((".__main__", ".space")):  # these run when they are imported
            importlib.import_module(module.name)

from vision_core import files
from vision_core.pictures import images
from vision_core.safety import guarded, guarded_worker
from vision_core.cli import main

folder = Path(sys.argv[1])
files.write_json(folder / "new" / "x.json", {"x": 1})
files.write_json(folder / "new" / "x.json", {"x": 2})
assert files.read_json(folder / "new" / "x.json") == {"x": 2}
assert [path.name for path in (folder / "new").iterdir()] == ["x.json"]
guarded_worker._limit({"max_pixels": 1, "seconds": 1})
assert guarded.read(folder / "seven.png").rgb.shape == (28, 28, 3)
sys.argv = ["vision-core", "digits", "predict", str(folder / "seven.png")]
main()
"""


def test_everything_imports_and_works_without_the_modules_of_posix(tmp_path):
    from PIL import Image

    from vision_core import digits

    seven = digits.load().test.first(1)[7, 0].numpy()
    Image.fromarray(255 - seven).save(tmp_path / "seven.png")
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("7 (")
