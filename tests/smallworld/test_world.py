"""Tests of the small world: captions, masks and edits agree with the picture."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from vision_core.smallworld import grammar, paint, world
from vision_core.smallworld.world import Scene, Thing

SIZE = 48
SCENES = [world.scene(seed) for seed in range(40)]


def test_a_seed_means_one_picture():
    assert np.array_equal(world.render(world.scene(7)), world.render(world.scene(7)))
    assert not np.array_equal(world.render(world.scene(7)), world.render(world.scene(8)))
    picture = world.render(world.scene(7))
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8


def test_shares_of_a_pixel_sum_to_one_and_masks_are_disjoint():
    for scene in SCENES[:12]:
        shares, masks = world.coverage(scene, SIZE), world.masks(scene, SIZE)
        assert shares.shape == (1 + len(scene.things), SIZE, SIZE)
        assert np.array_equal(shares.sum(0), np.ones((SIZE, SIZE)))
        assert masks.sum(0).max(initial=0) <= 1
        assert all(mask.sum() > 4 for mask in masks), world.caption(scene)


def test_a_mask_holds_the_pixels_that_the_thing_has_changed():
    for scene in SCENES[:12]:
        for index in range(len(scene.things)):
            without = world.render(scene.without(index), SIZE)
            changed = (world.render(scene, SIZE) != without).any(-1)
            share = world.coverage(scene, SIZE)[1 + index]
            assert not changed[share == 0].any()
            assert changed[share == 1].mean() > 0.9  # one of its colours may be the ground's


def test_an_edit_changes_only_where_the_thing_was_or_is():
    for scene in SCENES[:12]:
        for new in world.variants(scene)[8:14]:
            if (new.ground, new.sky) != (scene.ground, scene.sky):
                continue
            there = world.coverage(scene, SIZE)[0] < 1
            there |= world.coverage(new, SIZE)[0] < 1
            changed = (world.render(scene, SIZE) != world.render(new, SIZE)).any(-1)
            assert changed.any() and not changed[~there].any(), (world.caption(scene), world.caption(new))


@pytest.mark.parametrize("sky", grammar.SKIES)
def test_colours_are_seen_in_every_light(sky):
    for kind, colours in grammar.COLOURS.items():
        scene = Scene("sea", sky, (Thing(kind, colours[0], "large", "middle", 3),), 5)
        pictures = [world.render(scene.change(0, colour=colour), SIZE).astype(int) for colour in colours]
        for a in range(len(colours)):
            for b in range(a):
                assert np.abs(pictures[a] - pictures[b]).max() > 25, (kind, colours[a], colours[b])


def test_captions_say_all_and_are_understood():
    for scene in SCENES:
        caption = world.describe(scene)
        assert grammar.parse(world.caption(scene)) == caption and caption.true_of(scene)
        assert grammar.parse(caption.reworded(Random(scene.seed))) == caption


def test_a_caption_is_true_of_its_own_scene_only_among_the_variants():
    for scene in SCENES[:12]:
        caption, others = world.describe(scene), world.variants(scene)
        assert len({world.caption(other) for other in others}) == len(others)
        assert not any(caption.true_of(other) for other in others)


def test_sixty_four_captions_differ_in_one_attribute():
    enough = [len(world.variants(world.scene(seed, things=3))) >= 63 for seed in range(200)]
    assert sum(enough) > 30


def test_what_is_unsaid_may_be_anything():
    tree = Thing("flowering tree", "pink", "large", "left", 1)
    scene = Scene("meadow", "sunset", (tree, Thing("rock", "grey", "small", "right", 2)), 3)
    for text in (
        "a tree with pink flowers",
        "a large tree with pink flowers on the left and a rock",
        "a meadow",
    ):
        assert grammar.parse(text).true_of(scene), text
    for text in (
        "a tree with white flowers",
        "a tree",
        "an empty meadow",
        "a rock at night",
        "a rock on the left",
    ):
        assert not grammar.parse(text).true_of(scene), text


def test_wording():
    tree = Thing("flowering tree", "pink", "large", "left", 1)
    scene = Scene("sea", "snow", (tree, Thing("boat", "orange", "small", "right", 2)), 3)
    caption = "a large tree with pink flowers on the left and a small orange boat on the right"
    caption += " by the sea in the snow"
    assert world.caption(scene) == caption
    assert str(grammar.Phrase("tent", "orange")) == "an orange tent"
    assert world.caption(Scene("sea", "day")) == "an empty beach by day"
    assert set(caption.split()) <= set(grammar.words())


@pytest.mark.parametrize(
    "text", ["", "a cat", "a purple car", "a tree with black flowers", "x" * 10_000, "🌳"]
)
def test_what_is_not_of_this_world_is_refused(text):
    with pytest.raises(ValueError, match="is not in the small world"):
        grammar.parse(text)


def test_impossible_scenes_are_refused():
    rock = Thing("rock", "grey", "small", "left")
    with pytest.raises(ValueError, match="have the same place"):
        Scene("sea", "day", (rock, rock))
    with pytest.raises(ValueError, match="needs the sea"):
        Scene("desert", "day", (Thing("boat", "red", "small", "left"),))
    with pytest.raises(ValueError, match="kind of a thing is 'cat'"):
        Thing("cat", "black", "small", "left")
    with pytest.raises(ValueError, match="colour of a thing is 'pink'"):
        Scene("sea", "day", (rock,)).change(0, colour="pink")
    with pytest.raises(ValueError, match="sky is 'rain'"):
        replace(Scene("sea", "day"), sky="rain")
    with pytest.raises(ValueError, match="size is 8"):
        world.render(Scene("sea", "day"), 8)


def test_wild_scenes_differ_in_colours_alone():
    wild = [world.wild(seed) for seed in range(40)]
    assert wild == [world.wild(seed) for seed in range(40)]
    unknown = 0
    for old, new in zip(SCENES, wild, strict=True):
        colours = [it.colour for it in old.things]
        things = [replace(it, colour=colour) for it, colour in zip(new.things, colours, strict=True)]
        assert replace(new, things=tuple(things)) == old
        unknown += sum(it.colour not in grammar.COLOURS[it.kind] for it in new.things)
        assert all(
            it.colour == grammar.COLOURS[it.kind][0] or len(grammar.COLOURS[it.kind]) > 1 for it in new.things
        )
    assert 10 < unknown < 60


def test_a_thing_is_about_where_its_extent_says():
    for scene in SCENES:
        for thing, share in zip(scene.things, world.coverage(scene)[1:], strict=True):
            rows, columns = np.nonzero(share > 0.5)
            if len(rows):
                top, bottom, left, right = (128 * end for end in paint.extent(scene, thing))
                assert top - 4 <= rows.min() and rows.max() <= bottom + 4, thing
                assert left - 14 <= columns.min() and columns.max() <= right + 14, thing
