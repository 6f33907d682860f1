"""Tests of each Space outside of the checkout, with only its requirements.txt."""

import ast
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from server import running

from apps import spaces
from vision_core import weights

ROOT = Path(__file__).parents[2]
PATIENCE = 120_000  # ms; a busy machine is no failure
HUB = (
    '<!doctype html><iframe id="space" width=1200 height=850 allow="local-network-access" src="{}"></iframe>'
)
HUB_PERMISSIONS = ["local-network-access"]  # the frame's server is on this machine, the hub is not
PYTHON_SPACES = [name for name, space in spaces.SPACES.items() if space.write is None]
# `make spaces` opens all of them; a run of all tests one, for an environment and a browser take a minute
OPENED = os.environ.get("SPACES", "color").split()
# Trainings run as `python -m vision_core SYSTEM train`: these commands are a part of the app
COMMANDS = {"color": ["color"], "edit": ["edit"], "restore": ["restore"], "dashboard": ["digits", "leaves"]}
# What a shared module could import, but not for this app
DOCUMENTS = {"img2pdf", "pypdfium2"}
NEVER = {
    "color": {*DOCUMENTS, "streamlit"},
    "edit": {*DOCUMENTS, "streamlit", "ot", "PyOpenColorIO"},  # colour transfer's baselines and LUTs
    "restore": {"streamlit", "torchvision"},  # the last for VGG16, whose weights a Space does not have
    "dashboard": {*DOCUMENTS, "gradio", "onnxruntime"},  # the last checks an export where it is there
}
EXTRAS = {"fsspec", "ray"}  # of an extra that no Space has a use for
BESIDE = {"dashboard": {"onnx", "onnxscript"}}  # what torch.onnx imports


def lines(name: str) -> list[Requirement]:
    text = (spaces.APPS / spaces.SPACES[name].folder / "requirements.txt").read_text()
    return [Requirement(line) for line in text.splitlines() if not line.startswith("#")]


def file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    files = [file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()]
    return files[0] if files else None


