import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import f1_score
from torch.nn import functional as F

from vision_core.pictures.images import Picture
from vision_core.restoration import (
    Options,
    binary,
    build,
    degrade,
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
    surroundings,
    uncertainty,
)
from vision_core.restoration.classical import BASELINES, grey, otsu, sauvola, sharpen
from vision_core.restoration.data import Page
from vision_core.restoration.evaluate import (
    f_measure,
    mixtures,
    mixtures_summary,
    pairs_summary,
    summary,
    undamaged,
    undamaged_summary,
)
from vision_core.restoration.light import Answer, read_light
from vision_core.restoration.network import relit
from vision_core.restoration.restore import Change, attention, finish

ALWAYS = Options(gate=False)


def test_strength_leads_from_the_original_to_the_restored_page(network, picture):
    whole = restore(picture, network, ALWAYS).restored
    none, half = (restore(picture, network, Options(s, gate=False)).restored for s in (0, 0.5))
    assert np.array_equal(none, picture.rgb) and not np.array_equal(whole, picture.rgb)
    assert np.abs(half - (picture.rgb.astype(float) + whole) / 2).max() <= 0.5


def shaded(page: np.ndarray) -> np.ndarray:
    """A shade from one corner of the page to the other, wider than any crop of the training."""
    y, x = (np.linspace(0, 0.5, side) for side in page.shape[:2])
    return (page * (1 - 0.55 * (y[:, None] + x)[..., None] ** 1.5)).round().astype(np.uint8)


def test_a_shade_over_the_whole_page_is_lifted_and_a_clean_page_stays():
    page = pages.page(4, width=640, height=800).pixels.permute(1, 2, 0).contiguous().numpy()
    dark, network = Picture(shaded(page)), load()[0]
    result = restore(dark, network)
    wrong = [np.square(actual.astype(float) - page).mean() for actual in (dark.rgb, result.picture.rgb)]
    assert result.used and wrong[1] < 0.5 * wrong[0]
    assert not restore(Picture(page), network).verdict.accepted


def test_light_has_no_edges_and_is_the_same_at_every_size(network):
    """One smooth field over the whole page: a step between neighbours is nowhere larger than its slope."""
    flat = np.full((900, 700, 3), 150, np.uint8)
    small = np.full((225, 175, 3), 150, np.uint8)
    light, _ = read_light(flat, network)
    lit, lit_small = (answer_of(page, network).applied(page, 1).astype(int) for page in (flat, small))
    assert np.ptp(lit) > 4 and max(np.abs(np.diff(lit, axis=axis)).max() for axis in (0, 1)) <= 2
    assert np.abs(lit[2::4, 2::4] - lit_small).max() <= 1
    assert np.array_equal(light.applied(flat, 0), flat)
    again = Answer.of(json.loads(json.dumps(light.plain())))
    assert np.array_equal(again.applied(flat, 1), lit)


def answer_of(page, network):
    return read_light(page, network)[0]


def test_the_field_is_torchs_bicubic_interpolation():
    field = np.random.default_rng(0).normal(1, 0.1, (6, 6, 6)).astype(np.float32)
    field[3:] -= 1
    page = np.random.default_rng(1).integers(60, 120, (75, 50, 3)).astype(np.uint8)
    x = torch.from_numpy(page.copy()).permute(2, 0, 1)[None].float() / 255
    expected = (relit(x, torch.from_numpy(field)[None]).clamp(0, 1) * 255).round()[0].permute(1, 2, 0)
    result = Answer(field, 1.0, (0, 0, 75, 50)).applied(page, 1)
    assert np.abs(result - expected.numpy()).max() <= 1


def test_what_lies_around_a_page_is_found_and_left_in_its_light(network):
    page = pages.page(3, width=400, height=520).pixels.permute(1, 2, 0).numpy()
    table = np.full((640, 560, 3), 34, np.uint8)
    table[60:580, 80:480] = page
    box, inside = surroundings.find(table)
    assert np.abs(np.array(box) - (60, 80, 580, 480)).max() <= 8 and inside is not None
    lit = answer_of(table, network).applied(table, 1)
    assert np.array_equal(lit[:40], table[:40]) and not np.array_equal(
        lit[200:300, 200:300], table[200:300, 200:300]
    )
    assert surroundings.find(page) == ((0, 0, 520, 400), None)
    top, left, bottom, right = box
    whole, cropped = (restore(Picture(table), network, Options(crop=crop)).picture for crop in (False, True))
    assert np.array_equal(cropped.rgb, whole.rgb[top:bottom, left:right])
    assert "cropped to the page" in cropped.notes[-1] and not whole.notes
    assert np.array_equal(restore(Picture(page), network, Options(crop=True)).picture.rgb.shape, page.shape)


