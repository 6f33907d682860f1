"""Tests of the detection and removal of shadows."""

import cv2
import numpy as np
import pytest

from vision_core import editing
from vision_core.editing import masks
from vision_core.editing.find import outlines, shadow
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


def test_a_laid_outline_is_the_sheared_mask():
    thing = masks.box(200, 260, 110, 40, 150, 120) | (np.hypot(*np.mgrid[-40:160, -130:130]) < 26)
    outline = outlines.of(thing)
    leans, flats = np.array([0.8, -0.5, 1.2]), np.array([0.25, 0.5, -0.3])
    lines, directions = outline.laid(leans, flats)
    assert np.linalg.norm(directions, axis=2) == pytest.approx(1, abs=1e-5)
    for lean, flat, line, out in zip(leans, flats, lines, directions, strict=True):
        lay = np.array([[1, -lean, lean * outline.foot], [0, -flat, outline.foot * (1 + flat)]])
        expected = (cv2.warpAffine(thing.astype(np.float32), lay, (260, 200)) > 0.5) & ~thing
        inside = outlines.filled(line, thing)
        assert (inside & expected).sum() > 0.85 * (inside | expected).sum()
        laid = outlines.filled(line, np.zeros_like(thing))
        inner, outer = (
            laid[tuple((line + d * out).round().astype(int)[:, ::-1].clip(0, (199, 259)).T)] for d in (-2, 2)
        )
        assert inner.mean() > 0.8 and outer.mean() < 0.2  # the directions point out of it


def test_the_true_outline_is_proposed_and_one_of_another_colour_is_not(scene):
    plain, mask, cast = scene
    outline, near = outlines.of(mask), []
    for color in (plain * 0.6, np.array((120, 20, 20))):
        rgb = np.where(cast[..., None], color, plain).astype(np.uint8)
        leans, flats = outlines.proposals(outlines.seen(rgb, mask), outline, 3)
        assert len(leans) <= 9
        near.append((np.hypot(leans - 0.7, flats - 0.25) < 0.1).any())
    assert near == [True, False]


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


def test_the_shadow_of_a_thing_goes_when_a_cut_out_stands_in_its_place(scene):
    plain, mask, cast = scene
    rgb = np.where(cast[..., None], plain * 0.5, plain).astype(np.uint8)
    disc = np.hypot(*(np.mgrid[:80, :80] - 39.5)) < 38
    other = Picture(np.full((80, 80, 3), (240, 240, 40), np.uint8), alpha=np.uint8(255) * disc)
    events = editing.perform(Picture(rgb), "replace", editing.painter(material=other), mask=mask)
    edit = list(events)[-1].result
    yellow = (edit.picture.rgb == (240, 240, 40)).all(2)
    ground = cast & ~masks.grow(yellow, 3)
    assert yellow.any() and ground.sum() > 0.5 * cast.sum()
    error, before = (
        np.abs(each[ground].astype(int) - plain[ground]).mean() for each in (edit.picture.rgb, rgb)
    )
    assert error < before / 3 and (edit.picture.rgb[~edit.mask] == rgb[~edit.mask]).all()
    filled = list(editing.perform(Picture(rgb), "replace", editing.painter(material="#f0f028"), mask=mask))
    beside = cast & ~masks.grow(mask, 12)
    assert (filled[-1].result.picture.rgb[beside] == rgb[beside]).all()


def test_a_deep_shadow_is_lifted_along_its_own_edge(scene):
    """In bright sun, on ground that bends away, where no sheared outline fits."""
    plain, mask, cast = scene
    rows = np.arange(240)
    bent = (
        np.stack([np.roll(row, max(0, y - 180) ** 2 // 30) for y, row in zip(rows, cast, strict=True)])
        & ~mask
    )
    rgb = np.where(bent[..., None], plain * 0.3, plain).astype(np.uint8)
    shade = shadow.find(rgb, mask)
    assert shade is not None
    inner = bent & ~masks.grow(~bent & ~mask, 2) & ~masks.grow(mask, 3)
    error = np.abs(shade.lift(rgb)[inner].astype(int) - plain[inner]).mean()
    assert error < np.abs(rgb[inner].astype(int) - plain[inner]).mean() / 8


def test_there_is_none_in_even_light_nor_where_another_colour_lies(scene):
    plain, mask, cast = scene
    assert shadow.find(plain, mask) is None
    carpet = np.where(cast[..., None], (120, 20, 20), plain).astype(np.uint8)
    assert shadow.find(carpet, mask) is None


def test_a_sky_casts_no_shadow_on_the_dark_strip_below_it(scene):
    plain, _, _ = scene
    rgb = plain.copy()
    rgb[90:110] //= 2
    assert shadow.find(rgb, masks.box(240, 320, 0, 0, 320, 90)) is None


def test_things_at_both_sides_cast_shadows(scene):
    plain, mask, cast = scene
    rgb = np.where(cast[..., None], plain * 0.5, plain).astype(np.uint8)
    both = mask | masks.box(240, 320, 0, 150, 10, 180) | masks.box(240, 320, 310, 150, 320, 180)
    assert shadow.find(rgb, both) is not None


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
