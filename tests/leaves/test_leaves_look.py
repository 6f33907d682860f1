"""Tests of leaf masks, advice, discoloured area, teaching and result files."""

import csv
import os

import cv2
import numpy as np
import pytest
import torch

from vision_core import leaves
from vision_core.leaves import advice, masks
from vision_core.leaves.augment import lit
from vision_core.leaves.generate import CLASSES, GROUNDS, leaf, sick_leaf
from vision_core.pictures import images
from vision_core.pictures.images import Picture


@pytest.fixture(scope="module")
def taught_model(tmp_path_factory):
    """A model of the four drawn classes from three pictures each, and its folder."""
    folder = tmp_path_factory.mktemp("few")
    for name in CLASSES:
        for n in range(3):
            images.save(Picture(leaf(name, (8, n), 128, "paper")[0]), folder / name / f"{n}.png")
    return leaves.teach(folder), folder


@pytest.fixture(scope="module")
def three():
    """Three leaves on one sheet of paper, and their boxes."""
    sheet, boxes = np.full((300, 900, 3), 205, np.uint8), []
    for n in range(3):
        rgb, mask = leaf("healthy", (2, n), 220, "paper")
        part = sheet[40:260, 40 + 290 * n : 260 + 290 * n]
        part[mask] = rgb[mask]
        y, x = np.nonzero(mask)
        boxes.append((x.min() + 40 + 290 * n, y.min() + 40, x.max() + 41 + 290 * n, y.max() + 41))
    return sheet, boxes


def test_a_mask_is_right_or_not_there():
    count = 0
    for n in range(16):
        rgb, true = leaf(CLASSES[n % 4], (7, n), 160, GROUNDS[n // 4])
        try:
            mask = masks.leaf_mask(rgb)
        except ValueError:
            continue
        count += 1
        assert (mask & true).sum() > 0.7 * (mask | true).sum()
    assert count >= 10
    with pytest.raises(ValueError, match="no leaf can be separated"):
        masks.leaf_mask(np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8))


def test_the_discoloured_share_is_that_which_was_painted():
    errors = []
    for n in range(12):
        rgb, mask, sick = sick_leaf(("rot", "rust", "healthy")[n % 3], (5, n), 160, "paper")
        spots = masks.discoloured(rgb, mask)
        assert not (spots & ~mask).any()
        errors.append(abs(spots.sum() - sick.sum()) / mask.sum())
        if n % 3 == 2:
            assert errors[-1] < 0.02
    assert np.mean(errors) < 0.06


def test_each_of_several_leaves_has_its_box(three):
    sheet, true = three
    advised = advice.advise(sheet)
    assert advised.sentences == ("There are 3 leaves: each is classified by itself.",)
    for box, near in zip(sorted(advised.boxes), true, strict=True):
        assert np.abs(np.subtract(box, near)).max() < 24


def test_advice_says_what_to_do_about_a_poor_picture_and_nothing_about_a_good_one():
    rgb = leaf("rust", (3, 1), 256, "soil")[0]
    tiny, (one, mask) = np.full((256, 256, 3), 205, np.uint8), leaf("healthy", (2, 1), 96, "paper")
    tiny[80:176, 80:176][mask] = one[mask]
    expected = {
        "": rgb,
        "very dark": (rgb * 0.12).astype(np.uint8),
        "blurred": cv2.GaussianBlur(rgb, (0, 0), 7),
        "overexposed": np.maximum(rgb, 250),
        "small": tiny,
    }
    for word, picture in expected.items():
        text = " ".join(advice.advise(picture).sentences)
        assert word in text if word else text == ""


def test_light_is_doubled_by_a_stop_and_white_balance_leaves_green():
    image, none = torch.full((1, 3, 8, 8), 0.4), torch.zeros(1)
    brighter = lit(image, torch.ones(1), none, none, none)
    assert torch.allclose(brighter**2.2, 2 * image**2.2, atol=1e-5)
    warm = lit(image, none, torch.tensor([0.15]), none, none)[0, :, 0, 0]
    assert warm[0] > warm[1] > warm[2] and warm[1] == pytest.approx(0.4, abs=1e-5)


def test_what_was_taught_is_known_and_says_how_sure_that_is(taught_model):
    (model, summary), _ = taught_model
    pictures = [Picture(leaf(name, (9, 0), 128, "paper")[0]) for name in CLASSES]
    answers = leaves.predict(model, pictures)
    assert sum(answer.label == name for answer, name in zip(answers, CLASSES, strict=True)) >= 3
    measured = summary["metrics"]["left_out"]
    assert measured["images"] == 12 and measured["accuracy_interval"][0] < measured["accuracy"]
    cat = leaves.predict(model, [Picture(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))])
    assert not cat[0].known and cat[0].species == {}