def test_what_is_protected_stays_bit_for_bit(network, picture):
    mask = np.zeros(picture.rgb.shape[:2], np.uint8)
    mask[30:60, 20:70] = 255
    restored = restore(picture, network, Options(gate=False, sharpen=True), mask).restored
    assert np.array_equal(restored[mask > 0], picture.rgb[mask > 0])
    assert (restored[mask == 0] != picture.rgb[mask == 0]).mean() > 0.5
    with pytest.raises(ValueError, match=r"the mask is uint8 \(3, 3\)"):
        restore(picture, network, ALWAYS, np.zeros((3, 3), np.uint8))


def test_the_picture_keeps_what_it_had(network, picture):
    alpha = np.full(picture.rgb.shape[:2], 7, np.uint8)
    rich = replace(picture, alpha=alpha, icc=b"profile", exif={0x013B: "scribe"})
    result = restore(rich, network, ALWAYS).picture
    assert (result.dpi, result.icc, result.exif) == (rich.dpi, rich.icc, rich.exif) and (
        result.alpha == 7
    ).all()


def test_a_page_of_16_bits_keeps_them_where_it_is_restored():
    """A slope finer than 8 bits, in another light and with a detail changed, against the same in floats."""
    slope = np.linspace(20_000, 45_000, 128 * 192).reshape(128, 192, 1).repeat(3, 2)
    wide = slope.round().astype(np.uint16)
    page = (wide / 257).round().astype(np.uint8)
    detail = page.copy()
    detail[40:60, 40:60] += 30
    field = np.array([1.2, 1.1, 1.0, 0.05, 0.0, 0.02], np.float32)[:, None, None].repeat(6, 1).repeat(6, 2)
    changed = Change(detail, light=Answer(field, 1.0, (0, 0, 128, 192)))
    result = finish(Picture(page, bit_depth=16, wide=wide), changed, ALWAYS).picture
    expected = wide / 65535
    expected[40:60, 40:60] += 30 / 255
    expected = expected * [1.2, 1.1, 1.0] + [0.05, 0.0, 0.02]
    assert result.wide is not None and np.abs(result.wide / 65535 - expected).max() < 1.5 / 65535
    assert np.abs(result.rgb / 255 - expected).max() < 0.55 / 255
    grey_page = finish(Picture(page, bit_depth=16, wide=wide, kind="grey"), changed, ALWAYS).picture
    assert grey_page.kind == "grey" and grey_page.wide is not None
    assert len(np.unique(grey_page.wide)) > 10_000


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
    assert not result.verdict.accepted and "would hardly change" in result.verdict.reason
    assert np.array_equal(result.picture.rgb, picture.rgb)


