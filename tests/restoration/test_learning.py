"""Tests of the training data of restorer and gate."""

from functools import partial

import numpy as np
import pytest
import torch

from vision_core.restoration import evidence, gate, ink, learn_gate, learn_light, mixtures, pages, text, world
from vision_core.restoration.classifier import Classifier
from vision_core.restoration.sheets import darkness, paled


@pytest.fixture(scope="module")
def sheets():
    tensors = [pages.page(number, width=200, height=240).pixels for number in (1, 2)]
    return [page.permute(1, 2, 0).contiguous().numpy() for page in tensors]


def test_a_stroke_is_as_wide_as_it_looks():
    """Soft lines: ink above half of their darkness, paper below a third."""
    across = np.abs(np.arange(64) - 32) / 10
    for darkest in (0.3, 0.9):
        depth = np.tile(darkest * (1 - across).clip(0), (48, 1)).astype(np.float32)
        labels = ink.strokes(depth, 0.05, 0.1)[24]
        assert labels[32] == 255 and labels[32 + 2] == 255 and labels[32 + 9] == 0 and labels[0] == 0
        assert (np.diff(labels[32:].astype(int)) <= 0).all() and 9 <= (labels == 255).sum() <= 13
    assert (ink.strokes(depth, 2.0, 3.0) == 0).all()


def test_the_other_side_never_shows_darker_than_the_ink_that_stays(sheets):
    clean = torch.full((3, 64, 64), 0.8)
    steps = {"bleed_through": {"strength": 0.7, "sigma": 0.3}}
    damage = partial(mixtures.apply, clean, steps, np.ones((64, 64), np.float32))
    darkest = [damage(np.random.default_rng(0), darkest=least)[0].min().item() for least in (1.0, 0.3)]
    assert darkest[0] < 204 * 0.5 and darkest[1] >= 204 * (1 - 1.1 * 0.9 * 0.3) - 1
    damaged, target = damage(np.random.default_rng(0), darkest=0.3)
    assert (target == 204).all() and (damaged <= target).all()


def test_paled_ink_leaves_the_paper_as_it_was(sheets):
    page = sheets[0][:128, :128].astype(np.float32) / 255
    pale = paled(np.random.default_rng(1), page)
    luma = page.mean(2)
    writing, paper = luma < np.quantile(luma, 0.03), luma > np.quantile(luma, 0.5)
    assert pale[writing].mean() > page[writing].mean() + 0.1
    assert np.abs(pale[paper] - page[paper]).mean() < 0.02
    assert darkness(pale, ink.of_clean_page(sheets[0])[:128, :128]) < 0.8


def test_a_sample_is_its_seed_and_of_the_kind_that_was_asked_for(sheets):
    source = world.World(sheets)
    first, again, other = (source.sample(seed, 64, kind="salt_and_pepper") for seed in (3, 3, 4))
    assert torch.equal(first.damaged, again.damaged) and not torch.equal(first.damaged, other.damaged)
    changed = first.damaged != first.target
    assert 0 < changed.float().mean() < 0.03 and set(first.damaged[changed].tolist()) <= {0, 255}
    assert set(first.ink.unique().tolist()) <= {0, ink.UNSURE, 255}


def test_marks_of_age_darken_the_page_and_are_no_part_of_the_target(sheets, monkeypatch):
    for seed in range(8):
        kept = mixtures._aged(np.random.default_rng(seed), 96)
        assert kept.shape == (3, 96, 96) and 0.1 <= kept.min() < 0.97 and kept.max() <= 1
    monkeypatch.setattr(mixtures, "AGED", 1.0)
    damage = partial(mixtures.apply, torch.full((3, 96, 96), 0.8), {"jpeg": {"quality": 95}}, None)
    (aged, target), (plain, _) = (damage(np.random.default_rng(2), aged=each) for each in (True, False))
    assert (target == 204).all() and plain.float().std() < 1 < aged.float().std()


def test_the_original_mixture_dims_and_tints_the_page_with_its_dots():
    """On grey paper: fading and tint are those of the target, white dots are tinted and never faded."""
    clean = np.full((96, 96, 3), 0.5, np.float32)
    pairs = [mixtures.original(clean, np.random.default_rng(seed)) for seed in range(300)]
    tints, noisy, dotted = [], 0, 0
    for damaged, target in pairs:
        red, green, blue = (float(target[channel].unique()) / 255 for channel in range(3))
        tint = (1.0, 1.0, 1.0) if abs(blue - red) < 0.01 else (1.0, 0.95, 0.8)
        assert np.allclose((green, blue), (tint[1] * red, tint[2] * red), atol=0.005)
        assert 0.349 < red < 0.601
        tints.append(tint[2])
        noisy += bool(damaged[0].float().std() > 2)
        for channel in range(3):
            assert damaged[channel].max() <= round(255 * tint[channel])
        dotted += bool(damaged[0].max() == 255)
    assert 0.5 < np.mean(np.array(tints) == 0.8) < 0.7 and noisy > 150 and 100 < dotted < 200
    faded = np.mean([abs(float(target[0, 0, 0]) - 128) > 1 for _, target in pairs])
    assert 0.45 < faded < 0.65


def test_a_font_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(ValueError, match=r"broken\.ttf"):
        text.mask(np.random.default_rng(0), 64, text.found_fonts(tmp_path))


def test_papers_lie_between_those_of_two_pages(sheets):
    """And a page between none is as it was: the clean half of the light's world."""
    yellow = [sheets[0], (sheets[0] * np.array([0.9, 0.7, 0.4])).astype(np.uint8)]
    for between in (0.0, 1.0):
        lights = learn_light.Lights(yellow, between=between)
        tones = [learn_light._paper(lights._region(np.random.default_rng(n))) for n in range(40)]
        blues = np.array([tone[2] / tone[0] for tone in tones])
        ends = [learn_light._paper(page)[2] / learn_light._paper(page)[0] for page in yellow]
        assert blues.min() > min(ends) - 0.06 and blues.max() < max(ends) + 0.06
        middle = (blues > min(ends) + 0.1) & (blues < max(ends) - 0.1)
        assert middle.any() == (between > 0)


def test_the_gate_learns_what_helps(tmp_path):
    """The first feature of these cells is the gain in dB; only real cells are evaluated."""
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (9000, evidence.FEATURES)).astype(np.float32)
    gain = 3 * features[:, 0] + rng.normal(0, 0.2, 9000)
    cells = learn_gate.Cells(features, gain, np.arange(9000) // 100, rng.random(9000) < 0.5)
    decision = learn_gate.fit(cells, tmp_path / "gate.json", steps=300)
    assert decision["helps_taken"] > 0.9 and decision["harms_taken"] < 0.1
    taken = gate.share(Classifier.read(tmp_path / "gate.json").logits(features))
    assert taken[gain > 2].mean() > 0.95 and taken[gain < -2].mean() < 0.05
