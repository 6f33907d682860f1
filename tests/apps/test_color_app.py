"""Tests of the colour app: handlers, a whole training, downloads, errors."""

import io
import json
import re
import shutil
import threading
import time
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from apps import suite
from apps.color_transfer import (
    app,
    comparison_tab,
    looks,
    low_poly_tab,
    palette_panel,
    photographs_tab,
    plots_tab,
    rating_tab,
    results,
    training,
    views,
    visit,
)
from apps.shared import faults, jobs, queue, theme, trainings, visits
from vision_core import color
from vision_core.color import classical, lut, lut_files, palette_files
from vision_core.color.palette_files import from_hex, to_hex
from vision_core.pictures import images

ROOT = Path(__file__).parents[2]
TARGET = str(ROOT / "assets/color/flower.jpg")
MODEL = str(ROOT / "models/color/astronaut-coffee.safetensors")
WEIGHTS = tuple(vars(color.LossWeights()).values())
PAIR, STATUS, FACTS, FILES, DONE, SEEN = 1, 2, 7, 8, 10, 11  # of what `follow` gives
pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A photograph of 160 x 107 pixels, to be fast."""
    path = tmp_path_factory.mktemp("source") / "palace.png"
    with Image.open(ROOT / "assets/color/palace.jpg") as image:
        image.resize((160, 107)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def chosen(small):
    """The visitor that `visitor` copies."""
    session = visits.new(visit.APP)
    palette_panel.choose_source(session, small)
    palette_panel.choose_target(session, TARGET, 25, 10)
    return session


def another(session: visits.Session) -> visits.Session:
    """A new visit with a copy of this one's files."""
    copied = visits.new(visit.APP)
    shutil.copytree(session.folder, copied.folder)
    return copied


@pytest.fixture
def visitor(chosen):
    """A visitor who has chosen both pictures."""
    return another(chosen)


def begin(session, epochs: float = 100) -> None:
    training.begin(session, "rgb", epochs, 0, 1e-3, 0, *WEIGHTS)


def watch(session, seconds: float = 120):
    """Poll the page until the training has ended; returns all states."""
    states, end = [results.follow(session, 1, 1, "")], time.monotonic() + seconds
    while not states[-1][DONE]:
        assert time.monotonic() < end
        time.sleep(0.2)
        states.append(results.follow(session, 1, 1, states[-1][SEEN]))
    return states


def ended(follow, session, seconds: float = 600):
    """The outputs of a section after its job has ended."""
    end = time.monotonic() + seconds
    while (shown := follow(session))[-1].active:
        assert time.monotonic() < end
        time.sleep(0.05)
    return shown


@pytest.fixture(scope="module")
def trained(chosen):
    """A visitor with a finished short training, and all states of the page."""
    session = another(chosen)
    begin(session)
    return session, watch(session)


@pytest.fixture(scope="module")
def with_model(chosen):
    """The visitor that `loaded` copies."""
    session = another(chosen)
    results.use_saved(session, MODEL)
    return session


@pytest.fixture
def loaded(with_model):
    """A visitor with a network that was trained elsewhere."""
    return another(with_model)


def clicked(**data: str) -> gr.EventData:
    return gr.EventData(None, data)


def test_the_page_is_built_and_keeps_its_promises():
    config = app.build().get_config_file()
    lossy = [c for c in config["components"] if c["props"].get("format") == "webp" and c["type"] != "plot"]
    unnamed = [c for c in config["components"] if c["type"] == "image" and not c["props"].get("alt_text")]
    assert lossy == [] and unnamed == []
    heard = {event for dependency in config["dependencies"] for _, event in dependency["targets"]}
    assert "change" in heard and "release" not in heard  # keys and number boxes do not release a slider


def test_another_result_empties_what_was_made_of_the_one_before():
    page = app.build()
    [another] = [function for function in page.fns.values() if function.name == "another"]
    shown = zip(another.outputs, another.fn(None, ""), strict=True)
    cleared = {output.elem_id: value for output, value in shown if isinstance(value, dict)}
    assert {"lowpoly", "figure"} <= cleared.keys() and not any(value["value"] for value in cleared.values())