def imported(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports, wherever in it, but for the sake of types."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(name: str) -> tuple[set[Path], set[str]]:
    """(our files that an app can import, the top names of others' packages that it can)."""
    own = spaces.APPS / spaces.SPACES[name].folder
    starts = [str(path.relative_to(ROOT).with_suffix("")).replace(os.sep, ".") for path in own.rglob("*.py")]
    waiting = [*starts, "apps.suite", *(f"vision_core.cli.{command}" for command in COMMANDS[name])]
    ours, others = set(), set()
    while waiting:
        parts = waiting.pop().split(".")
        if parts[0] not in ("apps", "vision_core"):
            others.add(parts[0])
            continue
        for count in range(1, len(parts) + 1):
            module = ".".join(parts[:count])
            path = file_of(module)
            if path is None or path in ours or module == "vision_core.cli":
                continue  # the last imports the commands of all systems, none of which runs
            ours.add(path)
            waiting += imported(path)
    return ours, others - set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", PYTHON_SPACES)
def test_requirements_are_what_the_app_imports_and_no_more(name):
    owners = packages_distributions()
    others = reached(name)[1] - NEVER[name] - EXTRAS
    needed = {canonicalize_name(owners[top][0]) for top in others if top in owners}
    assert {canonicalize_name(line.name) for line in lines(name)} == needed | BESIDE.get(name, set())


@pytest.mark.parametrize("name", PYTHON_SPACES)
def test_a_space_brings_the_weights_that_its_code_asks_for_and_no_others(name):
    text = "\n".join(path.read_text("utf-8") for path in reached(name)[0] if path.name != "weights.py")
    required = set(re.findall(r'\b(?:weights\.)?find\("([\w-]+)"', text))
    if name == "edit":
        required |= {f"editing-{part}" for part in re.findall(r'shipped\("(\w+)"\)', text)}
        required |= {"editing-filler", "editing-coarse"}
    if name == "dashboard":
        required |= {"mobilenet"}  # the default of a variable
    assert set(spaces.SPACES[name].weights) == required


def test_the_server_loads_no_package_of_an_app_that_it_does_not_serve():
    blocked = ("gradio", "streamlit", "cv2", "torchvision")
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import apps.suite"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]


@pytest.fixture(scope="module")
def space_folders(tmp_path_factory):
    """Writes a Space once, by the command, and gives its folder."""
    folders: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("spaces") / name
            command = [sys.executable, "-m", "vision_core", "space", name, "--out", str(folders[name])]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return folders[name]

    return write


@pytest.mark.parametrize("name", spaces.SPACES)
def test_a_written_space_has_a_card_that_the_hub_takes(name, tmp_path):
    folder = spaces.write(name, tmp_path / name)
    front = (folder / "README.md").read_text("utf-8").split("---")[1]
    card = dict(re.findall(r"^(\w+): (.+)$", front, re.M))
    assert {"title", "emoji", "sdk", "license", "short_description", "pinned"} <= set(card)
    assert len(card["short_description"]) <= 60  # a longer one is refused
    assert "\ntags:\n  - " in front
    if card["sdk"] == "docker":
        assert (folder / "Dockerfile").is_file() and card["app_port"] == "7860"
    else:
        assert (folder / card["app_file"]).is_file()
    if card["sdk"] == "gradio":
        assert card["python_version"] == '"3.12"' and card["startup_duration_timeout"]
    if card["sdk"] == "static":
        assert not list(folder.rglob("*.py"))
        return
    kept = {str(path.relative_to(folder / "models")) for path in (folder / "models").rglob("*.*")}
    expected = {
        str(Path(entry.file) / part) if part else entry.file
        for entry in (weights.WEIGHTS[name_of_weights] for name_of_weights in spaces.SPACES[name].weights)
        for part in entry.parts
    }
    assert {path for path in kept if not path.endswith("README.md")} == expected
    others = {space.folder for space in spaces.SPACES.values()} - {spaces.SPACES[name].folder, "digits_site"}
    assert not [path for other in others for path in (folder / "apps").glob(f"{other}/*.py")]
    assert "Apache License" in (folder / "LICENSE").read_text() and (folder / "NOTICE.md").is_file()


def test_a_space_is_not_written_over_something(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for out, sentence in ((tmp_path, "is not empty"), (tmp_path / "mine.txt", "is a file")):
        with pytest.raises(ValueError, match=sentence):
            spaces.write("color", out)
    with pytest.raises(ValueError, match="there are color, edit"):
        spaces.write("colour", tmp_path / "new")
    assert os.listdir(tmp_path) == ["mine.txt"]


def environment(requirements: list[Requirement], folder: Path) -> Path:
    """A Python whose packages are these requirements and what they require, by hard links to ours."""
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    waiting, linked = list(requirements), set()
    while waiting:
        line = waiting.pop()
        installed = distribution(line.name)
        for extra in ("", *line.extras):
            if (key := (canonicalize_name(line.name), extra)) in linked:
                continue
            linked.add(key)
            parsed = map(Requirement, installed.requires or [])
            waiting += [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": extra})]
        for file in installed.files or []:
            target = site / file
            if ".." not in file.parts and not target.exists() and (source := Path(file.locate())).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(source, target)
                except OSError:  # another file system
                    shutil.copy(source, target)
    return folder / "bin" / "python"


def color(page) -> None:
    """Two example pictures, a short training, a LUT to take home."""
    examples = page.locator(".vc-examples")
    examples.nth(0).locator("button").nth(0).click()
    examples.nth(1).locator("button").nth(0).click()
    page.wait_for_selector("#palette .vc-swatches button")
    page.wait_for_selector("text=512 x 512 pixels")
    page.locator("#start").click()
    page.wait_for_selector("#stop:visible")
    page.wait_for_selector("#progress >> text=/epoch [1-9]/")
    page.locator("#stop").click()
    page.wait_for_selector("#progress >> text=/Stopped/")
    page.wait_for_selector("#downloads a[href*=cube]")


def edit(page) -> None:
    """A drawn scene, edited by text: the painter, the eyes and the judge of the small world."""
    page.locator(".vc-examples [data-value=scene]").click()
    page.wait_for_selector(".vc-canvas img")
    page.get_by_role("tab", name="By text").click()
    page.locator("#prompt textarea, #prompt input").first.fill("a tree with pink flowers")
    page.locator("#edit-text").click()
    page.wait_for_selector("#candidates button")
    page.locator("#stop").click()
    page.wait_for_selector("#get-png")


def restore(page) -> None:
    """The stained example, restored by the network."""
    page.locator("#examples button[data-value=stained]").click()
    page.wait_for_selector("#page-words >> text=720 x 960 pixels")
    page.locator("#restore").click()
    page.wait_for_selector(".vc-viewer")
    page.wait_for_selector("#get-restored")


def dashboard(page) -> None:
    """A training that its browser still may stop after a reload."""
    frame = page.frame_locator("iframe#space")
    frame.get_by_role("button", name="Start training").click()
    frame.get_by_role("button", name="Stop training").wait_for()
    page.reload()
    frame.get_by_role("button", name="Stop training").click()
    frame.get_by_role("button", name="Resume").wait_for()


JOBS = {"color": color, "edit": edit, "restore": restore, "dashboard": dashboard}


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in PYTHON_SPACES if name in OPENED or "all" in OPENED])
def test_a_space_does_its_job_with_its_requirements_alone(name, space_folders, browser, tmp_path):
    folder = shutil.copytree(space_folders(name), tmp_path / "app")
    python = environment(lines(name), tmp_path / "environment")
    away = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    away |= {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "SPACE_ID": "somebody/app",
        "OMP_NUM_THREADS": "1",
    }
    away |= {"HF_HUB_OFFLINE": "1", "SPACE_HOST": "somebody-app.localhost"}
    with running([str(python), "app.py"], folder, away) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=HUB_PERMISSIONS)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        if name == "dashboard":  # the hub's page has it in a frame, which keeps few cookies
            inside = address.replace("127.0.0.1", away["SPACE_HOST"])
            hub = HUB.format(f"{inside}/training")
            context.route(
                "https://huggingface.co/**", lambda route: route.fulfill(body=hub, content_type="text/html")
            )
            page.goto("https://huggingface.co/spaces/somebody/app")
        else:
            page.goto(address)
            page.wait_for_function("new URLSearchParams(location.search).has('visit')")
            assert page.get_by_text("This Space is one machine for all its visitors").is_visible()
        JOBS[name](page)
        context.close()
