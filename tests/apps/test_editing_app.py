"""Tests of the editing app: handlers, whole edits, files, endpoints."""

import re
import sys
import threading
import time
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from apps import suite
from apps.image_editing import (
    app,
    by_text,
    edits,
    files,
    mask_panel,
    picture_panel,
    results,
    training_tab,
    visit,
    works,
)
from apps.shared import jobs, queue, visits
from vision_core import editing
from vision_core.editing import masks, packed, recipe
from vision_core.pictures import images
from vision_core.smallworld import world

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "editing"))
# prompt, filling, colour, other picture, sides, shape, blur, moved and scaled, takes on the light
OWN = ("", "auto", "#ff0000", None, 0, 0, 0, 0, "", 2, 0, 0, 100, False)
MODEL = (7, True, None, None, None, False, 2, 7.5, "")  # seed, locked, strength ... negative
SLIDER, STATUS, TIMER, CANDIDATES, HISTORY, FILES, SEEN, FOLD = 1, 2, 6, 7, 8, 9, 12, 14  # of `follow`
pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A photograph of 120 x 80 pixels, to be fast."""
    path = tmp_path_factory.mktemp("source") / "palace.png"
    with Image.open(ROOT / "assets/color/palace.jpg") as image:
        image.resize((120, 80)).save(path)
    return str(path)


@pytest.fixture
def visitor(small):
    session = visits.new(visit.APP)
    picture_panel.choose(session, small)
    return session


@pytest.fixture(scope="module")
def small_world(tmp_path_factory):
    """Untrained networks of the small world in a folder of their own."""
    import small_models

    place = small_models.small_world(tmp_path_factory.mktemp("models"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISION_CORE_EDITING", str(place))
        yield place


def clicked(**data: str) -> gr.EventData:
    return gr.EventData(None, data)


def draw(session, tool: str, points: str, mode: str = "add", size: str = "6") -> str:
    return mask_panel.act(session, clicked(act="draw", tool=tool, mode=mode, size=size, points=points))


def mask_of(session) -> np.ndarray | None:
    now = visit.current(session)
    return visit.mask_of(now)


def watch(session):
    """Poll the page until the edit has ended; returns all states. A stuck edit meets the test's own limit."""
    states = [results.follow(session, "")]
    while states[-1][TIMER].active:
        time.sleep(0.05)
        states.append(results.follow(session, states[-1][SEEN]))
    return states


def result_of(session) -> Path:
    work = works.get(visit.current(session))
    path = work.result(work.state())
    assert path is not None
    return path


def download(key: str, name: str, file: str):
    """The server's answer for a file of a result."""
    server = FastAPI()
    server.include_router(files.router)
    return TestClient(server).get(f"/files/{key}/{name}/{file}")


def test_the_page_is_built_and_keeps_its_promises():
    config = app.build().get_config_file()
    lossy = [c for c in config["components"] if c["props"].get("format") == "webp" and c["type"] != "plot"]
    unnamed = [c for c in config["components"] if c["type"] == "image" and not c["props"].get("alt_text")]
    public = {d["api_name"] for d in config["dependencies"] if d.get("api_visibility") == "public"}
    assert lossy == [] and unnamed == [] and public == {"edit_task", "make_mask", "find_regions"}


def test_each_tool_marks_what_it_shows_and_each_step_can_be_undone(visitor):
    once = draw(visitor, "box", "[[10, 20], [40.2, 50]]")
    assert (mask_of(visitor) == masks.box(80, 120, 10, 20, 41, 50)).all()
    twice = draw(visitor, "brush", "[[100, 10], [110, 10]]")
    first = masks.box(80, 120, 10, 20, 41, 50) | masks.brush(80, 120, [[(100, 10), (110, 10)]], 3)
    assert (mask_of(visitor) == first).all()
    thrice = draw(visitor, "lasso", "[[10, 20], [41, 20], [41, 50], [10, 50]]", mode="take")
    assert not mask_of(visitor)[21:49, 11:40].any() and mask_of(visitor)[10, 105]
    mask_panel.act(visitor, clicked(act="undo"))
    assert (mask_of(visitor) == first).all()
    for _ in range(2):
        mask_panel.act(visitor, clicked(act="undo"))
    assert mask_of(visitor) is None
    for shown in (once, twice, thrice):
        html = mask_panel.act(visitor, clicked(act="redo"))
        assert re.search(r'<img class="vc-over"[^>]*>', html)[0] in shown  # as it was drawn at first
    assert mask_of(visitor)[10, 105] and 'data-act="redo" disabled' in html
    mask_panel.act(visitor, clicked(act="invert"))
    assert not mask_of(visitor)[10, 105] and mask_of(visitor)[30, 25]
    for tool in ("click", "around"):
        points = "[[60, 40]]" if tool == "click" else "[[30, 10], [90, 70]]"
        mask_panel.act(visitor, clicked(act="clear"))
        draw(visitor, tool, points)
        assert 0 < mask_of(visitor).mean() < 1
        assert tool == "around" or mask_of(visitor)[40, 60]


