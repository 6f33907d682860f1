"""Tests of the command line: fast help, error messages, JSON output, interrupts."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from vision_core.cli import app as program
from vision_core.cli.verbs import Answer, command, watch
from vision_core.events import Done, Epoch, Step
from vision_core.pictures import images
from vision_core.runs import Run
from vision_core.weights import WEIGHTS, WeightsMissing

PYTHON = [sys.executable, "-m", "vision_core"]


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*PYTHON, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_doctor_knows_this_machine():
    result = run("doctor", "--json")
    report = json.loads(result.stdout)
    assert result.returncode == 0 and result.stdout.count("\n") == 1
    assert report["python"] == sys.version.split()[0] and report["packages"]["torch"].startswith("2.")
    assert report["weights"]["digits"] is True and report["bf16_speedup"] > 0


def test_models_are_listed():
    models = json.loads(run("models", "--json").stdout)["models"]
    assert set(models) == set(WEIGHTS)
    assert all((row["here"] or WEIGHTS[name].url) and row["licence"] for name, row in models.items())


@pytest.mark.parametrize(
    "words",
    [
        *("color palette X", "color train X X --epochs 1 --out run", "color lowpoly X --out new.png"),
        *("color compare X X --out new.png --epochs 1", "digits predict X", "leaves explain X --out new.png"),
        *("edit mask X --out new.png --box 1,1,9,9", "edit regions X --anchors 1 --max-window 4"),
    ],
)
def test_damage_to_a_picture_is_told(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digit = np.zeros((96, 96, 3), np.uint8)
    digit[20:76, 44:52] = 255
    Path("X").write_bytes(images.encode(images.Picture(digit), "JPEG")[:-40] + b"\xff\xd9")
    result = CliRunner().invoke(program, words.split())
    assert result.exit_code in (0, 1) and "note: damaged in places" in result.output, result.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["digits", "predict", "--foo"], "No such option: --foo; see vision-core digits predict --help"),
        (["digits", "predict"], "Missing argument 'image'; see vision-core digits predict --help"),
        (["nothing"], "No such command 'nothing'; see vision-core --help"),
        (["digits", "predict", "nowhere.png"], "there is no file nowhere.png"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(words, sentence):
    result = run(*words)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"vision-core: {sentence}\n")
    result = run(*words, "--json")
    assert (result.returncode, json.loads(result.stdout), result.stderr) == (2, {"error": sentence}, "")


def app_of(function) -> typer.Typer:
    app = typer.Typer()
    command(app)(function)
    return app


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("two\n  lines"), "two lines"),
        (OSError(28, "No space left on device", "out.png"), "No space left on device: out.png"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (FloatingPointError("the loss is nan at step 3"), "the loss is nan at step 3"),
        (WeightsMissing("connect once"), "connect once"),
        (ImportError("pip install 'vision-core[apps]'"), "pip install 'vision-core[apps]'"),
    ],
)
def test_what_counts_as_a_mistake(error, sentence):
    def verb() -> Answer:
        raise error

    result = CliRunner().invoke(app_of(verb))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"vision-core: {sentence}\n")
    result = CliRunner().invoke(app_of(verb), ["--json"])
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (2, {"error": sentence}, "")


def test_a_bug_is_no_mistake():
    def verb() -> Answer:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(app_of(verb)).exception, ZeroDivisionError)


def test_answers_in_words_and_as_strict_json():
    def verb(name: str, count: int = 2) -> Answer:
        return Answer(f"{name} x {count}", {"name": name, "loss": float("nan"), "all": [float("inf"), count]})

    assert CliRunner().invoke(app_of(verb), ["grün", "--count", "3"]).stdout == "grün x 3\n"
    output = CliRunner().invoke(app_of(verb), ["grün", "--json"]).stdout
    assert output.count("\n") == 1
    assert json.loads(output, parse_constant=pytest.fail) == {"name": "grün", "loss": None, "all": [None, 2]}


def training(closed: list[bool]):
    try:
        for step in range(1, 101):
            yield Step(step, 100, {"total": 1 / step}, 0.5)
            if step % 50 == 0:
                yield Epoch(step // 50, 2, {"test_accuracy": step / 200})
        yield Done("the result")
    finally:
        closed.append(True)


def test_watching_without_a_terminal_prints_every_tenth(capsys):
    closed = []
    assert watch(training(closed), "train") == "the result"
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and closed == [True]
    assert lines[0] == "train: 10 %, loss 0.1000, 0 s left"
    assert [line for line in lines if line.startswith("epoch")] == [
        "epoch 1 of 2: test accuracy 0.25",
        "epoch 2 of 2: test accuracy 0.5",
    ]
    assert len(lines) == 12


def test_a_watcher_who_fails_lets_the_training_save():
    closed = []

    def odd():
        try:
            yield Step(1, 2, {"error": 1.0}, 0.0)  # no total: the bar cannot be drawn
        finally:
            closed.append(True)

    stream = odd()
    with pytest.raises(KeyError):
        watch(stream, "train")
    assert closed == [True]


def test_watching_in_a_terminal_draws_a_bar(capsys, monkeypatch):
    ours, theirs = pty.openpty()
    output = ""

    def read_along() -> None:
        nonlocal output
        with suppress(OSError):  # the other end was closed
            while data := os.read(ours, 4096):
                output += data.decode(errors="replace")

    reader = Thread(target=read_along)
    reader.start()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        assert watch(training([]), "train") == "the result"
    reader.join(10)
    os.close(ours)
    assert "100%" in output and "loss 0.0100" in output and "\x1b[" in output and "10 %, loss" not in output
    assert "nan" not in output and capsys.readouterr().out == ""


def test_an_interrupt_saves_the_model_and_says_so(tmp_path):
    for name in ("source", "target"):
        rgb = np.random.default_rng(len(name)).integers(0, 256, (24, 24, 3), np.uint8)
        images.save(images.Picture(rgb), tmp_path / f"{name}.png")
    model, folder = tmp_path / "model.safetensors", tmp_path / "run"
    words = [
        "color",
        "train",
        "source.png",
        "target.png",
        "--save",
        model,
        "--out",
        folder,
        "--epochs",
        "100000",
    ]
    child = subprocess.Popen(
        [*PYTHON, *map(str, words), "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    while not (folder / "metrics.jsonl").exists() or len(Run(folder).events()) < 5:
        assert child.poll() is None, child.communicate()
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in err
    assert json.loads(out) == {"error": "interrupted; the training so far is saved, --resume continues it"}
    assert Run(folder).status() == "stopped" and Run(folder).resume_file.is_file()
    from vision_core import color

    steps = [entry["step"] for entry in Run(folder).events() if entry["event"] == "step"]
    assert color.load(model).metadata["training_epochs"] >= steps[-1] > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_answer_that_cannot_be_printed_is_a_sentence():
    with open("/dev/full", "w") as full:
        process = subprocess.run([*PYTHON, "models"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 2 and process.stderr == "vision-core: No space left on device\n"


@pytest.mark.parametrize("words", [["edit", "train"], ["edit", "batch"]])
def test_help_shows_brackets_as_brackets(words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "{file: [caption, prompt]}" in CliRunner().invoke(program, [*words, "--help"]).output
