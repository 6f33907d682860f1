"""Tests of the restoration app: handlers, files compared with the core's, errors."""

import csv
import io
import json
import re
import time
import zipfile
from base64 import b64encode

import gradio as gr
import img2pdf
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from apps import suite
from apps.restoration import api, app, lab, many, networks, restore_tab, sheets, training, views, visit
from apps.restoration.sheets import Choice
from apps.shared import jobs, queue, visits
from vision_core import checkpoints, devices, restoration, weights
from vision_core.pictures import documents, images
from vision_core.pictures.images import Picture
from vision_core.restoration import Options, degrade, draw, pages

CHOICES = [
    Choice(),
    Choice(gate=False),
    Choice(0.4, "grey", True, False),
    Choice(1, "binary", False, True),
    Choice(1, "soft", False, True, 0.9, 0.1),
]
WORDS, STOP, TIMER, SEEN = 3, 4, 6, 10  # of what `follow` gives
pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module", autouse=True)
def small_network(tmp_path_factory):
    """A small network that changes something stands for that of this release: what is tested is the page."""
    path, find = tmp_path_factory.mktemp("weights") / "small.safetensors", weights.find
    with devices.seeded(0):
        network = restoration.PageRestorer((8, 8, 8), (1, 1, 1), (1, 1), (4, 4, 4))
        for parameter in network.parameters():  # what starts as 0 makes the untrained one change nothing
            if not parameter.any():
                parameter.data = 0.05 * torch.randn_like(parameter)
    checkpoints.save(path, network, {})
    networks.embedded.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        embedded = {"restoration": path}
        patch.setattr(
            weights, "find", lambda name, own=None: find(name, embedded.get(name) if own is None else own)
        )
        yield
    networks.embedded.cache_clear()


@pytest.fixture(scope="module")
def page():
    """A stained page of 96 x 128 pixels, with a resolution."""
    clean = images.to_tensor(pages.page(1, width=96, height=128).pixels.permute(1, 2, 0).numpy())
    damaged = images.from_tensor(degrade(clean, [draw(1, ("stains", "yellow_tint"), 5)]))
    return Picture(damaged, dpi=(300, 300))


