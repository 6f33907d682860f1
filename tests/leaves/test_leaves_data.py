import os
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vision_core.leaves import data, duplicates
from vision_core.leaves.generate import CLASSES, leaf
from vision_core.pictures import images


@pytest.fixture
def folder(leaf_folder, tmp_path):
    return shutil.copytree(leaf_folder, tmp_path / "leaves")


def test_split_is_stratified_seeded_and_complete(leaf_folder):
    survey = data.survey(leaf_folder)
    manifest = data.split(survey, seed=1)
    assert survey.counts() == dict.fromkeys(CLASSES, 15) and manifest.skipped == ()
    assert {photo.file for photo in manifest.photos} == {
        path.relative_to(leaf_folder).as_posix() for path in leaf_folder.rglob("*.jpg")
    }
    for counts in manifest.counts().values():
        assert sum(counts.values()) == 15 and 9 <= counts["train"] <= 11 and 2 <= counts["test"] <= 3
    assert data.split(survey, seed=1) == manifest
    assert data.split(survey, seed=2).of("test") != manifest.of("test")


def test_a_manifest_is_read_back_and_a_broken_one_refused(leaf_folder, tmp_path):
    manifest = data.split(data.survey(leaf_folder))
    manifest.save(tmp_path / "manifest.json")
    assert data.load(tmp_path / "manifest.json") == manifest
    (tmp_path / "manifest.json").write_text('{"folder": 3}')
    with pytest.raises(ValueError, match=r"classes is missing|folder is 3"):
        data.load(tmp_path / "manifest.json")


def test_copies_lie_on_one_side_however_turned_and_saved(folder):
    """Every third leaf is copied: smaller, mirrored or turned, and worse. Its copy goes where it goes."""
    copies = {}
    for n, path in enumerate(sorted(folder.rglob("*.jpg"))[::3]):
        image = Image.open(path).resize((56, 56))
        turned = image.transpose(list(Image.Transpose)[n % 7])
        target = path.with_name(f"copy_{path.name}")
        turned.save(target, quality=75)
        copies[target.relative_to(folder).as_posix()] = path.relative_to(folder).as_posix()
    manifest = data.split(data.survey(folder), seed=4)
    side = {photo.file: photo.split for photo in manifest.photos}
    together = [side[copy] == side[original] for copy, original in copies.items()]
    assert sum(together) >= 0.9 * len(copies)  # by chance 54 %
    assert len(
        {frozenset(pair) for pair in manifest.leaks} & {frozenset(p) for p in copies.items()}
    ) >= 0.9 * len(copies)


def test_one_picture_in_two_classes_is_a_conflict(folder):
    source = next((folder / "rust").iterdir())
    shutil.copy(source, folder / "healthy" / "the same.jpg")
    manifest = data.split(data.survey(folder))
    assert manifest.conflicts == (("healthy/the same.jpg", f"rust/{source.name}"),)
    sides = {photo.split for photo in manifest.photos if photo.file in manifest.conflicts[0]}
    assert len(sides) == 1


