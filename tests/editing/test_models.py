"""Tests of an edit with tiny diffusion, CLIP and ViT models."""

import json
from dataclasses import replace

import numpy as np
import pytest
import small_models
import torch
from small_models import finish

from vision_core import editing
from vision_core.editing import masks, packed, recipe
from vision_core.editing.fill.diffusion import Diffusion
from vision_core.editing.find.saliency import Saliency
from vision_core.editing.scoring import Clip, Weighting
from vision_core.events import Done, Preview, Step
from vision_core.pictures import images
from vision_core.pictures.images import Picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.small_world(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def painter(folder):
    return Diffusion(folder / "inpainting", steps=3, device="cpu")


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8))


def test_painting_is_deterministic_and_tells_its_steps(painter, picture):
    hole = masks.box(48, 80, 20, 10, 60, 40)
    first, events = finish(painter.paint(picture.rgb, hole, "a tree", seed=3))
    again, _ = finish(painter.paint(picture.rgb, hole, "a tree", seed=3))
    other, _ = finish(painter.paint(picture.rgb, hole, "a tree", seed=4))
    assert first.shape == picture.rgb.shape and (first == again).all() and (first != other).any()
    assert [e.step for e in events if isinstance(e, Step)] == [1, 2, 3]
    assert any(isinstance(e, Preview) for e in events)


def test_closing_stops_within_a_step(folder, picture):
    painter = Diffusion(folder / "inpainting", steps=500, device="cpu")
    hole = masks.box(48, 80, 20, 10, 60, 40)
    steps = []
    painter.pipe.unet.register_forward_hook(lambda *_: steps.append(1))
    events = painter.paint(picture.rgb, hole, "a tree")
    next(events)
    events.close()
    assert len(steps) < 100


def test_odd_prompts(painter, picture):
    hole = masks.box(48, 80, 20, 10, 60, 40)
    for prompt in ("", "🌸🌳", "<b>tree</b>", "tree " * 2000):
        painted, _ = finish(painter.paint(picture.rgb, hole, prompt))
        assert painted.shape == picture.rgb.shape
    with pytest.raises(ValueError, match="10,001 characters"):
        finish(painter.paint(picture.rgb, hole, "x" * 10_001))


def test_too_little_memory_tries_smaller(painter, picture, monkeypatch):
    sizes, real = [], painter.pipe.vae.encode

    def hungry(x, *args, **kwargs):
        sizes.append(x.shape[-2:])
        if len(sizes) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(x, *args, **kwargs)

    monkeypatch.setattr(painter.pipe.vae, "encode", hungry)
    monkeypatch.setattr(painter, "side", 256)
    painted, _ = finish(painter.paint(picture.rgb, masks.box(48, 80, 20, 10, 60, 40), "a tree"))
    assert painted.shape == picture.rgb.shape and sizes[1][0] < sizes[0][0]


def test_a_folder_that_is_no_model(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "Nothing"}')
    with pytest.raises(ValueError, match="cannot be loaded"):
        Diffusion(tmp_path)


def test_clip_sees_its_own_range_and_the_same_views(folder, picture):
    clip = Clip(folder / "clip", device="cpu")
    events = []
    clip.model.visual.conv1.register_forward_pre_hook(lambda _, args: events.append(args[0]))
    (first,), _ = clip.embed_images([picture.rgb])
    assert torch.allclose(first.norm(), torch.tensor(1.0)) and events[0].abs().max() < 3
    judge = clip.judge(picture.rgb, "a", "b", Weighting(text=0, image=1))
    scores = [judge(picture.rgb), judge(255 - picture.rgb)]
    assert scores[0]["score"] == pytest.approx(1, abs=1e-5) and scores[0]["structure"] < 1e-5
    assert scores[1]["score"] < scores[0]["score"] and scores[1]["structure"] > 0.01


def test_saliency_has_the_pictures_shape_and_true_places(folder, picture):
    look = Saliency(folder / "dino", device="cpu").look(picture.rgb)
    assert look.saliency.shape == (4, 7) and look.features.shape == (24, 4, 7)
    assert look.saliency.min() == 0 and look.saliency.max() == 1