@pytest.fixture(scope="module")
def file(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "page.png"
    images.save(page, path)
    return str(path)


@pytest.fixture(scope="module")
def book(page, tmp_path_factory):
    """A PDF of three pages."""
    folder = tmp_path_factory.mktemp("book")
    names = []
    for number in range(3):
        images.save(page.with_rgb(np.roll(page.rgb, 20 * number, 0)), folder / f"{number}.png")
        names.append(str(folder / f"{number}.png"))
    (folder / "book.pdf").write_bytes(img2pdf.convert(names))
    return str(folder / "book.pdf")


def wait(session, kind: str, seconds: float = 120) -> str:
    """The message after the job has ended."""
    end = time.monotonic() + seconds
    while (state := jobs.report(session, kind))[1]:
        assert time.monotonic() < end
        time.sleep(0.05)
    return state[0]


@pytest.fixture(scope="module")
def restored(file):
    """A visitor who has restored the page."""
    session = visits.new(visit.APP)
    restore_tab.choose(session, file)
    restore_tab.begin(session, "network")
    assert "Done" in wait(session, "restore")
    return session


@pytest.fixture(scope="module")
def client():
    with TestClient(suite.create(only="restoration"), base_url="http://localhost") as running:
        yield running


def clicked(**data: str) -> gr.EventData:
    return gr.EventData(None, data)


def follow(session, choice: Choice = Choice(), seen: str = ""):  # noqa: B008
    looks = (choice.strength, choice.output, choice.sharpen, choice.gate, choice.light, choice.caution)
    looks = (*looks, choice.crop)
    return restore_tab.follow(session, *looks, seen)


def test_the_page_is_built_and_shows_nothing_lossy():
    config = app.build().get_config_file()
    assert [
        c for c in config["components"] if c["props"].get("format") == "webp" and c["type"] != "plot"
    ] == []
    named = {d["api_name"] for d in config["dependencies"] if d["api_visibility"] == "public"}
    assert named == {"restore", "damage"}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_download_is_bit_for_bit_what_the_core_restores(restored, client, file, choice):
    expected = restoration.restore(images.read(file), restoration.load()[0], choice.options)
    shown = follow(restored, choice)
    [address] = re.findall(r'id="get-restored" href="([^"]+)"', shown[9])
    data = client.get("/" + address.replace("&amp;", "&")).content
    assert data == images.encode(expected.picture)
    verdict = {"accepted": expected.verdict.accepted, "reason": expected.verdict.reason}
    assert shown[7] == views.verdict("page.png", verdict, choice.gate)


def test_gate_verdict_is_in_words_with_a_way_to_see_the_other_page(restored):
    verdict = {"accepted": False, "reason": "ink and paper would be harder to tell apart"}
    words = views.verdict("a.png", verdict, True)
    assert 'data-act="ungate"' in words and "a.png, kept as it was: ink and paper" in words
    assert "would have kept" in views.verdict("a.png", verdict, False)
    verdict = {"accepted": True, "reason": "the average pixel changed by 12.0 of 255"}
    words = "a.png, restored: the average pixel changed by 12.0 of 255."
    assert words in views.verdict("a.png", verdict, True)


def test_a_painted_stroke_keeps_the_original_bit_for_bit_and_can_be_taken_back(restored, page):
    sheet, choice = sheets.get(restored), Choice(gate=False)
    without = images.read(sheets.finished(sheet, choice)[0]).rgb
    mask = np.zeros((64, 48, 4), np.uint8)  # half the size of the page, as a browser may paint
    mask[16:48, 8:40] = (13, 148, 136, 255)
    data = b64encode(images.encode(Picture(mask[..., :3].copy(), mask[..., 3].copy()))).decode()
    restore_tab.act(restored, clicked(act="protect", value=f"data:image/png;base64,{data}"))
    after = images.read(sheets.finished(sheet, choice)[0]).rgb
    assert np.array_equal(after[36:92, 20:76], page.rgb[36:92, 20:76])
    assert np.array_equal(after[:30], without[:30]) and not np.array_equal(after, without)
    empty = b64encode(images.encode(Picture(mask[..., :3] * 0, mask[..., 3] * 0))).decode()
    restore_tab.act(restored, clicked(act="protect", value=f"data:image/png;base64,{empty}"))
    assert np.array_equal(images.read(sheets.finished(sheet, choice)[0]).rgb, without)
    for value in ("", "data:image/png;base64,AAAA", "data:text/html;base64,AAAA"):
        with pytest.raises(gr.Error):
            restore_tab.act(restored, clicked(act="protect", value=value))


def test_overlays_show_where_and_how_much(restored, client, page):
    mark = restored.path("again-guess.json")
    ticket = queue.HEAVY.join("someone")  # the work waits
    restore_tab.act(restored, clicked(act="guess"))
    marked = mark.read_bytes()
    queue.HEAVY.leave(ticket)
    assert "where the network guesses" in wait(restored, "guess")
    sheets.get(restored).path(sheets.GUESSES).unlink()
    mark.write_bytes(marked)  # as a killed server leaves it
    jobs.take_over()
    assert "where the network guesses" in wait(restored, "guess")
    while mark.exists():  # it is removed a moment after the last words
        time.sleep(0.02)
    shown = follow(restored, Choice(gate=False))
    assert 'data-over="guesses"' in shown[2]
    sheet = sheets.get(restored)
    expected = restoration.difference(page.rgb, images.read(sheet.path(sheets.CHANGED)).rgb)
    address = f"/files/{restored.key}/{sheet.name}/changed.png?strength=1&output=color&sharpen=0&gate=0"
    alpha = images.read(client.get(address).content).alpha
    assert expected.any() and np.corrcoef(np.minimum(expected, 60).ravel(), alpha.ravel())[0, 1] > 0.99
    guesses = images.read(client.get(f"/files/{restored.key}/{sheet.name}/guesses.png").content)
    assert guesses.rgb.shape == page.rgb.shape


def test_a_reload_finds_the_page_and_its_result(restored):
    session = visits.find(visit.APP, restored.key)
    preview, words, *_ = restore_tab.shown(session)
    assert "96 x 128 pixels" in words and preview.value
    assert "vc-viewer" in follow(session)[2] and follow(session)[SEEN] == follow(restored)[SEEN]
    assert follow(session, seen=follow(session)[SEEN])[2] == gr.skip()


def test_a_book_is_turned_and_comes_back_as_a_book(book, client, tmp_path):
    session = visits.new(visit.APP)
    restore_tab.choose(session, book)
    assert visit.current(session).pages == 3
    restore_tab.turn(session, 3)
    assert "page 3 of 3" in restore_tab.shown(session)[1]
    many.begin_book(session, "pdf", "classical", 0.5, "grey", False, False)
    assert "3 of 3 pages" in wait(session, "book")
    words, pages_so_far, *_ = many.follow_book(session)
    assert "book.pdf, 1<" in pages_so_far
    [link] = re.findall(r'href="(files/[^"]+)"', words)
    answer = client.get("/" + link)
    assert 'filename="book-restored.pdf"' in answer.headers["content-disposition"]
    (tmp_path / "back.pdf").write_bytes(answer.content)
    assert documents.count(tmp_path / "back.pdf") == 3
    options = Options(0.5, "grey", False, method="classical")  # as the controls of the page say
    third = restoration.restore(sheets.source(session, 3), None, options).picture.rgb
    assert np.array_equal(documents.read(tmp_path / "back.pdf", 3).rgb, third)


def test_many_files_become_one_zip_and_the_bad_ones_are_named(file, book, client, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    (tmp_path / "locked.pdf").write_bytes(b"%PDF-1.4 broken")
    session = visits.new(visit.APP)
    files = [
        ("a.png", file),
        ("notes.png", str(tmp_path / "notes.png")),
        ("a.png", book.replace("book.pdf", "1.png")),
    ]
    files += [("book.pdf", book), ("locked.pdf", str(tmp_path / "locked.pdf"))]
    many.begin(session, files, None, "denoise", 1, "grey", False, False)
    wait(session, "many")
    words, *_ = many.follow(session)
    assert "5 of 7 pages are ready" in words and "notes.png" in words and "locked.pdf" in words
    assert str(tmp_path) not in words
    link, sheet = re.findall(r'href="(files/[^"]+)"', words)
    assert client.get("/" + sheet).headers["content-type"] == "image/jpeg"
    archive = zipfile.ZipFile(io.BytesIO(client.get("/" + link).content))
    names = ["a.png", "a-2.png", "book-0001.png", "book-0002.png", "book-0003.png", "report.csv"]
    names.append("contact-sheet.jpg")
    assert archive.namelist() == names
    options = Options(output="grey", gate=False, method="denoise")
    expected = restoration.restore(images.read(file), None, options).picture
    assert np.array_equal(images.read(archive.read("a.png")).rgb, expected.rgb)
    rows = list(csv.DictReader(io.StringIO(archive.read("report.csv").decode())))
    assert [row["written"] for row in rows if row["outcome"] == "restored"] == names[:-2]  # without a gate
    assert [row["source"] for row in rows if row["outcome"] == "failed"] == ["notes.png", "locked.pdf"]
    assert all(float(row["change"]) > 0 and float(row["seconds"]) > 0 for row in rows if row["written"])


def test_a_full_disk_keeps_what_is_done_and_the_next_start_goes_on_there(book, monkeypatch):
    session, real, written = visits.new(visit.APP), images.save, []

    def save(picture, path):
        if "done" in path.parts:
            if len(written) == 2:
                raise OSError(28, "No space left on device", str(path))
            written.append(path)
        real(picture, path)

    restore_tab.choose(session, book)
    monkeypatch.setattr(images, "save", save)
    many.begin_book(session, "zip", "classical")
    assert "disk is full" in wait(session, "book")
    assert all(path.exists() for path in written)
    monkeypatch.setattr(images, "save", lambda p, path: (written.append(path), real(p, path))[1])
    many.begin_book(session, "zip", "classical")
    assert "3 of 3 pages" in wait(session, "book") and len(written) == 3


def test_stop_ends_the_work_and_leaves_the_queue(file):
    session = visits.new(visit.APP)
    restore_tab.choose(session, file)
    others = ["someone", "someone else"]
    tickets = [queue.HEAVY.join(other) for other in others]
    try:
        restore_tab.begin(session, "network")
        shown = follow(session)
        assert "One visitor is before you" in shown[WORDS] and shown[TIMER].active
        with pytest.raises(gr.Error, match="still going on"):
            restore_tab.begin(session, "network")
        jobs.end(session)
        assert "Stopped as you asked" in wait(session, "restore")
        assert queue.HEAVY.before(session.owner) is None and visit.current(session).result == ""
    finally:
        for ticket in tickets:
            queue.HEAVY.leave(ticket)
    with pytest.raises(gr.Error, match="Nothing of yours"):
        jobs.end(session)


def test_stop_keeps_the_pages_that_are_done_and_the_list_survives(file, client, monkeypatch):
    session, real = visits.new(visit.APP), images.save

    def save(picture, path):
        real(picture, path)
        if "done" in path.parts:
            jobs.stop(session)

    monkeypatch.setattr(images, "save", save)
    many.begin(session, [("a.png", file), ("b.png", file)], None, "classical", 1, "grey", False, False)
    assert "Stopped after 1 of 2 pages" in wait(session, "many")
    words, pages, *_ = many.follow(session)  # as a page that is loaded anew sees it
    assert "a.png" in pages and "b.png" not in pages
    link = re.findall(r'href="(files/[^"]+)"', words)[0]
    archive = zipfile.ZipFile(io.BytesIO(client.get("/" + link).content))
    assert archive.namelist() == ["a.png", "report.csv", "contact-sheet.jpg"]
    monkeypatch.setattr(images, "save", real)
    many.begin(session, None, None, "classical", 1, "grey", False, False)  # goes on with the same files
    assert "2 of 2 pages are ready" in wait(session, "many")


def test_a_kept_page_is_not_called_restored(restored, client):
    sheet = sheets.get(restored)
    assert "Restored page" in views.offered(sheet, Choice(), True)
    assert "The page as it was" in views.offered(sheet, Choice(), False)
    assert "as it was" not in views.offered(sheet, Choice(output="binary"), False)  # it is black on white
    address = views.address(sheet, "restored.png", Choice(caution=1)).replace("&amp;", "&")
    accepted = sheets.finished(sheet, Choice(caution=1))[1]["accepted"]
    name = client.get("/" + address).headers["content-disposition"]
    assert ("-restored.png" if accepted else "-kept.png") in name


def test_the_lab_measures_what_the_core_measures():
    session, levels = visits.new(visit.APP), [0] * len(restoration.KINDS)
    with pytest.raises(gr.Error, match="at least one slider"):
        lab.begin(session, "generated", 1, 0, *levels)
    names = list(restoration.KINDS)
    levels[names.index("stains")], levels[names.index("fading")] = 4, 2
    lab.begin(session, "generated", 1, 7, *levels)
    assert "numbers are below" in wait(session, "lab")
    pictures, table, *_ = lab.follow(session)
    assert (
        len(pictures.value) == 3 and "all together" in table and "stains 4" in table and "fading 2" in table
    )
    clean, damaged, repaired = (images.read(session.path(f"lab-{name}.png")).rgb for name in lab.SHOWN)
    row = json.loads(session.path(lab.FILE).read_text())[0]
    for rgb, name in ((damaged, "damaged"), (repaired, "restored")):
        error = ((rgb.astype(float) - clean) ** 2).mean() / 255**2
        assert row[f"psnr_{name}"] == pytest.approx(-10 * np.log10(error), abs=0.02)


def test_bad_input_is_a_sentence(tmp_path, file):
    session = visits.new(visit.APP)
    with pytest.raises(gr.Error, match="choose a page first"):
        restore_tab.begin(session, "network")
    with pytest.raises(gr.Error, match="no way to restore"):
        restore_tab.choose(session, file)
        restore_tab.begin(session, "magic")
    with pytest.raises(gr.Error, match="have not trained"):
        restore_tab.begin(session, "own")
    with pytest.raises(gr.Error, match="strength is"):
        api.restore(file, 1, "classical", 7, "color", False, True)
    Image.new("1", (20_000, 15_000)).save(tmp_path / "huge.tif", compression="group4")
    assert "at most 37 are accepted" in restore_tab.choose(session, str(tmp_path / "huge.tif"))[1]
    assert not visit.current(session).source  # nor does an older page stay chosen
    for path in ("nothing", "../x", "sheet-001"):
        with pytest.raises(ValueError, match=r"no longer here|no restored page"):
            sheets.get(session, path)


def test_a_zip_of_clean_pages_is_unpacked_with_some_held_out_and_bad_ones_are_refused(page, tmp_path):
    data = images.encode(page)

    def archive(name: str, members: dict[str, bytes]) -> str:
        with zipfile.ZipFile(tmp_path / name, "w") as out:
            for member, content in members.items():
                out.writestr(member, content)
        return str(tmp_path / name)

    one = archive("one.zip", {f"../../book/page{i}.png": data for i in range(8)} | {"notes.txt": b"x"})
    unpacked = training.unpack(one, tmp_path / "one")
    names = {part: {p.name for p in (tmp_path / "one" / part).iterdir()} for part in ("train", "val")}
    assert len(names["train"]) + len(names["val"]) == 8 and names["val"] and "val_dir" in unpacked
    two = archive("two.zip", {f"{book}/{i}.png": data for book in "ab" for i in range(2)})
    assert "val_dir" not in training.unpack(two, tmp_path / "two")
    assert {p.parent.name for p in tmp_path.rglob("*.png")} == {"train", "val"}  # none went elsewhere
    (tmp_path / "bad.zip").write_bytes(b"PK no archive")
    bad = {
        str(tmp_path / "bad.zip"): "not a ZIP",
        archive("few.zip", {"a.png": data}): "At least two pages",
        archive("text.zip", {"a.png": b"text", "b.png": data}): "a.png is not an image",
    }
    for path, sentence in bad.items():
        with pytest.raises(ValueError, match=sentence):
            training.unpack(path, tmp_path / "bad")


def test_a_training_is_started_stopped_resumed_and_used(tmp_path, page, file):
    session = visits.new(visit.APP)
    assert training.follow(session, "")[0] == ""
    with zipfile.ZipFile(tmp_path / "pages.zip", "w") as archive:
        for name in ("a/1.png", "b/1.png"):
            archive.writestr(name, images.encode(page))
    settings = (40, 2, 2, 64, 1e-4, 1, 0)
    training.begin(session, "archive", str(tmp_path / "pages.zip"), "release", *settings)
    run = networks.own_run(session)
    until(lambda: any(event["event"] == "epoch" for event in run.events()), run)
    with pytest.raises(gr.Error, match="still going on"):
        training.begin(session, "generated", None, "release", *settings)
    shown = training.follow(session, "")
    assert shown[1].visible and shown[5].visible and "left" in shown[0]
    training.stop(session)
    until(lambda: run.process() is None and queue.HEAVY.before(session.owner) is None, run)
    shown = training.follow(session, shown[8])
    assert "Stopped after" in shown[0] and shown[2].visible and "network.safetensors" in shown[7]
    before = run.events()
    training.resume(session)
    until(lambda: len(run.events()) > len(before) + 2, run)
    training.stop(session)
    until(lambda: run.process() is None and queue.HEAVY.before(session.owner) is None, run)
    restore_tab.choose(session, file)
    restore_tab.begin(session, "own")
    assert "Done" in wait(session, "restore")
    assert sheets.get(session).facts["method"] == "own"


def until(condition, run, seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        log = run.folder / "log.txt"
        assert time.monotonic() < end, log.read_text()[-500:] if log.exists() else "no log"
        time.sleep(0.1)