def test_clicks_go_on_with_the_thing_and_each_is_a_step(tmp_path):
    session = visits.new(visit.APP)
    with Image.open(ROOT / "assets/color/coffee.jpg") as image:
        image.resize((480, 320)).save(tmp_path / "coffee.png")
    picture_panel.choose(session, str(tmp_path / "coffee.png"))
    draw(session, "click", "[[232, 100]]")
    cup = mask_of(session)
    assert 0.1 < cup.mean() < 0.3 and cup[100, 232]
    draw(session, "click", "[[233, 101]]")  # once more: the next answer
    other = mask_of(session)
    assert (other != cup).any() and other[100, 232]
    mask_panel.act(session, clicked(act="undo"))
    assert (mask_of(session) == cup).all()
    draw(session, "click", "[[290, 235]]")  # the spoon is another thing: both are marked
    both = mask_of(session)
    assert (both & cup).sum() > 0.95 * cup.sum() and both[235, 290]
    draw(session, "click", "[[290, 235]]", mode="take")  # a click of the other kind mends the last thing
    assert not mask_of(session)[235, 290] and mask_of(session)[100, 232]
    mask_panel.act(session, clicked(act="clear"))
    with pytest.raises(gr.Error, match="nothing to unmark"):
        draw(session, "click", "[[232, 100]]", mode="take")
    _, words = mask_panel.by_words(session, "the cup")
    assert "Cup: 1 marked" in words
    canvas, words = mask_panel.by_words(session, "a unicorn")
    assert "not among the 80 things known" in words and "value" not in canvas


def test_an_uploaded_mask_and_a_shape_and_numbers(visitor, tmp_path):
    masks.save(masks.shape("circle", 80, 120), tmp_path / "mask.png")
    mask_panel.by_file(visitor, str(tmp_path / "mask.png"))
    assert (mask_of(visitor) == masks.shape("circle", 80, 120)).all()
    mask_panel.by_numbers(visitor, "0, 0, 5, 4")
    assert mask_of(visitor)[:4, :5].all()
    mask_panel.by_shape(visitor, "center")
    assert (mask_of(visitor) == masks.shape("center", 80, 120)).all()


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        ({"act": "draw", "tool": "box", "mode": "add", "size": "5", "points": "[[1, 2]]"}, "Drag the box"),
        (
            {"act": "draw", "tool": "brush", "mode": "add", "size": "5", "points": "[[1, NaN]]"},
            "not a stroke",
        ),
        ({"act": "draw", "tool": "brush", "mode": "add", "size": "5", "points": "{}"}, "not a stroke"),
        ({"act": "draw", "tool": "axe", "mode": "add", "size": "5", "points": "[[1, 2]]"}, "no tool"),
        (
            {"act": "draw", "tool": "brush", "mode": "add", "size": "nan", "points": "[[1, 2]]"},
            "brush is nan",
        ),
        ({"act": "grow"}, "Nothing is marked"),
        ({"act": "fly"}, "Nothing is marked"),
    ],
)
def test_bad_strokes_are_sentences(visitor, act, sentence):
    with pytest.raises(gr.Error, match=sentence):
        mask_panel.act(visitor, clicked(**act))


