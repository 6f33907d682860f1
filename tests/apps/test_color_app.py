"""The colour app: its handlers called as functions, its files, and what its faults say."""

import json
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from apps import common
from apps.color_transfer import (
    app,
    comparison_tab,
    low_poly_tab,
    palette_panel,
    plots_tab,
    rating_tab,
    results,
    training,
)
from apps.color_transfer import visit as visits
from apps.color_transfer.visit import Visit
from vision_core import color, images
from vision_core.color import lut, lut_files, palette_files
from vision_core.color.palette_files import to_hex

ROOT = Path(__file__).parents[2]
TARGET = str(ROOT / "assets/color/flower.jpg")
WEIGHTS = tuple(vars(color.LossWeights()).values())


def train(visit: Visit, source: str, epochs: int, seed: int = 0):
    return training.train(visit, source, epochs, 0, 1e-3, seed, "rgb", *WEIGHTS)


def pictures(paths) -> list[np.ndarray]:
    """What the page shows."""
    return [images.read(path).rgb for path in paths]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A photograph of 160 x 107 pixels: what is tested here does not depend on the size."""
    path = tmp_path_factory.mktemp("source") / "palace.png"
    with Image.open(ROOT / "assets/color/palace.jpg") as image:
        image.resize((160, 107)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def started():
    visit = palette_panel.from_new_picture(Visit(), TARGET, 25, 10)[0]
    yield visit
    visits.forget(visit)


@pytest.fixture(scope="module")
def trained(started, small):
    """A visitor whose short training has come to its end, and what the page was shown."""
    return started, list(train(started, small, 12))


def test_the_page_is_built_and_keeps_its_promises():
    page = app.build()
    config = page.get_config_file()
    lossy = [
        c["type"] for c in config["components"] if c["props"].get("format") == "webp" and c["type"] != "plot"
    ]
    assert lossy == []
    assert page.delete_cache == common.CACHE and not page.analytics_enabled
    unnamed = [c for c in config["components"] if c["type"] == "image" and not c["props"].get("alt_text")]
    assert unnamed == []


def test_palette_is_that_of_the_core(started, small):
    expected = color.extract(images.read(TARGET).rgb, 25, 10)
    assert np.array_equal(started.palette.colors, expected.colors)
    html = palette_panel.shown(started)[1]
    assert all(
        f"{text}</b><small>{share:.1%}" in html
        for text, share in zip(to_hex(expected.colors), expected.shares, strict=True)
    )


def test_a_locked_colour_survives_a_smaller_palette_and_a_dropped_one_is_gone(started, small):
    least = int(started.palette.shares.argmin())
    text = to_hex(started.palette.colors)[least]
    locked = palette_panel.lock(replace(started, chosen=least))[0]
    assert locked.locked == (text,)
    assert text in to_hex(palette_panel.from_picture(locked, TARGET, 25, 3)[0].palette.colors)
    dropped = palette_panel.drop(locked)[0]
    assert text not in to_hex(dropped.palette.colors) and dropped.locked == ()
    assert dropped.palette.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("picked", ["#102030", "rgba(16, 32, 48, 1)"])
def test_swap_takes_what_colour_pickers_answer(started, picked):
    swapped = palette_panel.swap(replace(started, chosen=1), picked)[0].palette
    assert swapped.colors[1].tolist() == [16, 32, 48] and swapped.shares[1] == started.palette.shares[1]


def test_palette_file_becomes_the_target(tmp_path):
    file = tmp_path / "two.hex"
    file.write_text("ff0000\n0000ff\n")
    visit = palette_panel.from_file(Visit(), str(file))[0]
    assert to_hex(visit.palette.colors) == ["#ff0000", "#0000ff"] and visit.target == ""
    visits.forget(visit)


def test_training_shows_progress_and_leaves_the_model_of_the_core(trained, small):
    visit, updates = trained
    assert any("vc-progress" in str(update[1]) for update in updates)
    assert "Trained 12 of 12 epochs" in updates[-1][1]
    names = {trace["name"] for trace in json.loads(updates[-2][2].plot)["data"]}
    assert names == {"total", "distribution", "usage", "nearest", "structure", "smoothness", "entropy"}
    *_, done = color.train(images.read(small).rgb, visit.palette, color.Settings(epochs=12))
    colors = np.random.default_rng(0).integers(0, 256, (100, 3), np.uint8)
    assert np.array_equal(visits.model(visit).recolor_colors(colors), done.result.recolor_colors(colors))


def test_stop_keeps_the_model_so_far(started, small):
    visit = replace(started, folder=str(visits.opened(Visit()).folder))
    stream = train(visit, small, 20_000)
    for update in stream:
        if "vc-progress" in str(update[1]):
            break
    assert "Stopping" in training.stop(visit)
    rest = list(stream)
    assert "Stopped as you asked" in rest[-1][1]
    assert 0 < visits.model(visit).metadata["training_epochs"] < 20_000
    _, after = pictures(results.show(visit, 1, 1)[1])
    assert after.shape == images.read(small).rgb.shape
    visits.forget(visit)
    assert not Path(visit.folder).exists()


def test_a_second_model_waits_for_the_end_of_the_training(started, small):
    visit = replace(started, folder=str(visits.opened(Visit()).folder))
    stream = train(visit, small, 20_000)
    while "vc-progress" not in str(next(stream)[1]):
        pass
    model = str(ROOT / "models/color/astronaut-coffee.safetensors")
    for other in (lambda: results.use_model(visit, small, model), lambda: list(train(visit, small, 5))):
        with pytest.raises(gr.Error, match="still going on"):
            other()
    stream.close()
    results.use_model(visit, small, model)
    assert visits.model(visit).metadata["source_image"] == "astronaut.jpg"
    visits.forget(visit)


def test_of_many_pictures_shown_only_the_last_are_kept(trained):
    own = visits.opened(Visit())
    paths = [visits.shown(own, np.full((4, 4, 3), n, np.uint8)) for n in range(40)]
    kept = list(Path(own.folder).glob("shown-*"))
    assert len(kept) == visits.SHOWN and Path(paths[-1]) in kept
    visits.forget(own)


def test_folders_of_a_killed_server_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, new = (visits.opened(Visit()).folder for _ in range(2))
    os.utime(old, (0, 0))
    visits.sweep()
    assert not Path(old).exists() and Path(new).exists()


def test_closing_the_page_ends_the_run_and_saves(started, small):
    visit = replace(started, folder=str(visits.opened(Visit()).folder))
    stream = train(visit, small, 20_000)
    while "vc-progress" not in str(next(stream)[1]):
        pass
    stream.close()
    assert visit.run.status() == "stopped" and visits.model(visit).metadata["training_epochs"] > 0
    visits.forget(visit)


def test_downloads_say_the_same_as_the_page(trained, small):
    visit, _ = trained
    before, after = pictures(results.show(visit, 0.7, 0.4)[1])
    words, *buttons = results.finish(visit, 0.7, 0.4)
    files = {Path(button.value["path"]).name: Path(button.value["path"]) for button in buttons}
    assert set(files) == set(results.FILES) and "palette colours in use" in words
    picture = images.read(files["recoloured.png"]).rgb
    assert np.array_equal(picture, after) and np.array_equal(before, images.read(small).rgb)
    for name in ("colours.cube", "haldclut.png"):
        again = lut.apply(lut_files.read(files[name]), before).astype(int)
        assert np.percentile(np.abs(again - after), 99.9) <= 1
    assert np.array_equal(palette_files.read(files["palette.gpl"]).colors, visit.palette.colors)


def test_a_picture_shown_again_is_not_written_again(trained):
    _, paths = results.show(trained[0], 0.3, 0.6)
    written = [Path(path).stat().st_ino for path in paths]
    assert results.show(trained[0], 0.3, 0.6)[1] == paths
    assert [Path(path).stat().st_ino for path in paths] == written


def test_strength_zero_is_the_picture(trained):
    before, after = pictures(results.show(trained[0], 0, 0)[1])
    assert np.abs(after.astype(int) - before).max() <= 1


def test_another_picture_warns_of_colours_never_seen(trained, tmp_path):
    Image.new("RGB", (40, 30), (255, 0, 255)).save(tmp_path / "magenta.png")
    _, words, file = results.another(trained[0], str(tmp_path / "magenta.png"), 1, 1)
    assert "100% of the pixels have colours that this model never saw" in words
    assert images.read(file.value["path"]).rgb.shape == (30, 40, 3)


def test_saved_model_skips_training(trained, small):
    visit, _ = trained
    fresh, words = results.use_model(Visit(), small, str(visit.path(visits.MODEL)))
    assert "in use" in words
    assert np.array_equal(*pictures([results.show(v, 1, 1)[1][1] for v in (fresh, visit)]))
    visits.forget(fresh)


@pytest.mark.parametrize("coloring", low_poly_tab.COLORINGS)
def test_low_poly_in_every_colouring(trained, coloring):
    visit, _ = trained
    image, words, png, svg = low_poly_tab.draw(visit, 50, 200, 1, False, coloring, 1, 1)
    assert np.array_equal(images.read(image).rgb, images.read(png.value["path"]).rgb) and "triangles" in words
    if coloring == "nearest palette colour":
        drawn = Path(svg.value["path"]).read_text()
        fills = set(re.findall('fill="(#.{6})" stroke', drawn))
        assert len(fills) > 1 and fills <= set(to_hex(visit.palette.colors))


def test_comparison_has_every_method(trained):
    gallery, table = comparison_tab.run(trained[0])
    names = (
        [entry.caption for entry in gallery.value.root] if hasattr(gallery.value, "root") else gallery.value
    )
    assert len(names) == 8 and table.count("<tr>") == 7
    assert all(name in table for name in ("Trained map", "Reinhard", "Optimal transport"))


@pytest.mark.parametrize("name", ["3 · Result and palette", "5 · Terms of the loss", *plots_tab.MORE])
def test_plots_are_drawn_without_a_share_button(trained, name):
    figure, file = plots_tab.draw(trained[0], name, "lab")
    drawn = json.loads(figure.plot)
    assert drawn["data"] and drawn["config"]["showSendToCloud"] is False
    assert Path(file.value["path"]).stat().st_size > 1000


def test_ratings_are_kept_and_move_the_usage(trained, small):
    visit, _ = trained
    own = replace(visit, folder=str(visits.opened(Visit()).folder))
    visits.keep_pictures(own, small)
    color.save(visits.model(visit), own.path(visits.MODEL))
    visits.keep_lut(own, visits.model(own))
    source = images.read(small).rgb
    index = int(visit.palette.shares.argmax())

    def usage() -> float:
        counted = color.count_colors(visits.model(own).preview(visits.shrunk(source, 200)))
        return color.palette.shares(visit.palette.colors, counted)[index]

    before = usage()
    ratings = [-2 if number == index else 0 for number in range(10)]
    *_, last = rating_tab.fine_tune(own, *ratings, *[True] * 10)
    assert "Fine-tuned 150" in last[0] and usage() < before - 0.03
    assert (
        json.loads(own.path("model.feedback.json").read_text())["sessions"][0]["ratings"][index]["usage"]
        == -2
    )
    visits.forget(own)


@pytest.mark.parametrize(
    ("epochs", "words"),
    [(float("nan"), "number of epochs is nan"), (0, "from 1 to"), ("x", "number of epochs is x")],
)
def test_numbers_are_checked_again(started, epochs, words, small):
    with pytest.raises(gr.Error, match=words):
        list(train(started, small, epochs))


def test_faults_are_sentences_without_the_servers_folders(started, tmp_path, small):
    text = tmp_path / "holiday.png"
    text.write_text("no picture")
    with pytest.raises(gr.Error, match="is not an image we can read"):
        palette_panel.from_picture(Visit(), str(text), 25, 10)
    bomb = tmp_path / "bomb.png"
    Image.new("1", (12000, 12000)).save(bomb)
    with pytest.raises(gr.Error, match="12000 x 12000"):
        list(train(started, str(bomb), 5))
    with pytest.raises(gr.Error) as told:
        results.use_model(Visit(), small, str(text.rename(tmp_path / "a.safetensors")))
    assert str(tmp_path) not in str(told.value) and "a.safetensors is not a complete" in str(told.value)
    with pytest.raises(gr.Error, match="transfer the colours first"):
        results.show(Visit(), 1, 1)
    with pytest.raises(gr.Error, match="choose the colours to take"):
        list(train(Visit(), small, 5))


def test_our_own_faults_are_logged_and_not_shown(caplog):
    @common.told
    def broken():
        raise KeyError("secret")

    with pytest.raises(gr.Error) as told:
        broken()
    assert "secret" not in str(told.value) and "secret" in caplog.text


def test_requirements_are_the_tested_versions():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    lines = (ROOT / "apps/color_transfer/requirements.txt").read_text().split()
    assert len(lines) > 10
    assert {name: pins[name] for name, _ in (line.split("==") for line in lines)} == dict(
        line.split("==") for line in lines
    )
    card = (ROOT / "apps/color_transfer/README.md").read_text()
    assert f"sdk_version: {pins['gradio']}\n" in card and (ROOT / "apps/color_transfer/space.py").exists()
