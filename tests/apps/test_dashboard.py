"""Tests of the dashboard: pages as scripts, a training, both pages in Chromium."""

import base64
import csv
import io
import json
import os
import re
import shutil
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from streamlit_pages import checked, metrics, told, visit, wait_for

from apps.dashboard import frame, jobs
from apps.dashboard.digits import sources
from apps.dashboard.digits.sources import read_story
from apps.dashboard.tables import csv_bytes
from apps.shared import queue
from vision_core import digits, runs
from vision_core.digits.packed import decode_images
from vision_core.files import read_json

ROOT = Path(__file__).parents[2]
SITE = ROOT / "apps" / "digits_site"
INDEX, BINARY = SITE / "data" / "digits.json", SITE / "data" / "digits.bin"


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A finished run of two short epochs; tests copy it."""
    folder = tmp_path_factory.mktemp("dashboard") / "first"
    for _ in digits.train(folder, digits.Settings(epochs=2, batches=8, seed=3)):
        pass
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch, trained) -> Path:
    """A folder of runs that holds the trained one; trainings that a test leaves behind are ended."""
    monkeypatch.setenv("VISION_CORE_RUNS", str(tmp_path))
    monkeypatch.setenv("VISION_CORE_OPEN_DASHBOARD", "1")
    monkeypatch.chdir(ROOT)
    shutil.copytree(trained, tmp_path / "digits" / "first")
    yield tmp_path
    for run in jobs.folders("digits"):
        if (pid := run.process()) is not None:
            os.kill(pid, signal.SIGKILL)


def altered(old: bytes, new: bytes) -> bytes:
    """The shipped index with the first `old` in it replaced."""
    index = INDEX.read_bytes()
    assert old in index
    return index.replace(old, new, 1)


def test_explorer_tells_the_numbers_of_the_chosen_epoch(root):
    app = visit("digits/explorer.py", view="One epoch", epoch="1")
    record = json.loads(INDEX.read_text())["epochs"][7]  # after the six moments of the first epoch
    assert metrics(app)["Test accuracy"] == f"{record['test_accuracy']:.1%}"
    app = checked(app.select_slider(key="epoch").set_value("0").run())
    record = json.loads(INDEX.read_text())["epochs"][0]
    assert metrics(app)["Validation loss"] == f"{record['val_loss']:.3f}"


def test_a_confusion_shows_its_images_and_no_others(root):
    index = json.loads(INDEX.read_text())
    pairs = [(m["true"], m["predicted"][-1]) for m in index["misread"]]
    true, predicted = pairs[0]
    app = visit("digits/explorer.py", view="One epoch")
    assert len(app.image) == len(pairs)
    app = checked(app.selectbox(key="mistake").set_value(f"{true} read as {predicted}").run())
    assert len(app.image) == pairs.count((true, predicted))


def test_charts_never_offer_to_send_data_away(root):
    app = visit("digits/explorer.py", view="Curves")
    charts = app.get("plotly_chart")
    assert len(charts) == 5
    assert all(json.loads(chart.proto.config)["showSendToCloud"] is False for chart in charts)
    accuracy = json.loads(charts[0].proto.spec)["data"][2]
    accuracies = [record["test_accuracy"] for record in json.loads(INDEX.read_text())["epochs"]]
    assert _numbers(accuracy["y"]) == pytest.approx(accuracies[1:])  # close-up: without epoch 0


def _numbers(values) -> list[float]:
    if isinstance(values, list):
        return values
    import numpy as np

    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()


def test_a_run_is_explored_like_the_shipped_training(root):
    app = visit("digits/explorer.py", training="first", view="One epoch")
    last = digits.history(runs.Run(root / "digits" / "first"))[-1]
    assert metrics(app)["Test accuracy"] == f"{last.metrics['test_accuracy']:.1%}"
    offered = {
        button.label
        for button in visit("digits/explorer.py", training="first", view="Downloads").get("download_button")
    }
    assert {"CSV", "ZIP", "JSON", "ONNX"} <= offered


def test_a_run_that_was_replaced_is_read_anew(root):
    folder = root / "digits" / "first"
    before = metrics(visit("digits/explorer.py", training="first", view="One epoch"))
    shutil.rmtree(folder)
    for _ in digits.train(folder, digits.Settings(epochs=2, batches=40, seed=4)):
        pass
    last = digits.history(runs.Run(folder))[-1]
    after = metrics(visit("digits/explorer.py", training="first", view="One epoch"))
    assert after["Test accuracy"] == f"{last.metrics['test_accuracy']:.1%}" != before["Test accuracy"]


def test_an_unknown_run_in_the_address_is_told(root):
    assert "no training `gone`" in told(visit("digits/explorer.py", training="gone"))
    assert "no training `[x](http://y) z` here" in told(
        visit("digits/explorer.py", training="`[x](http://y)\n\nz`")
    )
    app = visit("digits/training.py", run="gone")
    assert "no training `gone`" in told(app) and app.session_state["run"] == "first"


BAD_UPLOADS = (
    ({"a.json": INDEX.read_bytes()}, "the .json index and the .bin"),
    ({"a.json": INDEX.read_bytes()[:5000], "a.bin": b""}, "not valid JSON"),
    ({"a.json": altered(b'"version":2', b'"version":9'), "a.bin": b""}, "version 9"),
    ({"a.json": INDEX.read_bytes(), "digits.bin": BINARY.read_bytes()[:-8]}, "digits.bin "),
    ({"a.json": b'{"format": 3}', "a.bin": b""}, "not a packed digit export"),
    ({"a.json": altered(b'"val_loss":', b'"lost":'), "a.bin": BINARY.read_bytes()}, "val_loss"),
    ({"a.json": altered(b'"confusion":[[', b'"confusion":[[1,'), "a.bin": BINARY.read_bytes()}, "invalid"),
    ({"a.json": altered(b'"image":"', b'"image":"","was":"'), "a.bin": BINARY.read_bytes()}, "images"),
    ({"a.json": altered(b'"probe":"', b'"probe":"AAAA'), "a.bin": BINARY.read_bytes()}, "invalid"),
    ({"a.json": altered(b'{"epoch":1,', b'{"epoch":0,'), "a.bin": BINARY.read_bytes()}, "epochs"),
    ({"a.json": altered(b'"binary":"', b'"binary":"' + b"x" * 5000), "a.bin": b""}, "not the index"),
    ({"x" * 300 + ".json": b"[" * 100_000, "a.bin": b""}, "not valid JSON"),
)


def test_a_bad_upload_is_one_sentence(root):
    app = visit("digits/explorer.py", training="my own export")
    for files, sentence in BAD_UPLOADS:
        data = [(name, content, "application/octet-stream") for name, content in files.items()]
        app.file_uploader[0].set_value(data)
        checked(app.run())
        assert sentence in told(app), sentence
        assert "/tmp" not in told(app) and "Traceback" not in told(app)


def test_an_upload_is_shown_also_when_the_browser_renamed_it(root):
    app = visit("digits/explorer.py", training="my own export", view="One epoch")
    app.file_uploader[0].set_value(
        [("mine.json", INDEX.read_bytes(), "application/json"), ("digits (1).bin", BINARY.read_bytes(), "")]
    )
    checked(app.run())
    assert (
        metrics(app)["Test accuracy"] == f"{json.loads(INDEX.read_text())['epochs'][-1]['test_accuracy']:.1%}"
    )


def test_downloads_hold_what_they_promise(trained, tmp_path):
    source = sources.of_run(trained)
    rows = list(csv.DictReader(io.StringIO(sources.metrics_csv(source).decode())))
    of_seven = {float(row["epoch"]): float(row["accuracy_of_7"]) for row in rows}
    whole = {e.epoch: e.metrics["per_class"][7] for e in digits.history(runs.Run(trained))}
    kept = {n: read_json(trained / "batch_weights" / f"batch_{n}.json")["per_class"][7] for n in (1, 2, 5)}
    assert of_seven == whole | {batch / 8: value for batch, value in kept.items()}
    assert list(of_seven) == sorted(of_seven) and len(rows) == 3 + 3
    with zipfile.ZipFile(io.BytesIO(sources.packed_zip(source))) as archive:
        archive.extractall(tmp_path)
    assert (digits.read_export(tmp_path / "digits.json").values == source.export.values).all()
    assert json.loads(sources.document(trained))["training_epochs"][-1]["epoch"] == 2


def test_onnx_of_the_shipped_training_gives_the_probe_answer_of_its_export():
    onnxruntime = pytest.importorskip("onnxruntime")
    source = sources.shipped()
    index = source.export.index
    probe = decode_images(index["probe"])[None].astype(np.float32) / 255
    [logits] = onnxruntime.InferenceSession(sources.onnx(source)).run(["logits"], {"image": probe})
    assert logits[0] == pytest.approx(index["epochs"][-1]["probe_logits"], abs=1e-4)


def test_csv_text_is_never_a_formula():
    data = csv_bytes(["a", "b"], [["=1+1", -2.5], ["@x", "plain"], ["-a", "+b"]])
    assert data.decode().splitlines() == ["a,b", "'=1+1,-2.5", "'@x,plain", "'-a,'+b"]


@pytest.mark.parametrize(("entry", "since"), [(5, 4), (4, 0), (3, 0)])  # the last whole epoch before
def test_weight_statistics_match_the_definition(trained, entry, since):
    source = sources.of_run(trained)
    assert source.names == ["0", "batch 1", "batch 2", "batch 5", "1", "2"]
    row = next(r for r in sources.weight_statistics(source, entry) if r["tensor"] == "fc2.weight")
    now, before = (
        source.export.weights(entry)["fc2.weight"].ravel(),
        source.export.weights(since)["fc2.weight"].ravel(),
    )
    assert row["change"] == pytest.approx(
        sum((float(a) - float(b)) ** 2 for a, b in zip(now, before, strict=True)) ** 0.5
    )
    assert row["mean"] == pytest.approx(sum(map(float, now)) / 1280, abs=1e-6)


def test_the_frame_holds_everything_and_reaches_nothing():
    page = frame.assembled(b"{}", b"bytes", "dark")
    modules = json.loads(re.search(r'type="importmap">(.*?)</script>', page)[1])["imports"]
    expected = {
        name
        for url in modules.values()
        for name in re.findall(r'(?:from|import) "([^"]+)"', base64.b64decode(url.split(",")[1]).decode())
    }
    assert expected <= set(modules) == {path.name for path in (SITE / "js").glob("*.js")}
    assert not re.search(r"<(link|script)[^>]+(href|src)=", page)
    assert "default-src 'none'" in page and 'data-theme="dark"' in page


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("metrics.jsonl", '{"event": "start", "time": 1}\nnonsense\n{"event": "step"}\n', "line 2 of digits"),
        ("config.json", '{"system": "digits", ', "config.json is not valid JSON"),
        ("config.json", '{"system": "color"}', "is a run of 'color', not of"),
        ("config.json", None, "the folder is empty"),
        ("metrics.jsonl", '{"event": "epoch", "epoch": 0, "time": 1}\n', "line 1 of digits"),
        (
            "metrics.jsonl",
            '{"event": "epoch", "epoch": 0, "epochs": 2, "metrics": {}, "time": 1}\n',
            "are damaged: 'loss'",
        ),
    ],
)
def test_a_damaged_run_is_one_sentence_and_the_page_goes_on(root, name, content, sentence):
    path = root / "digits" / "first" / name
    path.unlink() if content is None else path.write_text(content)
    app = visit("digits/training.py")
    assert sentence in told(app)
    assert app.button[0].label == "Start training"
    visit("digits/explorer.py", training="first")


def test_a_line_still_being_written_is_waited_for(root):
    with open(root / "digits" / "first" / "metrics.jsonl", "a") as file:
        file.write('{"event": "epo')
    app = visit("digits/training.py")
    assert told(app) == "" and metrics(app)["Epoch"] == "2 of 2"


def test_without_runs_the_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("VISION_CORE_RUNS", str(tmp_path / "none"))
    assert "No training yet" in told(visit("digits/training.py"))


def test_a_training_that_could_not_start_tells_why(root):
    folder = root / "digits" / "broken"
    folder.mkdir()
    (folder / "log.txt").write_text("vision-core: /data holds no train-images-idx3-ubyte\n")
    assert "/data holds no train-images" in told(visit("digits/training.py", run="broken"))


def test_a_training_survives_reloads_and_is_stopped_and_resumed(root):
    app = visit("digits/training.py")
    app.number_input(key="epochs").set_value(90)
    app = checked(app.button[0].click().run())
    run = wait_for(jobs.running)
    pid = run.process()
    assert app.session_state["run"] == run.name and app.button[0].disabled

    for _ in range(2):  # a reload is a new session that runs the script again; a rerun is neither a click
        visit("digits/training.py", run=run.name).run()
    assert run.process() == pid and len(jobs.folders("digits")) == 2
    with pytest.raises(ValueError, match=r"is still training; one training at a time"):
        jobs.launch("digits", digits.Settings())

    wait_for(lambda: read_story(run).epochs)
    app = visit("digits/training.py", run=run.name)
    assert metrics(app)["Epoch"].endswith("of 90")
    checked(next(b for b in app.button if b.label == "Stop training").click().run())
    wait_for(lambda: run.process() is None)
    reached = len(read_story(run).epochs)
    app = visit("digits/training.py", run=run.name)
    assert read_story(run).status == "stopped" and "Resume goes on" in told(app)

    checked(next(b for b in app.button if b.label == "Resume").click().run())
    wait_for(lambda: run.process() not in (None, pid))
    wait_for(lambda: len(read_story(run).epochs) > reached)
    runs.request_stop(run)
    wait_for(lambda: run.process() is None)


def test_a_training_waits_in_the_queue_of_all_pages_and_can_leave_it(root):
    tickets = [queue.HEAVY.join(f"other-{number}") for number in range(queue.PLACES)]
    try:
        app = checked(visit("digits/training.py").button[0].click().run())
        run = jobs.busy()
        assert run is not None and run.process() is None and read_story(run).status == "waiting"
        app = visit("digits/training.py", run=run.name)
        assert "before you" in told(app)
        checked(next(b for b in app.button if b.label == "Stop training").click().run())
        wait_for(lambda: jobs.busy() is None)
        assert run.process() is None and read_story(run).status == "new"
    finally:
        for ticket in tickets:
            queue.HEAVY.leave(ticket)


def test_only_the_browser_that_began_a_training_may_stop_it(root, monkeypatch):
    monkeypatch.delenv("VISION_CORE_OPEN_DASHBOARD")
    mine = visit("digits/training.py")
    mine.number_input(key="epochs").set_value(90)
    mine = checked(mine.button[0].click().run())
    run = wait_for(jobs.running)
    mine = checked(mine.run())
    assert any(button.label == "Stop training" for button in mine.button)
    strange = visit("digits/training.py", run=run.name)
    assert not any(button.label in ("Stop training", "Resume") for button in strange.button)
    assert any("another browser" in caption.value for caption in strange.caption)
    with pytest.raises(ValueError, match="started from another browser"):
        jobs.stop(run)  # here, outside of a page, we are a stranger, too
    checked(next(b for b in mine.button if b.label == "Stop training").click().run())
    wait_for(lambda: run.process() is None)


def test_a_space_says_what_it_shares(root, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/vision-core")
    app = visit("digits/training.py")
    assert any("This Space is shared" in caption.value for caption in app.caption)


@pytest.mark.browser
def test_both_pages_in_a_real_browser(served, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    page.set_default_timeout(60_000)
    foreign = []
    page.on(
        "request", lambda r: None if r.url.startswith((served, "data:", "blob:")) else foreign.append(r.url)
    )
    page.goto(served + "training?run=first")
    page.get_by_role("link", name="Open in the explorer").click()
    site = page.frame_locator("iframe").frame_locator("iframe")
    site.locator("#main").wait_for()
    site.get_by_role("button", name="A test 7").click()
    site.locator("#answer").filter(has_text=re.compile(r"\d")).wait_for()
    assert site.locator("#epoch").get_attribute("max") == "5"  # three moments of the first epoch
    inner = next(f for f in page.frames if f.parent_frame and f.parent_frame.parent_frame)
    assert (
        inner.evaluate("() => { try { return parent.document.title } catch { return 'closed' } }") == "closed"
    )

    page.get_by_role("tab", name="One epoch").click()
    first = sources.of_run(jobs.root() / "digits" / "first").export.index["misread"][0]
    true, predicted = first["true"], first["predicted"][-1]
    page.locator("[aria-roledescription='rect mark']").nth(10 * true + predicted).click()
    page.get_by_text(f"{true}, read as {predicted}").first.wait_for()
    other = page.get_by_text(re.compile(rf"^\d, read as (?!{predicted})\d$"))
    other.first.wait_for(state="detached")

    page.goto(served + "training")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Stop training").wait_for()
    run = wait_for(jobs.running)
    pid = run.process()
    page.reload()
    page.get_by_role("button", name="Stop training").wait_for()
    assert run.process() == pid and len(jobs.folders("digits")) == 2
    page.get_by_role("button", name="Stop training").click()
    page.get_by_role("button", name="Resume").wait_for()  # the page noticed by itself that it has ended
    assert foreign == []
    page.close()
