"""Tests of selection with the bundled networks: words, clicks, boxes, edges."""

import json
import shutil
from dataclasses import replace
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from vision_core import weights
from vision_core.editing import masks
from vision_core.editing.find import answers, edges, eyes, segment, things, words
from vision_core.editing.find.answers import Prompt
from vision_core.editing.find.segment import Seen
from vision_core.editing.find.things import Thing
from vision_core.files import bundled
from vision_core.pictures import images


@pytest.fixture(scope="module")
def coffee() -> tuple[np.ndarray, Seen]:
    rgb = images.shrink(images.read(bundled("assets") / "color/coffee.jpg").rgb, 480)
    return rgb, eyes.shared().see(rgb)


def coco(shared_data, number: int) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    """A photograph of COCO, the number of the object at each pixel (0: none), and the objects."""
    folder = shared_data / "coco_captions_masks"
    entry = json.loads((folder / "index.json").read_text())[number]
    with ZipFile(folder / "coco_captions_masks.zip") as packed:
        rgb, numbers = (images.read(packed.read(entry[name])).rgb for name in ("image", "mask"))
    return rgb, numbers[..., 0], entry["objects"]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def at(*points: tuple[float, float], adds: bool = True):
    return tuple(points), adds


def middle(mask: np.ndarray) -> tuple[float, float]:
    y, x = np.unravel_index(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5).argmax(), mask.shape)
    return float(x) + 0.5, float(y) + 0.5


@pytest.mark.parametrize(
    ("text", "word", "found"),
    [
        ("the red car on the left", "car", {"color": "red", "places": ("left",), "count": 1}),
        ("two small dogs", "dog", {"count": 2, "size": -1}),
        ("second person from the left", "person", {"place_number": 2, "count": 1, "places": ("left",)}),
        ("cars on the right", "car", {"places": ("right",), "count": None}),
        ("the biggest elephant", "elephant", {"size": 1, "count": 1}),
        ("a man in the red shirt", "man", {"names": ("person",), "color": "red", "ignored": ("shirt",)}),
        ("hot dogs", "hot dog", {"names": ("hot dog",)}),
        ("an orange", "orange", {"names": ("orange",), "color": ""}),
        ("cherries and knives", "", {"ignored": ("cherries",)}),
        ("mice", "mouse", {"names": ("mouse",)}),
        ("an apple tree", "", {"names": ()}),
        ("fruits", "fruit", {"names": ("banana", "apple", "orange")}),
        ("left", "", {"names": ()}),
    ],
)
def test_what_words_ask_for(text, word, found):
    expected = words.parse(text)[0]
    assert expected.word == word and {name: getattr(expected, name) for name in found} == found


def test_several_things_and_nothing():
    assert [one.word for one in words.parse("people, dogs & the cat")] == ["people", "dog", "cat"]
    assert words.parse(" , ") == []


def test_every_other_name_means_one_of_the_things():
    assert {name for names in words.vocabulary().values() for name in names} == set(things.NAMES)
    assert len(things.NAMES) == 80 and set(words.OTHER_NAMES) < set(things.NAMES)


def test_places_sizes_and_numbers_choose_among_things():
    row = [
        Thing("dog", score, (x, 10, x + side, 10 + side))
        for score, x, side in ((0.9, 60, 20), (0.5, 0, 30), (0.7, 150, 40))
    ]

    def chosen(text: str) -> list[float]:
        return [thing.box[0] for thing in eyes.pick(row, words.parse(text)[0], 100, 200)]

    assert chosen("dogs") == [60, 150, 0]  # the most certain first
    assert chosen("the left dog") == [0] and chosen("second dog from the left") == [60]
    assert chosen("the largest dog") == [150] and chosen("smallest dog") == [60]
    assert chosen("dogs on the right") == [150] and chosen("two dogs") == [60, 150]
    assert chosen("fourth dog from the left") == []


@pytest.mark.parametrize(
    ("name", "rgb"),
    {
        "red": (200, 30, 30),
        "green": (60, 150, 50),
        "blue": (40, 70, 190),
        "yellow": (230, 210, 50),
        "white": (240, 240, 235),
        "black": (25, 25, 28),
        "brown": (110, 70, 35),
        "grey": (128, 130, 128),
    }.items(),
)
def test_a_colour_is_seen_where_it_is_and_no_other(name, rgb):
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    picture = np.where(mask[..., None], rgb, 255 - np.array(rgb)).astype(np.uint8)
    shares = {color: eyes.colored(picture, mask, color) for color in words.COLORS}
    assert shares[name] == 1 and not any(
        shares[c] for c in {"red", "green", "blue", "yellow", "white"} - {name}
    )