def test_the_whole_edit(folder, painter, picture, tmp_path):
    saliency, clip = Saliency(folder / "dino", device="cpu"), Clip(folder / "clip", device="cpu", crops=1)
    events = list(editing.edit(picture, "noise", "a tree 🌳", painter, saliency, clip, anchors=3))
    assert isinstance(events[-1], Done)
    edit = events[-1].result
    assert [e.title for e in events if isinstance(e, Preview)] == [
        "saliency",
        "anchor 0",
        "anchor 1",
        "anchor 2",
    ]
    shown = [e for e in events if isinstance(e, Preview | editing.Candidate)][1:]
    assert [type(e) for e in shown] == [Preview, editing.Candidate] * 3  # scored before the next is painted
    ranks = [c.scores["score"] for c in edit.candidates]
    assert ranks == sorted(ranks, reverse=True) and len(ranks) == 3
    for candidate in edit.candidates:
        near = masks.grow(candidate.box.mask(48, 80), 4)
        assert (candidate.picture.rgb[~near] == picture.rgb[~near]).all()
        s = candidate.scores
        assert s["score"] == pytest.approx(2 * s["text"] + s["image"], abs=1e-5)
    place = editing.write(edit, tmp_path)
    assert place.name == "0_noise" and (place / "input_image.png").is_file()
    listed = json.loads((place / "scores.json").read_text())
    assert len(list((place / "boxes").iterdir())) == len(listed["candidates"]) == 3
    for rank, entry in enumerate(listed["candidates"]):
        assert entry["file"].endswith(f"_rank{rank}.png") and entry["scores"]["score"] == ranks[rank]
        assert (images.read(place / entry["file"]).rgb == edit.candidates[rank].picture.rgb).all()
    stored = recipe.read(place / "final_output.png")
    again = list(editing.repeat(picture, stored, str(folder / "inpainting"), device="cpu"))[-1].result
    assert (again.picture.rgb == images.read(place / "final_output.png").rgb).all()
    assert "/" not in json.dumps(stored.options) and str(tmp_path) not in json.dumps(vars(stored))


@pytest.mark.parametrize("task", ["complete", "remove", "repair", "extend", "background"])
def test_tasks_leave_the_rest_bit_identical(task, picture):
    mask = None if task == "complete" else masks.box(48, 80, 30, 15, 45, 30)
    material = "#ff0000" if task == "background" else None
    sides = (6, 0, 0, 4) if task == "extend" else (0, 0, 0, 0)
    own = editing.painter(material=material)
    mask = None if task == "extend" else mask
    edit = list(editing.perform(picture, task, own, mask=mask, sides=sides))[-1].result
    rest = ~edit.mask
    assert (edit.picture.rgb[rest] == edit.source.rgb[rest]).all() and edit.mask.any()
    if mask is not None:  # the page draws what may change, the recipe holds what was marked
        assert (editing.reach(picture, task, mask) == edit.mask).all()
        assert (packed.unpack_mask(edit.recipe.mask) == mask).all()
        again = list(editing.repeat(picture, edit.recipe, material=material))[-1].result
        assert (again.picture.rgb == edit.picture.rgb).all() and (again.mask == edit.mask).all()
    if task == "extend":
        assert edit.picture.rgb.shape == (52, 86, 3) and (edit.picture.rgb[:48, 6:] == picture.rgb).all()


def test_after_ten_edits_nothing_else_has_changed_and_each_can_be_gone_back_from(picture):
    rng, steps, touched = np.random.default_rng(0), [picture], np.zeros((48, 80), bool)
    for number in range(10):
        left, top = int(rng.integers(0, 60)), int(rng.integers(0, 30))
        mask = masks.box(48, 80, left, top, left + 12, top + 10)
        task = ("remove", "repair", "replace")[number % 3]
        own = editing.painter(material="#20c040" if task == "replace" else None)
        edit = list(editing.perform(steps[-1], task, own, mask=mask, seed=number))[-1].result
        assert edit.source is steps[-1]
        steps.append(edit.picture)
        touched |= edit.mask
    assert (steps[-1].rgb[~touched] == picture.rgb[~touched]).all() and not touched.all()
    copy = picture.rgb.copy()
    for _ in range(10):
        steps.pop()
    assert not steps[1:] and (steps[0].rgb == copy).all()


