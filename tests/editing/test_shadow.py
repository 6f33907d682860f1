"""Tests of the detection and removal of shadows."""

import cv2
import numpy as np
import pytest

from vision_core import editing
from vision_core.editing import masks
from vision_core.editing.find import shadow
from vision_core.pictures.images import Picture


@pytest.fixture(scope="module")
def scene():
    """A post on rough ground in the light: (picture without its shadow, mask of the post, shadow)."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.normal(150, 40, (240, 320, 3)).astype(np.float32), (0, 0), 2)
    mask = masks.box(240, 320, 150, 70, 180, 180) | (np.hypot(*np.mgrid[-60:180, -165:155]) < 30)
    lay = np.float32([[1, -0.7, 0.7 * 179], [0, -0.25, 1.25 * 179]])
    cast = cv2.warpAffine(mask.astype(np.float32), lay, (320, 240)) > 0.5
    ground[mask] = (60, 90, 160)
    return ground.clip(0, 255).astype(np.uint8), mask, cast & ~mask


@pytest.mark.parametrize("light", [0.45, 0.7])
def test_a_shadow_is_found_and_goes_with_its_thing(scene, light):
    plain, mask, cast = scene
    rgb = np.where(cast[..., None], plain * light, plain).astype(np.uint8)
    shade = shadow.find(rgb, mask)
    assert shade is not None and np.exp(-shade.loss) == pytest.approx(light**2.2, rel=0.15)
    shadowed = shade.cover > 0.5
    assert (shadowed & cast).sum() > 0.9 * cast.sum() and (shadowed & ~cast).sum() < 0.5 * cast.sum()
    assert not shade.mask[mask].any() and (shade.lift(rgb)[~shade.mask] == rgb[~shade.mask]).all()
    own = editing.painter("classical")
    alone, both = (
        list(editing.perform(Picture(rgb), "remove", own, mask=mask, with_shadow=on))[-1].result
        for on in (False, True)
    )
    errors = [np.abs(edit.picture.rgb[cast].astype(int) - plain[cast]).mean() for edit in (alone, both)]
    assert errors[1] < errors[0] / 3 and (both.picture.rgb[~both.mask] == rgb[~both.mask]).all()
    assert (editing.reach(Picture(rgb), "remove", mask, with_shadow=True) == both.mask).all()
    again = list(editing.repeat(Picture(rgb), both.recipe))[-1].result
    assert (again.picture.rgb == both.picture.rgb).all() and (again.mask == both.mask).all()


def test_there_is_none_in_even_light_nor_where_another_colour_lies(scene):
    plain, mask, cast = scene
    assert shadow.find(plain, mask) is None
    carpet = np.where(cast[..., None], (120, 20, 20), plain).astype(np.uint8)
    assert shadow.find(carpet, mask) is None


def test_ten_edits_with_the_shadow_and_ten_undos_leave_no_other_byte(scene):
    plain, mask, cast = scene
    rgb = np.where(cast[..., None], plain * 0.5, plain).astype(np.uint8)
    rng, steps, kept, lifted = np.random.default_rng(1), [Picture(rgb)], [rgb.tobytes()], 0
    for number in range(10):
        left, top = int(rng.integers(0, 280)), int(rng.integers(0, 200))
        marked = mask if number == 0 else masks.box(240, 320, left, top, left + 30, top + 24)
        task = "repair" if number == 5 else "remove"
        own = editing.painter("classical", version=number % 3)
        edit = list(editing.perform(steps[-1], task, own, mask=marked, with_shadow=True))[-1].result
        before, after, rest = steps[-1].rgb, edit.picture.rgb, ~edit.mask
        assert (after[rest] == before[rest]).all() and (after[marked] != before[marked]).any()
        lifted += bool((edit.mask & ~masks.grow(marked, 12)).any())
        steps.append(edit.picture)
        kept.append(edit.picture.rgb.tobytes())
    assert lifted  # the post's shadow went with it
    while kept:  # what was there before an edit is still there after all of them
        assert steps.pop().rgb.tobytes() == kept.pop()