def spoiled(page: np.ndarray, how: str) -> np.ndarray:
    """A page on which a third is erased, overwritten with other writing, or smeared."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    out = page.copy()
    area = out[160:330, 60:340]
    match how:
        case "erased":
            area[:] = maximum_filter(area, (21, 21, 1))
        case "other":
            area[:] = area[::-1, ::-1]
        case "smeared":
            area[:] = gaussian_filter(area.astype(float), (3, 3, 0))
    return out


@pytest.fixture(scope="module")
def clean_page():
    return pages.page(1, width=400, height=500).pixels.permute(1, 2, 0).contiguous().numpy()


@pytest.mark.parametrize("how", ["erased", "other", "smeared"])
def test_the_gate_refuses_what_would_change_the_writing_and_takes_the_rest(clean_page, how):
    taken = judge(clean_page, spoiled(clean_page, how)).taken
    assert taken[6:9, 4:9].mean() < 0.25


@pytest.mark.parametrize("kind", ["noise", "stains", "salt_and_pepper", "blur"])
def test_the_gate_takes_the_true_page(clean_page, kind):
    clean = torch.from_numpy(clean_page.copy()).permute(2, 0, 1)[None] / 255
    page = (degrade(clean, [draw(3, (kind,), 4)])[0] * 255).round().byte().permute(1, 2, 0).numpy()
    verdict = judge(page, clean_page)
    changed = np.abs(page.astype(int) - clean_page).mean(2) > 8
    share = (
        gate.mixed(np.zeros_like(page), np.full_like(page, 255), verdict.taken)[..., 0][changed].mean() / 255
    )
    assert verdict.accepted and share > 0.8


def test_more_caution_takes_less(clean_page):
    grain = np.random.default_rng(0).normal(0, 12, clean_page.shape)
    grainy = (clean_page + grain).clip(0, 255).astype(np.uint8)
    shares = [gate.shares(grainy, clean_page, caution=caution).mean() for caution in (0, 0.5, 1)]
    assert shares[0] >= shares[1] >= shares[2] and shares[0] > shares[2]


def test_regions_are_joined_softly_and_whole_ones_bit_for_bit():
    old, new = np.full((96, 128, 3), 40, np.uint8), np.full((96, 128, 3), 200, np.uint8)
    taken = np.zeros((3, 4), np.float32)
    taken[:, 2:] = 1
    mixture = gate.mixed(old, new, taken)
    assert (mixture[:, :48] == 40).all() and (mixture[:, -48:] == 200).all()
    assert np.abs(np.diff(mixture[..., 0].astype(int), axis=1)).max() <= 6


def test_separation_and_sharpness_are_measured_through_grain():
    page = pages.page(3, width=400, height=500).pixels.permute(1, 2, 0).numpy()
    noise = np.random.default_rng(0).normal(0, 12, page.shape)
    clean, rough = gate.quality(page), gate.quality((page + noise).clip(0, 255).astype(np.uint8))
    assert rough.sharpness < 2 * clean.sharpness
    ink = sauvola(page)[..., :1] == 0
    assert gate.quality(np.where(ink, 0, 255).repeat(3, 2).astype(np.uint8)).separation > 0.95


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
    result = difference(picture.rgb, changed)
    assert result[3, 4] == 8 and result.sum() == 8
    original, square = build("tiny", image_size=64), picture.rgb[:64, :64]
    weights = attention(square, original)
    assert weights.shape == (4, 4) and weights.mean() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="no block 50"):
        attention(square, original, 50)
    with pytest.raises(ValueError, match="no attention"):
        attention(square, network)


def test_sharpening_is_an_unsharp_mask():
    from scipy.ndimage import gaussian_filter

    page = np.random.default_rng(0).integers(60, 190, (40, 40, 3)).astype(np.uint8)
    blurred = gaussian_filter(page.astype(float), (2, 2, 0), mode="mirror")
    expected = (1.5 * page - 0.5 * blurred).clip(0, 255)
    assert np.abs(sharpen(page).astype(float) - expected).mean() < 1


def test_wrong_options_are_one_sentence(picture):
    for options, message in (
        ({"strength": 1.5}, "strength is 1.5"),
        ({"output": "blue"}, "color, grey, binary, soft"),
        ({"method": "magic"}, "network, classical, denoise"),
        ({"memory": 0}, "above 0"),
        ({"light": 2}, "light is 2; 0 to 1"),
        ({"threshold": "best"}, "ink, sauvola"),
    ):
        with pytest.raises(ValueError, match=message):
            Options(**options)
    with pytest.raises(ValueError, match="needs a network"):
        restore(picture)


def test_the_table_has_every_kind_and_severity(untrained, page):
    rows = list(evaluate([Page("a", page)], untrained, crops=1, side=48))
    assert len(rows) == 14 * 5 and len({(row["kind"], row["severity"]) for row in rows}) == 70
    for row in rows:
        assert row["psnr_restored"] == pytest.approx(row["psnr_damaged"], abs=1e-3)  # it changes nothing
        assert len(row["classical"]) == 1 and row["classical"][0] in BASELINES
    scores = summary(rows)
    assert scores["gain"] == pytest.approx(0, abs=1e-3) and scores["undamaged_kept_by_gate"] == 1
    assert scores["undamaged_psnr"] == 100 and scores["undamaged_sharpness"] == pytest.approx(1)
    json.dumps(rows)


def test_f_measure_is_scikit_learns():
    rng = np.random.default_rng(0)
    ink, predicted = rng.random((2, 30, 30)) < 0.3
    assert f_measure(predicted, ink) == pytest.approx(100 * f1_score(ink.ravel(), predicted.ravel()))
    thick = np.zeros((30, 30), bool)
    thick[10:17, 4:26] = True
    thinner = np.zeros_like(thick)
    thinner[11:16, 5:25] = True
    assert f_measure(thinner, thick) < 85 < 95 < f_measure(thinner, thick, pseudo=True)


def test_thresholds_are_scikit_images(picture):
    from skimage.filters import threshold_otsu, threshold_sauvola

    luma = grey(picture.rgb)[..., 0]
    for actual, threshold in (
        (otsu(picture.rgb), threshold_otsu(luma)),
        (sauvola(picture.rgb), threshold_sauvola(luma, 25, k=0.2)),
    ):
        assert ((actual[..., 0] == 0) == (luma <= threshold)).mean() > 0.995


def test_black_on_white_is_never_empty_and_dark_areas_stay_dark(picture):
    """By the network's map, where it found nothing by Wolf's threshold; both with a sentence."""
    nothing = np.zeros(picture.rgb.shape[:2], np.uint8)
    for page, doubt in (
        (picture.rgb, "hardly any"),
        ((0.3 * picture.rgb + 150).astype(np.uint8), "hardly any"),  # faded
        (255 - picture.rgb, "mostly dark"),
        (np.full_like(picture.rgb, 200), "no writing"),
    ):
        black, kind, note = binary.page(page, nothing)
        assert kind == "binary" and note is not None and doubt in note
        assert (black == 0).any() or doubt == "no writing"
    band = pages.page(1, width=300, height=300).pixels.permute(1, 2, 0).contiguous().numpy()
    band[:90] = np.random.default_rng(0).normal(45, 4, (90, 300, 3))
    band[30:50, 40:60] = 220
    black, _, _ = binary.page(band, None)
    assert (
        (black[2:26] == 0).all() and (black[34:46, 44:56] == 255).all() and (black[100:] == 255).mean() > 0.6
    )
    ink = np.full(nothing.shape, 90, np.uint8)
    ink[:20] = 200
    soft, kind, _ = binary.page(picture.rgb, ink, soft=True)
    assert kind == "grey" and (soft[:20] == 55).all() and (soft[20:] == 165).all()


def test_the_ink_map_is_thresholded_with_hysteresis(picture):
    """A stroke goes on where it is faint; what is faint alone is no ink."""
    ink = np.zeros(picture.rgb.shape[:2], np.uint8)
    ink[40:44, 20:60], ink[40:44, 60:100] = 220, 90
    ink[80:84, 20:100] = 90
    black, _, _ = binary.page(picture.rgb, ink)
    assert (black[40:44, 20:100] == 0).all() and (black[44:] == 255).all()


def test_pairs_are_found_by_their_names(untrained, picture, tmp_path):
    from vision_core.pictures import images

    images.save(picture, tmp_path / "x_source.png")
    images.save(Picture(sauvola(picture.rgb)), tmp_path / "x_target.png")
    (row,) = evaluate_pairs(tmp_path, untrained)
    assert row["page"] == "x" and row["raw"] == row["restored"] > 50 and row["sauvola"] == 100
    assert pairs_summary([row])["mean_gain"] == 0
    with pytest.raises(ValueError, match="holds no pairs"):
        list(evaluate_pairs(tmp_path / "..", untrained))


def test_mixtures_and_whole_pages_are_measured(untrained, page):
    rows = list(mixtures([Page("a", page)], untrained, crops=3, side=96))
    scores = mixtures_summary(rows)
    assert scores["network"] == pytest.approx(0, abs=0.01) and scores["light_known"] > scores["network"]
    (row,) = undamaged([Page("a", page)], untrained)
    assert row["psnr"] == 100 and undamaged_summary([row])["below_34"] == 0
    json.dumps(rows)


def test_reading_counts_the_letters_that_are_wrong(tmp_path, untrained):
    from vision_core.restoration import reading

    for transcribed, text, wrong in (
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("axcd", "abc", 2),
        ("kitten", "sitting", 3),
    ):
        assert reading.distance(transcribed, text) == wrong == reading.distance(text, transcribed)
    with pytest.raises(ValueError, match=r"Tesseract|lines\.json"):
        list(reading.evaluate_text(tmp_path, untrained))
    rows = [
        {"letters": 100, "clean": 5, "clean_restored": 5, "damaged": 25, "restored": 15},
        {"letters": 300, "clean": 5, "clean_restored": 5, "damaged": 45, "restored": 25},
    ]
    assert reading.text_summary(rows)["undone"] == pytest.approx(0.5)


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs Tesseract")
def test_letters_that_stay_legible_are_counted():
    from vision_core.restoration import reading
    from vision_core.restoration.text import bundled_fonts

    sheet = Image.new("RGB", (640, 200), "white")
    font = ImageFont.truetype(next(path for path in bundled_fonts() if "im-fell" in path.name), 36)
    for row, words in enumerate(
        ("the ship left the harbour", "in the middle of the night", "and sailed to the north")
    ):
        ImageDraw.Draw(sheet).text((20, 15 + 55 * row), words, "black", font)
    page = np.array(sheet)
    half = page.copy()
    half[90:] = 255
    same, some, none = reading.legible(page, page, half, np.full_like(page, 255))
    assert same == 1 and 0.15 < some < 0.85 and none == 0
    assert reading.legible(np.full_like(page, 255), page) is None


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


def test_the_border_of_a_page_is_no_guess_because_its_opposite_is_another(untrained):
    """A shift must not bring one side of the page to the other: a blur does the same to every view."""

    class Blur(torch.nn.Module):
        def forward(self, x, thumbnail):
            return F.avg_pool2d(F.pad(x, (4, 4, 4, 4), "replicate"), 9, 1), 0 * x[:, :1]

    untrained.detail = Blur()
    page = np.full((160, 160, 3), 200, np.uint8)
    page[:, 80:] = 40
    assert uncertainty(page, untrained).max() <= 1