def contrast(*colors: str) -> float:
    """WCAG's contrast of two colours "#rrggbb"."""
    srgb = np.array([from_hex(text) for text in colors]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (high + 0.05) / (low + 0.05)


def test_an_unticked_box_can_be_seen():
    look = theme.theme()
    light = contrast(look.checkbox_border_color, "#ffffff")
    dark = contrast(look.checkbox_border_color_dark, look.block_background_fill_dark)
    assert min(light, dark) >= 3  # WCAG 1.4.11


def test_palette_is_that_of_the_core(visitor):
    expected = color.extract(images.read(TARGET).rgb, 25, 10)
    current = visit.current(visitor)
    assert np.array_equal(current.palette.colors, expected.colors)
    html = views.palette_editor(current)
    assert all(text in html for text in to_hex(expected.colors))


def test_a_locked_colour_survives_a_smaller_palette_and_a_dropped_one_is_gone(visitor):
    palette = visit.current(visitor).palette
    least = int(palette.shares.argmin())
    text = to_hex(palette.colors)[least]
    for act in ({"act": "choose", "value": str(least)}, {"act": "lock"}):
        palette_panel.edit(visitor, clicked(**act))
    palette_panel.count_again(visitor, 25, 3)
    current = visit.current(visitor)
    assert (
        current.locked == (text,)
        and text in to_hex(current.palette.colors)
        and len(current.palette.colors) == 3
    )
    index = to_hex(current.palette.colors).index(text)
    palette_panel.edit(visitor, clicked(act="choose", value=str(index)))
    palette_panel.edit(visitor, clicked(act="drop"))
    current = visit.current(visitor)
    assert text not in to_hex(current.palette.colors) and current.locked == ()
    assert current.palette.shares.sum() == pytest.approx(1)


def test_a_colour_is_replaced_and_keeps_its_share(visitor):
    before = visit.current(visitor).palette
    palette_panel.edit(visitor, clicked(act="choose", value="1"))
    palette_panel.edit(visitor, clicked(act="swap", picked="#102030"))
    after = visit.current(visitor).palette
    assert after.colors[1].tolist() == [16, 32, 48] and after.shares[1] == before.shares[1]


def test_what_was_done_to_the_palette_can_be_undone_and_the_chosen_colour_stays_chosen(visitor):
    before = visit.current(visitor)
    palette_panel.edit(visitor, clicked(act="choose", value="4"))
    palette_panel.edit(visitor, clicked(act="swap", picked="#102030"))
    palette_panel.edit(visitor, clicked(act="choose", value="2"))
    chosen = visit.current(visitor).colors[2]
    palette_panel.edit(visitor, clicked(act="undo"))
    after = visit.current(visitor)
    assert (after.colors, after.shares, after.colors[after.chosen]) == (before.colors, before.shares, chosen)
    palette_panel.edit(visitor, clicked(act="drop"))
    assert chosen not in visit.current(visitor).colors
    palette_panel.edit(visitor, clicked(act="undo"))
    assert visit.current(visitor).colors == before.colors
    with pytest.raises(gr.Error, match="nothing to undo"):
        palette_panel.edit(visitor, clicked(act="undo"))


def test_a_palette_file_stays_until_it_is_cleared_and_then_the_picture_counts_again(visitor, tmp_path):
    from_picture = visit.current(visitor).palette
    file = tmp_path / "two.hex"
    file.write_text("ff0000\n0000ff\n")
    palette_panel.take_file(visitor, str(file), 25, 10)
    palette_panel.count_again(visitor, 25, 5)  # the slider must not replace it
    current = visit.current(visitor)
    assert to_hex(current.palette.colors) == ["#ff0000", "#0000ff"] and current.imported == "two.hex"
    palette_panel.take_file(visitor, None, 25, 10)
    assert np.array_equal(visit.current(visitor).palette.colors, from_picture.colors)


def test_two_events_at_once_lose_nothing(visitor):
    """As when both pictures are chosen in one moment: each event writes only what it changes."""
    before = visit.current(visitor)
    visit.change(visitor, source="a")
    visit.change(before.session, locked=("#112233",))
    after = visit.current(visitor)
    assert after.source == "a" and after.locked == ("#112233",)


def test_a_reload_finds_pictures_palette_progress_and_result(trained, small):
    session = visits.find(visit.APP, trained[0].key)
    source, words, target, palette = palette_panel.reload(visit.current(session))
    assert np.array_equal(images.read(source).rgb, images.read(small).rgb)
    assert np.array_equal(images.read(target).rgb, images.read(TARGET).rgb)
    assert "160 x 107" in words and 'data-act="choose"' in palette
    assert (
        palette_panel.choose_target(session, target, 25, 10) == palette
    )  # what showing it again brings about
    again = results.follow(session, 1, 1, "")
    assert again[PAIR] == trained[1][-1][PAIR] and again[STATUS] == trained[1][-1][STATUS]


def test_a_look_does_not_wait_for_the_final_lut_and_its_measures(trained):
    session = another(trained[0])
    look = looks.get(visit.current(session))
    look.path(looks.MODEL).rename(look.path(looks.LAST))  # as when the training has just ended
    look.path(looks.LUT).unlink()
    look.path(results.FACTS).unlink()
    gate = threading.Event()
    words, going_on = training.report(look, gate.wait)
    assert going_on and "is being drawn" in words
    gate.set()
    while training.report(look, gate.wait)[1]:
        pass
    assert look.path(looks.LUT).exists() and "Trained" in training.report(look, gate.wait)[0]


def test_the_first_picture_is_there_before_the_network_and_named_as_what_it_is(trained, small):
    first = trained[1][0]
    assert "histogram matching" in first[STATUS] and first[DONE] == ""
    source = images.read(small).rgb
    table = classical.match_histograms(
        color.count_colors(source), color.count_colors(images.read(TARGET).rgb)
    )
    assert np.array_equal(images.read(first[PAIR][1]).rgb, lut.apply(table, source))


def test_the_first_picture_has_the_histograms_of_the_target():
    rng = np.random.default_rng(0)
    source, target = (rng.normal(mean, 20, (200, 200, 3)).clip(0, 255) for mean in (90, 160))
    source, target = source.astype(np.uint8), target.astype(np.uint8)
    table = classical.match_histograms(color.count_colors(source), color.count_colors(target))
    output = lut.apply(table, source)
    quantiles = np.linspace(0.02, 0.98, 25)
    assert np.abs(np.quantile(output, quantiles, (0, 1)) - np.quantile(target, quantiles, (0, 1))).max() <= 4


def test_a_training_goes_on_without_its_page_and_leaves_what_the_core_trains(trained, small):
    session, shown = trained
    assert "Trained 100 of 100 epochs" in shown[-1][STATUS] and "palette colours in use" in shown[-1][FACTS]
    model = looks.get(visit.current(session)).model
    palette = visit.current(session).palette
    *_, result = color.train(images.read(small).rgb, palette, color.Settings(epochs=100))
    colors = np.random.default_rng(0).integers(0, 256, (100, 3), np.uint8)
    actual, expected = (m.recolor_colors(colors).astype(int) for m in (model, result.result))
    # equal but for rounding, which depends on the number of threads and grows from step to step
    assert np.abs(actual - expected).mean() < 6 < np.abs(actual - colors).mean() / 3
    left = {path.name for path in looks.get(visit.current(session)).run.folder.iterdir()}
    assert "resume.pt" not in left and "last.safetensors" not in left


def test_stop_keeps_the_model_so_far_and_says_when_that_is_little(visitor):
    begin(visitor, 20_000)
    while "vc-progress" not in results.follow(visitor, 1, 1, "")[STATUS]:
        time.sleep(0.1)
    with pytest.raises(gr.Error, match="still going on"):
        begin(visitor)
    training.stop(visitor)
    last = watch(visitor)[-1]
    look = looks.get(visit.current(visitor))
    steps = trainings.steps(look.run)[-1].step
    assert ("hardly begun" if steps < training.FEW else "Stopped as you asked") in last[STATUS]
    assert 0 < look.model.metadata["training_epochs"] == steps < 20_000


def test_stop_takes_a_waiting_visitor_out_of_the_queue(visitor):
    others = ["someone", "someone else"]
    tickets = [queue.HEAVY.join(other) for other in others]
    try:
        begin(visitor)
        look = results.follow(visitor, 1, 1, "")
        assert "One visitor is before you" in look[STATUS] and "histogram matching" in look[STATUS]
        assert look[DONE] == look[FACTS] == ""  # of an earlier result nothing is left to click
        with pytest.raises(gr.Error, match="The training is still running"):
            results.act(visitor, 1, clicked(act="show", value="look-001"))
        training.stop(visitor)
        assert queue.HEAVY.before(visitor.owner) is None
        assert visit.current(visitor).result == "" and looks.every(visit.current(visitor)) == []
    finally:
        for ticket in tickets:
            queue.HEAVY.leave(ticket)


def test_past_results_can_be_gone_back_to(trained):
    session, shown = trained
    results.use_saved(session, MODEL)
    other = results.follow(session, 1, 1, "")
    assert other[PAIR][1] != shown[-1][PAIR][1] and other[6].count("data-act") == 2
    results.act(session, 1, clicked(act="show", value="look-001"))
    assert results.follow(session, 1, 1, "")[PAIR] == shown[-1][PAIR]
    visits.remove(looks.get(visit.current(session), "look-002").folder)
    with pytest.raises(gr.Error, match="no longer here"):
        results.act(session, 1, clicked(act="show", value="look-002"))


def test_a_cube_of_another_program_is_a_result_without_a_network(visitor, tmp_path):
    theirs = tmp_path / "theirs.cube"
    lut_files.write(theirs, lut.with_strength(color.load(MODEL).lut(17), 0.5, 0.5))
    theirs.write_text(theirs.read_text().replace("DOMAIN_MAX 1.0 1.0 1.0", "DOMAIN_MAX 1.5 0.9 1.0"))
    table = lut_files.read(theirs)
    assert isinstance(table, lut.Shaped)
    results.use_saved(visitor, str(theirs))
    look = results.follow(visitor, 1, 1, "")
    before, after = (images.read(path).rgb for path in look[PAIR])
    assert np.abs(after.astype(int) - lut.apply(table, before)).max() <= 1
    assert look[FACTS] == "" and "Model" not in look[FILES]
    with pytest.raises(gr.Error, match="has no network"):
        comparison_tab.begin(visitor)


def test_strength_zero_is_the_picture(loaded):
    before, after = (images.read(path).rgb for path in results.follow(loaded, 0, 0, "")[PAIR])
    assert np.abs(after.astype(int) - before).max() <= 1


def test_much_darker_colours_come_with_a_strength_that_keeps_the_drawing(visitor, tmp_path):
    dark = lut.identity(17) ** 6 * 0.12
    current = visit.current(visitor)
    picture, network = visit.source_of(current), color.load(MODEL)
    look = looks.create(current, "model", "dark", picture, dark.astype(np.float32), network)
    visit.change(visitor, result=look.name)
    facts = results.follow(visitor, 1, 1, "")[FACTS]
    [strength] = re.findall(r'data-act="lightness" data-value="([\d.]+)"', facts)
    assert results.act(visitor, 1, clicked(act="lightness", value=strength)) == float(strength)
    assert "data-act" not in results.follow(visitor, 1, float(strength), "")[FACTS]


@pytest.fixture(scope="module")
def client():
    with TestClient(suite.create(only="color_transfer"), base_url="http://localhost") as running:
        yield running


def test_downloads_are_made_when_asked_for_and_say_the_same_as_the_page(client, loaded, tmp_path):
    shown = results.follow(loaded, 0.7, 0.4, "")
    before, after = (images.read(path).rgb for path in shown[PAIR])
    folder = set(loaded.folder.rglob("*"))
    links = re.findall(r'href="(files/[^"]+)"', shown[FILES])
    files = {}
    for link in links:
        response = client.get("/" + link.replace("&amp;", "&"))
        assert response.status_code == 200
        name = link.split("/")[-1].split("?")[0]
        (tmp_path / name).write_bytes(response.content)
        files[name] = tmp_path / name
    assert np.array_equal(images.read(files["recoloured.png"]).rgb, after)
    for name in ("colours.cube", "haldclut.png"):
        again = lut.apply(lut_files.read(files[name]), before).astype(int)
        assert np.percentile(np.abs(again - after), 99.9) <= 1
    palette = looks.get(visit.current(loaded)).model.palette
    assert np.array_equal(palette_files.read(files["palette.gpl"]).colors, palette.colors)
    assert color.load(files["model.safetensors"]).metadata == color.load(MODEL).metadata
    assert set(loaded.folder.rglob("*")) == folder and not list(visits.uploads().glob("*/palette*"))
    assert client.get("/" + links[0].replace(loaded.key, visits.new("color").key)).status_code == 404


def test_many_photographs_become_one_zip_and_a_bad_one_is_named(loaded, client, small, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    Image.new("RGBA", (9, 9), (200, 30, 20, 90)).save(tmp_path / "glass.png")
    files = [("a.png", small), ("notes.png", str(tmp_path / "notes.png")), ("a.png", small)]
    files += [("glass.jpg", str(tmp_path / "glass.png")), ("b.jpeg", TARGET)]
    photographs_tab.begin(loaded, files, None, 1, 1)
    words = ended(photographs_tab.follow, loaded)[1]
    assert "4 of 5 photographs are ready" in words and "notes.png" in words and str(tmp_path) not in words
    [link] = re.findall(r'href="(files/[^"]+)"', words)
    archive = zipfile.ZipFile(io.BytesIO(client.get("/" + link).content))
    assert archive.namelist() == ["a.png", "a-2.png", "glass.png", "b.jpeg"]
    expected = lut.apply(looks.table(looks.get(visit.current(loaded))), images.read(small).rgb)
    assert np.array_equal(images.read(archive.read("a.png")).rgb, expected)


def test_one_photograph_is_shown_and_warned_of(loaded, tmp_path):
    Image.new("RGB", (40, 30), (0, 255, 0)).save(tmp_path / "green.png")
    photographs_tab.begin(loaded, [("green.png", str(tmp_path / "green.png"))], None, 1, 1)
    slider, words, *_ = ended(photographs_tab.follow, loaded)
    assert "colours that the model was not trained on" in words and "photograph.png" in words
    assert slider.visible and photographs_tab.follow(loaded)[1] == words  # a reload finds it again
    results.use_saved(loaded, MODEL)
    assert photographs_tab.follow(loaded)[1] == ""  # another result has none yet


def test_stop_keeps_the_photographs_that_are_done(loaded, client, small):
    photographs_tab.begin(loaded, [(f"{n}.png", small) for n in range(200)], None, 1, 1)
    while "3 of 200" not in photographs_tab.follow(loaded)[1]:
        time.sleep(0.02)
    jobs.end(loaded)
    words = ended(photographs_tab.follow, loaded)[1]
    completed = int(re.findall(r"Stopped: (\d+) of 200 photographs are ready", words)[0])
    [link] = re.findall(r'href="(files/[^"]+)"', words)
    archive = zipfile.ZipFile(io.BytesIO(client.get("/" + link).content))
    assert 0 < completed < 200 and len(archive.namelist()) == completed


@pytest.mark.parametrize("coloring", low_poly_tab.COLORINGS)
def test_low_poly_in_every_colouring(loaded, client, coloring):
    image, words = low_poly_tab.draw(loaded, 50, 200, 1, False, coloring, 1, 1)
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(files/[^"]+)"', words)]
    assert "triangles" in words and len(links) == 2
    pixels = images.read(client.get("/" + links[0]).content).rgb
    assert np.array_equal(images.read(image.value["path"]).rgb, pixels)
    if coloring == "nearest palette colour":
        fills = set(re.findall('fill="(#.{6})" stroke', client.get("/" + links[1]).text))
        palette = looks.get(visit.current(loaded)).model.palette
        assert len(fills) > 1 and fills <= set(to_hex(palette.colors))


def test_comparison_has_every_method_and_counts_as_the_page_does(trained):
    session = trained[0]
    comparison_tab.begin(session)
    gallery, table, *_ = ended(comparison_tab.follow, session)
    assert len(gallery.value) == 8  # the two pictures and six methods
    assert table.count("<tr>") == 7
    assert all(name in table for name in ("Trained map", "Reinhard", "Optimal transport"))
    used = re.search(r"<b>(\d+) of", trained[1][-1][FACTS])[1]
    assert re.search(r'Trained map</th><td[^>]*data-title="Palette colours used">(\d+)', table)[1] == used


@pytest.mark.parametrize("name", ["3 · Result and palette", "5 · Terms of the loss", *plots_tab.MORE])
def test_plots_are_drawn_without_a_share_button(trained, name):
    figure, file = plots_tab.draw(trained[0], name, "lab")
    plot = json.loads(figure.value["plot"])
    assert plot["data"] and plot["config"]["showSendToCloud"] is False and "plot.html" in file


def test_a_result_is_listed_once_all_of_it_is_stored(trained, monkeypatch):
    """The page that looks meanwhile draws every result that is listed."""
    session, look = visit.current(trained[0]), looks.get(visit.current(trained[0]))
    stored, describe = set(), looks.Look.describe
    monkeypatch.setattr(
        looks.Look,
        "describe",
        lambda look_made, **facts: (
            stored.update(p.name for p in look_made.folder.iterdir()),
            describe(look_made, **facts),
        ),
    )
    look_made = looks.create(session, "tuned", "x", look.source, looks.table(look), look.model)
    assert stored == {"view.png", looks.LUT, looks.MODEL}
    visits.remove(look_made.folder)


def test_ratings_make_a_result_of_their_own_and_move_the_usage(trained):
    session = trained[0]
    look = looks.get(visit.current(session))
    palette = look.model.palette
    index = int(palette.shares.argmax())

    def usage(of: looks.Look) -> float:
        counted = color.count_colors(lut.apply(looks.table(of), of.source.rgb))
        return color.palette.shares(palette.colors, counted)[index]

    ratings = [[-2 if number == index else 0, True] for number in range(len(palette.colors))]
    assert rating_tab.form(visit.current(session), look).count("<li>") == len(ratings)
    mark = session.path("again-rating.json")
    ticket = queue.HEAVY.join("someone")  # the work waits
    rating_tab.rate(session, clicked(act="rate", value=json.dumps(ratings)))
    marked = mark.read_bytes()
    queue.HEAVY.leave(ticket)
    messages = set()
    while looks.report(visit.current(session), rating_tab.JOB)[1]:
        messages.add("fine-tuning on your ratings" in results.follow(session, 1, 1, "")[STATUS])
        time.sleep(0.05)
    assert True in messages
    tuned = looks.get(visit.current(session))
    words = results.follow(session, 1, 1, "")[STATUS]
    assert "Fine-tuned 150" in words and tuned.name != look.name and usage(tuned) < usage(look) - 0.03
    kept = json.loads(tuned.path("model.feedback.json").read_text())
    assert kept["sessions"][0]["ratings"][index]["usage"] == -2
    mark.write_bytes(marked)  # as a killed server leaves it: the result that was rated is no longer shown
    jobs.take_over()
    while looks.report(visit.current(session), rating_tab.JOB)[1]:
        time.sleep(0.05)
    other = looks.get(visit.current(session))
    assert other.name not in (tuned.name, look.name)
    assert np.array_equal(looks.table(other), looks.table(tuned))
    visit.change(session, result=look.name)
    visits.remove(tuned.folder)
    visits.remove(other.folder)


@pytest.mark.parametrize(
    ("epochs", "words"),
    [(float("nan"), "Epochs is nan"), (0, "from 1 to"), ("x", "Epochs is x"), (10**400, "is 1000")],
)
def test_numbers_are_checked_again(visitor, epochs, words):
    with pytest.raises(gr.Error, match=words):
        begin(visitor, epochs)


def test_faults_are_sentences_without_the_servers_folders(visitor, tmp_path):
    text = tmp_path / "holiday.png"
    text.write_text("no picture")
    with pytest.raises(gr.Error) as error:
        results.use_saved(visitor, str(text.rename(tmp_path / "a.safetensors")))
    assert str(tmp_path) not in str(error.value) and "a.safetensors is not a complete" in str(error.value)
    text.write_text("no picture")
    error = palette_panel.choose_target(visitor, str(text), 25, 10)
    assert "is not an image we can read" in error and str(tmp_path) not in error
    Image.new("1", (12000, 12000)).save(tmp_path / "bomb.png")
    assert "12,000 x 12,000" in palette_panel.choose_source(visitor, str(tmp_path / "bomb.png"))
    assert not visit.current(visitor).source and not visit.current(visitor).target  # the old ones are gone
    fresh = visits.new(visit.APP)
    with pytest.raises(gr.Error, match="transfer the colours first"):
        training.stop(fresh)
    with pytest.raises(gr.Error, match="choose a picture to recolour"):
        begin(fresh)
    for session in (None, fresh):
        assert results.follow(session, 1, 1, "") is not None and not fresh.folder.exists()


def test_our_own_faults_are_logged_and_not_shown(caplog):
    @faults.user_errors
    def broken():
        raise KeyError("secret")

    with pytest.raises(gr.Error) as error:
        broken()
    assert "secret" not in str(error.value) and "secret" in caplog.text


def test_a_fault_with_a_bracket_is_shown_whole():
    @faults.user_errors
    def broken():
        raise ValueError("a <b> and a <script> were found, expected 1 < 2")

    with pytest.raises(gr.Error) as error:
        broken()
    assert "&lt;script&gt; were found, expected 1 &lt; 2" in error.value.message


def test_facts_do_not_contradict_themselves():
    palette = color.Palette(np.array([[0, 0, 0], [255, 255, 255]], np.uint8), np.array([0.99, 0.01]))
    measured = {
        "colors_used": 1,
        "colors": 2,
        "missing": [],
        "total_variation": 0.01,
        "delta_e": 1.0,
        "ssim": 0.9,
    }
    assert "The others are rare" in views.facts(measured, palette, None)
    assert "Every colour has its place" in views.facts({**measured, "colors_used": 2}, palette, None)
    assert "Speckle" in views.facts({**measured, "grain": 0.001}, palette, None)
