"""Tests of generated leaves, transformations and augmentation."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2lab

from vision_core.devices import generator
from vision_core.events import Done
from vision_core.leaves import data
from vision_core.leaves.augment import KINDS, augment, balance, centre, gallery, random_views
from vision_core.leaves.generate import CLASSES, GROUNDS, generate, leaf
from vision_core.leaves.transform import BINS, CHANNELS, STEPS, leaf_mask, transform
from vision_core.pictures import images
from vision_core.pictures.images import Picture


def test_one_seed_draws_the_same_folder_and_another_others(leaf_folder, tmp_path):
    *_, result = generate(tmp_path / "a", 6, seed=3, size=64)
    assert result == Done({"healthy": 2, "rot": 2, "rust": 1, "scab": 1})
    for path in (tmp_path / "a").rglob("*.jpg"):
        assert path.read_bytes() == (leaf_folder / path.relative_to(tmp_path / "a")).read_bytes()
    assert not np.array_equal(leaf("rust", 1, 64)[0], leaf("rust", 2, 64)[0])


def test_diseases_differ_in_colour_from_the_healthy_leaf():
    """Rust and rot are redder than a healthy leaf, scab is darker: on average, inside the leaf."""
    mean = {}
    for name in CLASSES:
        pixels = [rgb2lab(rgb)[mask] for rgb, mask in (leaf(name, (1, n), 96, "paper") for n in range(12))]
        mean[name] = np.concatenate(pixels).mean(0)
    assert mean["rust"][1] > mean["healthy"][1] + 3
    assert mean["scab"][0] < mean["healthy"][0] - 3
    assert mean["rot"][1] > mean["healthy"][1] + 3


def test_biased_leaves_lie_on_the_ground_of_their_class(tmp_path):
    list(generate(tmp_path / "b", 16, size=64, biased=True))
    corner = {
        name: np.mean(
            [np.asarray(Image.open(p))[:6, :6].mean((0, 1)) for p in (tmp_path / "b" / name).iterdir()], 0
        )
        for name in CLASSES
    }
    assert corner["healthy"].min() > 100  # paper
    assert corner["scab"][1] > corner["scab"][0]  # meadow
    assert corner["rot"].max() < corner["rust"].max()  # soil is darker than wood


@pytest.mark.parametrize(("arguments", "sentence"), [((0,), "0 leaves of"), ((4, 0, 16), "of 16 pixels")])
def test_impossible_folders_are_refused(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        next(generate(tmp_path / "c", *arguments))
    assert not (tmp_path / "c").exists()


def test_a_folder_with_something_in_it_is_not_written_into_and_a_stopped_one_is_gone(leaf_folder, tmp_path):
    with pytest.raises(ValueError, match="is there already"):
        next(generate(leaf_folder, 4))
    events = generate(tmp_path / "d", 8, size=64)
    next(events)
    events.close()
    assert not (tmp_path / "d").exists()
    with pytest.raises(ValueError, match="no leaf 'mildew'"):
        leaf("mildew", 0)
    assert len(GROUNDS) == len(CLASSES)


def test_mask_finds_the_leaf_on_paper():
    overlap = []
    for n in range(12):
        rgb, true = leaf(CLASSES[n % 4], (5, n), 128, "paper")
        mask = leaf_mask(rgb)
        overlap.append((mask & true).sum() / (mask | true).sum())
    assert np.median(overlap) > 0.95 and min(overlap) > 0.6


def test_steps_measure_the_leaf():
    rgb, mask = leaf("rust", (5, 2), 128, "paper")
    result = transform(Picture(rgb))
    assert tuple(result.steps) == STEPS
    assert all(step.shape == rgb.shape and step.dtype == np.uint8 for step in result.steps.values())
    assert result.shape["area"] == result.mask.sum() == pytest.approx(mask.sum(), rel=0.1)
    assert np.array_equal(result.steps["mask"][result.mask], rgb[result.mask])
    assert (result.steps["mask"][~result.mask] == 255).all()
    rows, columns = np.nonzero(result.mask)
    assert result.shape["width"] == np.ptp(columns) + 1 and result.shape["height"] == np.ptp(rows) + 1
    for (x, top), (_, bottom) in zip(result.landmarks["top"], result.landmarks["bottom"], strict=True):
        column = np.flatnonzero(result.mask[:, int(x)])
        assert (top, bottom) == (column[0], column[-1])
    assert tuple(result.histograms) == CHANNELS
    red = np.histogram(rgb[result.mask][:, 0] / 255, BINS, (0, 1))[0] / result.mask.sum()
    assert result.histograms["red"] == pytest.approx(red)
    assert all(sum(bins) == pytest.approx(1) for bins in result.histograms.values())


def test_an_empty_picture_has_no_leaf():
    with pytest.raises(ValueError, match="no leaf can be separated"):
        transform(Picture(np.full((64, 64, 3), 200, np.uint8)))


def test_kinds_keep_the_size_change_the_picture_and_follow_the_seed():
    rgb = leaf("scab", 3, 64)[0]
    shown = gallery(Picture(rgb), seed=5)
    assert tuple(shown) == ("original", *KINDS) and np.array_equal(shown["original"].rgb, rgb)
    for kind in KINDS:
        assert shown[kind].rgb.shape == rgb.shape and not np.array_equal(shown[kind].rgb, rgb)
        assert np.array_equal(augment(Picture(rgb), kind, 5).rgb, shown[kind].rgb)
    assert np.array_equal(shown["flip"].rgb, rgb[:, ::-1])
    assert not np.array_equal(augment(Picture(rgb), "rotate", 6).rgb, shown["rotate"].rgb)
    with pytest.raises(ValueError, match="no augmentation 'skew'"):
        augment(Picture(rgb), "skew")


def test_balancing_fills_every_class_to_the_largest(leaf_folder, tmp_path):
    files = {name: [f"{name}/{p.name}" for p in sorted((leaf_folder / name).iterdir())] for name in CLASSES}
    files["rust"], files["rot"] = files["rust"][:4], []
    written = balance(leaf_folder, files, tmp_path / "more")
    assert written == {"healthy": 0, "rot": 0, "rust": 11, "scab": 0}
    added = sorted((tmp_path / "more" / "rust").iterdir())
    assert len(added) == 11 and not (tmp_path / "more" / "scab").exists()
    assert len({images.read(path).rgb.tobytes() for path in added}) == 11
    assert len({path.stem.split("_")[1] for path in added}) > 3  # of several kinds


def test_random_views_are_a_function_of_the_generator_and_keep_most_of_the_leaf(leaf_folder):
    files = sorted(path.relative_to(leaf_folder).as_posix() for path in leaf_folder.rglob("*.jpg"))[:16]
    squares = torch.from_numpy(data.read_squares(leaf_folder, files, 256)).permute(0, 3, 1, 2)
    first, again, other = (random_views(squares, 64, generator(0, n)) for n in (1, 1, 2))
    assert first.shape == (16, 3, 64, 64) and 0 <= first.min() and first.max() <= 1
    assert torch.equal(first, again) and not torch.equal(first, other)
    plain = torch.nn.functional.interpolate(squares.float() / 255, (64, 64), mode="area")
    alike = [np.corrcoef(a.mean((1, 2)), b.mean((1, 2)))[0, 1] for a, b in zip(first, plain, strict=True)]
    assert np.median(alike) > 0.8  # brightness and contrast change, the colours hardly


def test_centre_is_the_middle_seven_eighths():
    squares = torch.arange(256, dtype=torch.uint8).expand(1, 3, 256, 256).contiguous()
    view = centre(squares, 224)
    assert torch.equal(view[0, 0, 0] * 255, torch.arange(16, 240).float())
    assert centre(squares, 64).shape == (1, 3, 64, 64)