def test_a_coarse_mask_is_drawn_to_the_edge_without_stairs():
    rows, columns = np.mgrid[:1024, :1280]
    away = np.hypot(rows - 500, columns - 700) - 300.5
    rgb = np.where(away[..., None] < 0, (190, 120, 60), (60, 90, 120)).astype(np.uint8)
    coarse = cv2.resize(-(away + 5).astype(np.float32) / 4, (80, 64), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(coarse, (1280, 1024), interpolation=cv2.INTER_LINEAR) > 0  # 5 pixels too far inside
    result = edges.refine(rgb, coarse)
    assert iou(enlarged, away < 0) < 0.97 < 0.985 < iou(result, away < 0)
    rim = away[result & ~masks.grow(result, -1)]
    assert abs(rim).max() < 5 and rim.std() < 1  # a cell of the coarse mask has 16 pixels


def test_words_find_the_cup_and_refuse_what_is_not_there(coffee):
    rgb, look = coffee
    selection = eyes.shared().named(rgb, "the cup", look)
    assert (
        selection.mask is not None
        and 0.1 < selection.mask.mean() < 0.3
        and "Cup: 1 marked" in selection.message
    )
    for word in ("dogs", "horse", "a blue cup"):
        refused = eyes.shared().named(rgb, word, look)
        assert refused.mask is None and "found" in refused.message
    with pytest.raises(ValueError, match="“unicorn” is not among the 80 things known by name"):
        eyes.shared().named(rgb, "unicorn", look)


def test_a_click_marks_the_thing_then_a_part_and_is_mended_by_more(coffee):
    rgb, look = coffee
    whole = eyes.shared().named(rgb, "cup", look).mask
    assert whole is not None
    first = Prompt((at(middle(whole)),))
    mask = eyes.shared().answer(rgb, first, look)
    assert iou(eyes.shared().mark(rgb, first, look), whole) > 0.8
    assert len(mask) > 1 and iou(mask.mask(1), mask.mask(0)) < segment.ALIKE
    part = Prompt(first.strokes, chosen=(1,))
    assert (eyes.shared().mark(rgb, part, look) == mask.drawn(rgb, 1)).all()
    outside = middle(~masks.grow(whole, 5))
    mended = Prompt((at(middle(whole)), at(outside, adds=False)))
    x, y = outside
    assert not eyes.shared().mark(rgb, mended, look)[int(y), int(x)]
    assert iou(eyes.shared().mark(rgb, mended, look), whole) > 0.8


def test_a_stroke_changes_the_connected_parts_that_it_touches():
    rows, columns = np.mgrid[:256, :256]
    bar = (abs(rows - 100) < 20) & (abs(columns - 120) < 100)
    spot, other = (np.hypot(rows - 200, columns - x) < 15 for x in (60, 180))

    def after(old: np.ndarray, new: np.ndarray, cell: tuple[int, int], adds: bool):
        return answers._changed_near(*(np.where(m, 3.0, -3.0) for m in (old, new)), [cell], adds) > 0

    assert (after(bar, bar | spot | other, (200, 60), True) == bar | spot).all()
    assert (after(bar | spot, np.zeros_like(bar), (200, 60), False) == bar).all()
    assert (after(bar, bar | spot, (20, 20), True) == bar).all()


def test_a_change_is_central_where_it_is_deepest():
    rows, columns = np.mgrid[:256, :256]
    bar = np.where((abs(rows - 100) < 20) & (abs(columns - 120) < 100), 3.0, -3.0)
    spot, large = (np.where(np.hypot(rows - 200, columns - 60) < r, 3.0, bar) for r in (15, 30))
    assert answers._central(bar, spot, [(200, 60)], True) == 1
    assert answers._central(bar, large, [(200, 80)], True) == pytest.approx(1 / 3, abs=0.05)
    assert (
        answers._central(bar, spot, [(100, 60)], True) == answers._central(bar, spot, [(200, 60)], False) == 0
    )
    without = np.where(columns > 180, -3.0, spot)  # more is lost elsewhere than gained here
    assert answers._central(bar, without, [(200, 60)], True) < 0.8


def test_a_mask_obeys_every_click_and_what_is_nearer_to_another_stays():
    clicks = [((10, 10), True), ((10, 13), False), ((0, 39), True), ((25, 5), False)]
    mask = np.zeros((30, 40), bool)
    mask[8:20, 12:30] = True
    expected = mask.copy()
    answers.obey(mask, clicks, 4)
    assert all(mask[place] == adds for place, adds in clicks)
    rows, columns = np.mgrid[:30, :40]
    near = np.min([np.hypot(rows - y, columns - x) for (y, x), _ in clicks[:3]], axis=0) <= 4
    assert (mask == expected)[~near].all() and mask[10, 6] and not mask[10, 12]
    assert mask[10, 11] == mask[10, 9] == mask[0, 36]
    level = np.full((30, 40), 2.0, np.float32)
    answers.obey(level, clicks, 4, (-4.0, 4.0))
    assert level[25, 5] == -4 and level[10, 10] == 2


def test_contradicting_clicks_are_obeyed_at_full_size(coffee):
    rgb, look = coffee
    rng, strokes = np.random.default_rng(3), []
    for number in range(6):
        x, y = rng.uniform((0, 0), (rgb.shape[1], rgb.shape[0]))
        strokes += [at((x, y), adds=number % 3 != 1), at((min(x + 3, rgb.shape[1]), y), adds=number % 2 == 1)]
        mask = eyes.shared().mark(rgb, Prompt(tuple(strokes)), look)
        for ((x, y),), adds in strokes:
            assert mask[min(int(y), rgb.shape[0] - 1), min(int(x), rgb.shape[1] - 1)] == adds


def test_a_step_is_computed_once(coffee):
    rgb, look = coffee
    strokes = (at((200.5, 60.5)), at((220.5, 70.5)), at((20.5, 300.5), adds=False))
    before = [eyes.shared().answer(rgb, Prompt(strokes[:number]), look) for number in (1, 2)]
    eyes.shared().answer(rgb, Prompt(strokes, chosen=(0, 0, 1)), look)
    for number, choices in enumerate(before, 1):
        for chosen in ((), (0,) * number, (*[0] * (number - 1), 1)):
            assert eyes.shared().answer(rgb, Prompt(strokes[:number], chosen=chosen), look) is choices
    other = Prompt(strokes[:2], chosen=(1,))  # corrects another answer to the first click
    assert eyes.shared().answer(rgb, other, look) is not before[1]


def test_a_small_thing_is_looked_at_from_nearby(coffee):
    rgb, _ = coffee
    wide = np.full((2 * rgb.shape[0], 3 * rgb.shape[1], 3), rgb.reshape(-1, 3).mean(0), np.uint8)
    wide[100 : 100 + rgb.shape[0], 60 : 60 + rgb.shape[1]] = rgb
    look = eyes.shared().see(wide)
    (thing,) = (thing for thing in look.things if thing.name == "cup")
    whole = eyes.shared().sam.find(look, box=thing.box).mask()
    (x, y), outside = middle(whole), middle(~masks.grow(whole, 5) & masks.grow(whole, 30))
    prompt = Prompt((at((x, y)), at((x + 5, y)), at(outside, adds=False)))
    mask = eyes.shared().answer(wide, prompt, look)
    left, top, right, bottom = mask.seen.window
    assert left < x < right and top < y < bottom and right - left < answers.SMALL * wide.shape[1]
    assert iou(mask.mask(), whole) > 0.8 and not mask.mask()[int(outside[1]), int(outside[0])]
    away = Prompt((*prompt.strokes, at((wide.shape[1] - 5.0, 5.0), adds=False)))
    assert eyes.shared().answer(wide, away, look).seen is look


def test_a_box_and_a_stroke_mark_what_they_are_drawn_on(coffee):
    rgb, look = coffee
    (thing,) = (thing for thing in look.things if thing.name == "cup")
    whole = eyes.shared().mask_of(rgb, look, thing)
    x, y = middle(whole)
    assert iou(eyes.shared().mark(rgb, Prompt((at((x - 20, y), (x, y), (x + 20, y)),)), look), whole) > 0.7
    with pytest.raises(ValueError, match=f"outside a picture of {rgb.shape[1]} x {rgb.shape[0]}"):
        eyes.shared().answer(rgb, Prompt((at((-5, y)),)), look)
    with pytest.raises(ValueError, match="nothing was pointed at"):
        eyes.shared().answer(rgb, Prompt(), look)


def test_the_mask_of_a_box_ends_at_its_sides(coffee):
    rgb, look = coffee
    (thing,) = (thing for thing in look.things if thing.name == "cup")
    left, top, right, bottom = thing.box
    middle = (top + bottom) / 2  # the cup goes on below
    mask = eyes.shared().answer(rgb, Prompt(box=(left, top, right, middle)), look).mask()
    cell = max(rgb.shape) / segment.CELLS
    assert np.flatnonzero(mask.any(1))[-1] <= middle + cell
    assert mask.sum() > 0.4 * (right - left) * (middle - top)


def test_a_look_that_was_kept_answers_the_same(coffee):
    rgb, look = coffee
    again = Seen.decode(look.encode())
    assert [thing.name for thing in again.things] == [thing.name for thing in look.things]
    prompt = Prompt((at((rgb.shape[1] / 2, rgb.shape[0] / 2)),))
    one, other = (eyes.shared().answer(rgb, prompt, each) for each in (look, again))
    assert (one.logits == other.logits).all()


def test_a_mirrored_picture_shows_the_same_things_mirrored(coffee):
    rgb, look = coffee
    mirrored = things.detect(np.ascontiguousarray(rgb[:, ::-1]))
    assert [thing.name for thing in mirrored] == [thing.name for thing in look.things]
    for one, other in zip(mirrored, look.things, strict=True):
        left, top, right, bottom = other.box
        assert one.box == pytest.approx((rgb.shape[1] - right, top, rgb.shape[1] - left, bottom), abs=4)


@pytest.mark.parametrize(("number", "name"), [(44, "bed"), (49, "laptop")])
def test_an_object_is_detected_once(shared_data, number, name):
    """Photographs of one bed and of one laptop, in which the detector sees two."""
    rgb, _, objects = coco(shared_data, number)
    assert sum(one["category"] == name for one in objects) == 1
    assert [thing.name for thing in things.detect(rgb)].count(name) == 1


def test_a_box_marks_what_fills_it(shared_data):
    """A suitcase among others; the decoder prefers a part that does not reach the sides of the box."""
    rgb, numbers, _ = coco(shared_data, 48)
    left, top, right, bottom = 197, 74, 297, 179
    inside = numbers[top:bottom, left:right]
    mask = eyes.shared().mark(rgb, Prompt(box=(left, top, right, bottom)))
    assert iou(mask, numbers == np.bincount(inside[inside > 0]).argmax()) > 0.6


def test_a_click_means_the_object_in_whose_middle_it_lies(coffee):
    rgb, look = coffee
    cup = next(thing for thing in look.things if thing.name == "cup")
    left, top, right, bottom = cup.box
    x, y = (left + right) / 2, (top + bottom) / 2
    beside = Thing("spoon", cup.score, (x - 2, y - 2, x + 90, y + 90))  # smaller; the click is in its corner
    with_both = replace(look, things=(beside, cup), answers={})
    assert (beside.box[2] - beside.box[0]) * (beside.box[3] - beside.box[1]) < (right - left) * (bottom - top)
    choices = eyes.shared().answer(rgb, Prompt((at((x, y)),)), with_both)
    with_cup = eyes.shared().answer(rgb, Prompt((at((x, y)),)), replace(look, things=(cup,), answers={}))
    assert (choices.logits == with_cup.logits).all()


def test_what_stands_out_is_a_thing(coffee):
    rgb, view = coffee
    look = eyes.shared().look(rgb, view)
    assert look.features.shape[1:] == look.saliency.shape == (43, 64)
    y, x = (np.array(np.unravel_index(look.saliency.argmax(), look.saliency.shape)) + 0.5) * 480 / 64
    assert any(eyes.shared().mask_of(rgb, view, thing)[int(y), int(x)] for thing in view.things)


def test_another_pair_in_a_folder_is_used(coffee, tmp_path, monkeypatch):
    _, look = coffee
    for name in ("encoder", "decoder"):
        shutil.copy(weights.find("marking") / f"{name}.onnx", tmp_path / f"mobile_sam.{name}.onnx")
    monkeypatch.setenv("VISION_CORE_SAM", str(tmp_path))
    strokes, own = [(240.0, 100.0, True)], segment.Sam()
    assert own.decoder.path.parent == tmp_path
    assert (own.find(look, strokes).logits == eyes.shared().sam.find(look, strokes).logits).all()


def test_what_is_no_pair_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"0 files of .* are called \*encoder\*.onnx"):
        segment.Sam(tmp_path)
    for name in ("encoder", "decoder"):
        shutil.copy(weights.find("marking") / "detector.onnx", tmp_path / f"{name}.onnx")
    with pytest.raises(ValueError, match="no pair that can be used here"):
        segment.Sam(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="no ONNX network that can be run"):
        segment.Sam(tmp_path)
