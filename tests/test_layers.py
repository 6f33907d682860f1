"""Tests of the layers: allowed imports, and the modules loaded by `--help`."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from vision_core.color import lut_files
from vision_core.color.lut import identity

ROOT = Path(__file__).parents[1]
CORE = ROOT / "vision_core"
ROOMS = {"pictures", "pdf", "safety"}
SYSTEMS = {path.parent.name for path in CORE.glob("*/__init__.py")} - ROOMS - {"cli"}
SHARED = {"torch", "numpy", "PIL", "accelerate", "safetensors", "huggingface_hub", "psutil", "plotly"}
SHARED |= {"cv2", "img2pdf", "pi_heif", "pikepdf", "pypdfium2"}
SHARED |= {"fsspec", "ray"}  # of vision_core.cluster alone, where a job is spread
HEAVY = {
    "torch",
    "torchvision",
    "gradio",
    "streamlit",
    "sklearn",
    "skimage",
    "scipy",
    "accelerate",
    "diffusers",
}


def imports(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports, inside functions too: `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def trespasses(files: list[Path], allowed) -> list[str]:
    assert files
    return [
        f"{path.relative_to(ROOT)}: {name}" for path in files for name in imports(path) if not allowed(name)
    ]


def loaded(arguments: list[str]) -> set[str]:
    """The modules that a command has imported at its end."""
    code = "import atexit, json, sys; from vision_core.cli import main\n"
    code += "atexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr)); main()"
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stderr.splitlines()[-1]))


def top(name: str) -> str:
    return name.split(".")[0]


def test_apps_import_no_torch():
    files = sorted((ROOT / "apps").rglob("*.py"))
    assert trespasses(files, lambda name: top(name) not in {"torch", "torchvision", "accelerate"}) == []


def test_core_imports_no_page_framework():
    files = [path for path in sorted(CORE.rglob("*.py")) if "cli" not in path.parts]
    assert trespasses(files, lambda name: top(name) not in {"gradio", "streamlit", "fastapi", "apps"}) == []


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "apps").iterdir() if path.is_dir()))
def test_a_page_imports_the_shared_parts_and_never_another_page(folder):
    files = sorted((ROOT / "apps" / folder).rglob("*.py"))
    within = ("apps", f"apps.{folder}", "apps.shared")

    def allowed(name: str) -> bool:
        return top(name) != "apps" or name in within or name.startswith(tuple(f"{w}." for w in within[1:]))

    assert not files or trespasses(files, allowed) == []


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_a_system_never_imports_another(system):
    """But for the small world, which proves the method of editing and stands on it."""
    others = (SYSTEMS | {"cli"}) - {system} - ({"editing"} if system == "smallworld" else set())
    forbidden = tuple(f"vision_core.{other}." for other in others)
    files = sorted((CORE / system).rglob("*.py"))
    assert trespasses(files, lambda name: not f"{name}.".startswith(forbidden)) == []


def test_shared_modules_import_only_the_foundations():
    modules = sorted(set(CORE.glob("*.py")) - {CORE / "__main__.py"})
    shared = {path.stem for path in modules} | ROOMS
    modules += sorted(path for room in ROOMS for path in (CORE / room).glob("*.py"))

    def allowed(name: str) -> bool:
        package, module = [*name.split("."), ""][:2]
        if package == "vision_core":
            return module in shared
        return package in SHARED or package in sys.stdlib_module_names

    assert trespasses(modules, allowed) == []


@pytest.mark.parametrize("system", ["color", "editing"])
def test_no_module_hides_a_name_of_its_package(system):
    """The names are imported when they are used, and a module of the same name would stand in the way."""
    package = import_module(f"vision_core.{system}")
    assert not {path.stem for path in (CORE / system).glob("*.py")} & set(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


@pytest.mark.parametrize(
    "arguments",
    [
        ["color", "palette", "assets/color/cat.jpg"],
        ["color", "apply", "assets/color/cat.jpg", "--lut", "LUT", "--out", "OUT"],
    ],
)
def test_palettes_and_stored_luts_need_no_torch(arguments, tmp_path):
    lut_files.write(tmp_path / "identity.cube", identity(9))
    files = {"LUT": str(tmp_path / "identity.cube"), "OUT": str(tmp_path / "out.png")}
    assert {"torch", "sklearn", "scipy"} & loaded([files.get(a, a) for a in arguments]) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["color", "--help"], ["digits", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    assert HEAVY & loaded(arguments) == set()