def test_pictures_of_one_leaf_stay_together(leaf_folder, tmp_path):
    survey = data.survey(leaf_folder)
    leaves = {file: f"{file.split('/')[0]}-{n // 3}" for n, file in enumerate(sorted(survey.files))}
    rows = ["file,leaf_group", *(f"{file},{group}" for file, group in leaves.items())]
    (tmp_path / "groups.csv").write_text("\n".join(rows))
    manifest = data.split(survey, groups=tmp_path / "groups.csv")
    sides = Counter((leaves[photo.file], photo.split) for photo in manifest.photos)
    assert len(sides) == len(set(leaves.values()))
    for sign, encoding, slash in ((";", "utf-8-sig", "\\"), ("\t", "utf-16", "/")):  # as Excel writes them
        rows = [f" Leaf_Group {sign}id{sign}File", *(f"{g}{sign}1{sign}{f}" for f, g in leaves.items())]
        (tmp_path / "excel.csv").write_text("\r\n".join(rows).replace("/", slash), encoding=encoding)
        assert data.split(survey, groups=tmp_path / "excel.csv") == manifest
    (tmp_path / "groups.csv").write_text("file,leaf_group\nother/1.png,1")
    with pytest.raises(ValueError, match=r"groups\.csv names none of these pictures: .* such as 'healthy/"):
        data.split(survey, groups=tmp_path / "groups.csv")
    (tmp_path / "groups.csv").write_text("a,b\n1,2")
    with pytest.raises(ValueError, match="columns file and leaf_group"):
        data.split(survey, groups=tmp_path / "groups.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ValueError, match=r"pipe\.csv is not an ordinary file"):
        data.split(survey, groups=tmp_path / "pipe.csv")
    with pytest.raises(ValueError, match=r"none\.csv"):
        data.split(survey, groups=tmp_path / "none.csv")


def test_hash_knows_the_eight_ways_and_no_other_picture():
    pictures = [leaf(CLASSES[n % 4], (8, n), 64)[0] for n in range(12)]
    hashes = np.array([duplicates.perceptual_hash(rgb) for rgb in pictures])
    assert len(duplicates.near_pairs(hashes)) == 0
    for turned in (np.rot90(pictures[0]), pictures[0][:, ::-1], np.rot90(pictures[0][::-1], 3)):
        other = duplicates.perceptual_hash(np.ascontiguousarray(turned))
        bits = np.bitwise_count(other[:, None] ^ hashes[0])
        assert bits.min(1).max() <= 2  # of 63: a cosine at the very median may fall to either side


def test_what_is_no_picture_is_skipped_and_listed(folder):
    whole = next((folder / "rust").iterdir()).read_bytes()
    (folder / "rust" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "rust" / "empty.jpg").write_bytes(b"")
    (folder / "scab" / "notes.txt").write_text("a note")
    (folder / "scab" / ".DS_Store").write_text("hidden")
    (folder / "scab" / "Thumbs.db").write_text("hidden")
    survey = data.survey(folder)
    reasons = {entry["file"]: entry["reason"] for entry in survey.skipped}
    assert reasons.keys() == {"rust/cut.jpg", "rust/empty.jpg", "scab/notes.txt"}
    assert "damaged" in reasons["rust/cut.jpg"] and "is empty" in reasons["rust/empty.jpg"]
    assert survey.counts() == dict.fromkeys(CLASSES, 15)


def test_any_name_of_a_class_is_fine_and_its_subfolders_belong_to_it(folder):
    name = "Taches <b onclick=x>d'été & «rouille» 锈病"
    (folder / "rust").rename(folder / name)
    (folder / name / "2026" / "may").mkdir(parents=True)
    first = next(path for path in (folder / name).iterdir() if path.is_file())
    first.rename(folder / name / "2026" / "may" / first.name)
    survey = data.survey(folder)
    assert survey.counts()[name] == 15 and f"{name}/2026/may/{first.name}" in survey.files


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: shutil.rmtree(f), "there is no folder"),
        (lambda f: [shutil.rmtree(f / name) for name in CLASSES], "has no subfolders"),
        (lambda f: [shutil.rmtree(f / name) for name in CLASSES[1:]], "has only the class 'healthy'"),
        (lambda f: (f / "blight").mkdir(), "the class 'blight' has 0 different pictures"),
        (lambda f: [p.unlink() for p in sorted((f / "rot").iterdir())[1:]], "'rot' has 1 different pictures"),
        (
            lambda f: [p.write_bytes(b"x") for p in (f / "rot").iterdir()],
            "0 different pictures that can be read",
        ),
    ],
)
def test_folders_that_cannot_be_split_are_refused_with_the_reason(folder, spoil, sentence):
    spoil(folder)
    with pytest.raises(ValueError, match=sentence):
        data.split(data.survey(folder))


def test_a_class_of_three_has_one_on_each_side(folder):
    for path in sorted((folder / "rot").iterdir())[3:]:
        path.unlink()
    for seed in range(5):
        counts = data.split(data.survey(folder), seed).counts()["rot"]
        assert counts == {"train": 1, "validation": 1, "test": 1}


def test_the_middle_square_is_what_pillow_crops(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    images.save(images.Picture(rgb), tmp_path / "wide.png")
    expected = np.asarray(Image.fromarray(rgb[:, 12:52]).resize((32, 32), Image.Resampling.BILINEAR))
    far = np.abs(data.read_square(tmp_path / "wide.png", 32).astype(int) - expected)
    assert far[:, 1:-1].max() <= 1  # at the cut the neighbours beyond it count, too
    with pytest.raises(ValueError, match=r"has changed since .*there is no file .*gone\.png"):
        data.read_squares(tmp_path, ["wide.png", "gone.png"], 32)


def test_imbalance_names_the_small_classes():
    sentence = data.imbalance({"a": 100, "b": 10, "c": 90})
    assert sentence == {"images": 200, "classes": 3, "ratio": 10.0, "small": ["b"]}


def test_impossible_fractions_are_refused(leaf_folder):
    survey = data.survey(leaf_folder)
    with pytest.raises(ValueError, match="three above 0 that make 1"):
        data.split(survey, fractions=(0.8, 0.3, -0.1))
    assert data.split(replace(survey), fractions=(0.4, 0.3, 0.3)).counts()["rust"]["train"] == 6
