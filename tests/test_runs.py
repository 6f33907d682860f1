"""Tests of run folders with real training processes: follow, stop, kill, resume."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import psutil
import pytest

from vision_core import runs
from vision_core.events import Done, Epoch, Preview, Step
from vision_core.recording import record
from vision_core.runs import Run

TRAINER = """
import sys, time
from pathlib import Path
from vision_core.runs import Run
from vision_core.events import Epoch, Step
from vision_core.recording import record

def events():
    for step in range(1, 10_000):
        yield Step(step, 10_000, {"total": 1 / step}, 0.0)
        if step % 4 == 0:
            yield Epoch(step // 4, 2500, {})
        time.sleep(float(sys.argv[2]))

for _ in record(Run(Path(sys.argv[1])), events()):
    pass
"""


@dataclass(frozen=True)
class Inner:
    weight: float = 1.0


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    lr: float = 0.1
    data: str | None = None
    head: Literal["rgb", "palette"] = "rgb"
    sizes: tuple[int, ...] = (3, 4)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr is {self.lr}; more than 0 was expected")


def told(first: int, last: int):
    """Two steps an epoch, then Done."""
    for epoch in range(first, last + 1):
        for step in (2 * epoch - 1, 2 * epoch):
            yield Step(step, 2 * last, {"total": 1 / step}, 0.5)
        yield Epoch(epoch, last, {"score": epoch})
    yield Done("result")


def kinds(run: Run) -> list[str]:
    return [entry["event"] for entry in run.events()]


@pytest.fixture
def run(tmp_path) -> Run:
    return runs.create(tmp_path / "digits" / "one", "digits", Settings(seed=3))


def trainer(run: Run, seconds_a_step: float) -> subprocess.Popen:
    child = subprocess.Popen([sys.executable, "-c", TRAINER, str(run.folder), str(seconds_a_step)])
    while kinds(run).count("epoch") < 2:
        assert child.poll() is None
        time.sleep(0.05)
    return child


def test_a_run_tells_its_story(run):
    assert run.config["settings"]["seed"] == 3 and run.name == "one" and run.status() == "new"
    passed = []
    for event in record(run, told(1, 2)):
        passed.append(event)
        assert run.status() == "running" and run.process() == os.getpid()
    assert passed == list(told(1, 2))
    assert kinds(run) == ["start", "step", "step", "epoch", "step", "step", "epoch", "done"]
    assert run.events()[1]["losses"] == {"total": 1.0} and run.events()[3]["metrics"] == {"score": 1}
    assert run.status() == "done" and run.process() is None
    assert sorted(path.name for path in run.folder.iterdir()) == ["config.json", "metrics.jsonl"]


def test_previews_are_passed_and_not_stored(run):
    assert len(list(record(run, [Preview("x", None), Done(1)]))) == 2
    assert kinds(run) == ["start", "done"]


def test_a_caller_who_leaves_stops_the_run_and_lets_the_trainer_save(run):
    saved = []

    def trainer():
        try:
            yield from told(1, 9)
        finally:
            saved.append(True)

    assert len(list(islice(record(run, trainer()), 3))) == 3
    assert saved == [True] and run.status() == "stopped"


def test_a_failure_is_told(run):
    def breaks():
        yield Step(1, 9, {"total": 1.0}, 0.0)
        raise FloatingPointError("the loss is nan at step 2")

    with pytest.raises(FloatingPointError):
        list(record(run, breaks()))
    assert run.status() == "failed" and run.events()[-1]["error"] == "the loss is nan at step 2"
    assert run.process() is None


def test_a_failure_while_saving_is_told_and_nobody_seems_to_train(run):
    def cannot_save():
        try:
            yield from told(1, 9)
        finally:
            raise OSError("no space left")

    stream = record(run, cannot_save())
    next(stream)
    with pytest.raises(OSError, match="no space left"):
        stream.close()
    assert run.status() == "failed" and run.process() is None


def test_a_loss_that_is_no_number_is_null_and_loses_nothing(run):
    odd = [Step(1, 2, {"total": float("nan"), "a": float("inf")}, 0.0), Epoch(1, 1, {"x": [float("nan"), 1]})]
    assert len(list(record(run, odd))) == 2
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    entries = [
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON")) for line in lines
    ]
    assert entries[1]["losses"] == {"total": None, "a": None} and entries[2]["metrics"] == {"x": [None, 1]}
    assert run.status() == "done"


def test_a_killed_trainer_is_interrupted_and_resumes_from_its_epoch(run):
    child = trainer(run, 0.03)
    assert run.status() == "running" and run.process() == child.pid
    before = (run.folder / "metrics.jsonl").read_bytes()
    for second in (lambda: list(record(run, told(1, 1))), lambda: runs.start(run)):
        with pytest.raises(ValueError, match=f"is being trained by process {child.pid}"):
            second()
    child.kill()  # SIGKILL: no Python of the child runs any more
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert run.status() == "interrupted"  # although the process is there, as a zombie
    child.wait()
    assert run.status() == "interrupted" and kinds(run)[-1] in ("step", "epoch")
    metrics = run.folder / "metrics.jsonl"
    assert metrics.read_bytes().startswith(before)

    with open(metrics, "ab") as file:
        file.write(b'{"event": "step", "st')  # as a kill in the middle of a write leaves it
    whole = len(run.events())
    assert whole == metrics.read_bytes().count(b"\n")
    assert list(record(run, told(2, 3), resumed_from=(1, 4))) == list(told(2, 3))
    assert kinds(run) == [
        *("start", "step", "step", "step", "step", "epoch"),  # up to epoch 1; what came after is undone
        *("resume", "step", "step", "epoch", "step", "step", "epoch", "done"),
    ]
    assert run.status() == "done"


def test_a_request_to_stop_ends_the_trainer_within_a_step(run):
    child = trainer(run, 0.2)
    while len(run.events()) < 12:
        time.sleep(0.05)
    steps = kinds(run).count("step")
    runs.request_stop(run)
    assert child.wait(20) == 0
    assert run.events()[-1]["event"] == "stopped" and kinds(run).count("step") <= steps + 2
    assert run.status() == "stopped" and not (run.folder / "stop").exists()


def test_a_stop_asked_for_before_the_run_began_is_forgotten(run):
    runs.request_stop(run)
    list(record(run, told(1, 2)))
    assert run.status() == "done"


def test_a_stop_asked_for_while_the_process_starts_is_obeyed(run):
    runs._note_process(run, os.getpid())  # as `start` does for its child
    runs.request_stop(run)
    assert len(list(record(run, told(1, 2)))) == 1
    assert run.status() == "stopped"


def test_start_runs_in_a_process_of_its_own_and_keeps_what_it_prints(tmp_path):
    run = runs.create(tmp_path / "new", "digits", Settings(lr=0.5))  # not what the digit system understands
    pid = runs.start(run)
    process = psutil.Process(pid)
    assert os.getsid(pid) == pid  # our end is not its end
    process.wait(60)
    assert "invalid settings: 'head' is not a setting" in (run.folder / "log.txt").read_text()
    assert run.status() == "new"
    with pytest.raises(ValueError, match="there is no file"):
        runs.start(Run(tmp_path / "nothing"))


def test_a_reused_process_id_is_not_our_process(run):
    runs._note_process(run, os.getpid())
    assert run.process() == os.getpid()
    note = json.loads((run.folder / "process.json").read_text())
    for stale in (
        {**note, "started": note["started"] - 60},
        {**note, "pid": 2**22 + 5},
        {**note, "pid": 2**80},
    ):
        (run.folder / "process.json").write_text(json.dumps(stale))
        assert run.process() is None
    for broken in ("", "[]", "{}", '{"pid": "x", "started": 1}'):
        (run.folder / "process.json").write_text(broken)
        assert run.process() is None


def test_half_a_line_between_two_entries_is_repaired(run):
    run.log({"event": "start"})
    with open(run.folder / "metrics.jsonl", "ab") as file:
        file.write(b'{"event": "st')  # a disk that was full for a moment
    run.log({"event": "failed", "error": "No space left on device"})
    assert kinds(run) == ["start", "failed"] and run.status() == "failed"


def test_a_damaged_line_is_named(run):
    run.log({"event": "start"})
    with open(run.folder / "metrics.jsonl", "ab") as file:
        file.write(b"no JSON\n[1]\n")
    run.log({"event": "step"})
    with pytest.raises(ValueError, match=r"line 2 of .*metrics\.jsonl is not an event"):
        run.events()


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "resume", "epoch": "x", "step": 1, "time": 1}',
        '{"event": "step", "step": 1, "total": 2, "losses": [], "time": 1}',
        '{"event": "epoch", "epoch": 1, "epochs": 2, "metrics": {}}',
        '{"event": 3, "time": "yesterday"}',
        '{"event": [], "time": 1}',
    ],
)
def test_an_entry_of_another_shape_is_named(run, line):
    (run.folder / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match="line 1 of"):
        run.status()


def test_what_lies_past_the_step_of_a_resume_is_undone(run):
    list(record(run, [event for event in told(1, 3) if isinstance(event, Step)]))
    list(record(run, [Step(3, 6, {"total": 1.0}, 0.0)], resumed_from=(2, 2)))
    assert [e["step"] for e in run.events() if e["event"] == "step"] == [1, 2, 3]


def test_config_that_is_missing_broken_or_taken(tmp_path, run):
    with pytest.raises(ValueError, match="already holds a run: resume it, replace it"):
        runs.create(run.folder, "digits", Settings())
    with pytest.raises(ValueError, match="is a run of 'digits', not of 'color'"):
        runs.create(run.folder, "color", Settings(), replace=True)
    with pytest.raises(ValueError, match="is a run of 'digits', not of 'color'"):
        runs.open(run.folder, "color", Settings)
    with pytest.raises(ValueError, match=r"there is no file .*config\.json"):
        _ = Run(tmp_path / "nothing").config
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "one.jpg").touch()
    for replace in (False, True):
        with pytest.raises(ValueError, match="is not empty, but holds no run"):
            runs.create(tmp_path / "photographs", "digits", Settings(), replace=replace)
    assert (tmp_path / "photographs" / "one.jpg").exists()
    (run.folder / "config.json").write_text('{"seed":')
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        _ = run.config


def test_a_replaced_run_is_gone_and_a_live_one_stays(run):
    list(record(run, told(1, 2)))
    runs._note_process(run, os.getpid())
    with pytest.raises(ValueError, match="is being trained by process"):
        runs.create(run.folder, "digits", Settings(), replace=True)
    (run.folder / "process.json").unlink()
    again = runs.create(run.folder, "digits", Settings(seed=9), replace=True)
    assert again.status() == "new" and again.config["settings"]["seed"] == 9


KILLED_ANYWHERE = """
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
from vision_core import runs

@dataclass(frozen=True)
class Settings:
    seed: int = 0

def create(folder, replace):
    def inputs(folder):
        (folder / "inputs").mkdir()
        (folder / "inputs" / "colors.npz").write_bytes(b"colors")
    return runs.create(folder, "digits", Settings(), replace=replace, inputs=inputs)

def killed_at(number, folder, replace):
    if child := os.fork():
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    seen = []
    def count(event, arguments):
        if event == "open" or event.startswith(("os.", "shutil.")):
            seen.append(event)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    create(folder, replace)
    os._exit(0)

root, kills, without = Path(sys.argv[1]), 0, 0
for replace in (False, True):
    for number in range(1, 1000):
        folder = root / f"{replace}-{number}"
        if replace:
            create(folder, False)
        if not killed_at(number, folder, replace):
            break
        kills += 1
        whole = (folder / "config.json").exists() and not (folder / runs.CREATING).exists()
        if not whole and any(folder.glob("*")):
            without += 1
            try:
                runs.Run(folder).config
            except ValueError as error:
                assert "start it again" in str(error), error
        if whole:  # the old run may have lost nothing, or the new one is there
            assert (folder / "inputs" / "colors.npz").read_bytes() == b"colors", number
        again = create(folder, replace or whole)
        assert again.status() == "new" and (folder / "inputs" / "colors.npz").exists()
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "inputs"]
print(kills, without)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed by forking it")
def test_creation_killed_at_any_of_its_steps_can_be_begun_again(tmp_path):
    script = [sys.executable, "-c", KILLED_ANYWHERE, str(tmp_path)]
    process = subprocess.run(script, capture_output=True, text=True, timeout=100)
    assert process.returncode == 0, process.stderr
    kills, without_config = map(int, process.stdout.split())
    assert kills > 20 and without_config > 5


