import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch.nn import functional as F

from vision_core.images import Picture
from vision_core.restoration import (
    HybridRestorer,
    Options,
    build,
    difference,
    draw,
    evaluate,
    evaluate_pairs,
    flow,
    gate,
    judge,
    load,
    pages,
    restore,
    uncertainty,
)
from vision_core.restoration.classical import BASELINES, grey, sauvola, sharpen
from vision_core.restoration.data import Page
from vision_core.restoration.evaluate import otsu_f_measure, summary
from vision_core.restoration.restore import attention

ALWAYS = Options(gate=False)


def test_strength_leads_from_the_original_to_the_restored_page(network, picture):
    whole = restore(picture, network, ALWAYS).restored
    none, half = (restore(picture, network, Options(s, gate=False)).restored for s in (0, 0.5))
    assert np.array_equal(none, picture.rgb) and not np.array_equal(whole, picture.rgb)
    assert np.abs(half - (picture.rgb.astype(float) + whole) / 2).max() <= 0.5


def test_what_is_changed_at_half_the_size_is_enlarged_and_added(network, picture):
    found = restore(picture, network, Options(gate=False, scale=0.5)).restored
    whole = torch.from_numpy(picture.rgb.copy()).permute(2, 0, 1)[None].float()
    small = F.avg_pool2d(whole, 2).round()
    changed = restore(
        Picture(small[0].byte().permute(1, 2, 0).numpy()), network, Options(gate=False, scale=1)
    )
    difference = torch.from_numpy(changed.restored.copy()).permute(2, 0, 1)[None] - small
    enlarged = F.interpolate(difference, scale_factor=2, mode="bilinear")
    expected = (whole + enlarged).clamp(0, 255)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() <= 2
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        Options(scale=0)


class Fussy(HybridRestorer):
    """Takes writing on large pages for stains; on small ones it evens the light."""

    def forward(self, x):
        return torch.ones_like(x) if x.shape[2] > 160 else 0.8 * x / F.max_pool2d(x, 31, 1, 15)


def test_a_page_is_tried_at_half_its_size_where_its_own_does_not_help(untrained):
    fussy = Fussy(**untrained.architecture)
    page = pages.page(3, width=192, height=256).pixels.permute(1, 2, 0).contiguous().numpy()
    page = (page * np.linspace(0.3, 1, 192)[:, None]).astype(np.uint8)
    own, half = (restore(Picture(page), fussy, Options(scale=scale)) for scale in (1, 0.5))
    assert not own.verdict.accepted and half.verdict.accepted
    assert np.array_equal(restore(Picture(page), fussy).restored, half.restored)
    kept = page[:100, :100]  # too small to be tried at half
    assert np.array_equal(
        restore(Picture(kept), fussy).restored, restore(Picture(kept), fussy, Options(scale=1)).restored
    )


def shaded(page: np.ndarray) -> np.ndarray:
    """A shade from one corner of the page to the other, wider than any crop of the training."""
    y, x = (np.linspace(0, 0.5, side) for side in page.shape[:2])
    return (page * (1 - 0.55 * (y[:, None] + x)[..., None] ** 1.5)).round().astype(np.uint8)


def test_a_shade_over_the_whole_page_is_found_by_a_look_at_the_whole_page():
    page = pages.page(2, width=640, height=800).pixels.permute(1, 2, 0).contiguous().numpy()
    dark, network = Picture(shaded(page)), load()[0]
    looked, tiled = restore(dark, network), restore(dark, network, Options(scale=1))
    wrong = [np.square(found.picture.rgb.astype(float) - page).mean() for found in (looked, tiled)]
    assert looked.verdict.accepted and wrong[0] < 0.5 * wrong[1]
    assert not restore(Picture(page), network).verdict.accepted


def test_what_is_protected_stays_bit_for_bit(network, picture):
    mask = np.zeros(picture.rgb.shape[:2], np.uint8)
    mask[30:60, 20:70] = 255
    found = restore(picture, network, Options(gate=False, sharpen=True), mask).restored
    assert np.array_equal(found[mask > 0], picture.rgb[mask > 0])
    assert (found[mask == 0] != picture.rgb[mask == 0]).mean() > 0.5
    with pytest.raises(ValueError, match=r"the mask is uint8 \(3, 3\)"):
        restore(picture, network, ALWAYS, np.zeros((3, 3), np.uint8))


def test_the_picture_keeps_what_it_had(network, picture):
    alpha = np.full(picture.rgb.shape[:2], 7, np.uint8)
    rich = replace(picture, alpha=alpha, icc=b"profile", exif={0x013B: "scribe"})
    found = restore(rich, network, ALWAYS).picture
    assert (found.dpi, found.icc, found.exif) == (rich.dpi, rich.icc, rich.exif) and (found.alpha == 7).all()