def test_teaching_needs_two_classes_of_two_pictures(tmp_path, taught_model):
    _, folder = taught_model
    (tmp_path / "one").mkdir()
    for name in ("rot", "rust"):
        images.save(images.read(folder / name / "0.png"), tmp_path / "one" / name / "0.png")
    with pytest.raises(ValueError, match="'rot' has 1 pictures that can be read; at least 2 are needed"):
        leaves.teach(tmp_path / "one")
    with pytest.raises(ValueError, match="only the class"):
        images.save(images.read(folder / "rot" / "0.png"), tmp_path / "two" / "rot" / "0.png")
        leaves.teach(tmp_path / "two")


def test_results_are_a_table_with_refusals_a_sheet_and_cards(taught_model, three, tmp_path):
    model = taught_model[0][0]
    images.save(Picture(three[0]), tmp_path / "in" / "three.png")
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    images.save(Picture(noise), tmp_path / "in" / os.fsdecode(b"=noise\xff.png"))
    looks, skipped = leaves.look_at_files(model, [tmp_path / "in"])
    written = leaves.write_looks(looks, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "prediction.csv").open()))
    assert len(rows) == 4 and not skipped and {row["leaf"] for row in rows} == {"1", "2", "3"}
    [refused] = [row for row in rows if "noise" in row["file"]]
    assert refused["known"] == "False" and refused["answer"] == "not known"
    assert {path.suffix for path in written} == {".csv", ".jpg"} and len(written) == 4
    assert all(images.read(path).rgb.shape[0] > 100 for path in written if path.suffix == ".jpg")


def test_two_answers_and_a_verdict():
    answer = leaves.Prediction("A___x", 0.6, True, {}, 0.5, {"A": 0.95, "B": 0.05})
    assert leaves.verdict(answer) == "A, x, 60.0%"
    rejected = leaves.Prediction("A___x", 0.6, False, {}, 1.1, {"A": 0.95, "B": 0.05})
    assert "perhaps A with a disease that is not among the classes" in leaves.verdict(rejected)
    assert leaves.verdict(leaves.Prediction("x", 0.6, False, {}, 5.0, {})).startswith(
        "not a known kind of leaf"
    )


def test_what_is_left_out_is_refused_and_what_stays_is_not(tmp_path, taught_model):
    for species, ground in (("A", "paper"), ("B", "soil"), ("C", "wood")):
        for disease in ("healthy", "rot"):
            for n in range(6):
                picture = Picture(leaf(disease, (4, n), 64, ground)[0])
                images.save(picture, tmp_path / f"{species}___{disease}" / f"{n}.png")
    model = taught_model[0][0]
    rates = leaves.left_out(model, tmp_path)
    assert [row["left_out"] for row in rates["rows"]] == ["A", "B", "C"]
    assert rates["auroc"] > 0.7 and all(row["images"] == 12 for row in rates["rows"])
    assert [row["left_out"] for row in leaves.left_out(model, tmp_path, "disease")["rows"]] == [
        f"{species}___rot" for species in "ABC"
    ]
    with pytest.raises(ValueError, match="species or disease was expected"):
        leaves.left_out(model, tmp_path, "colour")