def test_settings_come_back_as_they_were(tmp_path):
    saved = Settings(5, 0.25, "faces", "palette", (1, 2, 3), Inner(2.5))
    runs.create(tmp_path / "a", "digits", saved, source="a.png")
    run, loaded = runs.open(tmp_path / "a", "digits", Settings)
    assert loaded == saved and run.config["source"] == "a.png"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": "0"}, "seed is '0', which is not int"),
        ({"seed": True}, "seed is True, which is not int"),
        ({"seed": 1.5}, "seed is 1.5, which is not int"),
        ({"data": 0}, "data is 0, which is not str | None"),
        ({"head": "lab"}, "head is 'lab', which is not"),
        ({"sizes": [1, "2"]}, "sizes is '2', which is not int"),
        ({"inner": {"depth": 1}}, "'depth' is not a setting"),
        ({"inner": 3}, "expected the fields of Inner, got int"),
        ({"colour": 1}, "'colour' is not a setting"),
        ({"lr": -1}, "lr is -1.0; more than 0 was expected"),
    ],
)
def test_settings_of_another_shape_are_refused(run, change, sentence):
    config = json.loads((run.folder / "config.json").read_text())
    config["settings"] |= change
    (run.folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError) as error:
        runs.open(run.folder, "digits", Settings)
    assert sentence in str(error.value)


@pytest.mark.parametrize("text", ["[]", "3", '{"system": 1}', '{"system": "digits", "settings": null}'])
def test_a_config_of_another_shape_is_refused(run, text):
    (run.folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        runs.open(run.folder, "digits", Settings)


def test_new_folders_have_names_of_their_own(tmp_path):
    for _ in range(3):
        folder = runs.new_folder(tmp_path, "color")
        assert folder.parent == tmp_path / "color" and not folder.exists()
        runs.create(folder, "color", Settings())
    assert len([*(tmp_path / "color").iterdir()]) == 3