def test_grey_and_binary(untrained, picture):
    grey = restore(picture, untrained, Options(output="grey", gate=False)).picture.rgb
    binary = restore(picture, untrained, Options(output="binary", gate=False)).picture.rgb
    assert (grey == grey[..., :1]).all() and np.unique(grey).size > 20
    assert set(np.unique(binary)) == {0, 255}
    luma = picture.rgb @ np.array([0.299, 0.587, 0.114])
    assert luma[binary[..., 0] == 0].mean() < luma[binary[..., 0] == 255].mean() - 30
    assert 0.01 < (binary == 0).mean() < 0.4
    assert (sauvola(np.full((9, 9, 3), 200, np.uint8)) == 255).all()


def test_a_page_without_colour_gets_none_and_a_kept_one_stays_as_it_was(network, untrained, picture):
    bits = sauvola(picture.rgb)
    for kind, rgb in (("grey", grey(picture.rgb)), ("binary", bits)):
        page = replace(picture, rgb=rgb, kind=kind)
        for output in ("color", kind):
            kept = restore(page, untrained, Options(output=output))
            assert not kept.used and kept.picture.kind == kind and np.array_equal(kept.picture.rgb, rgb)
        changed = restore(page, network, ALWAYS)
        assert changed.used and changed.picture.kind == "grey"
        assert (changed.picture.rgb == changed.picture.rgb[..., :1]).all()
        assert (changed.restored != changed.restored[..., :1]).any()  # the network's answer has colours
    assert restore(picture, untrained, Options(output="binary")).picture.kind == "binary"


def test_the_gate_keeps_a_page_that_restoring_did_not_change(untrained, picture):
    result = restore(picture, untrained)
    assert not result.verdict.accepted and "needs nothing" in result.verdict.reason
    assert np.array_equal(result.picture.rgb, picture.rgb)


def test_the_gate_refuses_blur_and_other_writing_and_takes_a_cleaner_page(picture):
    from scipy.ndimage import gaussian_filter

    page = picture.rgb
    smooth = gaussian_filter(page.astype(float), (2, 2, 0)).clip(0, 255).astype(np.uint8)
    assert not judge(page, smooth).accepted
    assert "writing" in judge(page, np.roll(page, 16, 0)).reason
    brighter = np.where(page < 255, page + 1, page)
    assert "needs nothing" in judge(page, brighter).reason
    y, x = np.indices(page.shape[:2])
    spot = 1 - 0.5 * np.exp(-((y - 60) ** 2 + (x - 40) ** 2) / 60)[..., None]
    stained = (page * spot).astype(np.uint8)  # little on average, much in one place
    assert np.abs(stained.astype(int) - page).mean() < 2 and judge(stained, page).accepted
    faded = (0.6 * page + 60).astype(np.uint8)
    verdict = judge(faded, page)
    assert verdict.accepted and verdict.after.score > verdict.before.score


def test_the_gate_refuses_a_page_whose_ink_and_paper_merge(picture):
    page = picture.rgb
    ink = sauvola(page)[..., :1] == 0
    merged = np.where(ink & (np.indices(ink.shape)[1] % 48 < 24), page * 0.4 + 110, page).astype(np.uint8)
    found = judge(page, merged)
    assert not found.accepted and found.after.separation < found.before.separation
    assert gate.quality(np.where(ink, 0, 255).repeat(3, 2).astype(np.uint8)).separation > 0.95


def test_the_gate_refuses_thinner_strokes_and_takes_a_page_without_a_spot():
    """Ink that vanishes counts where it is beside ink that stays: a blot that goes altogether is dirt."""
    page = np.full((96, 96, 3), 230, np.uint8)
    page[10:90:10, 8:60] = page[11:90:10, 8:60] = page[12:90:10, 8:60] = 30
    thinner, blotted = page.copy(), page.copy()
    thinner[12:90:10] = 230
    blotted[30:70, 70:90] = 30
    assert "thinner (by 33% of the ink)" in judge(page, thinner).reason
    assert "thinner" not in judge(blotted, page).reason and judge(page, page - 20).accepted


def test_the_gate_takes_a_page_out_of_the_shade_and_refuses_an_empty_one():
    """Otsu's ink shrinks when a shade goes, and contrast may fall; but on an empty page nothing is left."""
    page = pages.page(1, width=400, height=500).pixels.permute(1, 2, 0).contiguous().numpy()
    assert judge(shaded(page), page).accepted
    assert "writing" in judge(page, np.full_like(page, 255)).reason
    grain = np.random.default_rng(0).normal(210, 15, page.shape).round().astype(np.uint8)
    assert judge(grain, np.full_like(page, 210)).accepted  # nothing was written there


def test_grain_does_not_count_as_sharpness_nor_as_ink():
    page = pages.page(3, width=400, height=500).pixels.permute(1, 2, 0).numpy()
    noise = np.random.default_rng(0).normal(0, 12, page.shape)
    grainy = (page + noise).clip(0, 255).astype(np.uint8)
    clean, rough = gate.quality(page), gate.quality(grainy)
    assert rough.sharpness < 2 * clean.sharpness
    assert judge(grainy, page).accepted


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 3), (17, 5)])
@pytest.mark.parametrize("method", ["network", "classical", "denoise"])
def test_tiny_pages(network, size, method):
    tiny = Picture(np.full((*size, 3), 90, np.uint8))
    assert restore(tiny, network, Options(method=method)).picture.rgb.shape == (*size, 3)