def test_several_painters_give_as_many_candidates_each_with_its_recipe(picture):
    mask = masks.box(48, 80, 30, 15, 45, 30)
    versions = [editing.painter("classical", version=number) for number in range(3)]
    *events, last = editing.perform(picture, "remove", versions, mask=mask)
    candidates = [event for event in events if isinstance(event, editing.Candidate)]
    assert last.result.candidates == candidates and [c.recipe.options["version"] for c in candidates] == [
        0,
        1,
        2,
    ]
    assert len({c.picture.rgb.tobytes() for c in candidates}) == 3
    for candidate in candidates:
        again = list(editing.repeat(picture, candidate.recipe))[-1].result
        assert (again.picture.rgb == candidate.picture.rgb).all()


def test_tasks_say_what_they_lack(picture):
    with pytest.raises(ValueError, match="needs to know where"):
        list(editing.perform(picture, "remove", editing.painter("classical")))
    with pytest.raises(ValueError, match="needs something to paint with"):
        list(editing.perform(picture, "add", editing.painter("classical")))
    with pytest.raises(ValueError, match="no background left"):
        list(
            editing.perform(
                picture, "background", editing.painter(material="blur"), mask=np.ones((48, 80), bool)
            )
        )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": 10**7}, "'num_hidden_layers' is 10,000,000, 1,000 at most can be built"),
        ({"vision_cfg": {"layers": [2, 10**7]}}, "'layers' is 10,000,000"),
        ({"down_block_types": ["DownBlock2D"] * 2000}, "'down_block_types' has 2,000 entries"),
        ({"hidden_size": 2**40}, "'hidden_size' is 1,099,511,627,776"),
    ],
)
def test_a_configuration_that_no_machine_could_build_is_refused_at_once(tmp_path, config, said):
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=said):
        Diffusion(tmp_path)


def test_a_picture_that_took_on_the_light_does_so_again(picture):
    other, mask = Picture(np.full((10, 10, 3), (220, 40, 30), np.uint8)), masks.box(48, 80, 30, 15, 45, 30)

    def dimmed(material, rgb, hole):
        assert rgb.shape[:2] == hole.shape
        return (material * 0.5).astype(np.uint8)

    own = editing.painter(material=other, relight=dimmed)
    result = list(editing.perform(picture, "replace", own, mask=mask))[-1].result
    plain = list(editing.repeat(picture, replace(result.recipe, options={}), material=other))[-1].result
    again = list(editing.repeat(picture, result.recipe, material=other, relight=dimmed))[-1].result
    assert result.recipe.options["light"] and recipe.checked(json.loads(recipe.to_json(result.recipe)), "x")
    assert (again.picture.rgb == result.picture.rgb).all() != (plain.picture.rgb == result.picture.rgb).all()


def test_the_plain_frame_of_a_scan_is_not_continued():
    rows, columns = np.mgrid[:120, :160]
    scene = np.stack([90 + rows, 60 + columns // 2, 200 - rows], 2).astype(np.uint8)
    framed = np.full_like(scene, 250)
    framed[3:-3, 3:-3] = scene[3:-3, 3:-3]
    framed = framed.astype(int) + np.random.default_rng(0).integers(-3, 4, framed.shape)
    framed = framed.clip(0, 255).astype(np.uint8)
    own = editing.painter("classical")
    edit = list(editing.perform(Picture(framed), "extend", own, sides=(0, 0, 40, 0)))[-1].result
    assert edit.mask[:, 157:].all() and not edit.mask[:, :150].any()
    assert (
        np.abs(edit.picture.rgb[8:-8, 150:].astype(int) - framed[8:-8, 140:150].mean(1, keepdims=True)).max()
        < 40
    )
    clean = list(editing.perform(Picture(scene), "extend", own, sides=(0, 0, 40, 0)))[-1].result
    assert not clean.mask[:, :160].any()


def test_an_extended_picture_continues_its_stripes_without_a_seam():
    rows, columns = np.mgrid[:160, :260]
    stripes = (rows + columns // 2) % 24 < 6
    whole = np.where(stripes[..., None], np.uint8((30, 60, 40)), np.uint8((200, 190, 160)))
    own = editing.painter("classical")
    edit = list(editing.perform(Picture(whole[:, 50:210]), "extend", own, sides=(50, 0, 50, 0)))[-1].result
    assert (edit.picture.rgb[:, 50:210] == whole[:, 50:210]).all()
    across = np.abs(np.diff(edit.picture.rgb.astype(int), axis=1)).mean((0, 2))
    assert max(across[49], across[209]) < 1.2 * across[60:200].mean()
