"""Tests of the leaf pages: as scripts, with a training."""

import io
import json
import os
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit_pages import checked, metrics, told, visit, wait_for

from apps.dashboard import jobs
from apps.dashboard.leaves import datasets, models
from apps.dashboard.leaves.story import read_story
from vision_core import leaves, runs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder of runs with drawn leaves and a training of two epochs on them; tests copy it."""
    root = tmp_path_factory.mktemp("leaf_pages")
    data = root / "data" / "drawn"
    for _ in leaves.generate(data, 60, seed=2, size=64):
        pass
    settings = leaves.Settings(str(data), epochs=2, batch_size=8, lr=0.001, cache_features=True, crop=32)
    for _ in leaves.train(root / "leaves" / "first", settings):
        pass
    return root


@pytest.fixture
def root(tmp_path, monkeypatch, finished) -> Path:
    """A copy of the finished runs; trainings that a test leaves behind are ended."""
    monkeypatch.setenv("VISION_CORE_RUNS", str(tmp_path))
    monkeypatch.setenv("VISION_CORE_OPEN_DASHBOARD", "1")
    monkeypatch.delenv("VISION_CORE_DATA", raising=False)
    monkeypatch.chdir(ROOT)
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    yield tmp_path
    for run in jobs.folders("leaves"):
        if (pid := run.process()) is not None:
            os.kill(pid, signal.SIGKILL)


def button(app: AppTest, label: str):
    return next(b for b in app.button if b.label == label)


def test_a_training_shows_its_four_curves_and_what_it_reached(root):
    app = visit("leaves/train.py", leaf_run="first")
    last = [e["metrics"] for e in runs.Run(root / "leaves" / "first").events() if e["event"] == "epoch"][-1]
    assert metrics(app)["Validation accuracy"] == f"{last['val_accuracy']:.1%}"
    assert metrics(app)["Gap"] == f"{last['train_accuracy'] - last['val_accuracy']:+.3f}"
    assert len(app.get("plotly_chart")) == 4
    assert [b.label for b in app.get("download_button")] == ["Curves as CSV", "Curves as JSON"]


def test_leaves_are_generated_and_a_training_on_them_started_stopped_and_resumed(root):
    app = visit("leaves/train.py")
    app.slider(key="draw_count").set_value(48)
    app = checked(app.button(key="draw").click().run())
    assert app.selectbox(key="leaf_data").value == "drawn-48-seed-0"
    assert len(list((root / "data" / "drawn-48-seed-0").rglob("*.jpg"))) == 48
    app.number_input(key="leaf_set_epochs").set_value(100)
    app = checked(button(app, "Start training").click().run())
    run = wait_for(jobs.running)
    pid = run.process()
    assert app.session_state["leaf_run"] == run.name and button(app, "Start training").disabled
    assert visit("leaves/train.py", leaf_run=run.name) and run.process() == pid  # a reload starts nothing
    assert len(jobs.folders("leaves")) == 2

    wait_for(lambda: read_story(run.name).epochs)
    app = visit("leaves/train.py", leaf_run=run.name)
    checked(button(app, "Stop training").click().run())
    wait_for(lambda: run.process() is None)
    reached = len(read_story(run.name).epochs)
    if read_story(run.name).status == "done":
        return
    app = visit("leaves/train.py", leaf_run=run.name)
    assert "Resume goes on" in told(app)
    checked(button(app, "Resume").click().run())
    wait_for(lambda: len(read_story(run.name).epochs) > reached)


def test_a_visitor_brings_leaves_that_no_other_browser_sees(root, monkeypatch):
    pictures = sorted((root / "data" / "drawn").rglob("*.jpg"))[:40]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in pictures:
            archive.write(path, f"my leaves/{path.parent.name}/{path.name}")
    files = datasets._unpacked(packed.getvalue())
    monkeypatch.setattr(jobs, "browser", lambda: "first")
    shares = []
    assert datasets.bring(files, "my leaves.zip", shares.append) == "my leaves"
    assert shares == sorted(shares) and len(shares) == 40
    kept = datasets.folders()["my leaves"]
    assert sorted(p.read_bytes() for p in kept.rglob("*.jpg")) == sorted(p.read_bytes() for p in pictures)
    assert datasets.bring(files, "my leaves.zip", shares.append) == "my leaves-2"
    for bad, words in (
        ([("class/a.jpg", b"no picture")], "a.jpg"),
        ([("a.jpg", pictures[0].read_bytes())], "no subfolders"),
        ([("../a/a.jpg", pictures[0].read_bytes())], "leads out"),
        (files[:2], "class"),
    ):
        with pytest.raises(ValueError, match=words):
            datasets.bring(bad, "bad", shares.append)
    splits = [(f"{split}/{name}", data) for split in ("train", "test") for name, data in files]
    title = datasets.bring(splits, "splits", shares.append)  # files of one name in two splits are two
    assert len([*datasets.folders()[title].rglob("*.jpg")]) == 80
    datasets.forget(title)
    monkeypatch.setattr(jobs, "browser", lambda: "second")
    assert "my leaves" not in datasets.folders()
    monkeypatch.setattr(jobs, "browser", lambda: "first")
    os.utime(kept, (0, 0))
    assert set(datasets.folders()) == {"my leaves-2", "drawn"}
    datasets.forget("my leaves-2")
    assert set(datasets.folders()) == {"drawn"}


def test_evaluate_opens_with_the_shipped_classifier(root):
    shutil.rmtree(root / "leaves")
    app = visit("leaves/evaluate.py")
    assert app.selectbox(key="leaf_model").value == models.SHIPPED
    expected = leaves.load(None)[1]["metrics"]["test"]
    assert metrics(app)["Accuracy"] == f"{expected['accuracy']:.1%}"


def test_only_folders_of_the_operator_and_drawn_ones_can_be_chosen(root, monkeypatch):
    assert list(datasets.folders()) == ["drawn"]
    monkeypatch.setenv("VISION_CORE_DATA", str(root / "leaves"))  # "first" holds files only: no classes
    assert list(datasets.folders()) == ["drawn"]
    (root / "leaves" / "mine" / "class").mkdir(parents=True)
    assert list(datasets.folders()) == ["mine", "drawn"]


def test_a_folder_that_cannot_be_split_is_one_sentence_without_paths(root):
    folder = root / "data" / "small"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        shutil.copy(next((root / "data" / "drawn").rglob("*.jpg")), folder / name)
    app = visit("leaves/train.py")
    app.selectbox(key="leaf_data").set_value("small").run()
    app = checked(button(app, "Start training").click().run())
    assert "at least 3 are needed" in told(app) and str(root) not in told(app)
    assert len(jobs.folders("leaves")) == 1


def report(root: Path) -> dict:
    return json.loads((root / "leaves" / "first" / "report.json").read_text())["test"]


def test_an_example_is_answered_and_a_cat_is_refused(root):
    app = visit("leaves/predict.py", leaf_model="first")
    assert not app.dataframe  # a person's own leaf comes first
    app = checked(app.segmented_control(key="leaf_way").set_value("Example").run())
    table = app.dataframe[0].value
    assert sorted(table["class"]) == ["healthy", "rot", "rust", "scab"]
    assert table["probability"].sum() == pytest.approx(1, abs=1e-5)
    app = checked(app.selectbox(key="leaf_example").set_value("no leaf: a cat").run())
    assert "does not look like a leaf I know" in told(app)


def test_the_shipped_classifier_takes_no_drawing_for_a_leaf(root):
    app = visit("leaves/predict.py", leaf_model="the shipped classifier")
    app = checked(app.segmented_control(key="leaf_way").set_value("Example").run())
    for example in app.selectbox(key="leaf_example").options:
        app = checked(app.selectbox(key="leaf_example").set_value(example).run())
        assert "does not look like a leaf I know" in told(app)
        assert ("meant to reject it" in told(app)) == ("drawn" in example)
        assert "No leaf was found" not in told(app) or "drawn" not in example


def test_many_pictures_are_a_table_with_the_refusals_in_it_and_a_contact_sheet(root):
    app = visit("leaves/predict.py", leaf_model="first")
    path = next((root / "data" / "drawn" / "rust").glob("*.jpg"))
    cat = ROOT / "assets" / "color" / "cat.jpg"
    uploads = [("mine.jpg", path.read_bytes(), "image/jpeg"), ("cat.jpg", cat.read_bytes(), "image/jpeg")]
    app.file_uploader[0].set_value(uploads)
    checked(app.run())
    table = app.dataframe[0].value
    assert set(table["file"]) == {"mine.jpg", "cat.jpg"} and len(app.image) == 1
    assert list(table[table["file"] == "cat.jpg"]["answer"]) == ["not known"]
    assert not table[["answer", "closest"]].map(lambda name: "_" in name).any(axis=None)


def test_new_classes_are_taught_from_a_few_pictures_and_asked_on_the_page(root):
    app = visit("leaves/teach.py")
    assert "each class needs its own name" in told(checked(button(app, "Teach").click().run()))
    folder = ROOT / "assets" / "leaves"
    for n, name in enumerate(("healthy", "rot"), 1):
        app.text_input(key=f"teach_name_{n}").set_value(name)
        files = sorted((folder / name).glob("*.jpg"))[:4]
        app.file_uploader[n - 1].set_value([(f.name, f.read_bytes(), "image/jpeg") for f in files])
    app = checked(button(app, "Teach").click().run())
    assert "Taught 2 classes from 8 pictures" in app.success[0].value
    assert sorted(app.dataframe[0].value["class"]) == ["healthy", "rot"]


def test_an_upload_is_answered_like_on_the_command_line(root):
    path = next((root / "data" / "drawn" / "rust").glob("*.jpg"))
    app = visit("leaves/predict.py", leaf_model="first")
    app.file_uploader[0].set_value([("mine.jpg", path.read_bytes(), "image/jpeg")])
    checked(app.run())
    model, _ = leaves.load(root / "leaves" / "first" / "model.safetensors")
    [(_, answer)] = leaves.predict_files(model, [path])[0]
    table = app.dataframe[0].value
    assert dict(zip(table["class"], table["probability"], strict=True)) == pytest.approx(answer.probabilities)
    app.file_uploader[0].set_value([("no`te.jpg", b"not a picture", "image/jpeg")])
    checked(app.run())
    assert "`no te.jpg`: " in told(app) and not app.dataframe


def test_an_evaluation_shows_the_numbers_of_the_report_and_the_pictures_of_a_cell(root):
    expected = report(root)
    app = visit("leaves/evaluate.py", leaf_model="first")
    assert metrics(app)["Accuracy"] == f"{expected['accuracy']:.1%}"
    assert metrics(app)["Pictures"] == str(sum(map(sum, expected["confusion"])))
    worst = expected["top_losses"][:4]
    markdown = "\n".join(m.value for m in app.markdown)
    assert all(f"`{row['file']}`" in markdown and f"loss {row['loss']:.2f}" in markdown for row in worst)
    for i, true in enumerate(expected["classes"]):
        for j, predicted in enumerate(expected["classes"]):
            if not (count := expected["confusion"][i][j]):
                continue
            app = checked(app.selectbox(key="leaf_cell").set_value(f"{true} read as {predicted}").run())
            shown = [m.value for m in app.markdown if ".jpg`" in m.value and "loss" not in m.value]
            assert len(shown) == count and all(text.startswith(f"`{true}/") for text in shown)
            assert len(app.image) == 2 * count + 2 * len(worst)


def test_another_split_begins_with_its_wrong_squares(root):
    app = visit("leaves/evaluate.py", leaf_model="first")
    right = next(
        cell for cell in app.selectbox(key="leaf_cell").options if len(set(cell.split(" read as "))) == 1
    )
    app = app.selectbox(key="leaf_cell").set_value(right).run()
    app = checked(app.segmented_control(key="leaf_split").set_value("validation").run())
    chosen = app.selectbox(key="leaf_cell")
    assert chosen.value == chosen.options[0]


def test_trainings_are_compared_with_what_they_reach_on_test_pictures(root):
    (root / "leaves" / "second").mkdir()
    shutil.copytree(root / "leaves" / "first", root / "leaves" / "second", dirs_exist_ok=True)
    (root / "leaves" / "second" / "report.json").write_text("{}")
    app = visit("leaves/compare.py")
    table = app.dataframe[0].value.set_index("training")
    assert table.loc["first", "test"] == 100 * report(root)["accuracy"]
    assert table["test"].isna()["second"] and list(table["folder"]) == ["drawn", "drawn"]  # no path
    [chart] = app.get("plotly_chart")
    assert sorted(line["name"] for line in json.loads(chart.proto.spec)["data"]) == ["first", "second"]
    app = checked(app.multiselect(key="compared_leaves").set_value(["first"]).run())
    [chart] = app.get("plotly_chart")
    assert [line["name"] for line in json.loads(chart.proto.spec)["data"]] == ["first"]
    assert "start two" not in told(app)


def test_pictures_that_are_gone_are_one_sentence_and_the_measures_stay(root):
    manifest = root / "leaves" / "first" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"folder":', '"folder": "/nowhere", "was":', 1))
    os.utime(root / "leaves" / "first" / "model.safetensors")  # another model: nothing of it is remembered
    app = visit("leaves/evaluate.py", leaf_model="first")
    assert "cannot be shown" in told(app) and "Accuracy" in metrics(app)


def test_the_ground_is_measured_when_asked(root):
    app = visit("leaves/evaluate.py", leaf_model="first")
    app = checked(app.button(key="leaf_ground").click().run())
    assert {"Whole picture", "Leaf only", "Background only", "Chance"} <= metrics(app).keys()


def test_without_a_classifier_the_pages_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("VISION_CORE_RUNS", str(tmp_path / "none"))
    assert "Train a classifier of your own" in told(visit("leaves/evaluate.py"))


def test_a_folder_is_looked_at_before_a_training(root):
    shutil.copy(
        root / "data" / "drawn" / "rust" / "000002.jpg", root / "data" / "drawn" / "scab" / "copy.jpg"
    )
    (root / "data" / "drawn" / "scab" / "notes.txt").write_text("no picture")
    os.rename(root / "data" / "drawn", root / "data" / "twice")
    app = visit("leaves/dataset.py")
    assert any("1 files are skipped" in e.label for e in app.expander)
    app = checked(app.segmented_control(key="leaf_view").set_value("Split and duplicates").run())
    table = app.dataframe[0].value.set_index("class")
    assert table.sum(axis=1).to_dict() == {"healthy": 15, "rot": 15, "rust": 15, "scab": 16}
    assert any("1 pairs" in m.value and "1 of them lie in two classes" in m.value for m in app.markdown)
    app = checked(app.segmented_control(key="leaf_view").set_value("One picture").run())
    assert len(app.image) == 7 + 6  # the picture and its six kinds; six steps of the measurement


@pytest.mark.browser
def test_what_teach_showed_is_gone_while_it_works(served, browser):
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(served + "teach")
    for n, name in enumerate(("healthy", "rot")):
        box = page.get_by_test_id("stFileUploader").nth(n)
        with page.expect_file_chooser() as chooser:
            box.get_by_test_id("stBaseButton-secondary").click()
        files = sorted((ROOT / "assets" / "leaves" / name).glob("*.jpg"))[:3]
        chooser.value.set_files(files)
        box.get_by_text(files[-1].name).wait_for()
        page.locator("[data-test-script-state=notRunning]").wait_for()
        page.get_by_label(f"Name of class {n + 1}").fill(name)
        page.get_by_label(f"Name of class {n + 1}").press("Enter")
        page.wait_for_timeout(500)  # the page runs again, and an upload in between would be lost
        page.locator("[data-test-script-state=notRunning]").wait_for()
    page.get_by_text("Name two or more classes").wait_for()
    page.get_by_role("button", name="Teach").click()
    page.get_by_text("Looking at the pictures").wait_for()
    assert not page.get_by_text("Name two or more classes").is_visible()
    page.close()


@pytest.mark.browser
def test_a_newcomer_trains_watches_reloads_and_asks_why(served, browser):
    """Draw leaves, train on them, follow it live through a reload, click a wrong square, see the pictures."""
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.set_default_timeout(60_000)
    sent = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda _: sent.append(1)))
    page.goto(served + "train?leaf_run=first")
    page.get_by_role("button", name="Generate leaves").click()
    page.get_by_role("slider", name="Leaves").press("Home")
    page.get_by_text("48", exact=True).first.wait_for()
    page.get_by_role("button", name="Generate", exact=True).click()
    folder = page.get_by_role("combobox", name="Folder of leaves", exact=True)
    expect(folder).to_have_value("drawn-48-seed-0", timeout=60_000)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Start training").click()
    run = wait_for(jobs.running)
    pid = run.process()
    page.wait_for_url(f"**leaf_run={run.name}*")
    page.reload()
    assert run.process() in (pid, None) and len(jobs.folders("leaves")) == 2
    page.get_by_role("link", name="Predict").wait_for()  # the page noticed by itself that it is done
    expect(page.locator(".js-plotly-plot")).to_have_count(4, timeout=60_000)
    assert read_story(run.name).status == "done"

    expected = json.loads((jobs.root() / "leaves" / "first" / "report.json").read_text())["test"]
    classes, table = expected["classes"], expected["confusion"]
    squares = [(i, j) for i in range(4) for j in range(4) if i != j and table[i][j]]
    row, column = squares[-1]  # the first is shown unasked
    page.goto(served + "evaluate?leaf_model=first")
    page.locator("[aria-roledescription='rect mark']").nth(4 * row + column).click()
    shown = page.locator(f"img[alt^='What decided for {classes[column]}']")
    pictures = page.get_by_role("combobox", name="Pictures of", exact=True)
    expect(pictures).to_have_value(f"{classes[row]} read as {classes[column]}", timeout=60_000)
    shown.first.wait_for()
    page.get_by_text("Validation pictures").click()
    report = json.loads((jobs.root() / "leaves" / "first" / "report.json").read_text())["validation"]
    wrong = next((i, j) for i in range(4) for j in range(4) if i != j and report["confusion"][i][j])
    expect(pictures).to_have_value(f"{classes[wrong[0]]} read as {classes[wrong[1]]}", timeout=60_000)

    page.goto(served + f"train?leaf_run={run.name}")
    page.get_by_role("link", name="Predict").wait_for()
    page.wait_for_timeout(1500)
    sent.clear()
    page.wait_for_timeout(2500)  # longer than a running training's page waits
    assert sent == []  # the page of a finished training asks for nothing
    page.close()
