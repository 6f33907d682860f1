"""Tests of real-world folders: existing splits, extra levels, duplicates, other files."""

import shutil
from functools import partial

import command_line
import pytest

from vision_core import leaves
from vision_core.leaves import data, folders


@pytest.fixture
def split(leaf_folder, tmp_path):
    """`split(**names)`: a folder with splits of those names, each with the classes rust and rot."""

    def make(names=("train", "valid", "test"), classes=("rust", "rot"), root=tmp_path / "split"):
        for place, name in enumerate(names):
            for label in classes:
                (root / name / label).mkdir(parents=True)
                for picture in sorted((leaf_folder / label.lower()).iterdir())[5 * place : 5 * place + 5]:
                    shutil.copy(picture, root / name / label)
        return root

    return make


run = partial(command_line.ask, "leaves")


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN_SET", "train"),
        ("01-train images", "train"),
        ("valid", "validation"),
        ("Validation", "validation"),
        ("val", "validation"),
        ("dev", "validation"),
        ("val_data", "validation"),
        ("Testing", "test"),
        ("test_set", "test"),
        ("hold-out", "test"),
        ("rust", ""),
        ("Trainspotting", ""),
        ("test tube", ""),
        ("data", ""),
        ("sets", ""),
    ],
)
def test_names_of_splits(name, means):
    assert folders.split_of(name) == means


def test_ready_made_splits_are_used_as_such(split):
    root = split(("Train", "validation", "TEST"))
    survey = data.survey(root)
    assert survey.classes == ("rot", "rust") and len(survey.files) == 30
    manifest = data.split(survey)
    for photo in manifest.photos:
        assert folders.split_of(photo.file.split("/")[0]) == photo.split
        assert photo.file.split("/")[1] == manifest.classes[photo.label]
    assert "used so: train, validation, test" in survey.notes[0]
    measured = survey.measured()
    assert {file.split("/")[0] for file in measured.files} == {"TEST"} and len(measured.hashes) == 10
    status, output = run("distribution", root)
    assert status == 0 and output["counts"] == {"rot": 15, "rust": 15}
    assert output["splits"]["validation"] == {"rot": 5, "rust": 5}


def test_a_flat_test_folder_is_named_and_tests_come_from_the_training_pictures(split):
    root = split(("train", "dev"), ("Rust", "rot"))
    (root / "dev" / "Rust").rename(root / "dev" / "rust")
    (root / "test").mkdir()
    for number, picture in enumerate(sorted((root / "train" / "rot").iterdir())[:3]):
        shutil.copy(picture, root / "test" / f"x{number}.png")
    survey = data.survey(root)
    assert any("test has no class folders: its 3 files" in note for note in survey.notes)
    counts = data.split(survey).counts()
    assert counts["Rust"] == {"train": 4, "validation": 5, "test": 1} == counts["rot"]


def test_a_training_uses_the_splits_and_an_evaluation_its_test_pictures(split, tmp_path, trained):
    root = split()
    settings = leaves.Settings(str(root), epochs=1, batch_size=8, cache_features=True, crop=32, seed=1)
    for _ in leaves.train(tmp_path / "run", settings):
        pass
    status, output = run("evaluate", root, "--model", tmp_path / "run" / "model.safetensors")
    assert status == 0 and output["images"] == 10 and output["trained_on"] == 0
    assert output["notes"][-1] == "measured on the test pictures"


def test_classes_a_level_deeper_are_found_and_copies_left_out(split, tmp_path):
    root = split(("PlantDisease",))
    survey = data.survey(root)
    assert survey.classes == ("rot", "rust") and "lie one level deeper, in PlantDisease" in survey.notes[0]
    for label in ("rust", "rot"):
        shutil.copytree(root / "PlantDisease" / label, root / label)
    survey = data.survey(root)
    assert survey.classes == ("rot", "rust") and len(survey.files) == 10
    assert survey.notes == ("PlantDisease holds 2 of the classes once more and is left out",)
    deep = split(root=tmp_path / "deep" / "archive" / "New Plant Diseases")
    shutil.copytree(deep, deep / "New Plant Diseases")
    survey = data.survey(tmp_path / "deep")
    assert len(survey.files) == 30 and {*survey.sides} == {"train", "validation", "test"}
    assert any("New Plant Diseases holds the splits once more" in note for note in survey.notes)


def test_what_cannot_be_told_apart_is_refused(split, tmp_path):
    root = split()
    shutil.copytree(root / "train" / "rot", root / "blight")
    with pytest.raises(ValueError, match=r"splits \(test, train, valid\) beside other folders \(blight\)"):
        data.survey(root)
    shutil.rmtree(root / "blight")
    shutil.copytree(root / "train" / "rot", root / "test" / "blight")
    with pytest.raises(ValueError, match="test has the class 'blight', which is not in the training split"):
        data.check_folder(root)
    shutil.copytree(root / "valid", root / "dev")
    with pytest.raises(ValueError, match="two folders for validation, one of them valid"):
        data.check_folder(root)
    several = split(("color", "grayscale"), root=tmp_path / "several")
    with pytest.raises(ValueError, match="several/color holds folders, not pictures"):
        data.survey(several)


def test_a_toy_train_is_a_class(split):
    root = split(("x",))
    (root / "x" / "rot").rename(root / "x" / "train")
    assert data.survey(root / "x").classes == ("rust", "train")


def test_system_folders_are_no_classes(split):
    root = split(("x",)) / "x"
    for name in ("__MACOSX", "@eaDir", ".git"):
        shutil.copytree(root / "rot", root / name)
        shutil.copytree(root / "rot", root / "rust" / name)
    survey = data.survey(root)
    assert survey.counts() == {"rot": 5, "rust": 5} and not survey.skipped


def test_pictures_beside_the_class_folders_are_named(split):
    root = split(("x",)) / "x"
    for name in ("loose.jpg", "stray.png", "notes.txt"):
        shutil.copy(next((root / "rot").iterdir()), root / name)
    message = "2 pictures lie beside the folders, in no class, left out: loose.jpg, stray.png"
    assert folders.read(root).notes == (message,)


def test_predictions_that_fail_are_told_by_the_status(split):
    root = split(("x",)) / "x" / "rust"
    good, bad = sorted(root.iterdir())[0], root / "bad.png"
    bad.write_bytes(b"no picture")
    for named in ([good, bad], [root]):
        status, output = run("predict", *named)
        assert status == 1 and [entry["file"] for entry in output["skipped"]] == [str(bad)]
        assert str(good) in [row["file"] for row in output["predictions"]]
    assert run("predict", bad)[0] == 2 and run("predict", bad, bad)[0] == 2
    assert run("predict", good)[0] == 0


def test_the_folders_of_the_case(shared_data):
    case = shared_data / "cases" / "leaf-folder-split"
    survey = data.survey(case / "split")
    assert survey.classes == ("healthy", "rust") and {*survey.sides} == {"train", "validation"}
    assert any(note.startswith("test has no class folders: its 3 files") for note in survey.notes)
    survey = data.survey(case / "nested")
    assert survey.classes == ("healthy", "rust")
    assert survey.notes == ("PlantDisease holds 2 of the classes once more and is left out",)