def test_bad_masks_are_sentences(visitor, tmp_path):
    Image.new("L", (10, 10), 255).save(tmp_path / "off.png")
    Image.new("L", (120, 80)).save(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, sentence in (("off", "10 x 10 pixels"), ("empty", "empty"), ("text", "not an image")):
        with pytest.raises(gr.Error, match=sentence):
            mask_panel.by_file(visitor, str(tmp_path / f"{name}.png"))
    with pytest.raises(gr.Error, match="does not lie"):
        mask_panel.by_numbers(visitor, "0 0 500 500")


def test_words_of_a_drawn_scene_are_its_true_masks_and_others_are_not_found():
    session = visits.new(visit.APP)
    path = picture_panel.draw(visit.current(session), 45)
    picture_panel.choose(session, path)
    scene = world.scene(45, 2)
    kind = scene.things[0].kind
    _, words = mask_panel.by_words(session, f"the {kind}")
    things = zip(scene.things, world.masks(scene, picture_panel.SCENE), strict=True)
    truth = np.logical_or.reduce([mask for thing, mask in things if thing.kind == kind])
    assert (mask_of(session) == truth).all() and "known" in words
    _, words = mask_panel.by_words(session, "an elephant")
    assert "not in this drawing" in words


def test_the_download_is_what_the_core_gives_and_the_rest_is_bit_identical(visitor, small):
    draw(visitor, "box", "[[30, 20], [60, 50]]")
    edits.begin_task(visitor, "remove", *OWN, *MODEL)
    looks = watch(visitor)
    assert "bit-identical" in looks[-1][STATUS] and "Seed 7" in looks[-1][STATUS]
    picture, mask = images.read(small), masks.box(80, 120, 30, 20, 60, 50)
    own = editing.painter("classical")
    result = list(editing.perform(picture, "remove", own, mask=mask, seed=7, with_shadow=True))[-1].result
    assert len(works.get(visit.current(visitor)).state()["candidates"]) == 3  # versions to choose from
    key, name = visitor.key, visit.current(visitor).result
    sent = download(key, name, "candidate-0.png")
    assert sent.content == recipe.encode(result.picture, result.recipe)
    assert "palace-edited.png" in sent.headers["content-disposition"]
    edited, rest = images.read(sent.content).rgb, ~result.mask
    assert (edited[rest] == picture.rgb[rest]).all() and (edited != picture.rgb).any()
    assert download(key, name, "candidate-0.json").text == recipe.to_json(result.recipe)
    for strange in (visits.new(visit.APP).key, "x"):
        assert download(strange, name, "candidate-0.png").status_code == 404
    assert download(key, name, "work.json").status_code == 404


def test_a_recipe_restores_the_settings_and_the_mask(visitor, tmp_path):
    draw(visitor, "box", "[[30, 20], [60, 50]]")
    edits.begin_task(visitor, "background", "a prompt", "color", "rgba(0, 128, 255, 1)", *OWN[3:], *MODEL)
    watch(visitor)
    result = result_of(visitor)
    assert (images.read(result).rgb[0, 0] == (0, 128, 255)).all()
    mask_panel.act(visitor, clicked(act="clear"))
    words, _, task, prompt, _, fill, seed, locked, *_ = results.restore(visitor, str(result))
    assert (task, prompt, fill, seed, locked) == ("background", "a prompt", "color", 7, True)
    box = masks.box(80, 120, 30, 20, 60, 50)
    assert "Restored" in words and (mask_of(visitor) == box).all() and visit.current(visitor).edge == 2
    other = recipe.Recipe(
        "extend", options={"right": 0.5, "scale": 2, "light": False, "sides": [1, 2, 3, 4], "edge": 0.0}
    )
    (tmp_path / "moved.json").write_text(recipe.to_json(other))
    *_, down, scale, light, _, shadow = results.restore(visitor, str(tmp_path / "moved.json"))
    assert (scale, light, shadow) == (200, False, False) and down == gr.skip()
    for bad, sentence in ((ROOT / "assets/color/cat.jpg", "recipe"), (tmp_path / "a.json", "recipe")):
        if bad.suffix == ".json":
            bad.write_text('{"task": 1}')
        with pytest.raises(gr.Error, match=sentence):
            results.restore(visitor, str(bad))


def test_a_result_is_edited_on_and_the_first_is_gone_back_to(visitor):
    draw(visitor, "box", "[[30, 20], [60, 50]]")
    edits.begin_task(visitor, "replace", *OWN[:1], "color", *OWN[2:], *MODEL)
    shown = watch(visitor)[-1]
    assert shown[SLIDER].value and not shown[HISTORY] and not shown[FOLD].open
    first = images.read(result_of(visitor)).rgb
    results.go_on(visitor)
    left = results.follow(visitor, "")  # the picture is where the result was; that is one to go back to
    assert not left[SLIDER].value and left[HISTORY].count("<button") == 1 and left[FOLD].open
    now = visit.current(visitor)
    assert (visit.source_of(now).rgb == first).all() and mask_of(visitor) is None
    assert "Undo brings the mark back" in mask_panel.prepare(visitor)
    mask_panel.act(visitor, clicked(act="undo"))
    assert (mask_of(visitor) == masks.box(80, 120, 30, 20, 60, 50)).all()
    edits.begin_task(visitor, "extend", *OWN[:4], 0, 0, 10, 0, *OWN[8:], *MODEL)
    looks = watch(visitor)
    assert images.read(result_of(visitor)).rgb.shape == (80, 130, 3)
    assert looks[-1][HISTORY].count("<button") == 2
    results.act(visitor, clicked(act="show", value="work-001"))
    assert (images.read(result_of(visitor)).rgb == first).all()


def test_an_edit_by_text_shows_its_candidates_one_by_one_and_the_best(small_world):
    session = visits.new(visit.APP)
    picture_panel.choose(session, picture_panel.draw(visit.current(session), 45))
    assert by_text.unknown_words("A sleepy unicorn, red") == ["sleepy", "unicorn"]
    assert by_text.unknown_words("a tree with pink flowers") == []
    by_text.begin_text(session, "a tree", "a tree with pink flowers", 3, 15, "", 5, True, 2, 7.5, "")
    looks = watch(session)
    with pytest.raises(gr.Error, match="training 007' is no longer here"):
        by_text.begin_text(session, "a tree", "a house", 3, 15, "training 007", 5, True, 2, 7.5, "")
    counts = [str(look[CANDIDATES]).count("data-act") for look in looks]
    assert counts[-1] == 3 or max(counts) == 3
    work = works.get(visit.current(session))
    state = work.state()
    scores = [entry["scores"]["score"] for entry in state["candidates"]]
    assert works.chosen(work, state) == int(np.argmax(scores)) and state["status"] == "done"
    worst = int(np.argmin(scores))
    results.act(session, clicked(act="candidate", value=str(worst)))
    stored = recipe.read(result_of(session))
    assert stored.seed == 5 and list(stored.box) == state["candidates"][worst]["box"]
    source, edited = visit.source_of(visit.current(session)).rgb, images.read(result_of(session)).rgb
    rest = ~masks.grow(masks.box(*source.shape[:2], *stored.box), 4)
    assert (source[rest] == edited[rest]).all()


def test_stop_ends_an_edit_within_a_step(small_world):
    visitor = visits.new(visit.APP)
    picture_panel.choose(visitor, picture_panel.draw(visit.current(visitor), 45))
    by_text.begin_text(visitor, "a", "b", 9, 15, "", 0, True, 200, 7.5, "")
    while not works.get(visit.current(visitor)).state()["step"]:
        time.sleep(0.05)
    jobs.end(visitor)
    looks = watch(visitor)
    state = works.get(visit.current(visitor)).state()
    assert state["status"] == "stopped" and state["step"] < 9 * 200 and "Stopped" in looks[-1][STATUS]
    while queue.HEAVY.before(visitor.owner) is not None:  # the place is given back at once, or this hangs
        time.sleep(0.01)


def test_the_edge_that_is_drawn_is_the_task_s_own_or_the_visitor_s(visitor):
    draw(visitor, "box", "[[30, 20], [60, 50]]")
    outlines = [edits.reach(visitor, task, edge, False) for task, edge in (("remove", ""), ("remove", "9"))]
    assert outlines[0] != outlines[1] and visit.current(visitor).edge == 9
    edits.begin_task(visitor, "replace", *OWN[:1], "color", *OWN[2:], *MODEL)
    watch(visitor)
    stored = recipe.read(result_of(visitor))
    assert (packed.unpack_mask(stored.mask) == masks.box(80, 120, 30, 20, 60, 50)).all()
    assert stored.options["edge"] == 9
    with pytest.raises(gr.Error, match="No task is called"):
        edits.reach(visitor, "fly", "", False)


def test_repair_without_a_mark_proposes_one_and_changes_nothing(tmp_path):
    rows, columns = np.mgrid[:200, :260]
    rgb = np.repeat((110 + 30 * np.sin(columns / 60) * np.cos(rows / 50))[..., None], 3, 2).astype(np.uint8)
    rgb[30:180, 120:123] = 250
    images.save(images.Picture(rgb), tmp_path / "old.png")
    session = visits.new(visit.APP)
    picture_panel.choose(session, str(tmp_path / "old.png"))
    edits.begin_task(session, "repair", *OWN, *MODEL)
    assert not visit.current(session).result  # the person looks first
    assert mask_of(session)[60:150, 120:123].mean() > 0.8
    mask_panel.act(session, clicked(act="undo"))
    assert mask_of(session) is None


def test_who_waits_is_told_so_and_may_leave(visitor):
    draw(visitor, "box", "[[30, 20], [60, 50]]")
    others = [f"other-{number}" for number in range(queue.PLACES)]
    tickets = [queue.HEAVY.join(other) for other in others]
    try:
        edits.begin_task(visitor, "remove", *OWN, *MODEL)
        assert "before you" in results.follow(visitor, "")[STATUS]
        results.leave(visitor)  # the mark is looked at meanwhile: how far the edit is stays in view
        looked = results.follow(visitor, "")
        assert "before you" in looked[STATUS] and looked[TIMER].active and looked[FOLD].open
        with pytest.raises(gr.Error, match="goes on"):
            results.act(visitor, clicked(act="show", value="work-001"))
        with pytest.raises(gr.Error, match="still going on"):
            edits.begin_task(visitor, "remove", *OWN, *MODEL)
        jobs.end(visitor)
        watch(visitor)
        results.act(visitor, clicked(act="show", value="work-001"))
        assert "Stopped before" in results.follow(visitor, "")[STATUS]
    finally:
        for ticket in tickets:
            queue.HEAVY.leave(ticket)


@pytest.mark.parametrize(
    ("task", "changes", "sentence"),
    [
        ("remove", {}, "Mark the place first"),
        ("replace", {"mask": True}, "no text model on this machine"),
        ("extend", {}, "how many pixels"),
        ("extend", {"left": 10**400}, "at a side"),
        ("fly", {}, "No task is called"),
        ("replace", {"mask": True, "fill": "picture"}, "choose the picture"),
        ("replace", {"mask": True, "fill": "color", "color": "blue"}, "no colour"),
        ("complete", {"prompt": "x" * 10_001}, "10,001 characters"),
        ("background", {"fill": "blur", "mask": "all"}, "no background left"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(visitor, monkeypatch, task, changes, sentence):
    monkeypatch.setenv("VISION_CORE_EDITING", "/nowhere")
    if changes.get("mask"):
        draw(visitor, "box", "[[0, 0], [120, 80]]" if changes["mask"] == "all" else "[[30, 20], [60, 50]]")
    own = (changes.get("prompt", ""), changes.get("fill", "auto"), changes.get("color", "#ff0000"), None)
    try:
        edits.begin_task(visitor, task, *own, changes.get("left", 0), 0, 0, 0, *OWN[8:], *MODEL)
        message = watch(visitor)[-1][STATUS]
    except gr.Error as error:
        message = error.message
    assert sentence in message


def test_without_networks_text_and_teaching_say_what_is_missing(visitor, monkeypatch):
    monkeypatch.setenv("VISION_CORE_EDITING", "/nowhere")
    with pytest.raises(gr.Error, match="inpainting, clip"):
        by_text.begin_text(visitor, "a", "b", 3, 15, "", 0, True, 2, 7.5, "")
    training_tab.add(visitor, "a palace", "a castle")
    with pytest.raises(gr.Error, match="inpainting, clip"):
        training_tab.begin(visitor, 5, 2, 1, 0, 0)
    with pytest.raises(gr.Error, match="prompt is empty"):
        by_text.begin_text(visitor, "a", "  ", 3, 15, "", 0, True, 2, 7.5, "")


def test_the_page_says_who_paints_and_what_a_photograph_gets(small_world, visitor, monkeypatch):
    words, fields, button = by_text.who_paints(visitor)
    assert "can edit a photograph by text" in words and not fields.visible and not button.visible
    for task, fill in (("remove", "auto"), ("background", "auto"), ("replace", "picture"), ("style", "tint")):
        assert edits.first_fill(visitor, task).value == fill
    with pytest.raises(gr.Error, match="Use In the mark instead"):
        by_text.begin_text(visitor, "a", "b", 3, 15, "", 0, True, 2, 7.5, "")
    assert edits.own_fill("background", drawn=False) == "blur"
    with pytest.raises(ValueError, match="this is a photograph"):
        edits.own_fill("replace", drawn=False)
    assert edits.own_fill("replace", drawn=True) == "tiny"
    scene = visits.new(visit.APP)
    picture_panel.take_example(scene, clicked(value="scene"))
    words, fields, button = by_text.who_paints(scene)
    assert "knows the things and colours" in words and fields.visible and button.visible
    assert edits.first_fill(scene, "replace").value == "auto"
    monkeypatch.setenv("VISION_CORE_EDITING", "/nowhere")  # looked for at each question: no restart
    assert "can edit by text yet" in by_text.who_paints(visitor)[0]


def test_a_region_that_is_picked_becomes_the_mask(visitor):
    by_text.find(visitor, 4, 15)
    assert len(visit.current(visitor).boxes) == 4
    _, _, chips = by_text.pick(visitor, clicked(act="box", value="2"))
    left, top, right, bottom = visit.current(visitor).boxes[2][3]
    assert (mask_of(visitor) == masks.box(80, 120, left, top, right, bottom)).all()
    assert 'data-value="2" aria-pressed="true"' in chips
    with pytest.raises(gr.Error, match="The box"):
        by_text.pick(visitor, clicked(act="box", value="9"))


def test_two_visitors_share_nothing(small):
    first, second = visits.new(visit.APP), visits.new(visit.APP)
    for session in (first, second):
        picture_panel.choose(session, small)
    draw(first, "box", "[[30, 20], [60, 50]]")
    edits.begin_task(first, "remove", *OWN, *MODEL)
    watch(first)
    assert mask_of(second) is None and results.follow(second, "")[STATUS] == ""
    name = visit.current(first).result
    assert download(second.key, name, "candidate-0.png").status_code == 404


@pytest.mark.slow
def test_anchor_net_is_taught_in_a_process_of_its_own_and_used(small_world):
    session = visits.new(visit.APP)
    picture_panel.choose(session, picture_panel.draw(visit.current(session), 45))
    training_tab.add_scenes(session, 1)
    training_tab.begin(session, 8, 2, 1, 0, 0)
    while (looked := training_tab.follow(session))[4].active:
        time.sleep(0.3)
    assert "below the best" in looked[0] and looked[1].visible
    assert list(by_text.networks(visit.current(session))) == ["training 001"]
    while queue.HEAVY.before(session.owner) is not None:
        time.sleep(0.1)
    by_text.begin_text(session, "a tree", "a house", 2, 15, "training 001", 5, True, 1, 7.5, "")
    watch(session)
    assert works.get(visit.current(session)).state()["status"] == "done"


def test_the_endpoints_answer_a_script(small, tmp_path):
    client = pytest.importorskip("gradio_client")
    uvicorn = pytest.importorskip("uvicorn")
    server = uvicorn.Server(uvicorn.Config(suite.create(only="image_editing"), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    script = client.Client(f"http://127.0.0.1:{port}/", verbose=False, download_files=str(tmp_path))
    picture = client.handle_file(small)
    mask = script.predict(picture, words="", box="30,20,60,50", point="", api_name="/make_mask")
    where = masks.read(mask, 80, 120)
    edited = script.predict(
        picture, "remove", client.handle_file(mask), "", "", "auto", "#808080", 3, api_name="/edit_task"
    )
    own = editing.painter("classical")
    result = list(editing.perform(images.read(small), "remove", own, mask=where, seed=3, with_shadow=True))[
        -1
    ].result
    assert Path(edited).read_bytes() == recipe.encode(result.picture, result.recipe)
    regions = script.predict(picture, anchors=2, max_window=15, api_name="/find_regions")
    assert len(regions["boxes"]) == 2 and len(regions["boxes"][0]) == 6
    with pytest.raises(Exception, match="Say where"):
        script.predict(picture, "remove", None, "", "", "auto", "", 3, api_name="/edit_task")
    script.close()
    server.should_exit = True
    thread.join(20)


def test_a_stranger_gets_nothing():
    with TestClient(suite.create(only="image_editing"), base_url="http://localhost") as client:
        assert "Image editing" in client.get("/").text
        for address in (
            f"/files/{visits.new(visit.APP).key}/work-001/candidate-0.png",
            "/files/x/view/y.png",
        ):
            response = client.get(address)
            assert response.status_code == 404 and "Traceback" not in response.text


@pytest.mark.parametrize(
    ("task", "marked", "sides", "words"),
    [
        ("remove", True, (0, 0, 0, 0), "Filling 25.0% of 1.0 megapixels …"),
        ("background", True, (0, 0, 0, 0), "Filling 75.0% of 1.0 megapixels …"),
        ("extend", False, (0, 1000, 0, 0), "Filling 50.0% of 2.0 megapixels …"),
        ("complete", False, (0, 0, 0, 0), "Filling …"),
    ],
)
def test_how_much_is_filled_is_said(task, marked, sides, words):
    mask = np.zeros((1000, 1000), bool)
    mask[:500, :500] = True
    picture = images.Picture(np.zeros((1000, 1000, 3), np.uint8))
    assert edits.filling(picture, task, mask if marked else None, sides) == words