def test_the_original_restores_a_page_that_is_no_square(picture):
    result = restore(Picture(np.tile(picture.rgb, (2, 3, 1))), build("tiny", image_size=64), ALWAYS)
    assert result.restored.shape == (256, 288, 3)


def test_uncertainty_is_where_the_views_disagree(untrained, network, picture):
    assert not uncertainty(picture.rgb, untrained).any()
    guessed = uncertainty(picture.rgb, network)
    assert guessed.shape == picture.rgb.shape[:2] and guessed.any()


def test_difference_and_attention(network, picture):
    changed = picture.rgb.copy()
    changed[3, 4, 1] ^= 8
    found = difference(picture.rgb, changed)
    assert found[3, 4] == 8 and found.sum() == 8
    seen = attention(picture.rgb, network)
    assert seen.shape == (8, 6) and seen.mean() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="no block 5"):
        attention(picture.rgb, network, 5)


def test_sharpening_is_an_unsharp_mask():
    from scipy.ndimage import gaussian_filter

    page = np.random.default_rng(0).integers(60, 190, (40, 40, 3)).astype(np.uint8)
    blurred = gaussian_filter(page.astype(float), (2, 2, 0), mode="mirror")
    expected = (1.5 * page - 0.5 * blurred).clip(0, 255)
    assert np.abs(sharpen(page).astype(float) - expected).mean() < 1


def test_wrong_options_are_one_sentence(picture):
    for options, message in (
        ({"strength": 1.5}, "strength is 1.5"),
        ({"output": "blue"}, "color, grey, binary"),
        ({"method": "magic"}, "network, classical or denoise"),
        ({"memory": 0}, "above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Options(**options)
    with pytest.raises(ValueError, match="takes a network"):
        restore(picture)


def test_the_table_has_every_kind_and_severity(untrained, page):
    rows = list(evaluate([Page("a", page)], untrained, crops=1, side=48))
    assert len(rows) == 14 * 5 and len({(row["kind"], row["severity"]) for row in rows}) == 70
    for row in rows:
        assert row["psnr_restored"] == pytest.approx(row["psnr_damaged"], abs=1e-3)  # it changes nothing
        assert len(row["classical"]) == 1 and row["classical"][0] in BASELINES
    found = summary(rows)
    assert found["gain"] == pytest.approx(0, abs=1e-3) and found["undamaged_kept_by_gate"] == 1
    assert found["undamaged_psnr"] == 100 and found["undamaged_sharpness"] == pytest.approx(1)
    json.dumps(rows)


def test_f_measure_is_scikit_learns(picture):
    rng = np.random.default_rng(0)
    ink = rng.random((30, 30)) < 0.3
    page = np.where(ink, 60, 200)[..., None] + rng.normal(0, 40, (30, 30, 3))
    page = page.clip(0, 255).astype(np.uint8)
    luma = (page @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    from skimage.filters import threshold_otsu

    expected = 100 * f1_score(ink.ravel(), (luma <= threshold_otsu(luma)).ravel())
    assert otsu_f_measure(page, ink) == pytest.approx(expected)


def test_pairs_are_found_by_their_names(untrained, picture, tmp_path):
    from vision_core import images

    images.save(picture, tmp_path / "x_source.png")
    images.save(Picture(sauvola(picture.rgb)), tmp_path / "x_target.png")
    (row,) = evaluate_pairs(tmp_path, untrained)
    assert row["page"] == "x" and row["raw"] == row["restored"] > 50
    with pytest.raises(ValueError, match="holds no pairs"):
        list(evaluate_pairs(tmp_path / "..", untrained))


def test_the_flow_is_six_pictures_and_its_figures(network, picture, tmp_path):
    steps = list(flow(picture, network, draw(0, ("noise", "fading"), 3), tmp_path))
    assert [path.name[:2] for _, path in steps] == ["1_", "2_", "3_", "4_", "5_", "6_"]
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["damaged"]["psnr"] < 30 and set(figures["restored"]) == {"psnr", "ssim", "mae", "mse"}
    assert json.loads((tmp_path / "recipe.json").read_text())["steps"][0]["kind"] == "fading"


def test_the_network_is_left_as_it_was(network, picture):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    restore(picture, network, ALWAYS)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_border_of_a_page_is_no_guess_because_its_opposite_is_another():
    """A shift must not bring one side of the page to the other: a blur does the same to every view."""

    class Blur(HybridRestorer):
        def forward(self, x):
            return F.avg_pool2d(F.pad(x, (4, 4, 4, 4), "replicate"), 9, 1)

    page = np.full((160, 160, 3), 200, np.uint8)
    page[:, 80:] = 40
    assert uncertainty(page, Blur()).max() <= 1
