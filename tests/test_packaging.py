"""Tests of packaging: consistent versions, a complete wheel."""

import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vision_core

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
}
EXTRAS = PROJECT["project"]["optional-dependencies"]


def declared() -> list[Requirement]:
    groups = [PROJECT["project"]["dependencies"], *EXTRAS.values(), PROJECT["dependency-groups"]["dev"]]
    requirements = [Requirement(line) for group in groups for line in group]
    return [
        one for one in requirements if one.name != PROJECT["project"]["name"]
    ]  # an extra may bring another


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_dependency_has_a_tested_version_in_range(requirement):
    pin = PINS.get(canonicalize_name(requirement.name))
    assert pin, f"constraints.txt has no version of {requirement.name}"
    assert requirement.specifier.contains(pin)
    assert "+" not in pin, "a local version exists on one index only"


def test_constraints_are_one_pin_a_line_sorted():
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert [re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines].count(None) == 0
    assert lines == sorted(lines, key=str.lower) and len(lines) == len(PINS)


@pytest.mark.parametrize("app", ["color_transfer", "dashboard", "image_editing", "restoration"])
def test_a_space_installs_the_tested_versions(app):
    """A Space installs gradio by its card's sdk_version, and all else by requirements.txt."""
    for line in (ROOT / "apps" / app / "requirements.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, version = line.split("==")
        assert PINS[canonicalize_name(name)] == version, line
    card = (ROOT / "apps" / app / "README.md").read_text()
    assert re.findall(r"^sdk_version: (\S+)$", card, re.M) == (
        [PINS["gradio"]] if "sdk: gradio" in card else []
    )


@pytest.mark.parametrize(("name", "left_out"), [("Makefile", set()), ("Dockerfile", {"cluster"})])
def test_makefile_and_dockerfile_install_the_extras_with_the_constraints(name, left_out):
    """A container serves pages, and Ray is as large as all the rest beside torch."""
    [install] = re.findall(r"pip install -c constraints.txt -e '\.\[(.*)\]'", (ROOT / name).read_text())
    assert set(install.split(",")) == set(EXTRAS) - left_out


@pytest.mark.parametrize("name", ["Dockerfile", "apps/dashboard/Dockerfile"])
def test_dockerfile_listens_where_it_is_asked_for_its_health(name):
    text = (ROOT / name).read_text()
    assert re.findall(r"EXPOSE (\d+)", text) == ["7860"]
    assert "http://127.0.0.1:7860/healthz" in text
    assert re.search(r'^CMD \["python", .*"--host", "0.0.0.0".*\]$', text, re.M)
    assert "--uid 1000" in text
    [python] = re.findall(r"^FROM python:(\d+\.\d+)-slim$", text, re.M)
    assert f"Programming Language :: Python :: {python}" in PROJECT["project"]["classifiers"]


def test_container_gets_all_that_the_build_asks_for():
    left_out = set((ROOT / ".dockerignore").read_text().split())
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PROJECT["project"]
    needed = {*wheel["only-include"], *project["license-files"], project["readme"]}
    assert needed & left_out == set()


def test_notice_names_the_source_of_every_file_that_is_not_code():
    notice = (ROOT / "NOTICE.md").read_text()
    data = {name for name in files_of("assets", "models") if not name.endswith((".py", ".md"))}
    assert {name for name in data if name not in notice and f"{Path(name).parent}/`" not in notice} == set()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source archive, built without a network."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    return folder


def files_of(*folders: str) -> set[str]:
    """The files of a checkout that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    names = {name for name in listed if (ROOT / name).is_file()}
    if not names:
        pytest.skip("not a git checkout: no list of files to compare with")
    return names


def test_wheel_has_apps_weights_and_examples_once(built):
    wheel = built / f"vision_core-{vision_core.__version__}-py3-none-any.whl"
    names = ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    expected = files_of("vision_core", "apps", "assets", "models")
    expected = {re.sub(r"^(assets|models)/", r"vision_core/\1/", name) for name in expected}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_source_archive_can_build_and_test(built):
    name = f"vision_core-{vision_core.__version__}"
    with tarfile.open(built / f"{name}.tar.gz") as archive:
        names = {path.removeprefix(f"{name}/") for path in archive.getnames()}
    assert (
        files_of("vision_core", "apps", "assets", "models", "tests", "Makefile", "NOTICE.md") - names == set()
    )


def test_installed_package_works_outside_the_checkout(built, tmp_path):
    """The wheel unpacked alone: its command finds weights, examples and pages inside."""
    ZipFile(next(built.glob("*.whl"))).extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import vision_core\n"
        "from apps.dashboard.digits import sources; from vision_core import digits, weights\n"
        "assert vision_core.__file__.startswith(sys.argv[1])\n"
        "print(weights.find('digits'), len(digits.load().test.labels), len(sources.shipped().index))"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "site")]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(str(tmp_path / "site" / "vision_core" / "models"))
