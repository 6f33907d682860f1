import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from vision_core.devices import generator
from vision_core.restoration import KINDS, check, damage, degrade, draw, draw_mixture, metrics, pages

SEVERITIES = (1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def crops():
    return torch.stack([pages.crop(number, 128) for number in range(4)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_severity_does_more_harm(crops, kind):
    def harm(severity):
        damaged = degrade(crops, [draw(seed, (kind,), severity) for seed in range(4)])
        assert damaged.min() >= 0 and damaged.max() <= 1
        return metrics.psnr(damaged, crops).mean()

    mild, middle, worst = harm(1), harm(3), harm(5)
    assert 100 > mild > middle > worst > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_severity_draws_from_its_fifth_of_the_range(kind):
    for severity in SEVERITIES:
        for seed in range(20):
            (step,) = draw(seed, (kind,), severity)["steps"]
            for name, (low, high) in KINDS[kind].ranges.items():
                assert (severity - 1) / 5 - 1e-4 <= (step[name] - low) / (high - low) <= severity / 5 + 1e-4


def test_a_recipe_from_a_file_repeats_the_damage(crops):
    recipes = [draw_mixture(seed) for seed in range(4)]
    again = json.loads(json.dumps(recipes))
    assert torch.equal(degrade(crops, recipes), degrade(crops, again))


def test_an_image_does_not_depend_on_its_neighbours_and_stays_as_it_was(crops):
    before, recipes = crops.clone(), [draw(seed, severity=3) for seed in range(4)]
    together = degrade(crops, recipes)
    assert torch.equal(crops, before)
    assert torch.equal(together[2:3], degrade(crops[2:3], recipes[2:3]))
    assert not torch.equal(together[2:3], degrade(crops[2:3], [draw(9, severity=3)]))


def test_mixtures_have_each_kind_with_its_probability():
    mixtures = [{step["kind"] for step in draw_mixture(seed)["steps"]} for seed in range(1000)]
    for name, kind in KINDS.items():
        assert sum(name in kinds for kinds in mixtures) / 1000 == pytest.approx(kind.probability, abs=0.05)
    assert all(mixtures)


def test_no_steps_change_nothing(crops):
    assert torch.equal(degrade(crops, [{"seed": 0, "steps": []}] * 4), crops)


def test_blur_is_scipys(crops):
    expected = gaussian_filter(crops[0].numpy(), (0, 1.3, 1.3), mode="nearest", radius=4)
    assert np.allclose(damage.blur(crops[0], generator(0), 1.3).numpy(), expected, atol=1e-5)


def test_noise_has_its_deviation_and_salt_and_pepper_its_ratio():
    grey = torch.full((3, 256, 256), 0.5)
    assert (damage.noise(grey, generator(0), 0.05) - grey).std().item() == pytest.approx(0.05, rel=0.01)
    spoiled = damage.salt_and_pepper(grey, generator(0), 0.01)
    assert (spoiled != grey).float().mean().item() == pytest.approx(0.01, rel=0.1)
    assert set(spoiled.unique().tolist()) == {0.0, 0.5, 1.0}


def test_jpeg_is_pillows(crops):
    buffer = io.BytesIO()
    pixels = (crops[0] * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    expected = np.array(Image.open(buffer))
    result = damage.jpeg(crops[0], generator(0), 60).permute(1, 2, 0).numpy() * 255
    assert np.array_equal(result.round().astype(np.uint8), expected)


def test_what_bleeds_through_is_the_other_side_mirrored():
    white = torch.ones(3, 96, 96)
    verso = white.clone()
    verso[:, :, :24] = 0  # ink on the left of the other side
    shown = damage.bleed_through(white, generator(1), 0.5, 1.0, verso)
    assert torch.equal(damage.bleed_through(white, generator(1), 0.5, 1.0, white), white)
    columns = shown.mean((0, 1))
    assert columns.argmin() > 40 and columns.max() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 5), (300, 33)])
def test_every_size_can_be_damaged(size):
    assert degrade(torch.rand(1, 3, *size), [draw(0, severity=5)]).isfinite().all()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ([], "a recipe is"),
        ({"seed": -1, "steps": []}, "0 or more"),
        ({"seed": True, "steps": []}, "whole number"),
        ({"seed": 0, "steps": ["blur"]}, "an object with a kind"),
        ({"seed": 0, "steps": [{"kind": "fire"}]}, "no damage is called 'fire'"),
        ({"seed": 0, "steps": [{"kind": "blur"}]}, "'sigma' is missing"),
        ({"seed": 0, "steps": [{"kind": "blur", "sigma": 99}]}, "0.6 to 1.7 was expected"),
        ({"seed": 0, "steps": [{"kind": "blur", "sigma": float("nan")}]}, "sigma of blur is nan"),
        ({"seed": 0, "steps": [{"kind": "blur", "sigma": 1, "size": 3}]}, "'size' is missing or unknown"),
        (
            {"seed": 0, "steps": [{"kind": "blur", "sigma": 1, "severity": float("nan")}]},
            "severity of blur is nan",
        ),
        ({"seed": 0, "steps": [{"kind": "blur", "sigma": 1, "severity": 9}]}, "1 to 5 was expected"),
        ({"seed": 0, "steps": [{"kind": "blur", "sigma": True}]}, "sigma of blur is True"),
        ({"seed": 0, "steps": [{"kind": "blur", "sigma": 1}] * 101}, "a list of up to 100"),
        ({"seed": 2**63, "steps": []}, "whole number"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(recipe, message):
    with pytest.raises(ValueError, match=message):
        check(recipe)


def test_wrong_arguments_are_named(crops):
    with pytest.raises(ValueError, match="2 recipes need"):
        degrade(crops, [draw(0)] * 2)
    with pytest.raises(ValueError, match="verso"):
        degrade(crops, [draw(0)] * 4, crops[:1])
    with pytest.raises(ValueError, match="severity is 6"):
        draw(0, severity=6)
