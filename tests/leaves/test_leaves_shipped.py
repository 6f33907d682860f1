"""Tests of the bundled classifier, on real leaves if available."""

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from vision_core import leaves, weights
from vision_core.pictures import images

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shipped():
    return leaves.load()


def test_is_small_and_its_card_says_what_it_says_of_itself(shipped):
    assert weights.find("leaves").stat().st_size < 5_500_000
    test, card = shipped[1]["metrics"]["test"], (ROOT / "models" / "leaves" / "README.md").read_text("utf-8")
    for value in (test["accuracy"], test["macro_f1"]):
        assert f"{value:.4f}" in card
    assert str(ROOT) not in json.dumps(shipped[1])


@pytest.mark.slow
def test_knows_real_leaves_and_refuses_photographs(shipped, shared_data):
    """Sixteen leaves and as many photographs: a smoke test, docs/leaves.md has the measurement."""
    with ZipFile(shared_data / "leaf_grape" / "leaf_grape.zip") as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".jpg")][::38][:16]
        grape = [images.read(archive.read(name)) for name in names]
    with ZipFile(shared_data / "dreambooth" / "dreambooth.zip") as archive:
        others = [name for name in archive.namelist() if name.endswith(".jpg")][::10][:16]
        photographs = [images.read(archive.read(name)) for name in others]
    answers = leaves.predict(shipped[0], grape)
    assert sum(answer.label == name.split("/")[0] for answer, name in zip(answers, names, strict=True)) >= 15
    assert sum(answer.known for answer in answers) >= 14
    assert not any(answer.known for answer in leaves.predict(shipped[0], photographs))
