"""Tests of runs: evaluation, log, and resuming to the same bytes."""

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from vision_core import checkpoints, runs, states, training
from vision_core.devices import generator, seeded
from vision_core.events import Done, Epoch, Prepare, Step
from vision_core.safety.bounds import Bounds, OneOf
from vision_core.training import Plan

STEPS = 3


class Net(nn.Module):
    """A regression with dropout, batch norm and, where asked for, a part that is not trained."""

    bounds: ClassVar[Bounds] = {"frozen": OneOf(True, False)}

    def __init__(self, frozen: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 1))
        self.frozen = ("body",) if frozen else ()
        self.architecture = {"frozen": frozen}
        if frozen:
            self.body.requires_grad_(False)

    def load_frozen(self) -> None:
        with seeded(7):
            self.body.load_state_dict(Net().body.state_dict())

    def train(self, mode: bool = True) -> "Net":
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def forward(self, x):
        return self.head(self.body(x))


@dataclass(frozen=True)
class Settings:
    epochs: int = 4
    frozen: bool = False
    ema: float | None = None
    every: int = 1
    patience: int = 0
    accumulate: int = 1
    scheduler: str = "none"


def train(folder, settings: Settings | None = None, finish=None):
    """A system's trainer in small: created with settings, resumed without."""
    if settings is not None:
        runs.create(folder, "digits", settings)
    run, settings = runs.open(folder, "digits", Settings)
    with seeded(1):
        model = Net(settings.frozen)
    if settings.frozen:
        model.load_frozen()
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 0.01)
    held = torch.randn(32, 3, generator=generator(99))
    schedulers = {
        "none": lambda: None,
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * STEPS),
        "plateau": lambda: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.2),
    }

    def batches(epoch):
        x = torch.randn(STEPS * settings.accumulate, 16, 3, generator=generator(0, epoch))
        return [(part, part.sum(1, keepdim=True)) for part in x]

    def measure(model, epoch):
        assert not model.training
        with torch.no_grad():
            error = F.mse_loss(model(held), held.sum(1, keepdim=True)).item()
        return {"error": error, "late": -epoch, "lr": optimizer.param_groups[0]["lr"]}

    yield from training.run(
        run,
        model,
        optimizer,
        batches,
        lambda model, batch: {"mse": F.mse_loss(model(batch[0]), batch[1])},
        Plan(
            settings.epochs,
            STEPS,
            clip=1.0,
            accumulate=settings.accumulate,
            ema=settings.ema,
            best={"error": "min", "late": "max"},
            patience=settings.patience,
            every=settings.every,
            untrained=True,
            seed=5,
        ),
        scheduler=schedulers[settings.scheduler](),
        measure=measure,
        metadata={"licence": "none"},
        finish=finish,
    )


def contents(folder):
    """Every file but the log's bytes, and the log without times."""
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "metrics.jsonl"}
    entries = [e for e in runs.Run(folder).events() if e["event"] in ("step", "epoch")]
    return files, [{k: v for k, v in e.items() if k not in ("time", "eta")} for e in entries]


KINDS = {
    "plain": Settings(),
    "averaged": Settings(ema=0.9, scheduler="cosine"),
    "frozen": Settings(frozen=True, scheduler="plateau"),
    "seldom": Settings(epochs=3, every=2, accumulate=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_left_anywhere_and_resumed_equals_uninterrupted(tmp_path, kind):
    whole = list(train(tmp_path / "whole", KINDS[kind]))
    for place in range(1, len(whole), 3):
        cut = tmp_path / f"cut{place}"
        events = train(cut, KINDS[kind])
        assert len(list(islice(events, place))) == place
        events.close()
        assert runs.Run(cut).status() == "stopped"
        assert isinstance(list(train(cut))[-1], Done)
        assert contents(cut) == contents(tmp_path / "whole"), f"left after event {place}"


def test_a_run_that_died_at_any_write_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    """A process that dies between two writes runs no clean-up: what is on the disk then must be enough."""
    list(train(tmp_path / "whole", Settings()))
    write, written = checkpoints.atomic, 0

    class Killed(BaseException):
        pass

    def dies(path):
        nonlocal written
        written += 1
        if written > last:
            raise Killed
        return write(path)

    for last in range(0, 18, 3):
        cut, written = tmp_path / f"cut{last}", 0
        for module in (checkpoints, states):
            monkeypatch.setattr(module, "atomic", dies)
        with pytest.raises(Killed):
            list(train(cut, Settings()))
        for module in (checkpoints, states):
            monkeypatch.setattr(module, "atomic", write)
        list(train(cut))
        assert contents(cut) == contents(tmp_path / "whole"), f"died after {last} writes"


def test_the_files_of_a_run_and_what_they_say(tmp_path):
    events = list(train(tmp_path / "run", Settings(), finish=lambda model: "the result"))
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert [event.epoch for event in epochs] == list(range(5)) and events[-1] == Done("the result")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    weights = {"last.safetensors", "best.safetensors", "best_late.safetensors"}
    assert names == weights | {"config.json", "metrics.jsonl"}
    best = min(epochs, key=lambda event: event.metrics["error"])
    for name, epoch in (("last", epochs[-1]), ("best", best), ("best_late", epochs[0])):
        model, metadata = checkpoints.load(tmp_path / "run" / f"{name}.safetensors", Net)
        assert metadata == {"licence": "none", "epoch": epoch.epoch, "metrics": epoch.metrics}
        held = torch.randn(32, 3, generator=generator(99))
        with torch.no_grad():
            assert F.mse_loss(model(held), held.sum(1, keepdim=True)).item() == epoch.metrics["error"]
    with pytest.raises(ValueError, match="is complete"):
        list(train(tmp_path / "run"))


def test_frozen_parts_are_not_stored_and_never_move(tmp_path):
    list(train(tmp_path / "run", Settings(frozen=True)))
    path = tmp_path / "run" / "last.safetensors"
    assert set(load_file(path)) == {"head.1.weight", "head.1.bias"}
    model, _ = checkpoints.load(path, Net)
    twin = Net(frozen=True)
    twin.load_frozen()
    for name, value in twin.body.state_dict().items():  # batch-norm statistics, too
        assert torch.equal(model.body.state_dict()[name], value)


def test_other_frozen_parts_are_refused(tmp_path, monkeypatch):
    list(train(tmp_path / "run", Settings(frozen=True, epochs=1)))
    monkeypatch.setattr(Net, "load_frozen", lambda self: None)
    with pytest.raises(ValueError, match="was trained on another body"):
        checkpoints.load(tmp_path / "run" / "last.safetensors", Net)


def test_the_average_is_the_one_worked_out_by_hand(tmp_path):
    averages, decay = [], 0.3
    events = train(tmp_path / "run", Settings(epochs=2, ema=decay))
    whole = list(events)
    plain = train(tmp_path / "plain", Settings(epochs=2))
    model = None
    for event in plain:
        if isinstance(event, Step):
            frame = plain.gi_yieldfrom
            while frame.gi_yieldfrom is not None and "model" not in frame.gi_frame.f_locals:
                frame = frame.gi_yieldfrom
            model = frame.gi_frame.f_locals["model"]
            now = model.head[1].weight.detach().clone()
            kept = min(decay, (1 + len(averages)) / (10 + len(averages)))
            averages.append(now if not averages else kept * averages[-1] + (1 - kept) * now)
    averaged, _ = checkpoints.load(tmp_path / "run" / "last.safetensors", Net)
    assert len(averages) == 2 * STEPS and isinstance(whole[-1], Done)
    assert torch.allclose(averaged.head[1].weight, averages[-1], atol=1e-6)


def test_patience_ends_the_training_and_survives_a_resume(tmp_path):
    """With a huge dropout of progress the best epoch lies early; the stop comes `patience` epochs later."""

    def epochs(events):
        return [event.epoch for event in events if isinstance(event, Epoch)]

    def stubborn(folder, settings=None):
        if settings is not None:
            runs.create(folder, "digits", settings)
        run, settings = runs.open(folder, "digits", Settings)
        model = Net()
        errors = [9, 5, 3, 4, 4, 3.5, 6, 1]
        yield from training.run(
            run,
            model,
            torch.optim.SGD(model.parameters(), 0.0),
            lambda epoch: [torch.randn(16, 3, generator=generator(epoch))],
            lambda model, x: {"mse": model(x).square().mean()},
            Plan(settings.epochs, 1, best={"error": "min"}, patience=settings.patience, untrained=True),
            measure=lambda model, epoch: {"error": errors[epoch]},
        )

    assert epochs(stubborn(tmp_path / "whole", Settings(epochs=7, patience=3))) == [0, 1, 2, 3, 4, 5]
    assert runs.Run(tmp_path / "whole").status() == "done"
    events = stubborn(tmp_path / "cut", Settings(epochs=7, patience=3))
    for event in events:
        if event == Epoch(4, 7, {**getattr(event, "metrics", {}), "error": 4}):
            break
    events.close()
    assert epochs(stubborn(tmp_path / "cut")) == [5]


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": "x"},
        {"epoch": 1, "best": 3},
        {"model": {"body.0.weight": torch.zeros(1)}},
        {"epoch": 10**9},
        {"epoch": -1},
        {"best": {"other": [1.0, 1]}},
        {"best": {"error": ["x", 1]}},
        {"optimizer": {}},
        {"model": 3},
    ],
)
def test_a_state_of_something_else_is_refused(tmp_path, state):
    next(events := train(tmp_path / "run", Settings()))
    events.close()
    file = tmp_path / "run" / "resume.pt"
    good = states.load_state(file)
    states.save_state(file, {**good, **state})
    with pytest.raises(ValueError, match=r"resume\.pt is not the state of this training"):
        list(train(tmp_path / "run"))
    states.save_state(file, {"epoch": 1})
    with pytest.raises(ValueError, match="lacks best"):
        list(train(tmp_path / "run"))


@pytest.mark.parametrize("name", ["model", "ema", "optimizer"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_state_that_is_not_finite_is_refused_and_kept(tmp_path, name, value):
    next(events := train(tmp_path / "run", Settings(ema=0.9)))
    events.close()
    file = tmp_path / "run" / "resume.pt"
    state = states.load_state(file)
    if name == "optimizer":
        state["optimizer"]["param_groups"][0]["lr"] = torch.tensor(torch.nan)
    else:
        next(v for v in state[name].values() if v.is_floating_point()).fill_(value)
    states.save_state(file, state)
    with pytest.raises(ValueError, match=r"resume\.pt is not the state of this training: .*(finite|NaN)"):
        list(train(tmp_path / "run"))
    assert file.is_file() and runs.Run(tmp_path / "run").status() == "stopped"


@pytest.mark.parametrize("fault", ["weights", "average", "measure"])
def test_a_run_that_is_not_finite_at_its_end_is_not_done_and_keeps_its_last_good_state(tmp_path, fault):
    run = runs.create(tmp_path / "run", "digits", Settings())
    model, averages = Net(), []

    def batches(epoch):
        if epoch == 3 and fault != "measure":
            (model if fault == "weights" else averages[0]).head[1].weight.data.fill_(torch.nan)
        return [torch.zeros(4, 3)]

    def measure(result, epoch):
        averages.append(result)
        return {"error": torch.nan if (fault, epoch) == ("measure", 3) else 1.0}

    def terms(model, x):  # whose loss does not show it, as a last step's does not
        return {"mse": sum(p.nan_to_num().square().mean() for p in model.parameters())}

    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    plan = Plan(3, 1, ema=0.9, best={"error": "min"})
    with pytest.raises(FloatingPointError, match=r"(not finite|NaN) after epoch 3: lower the learning rate"):
        list(training.run(run, model, optimizer, batches, terms, plan, measure=measure))
    state = states.load_state(run.resume_file)
    assert run.status() == "failed" and state["epoch"] == 2 and len(averages) == 2 + (fault == "measure")
    kept = checkpoints.load(run.folder / "last.safetensors", Net)[1]
    assert kept["epoch"] == 2 + (fault == "measure")


def test_a_plan_that_cannot_work_is_refused():
    with pytest.raises(ValueError, match="nonsense"):
        Plan(1, 1, track="nonsense")
    with pytest.raises(ValueError, match="not available on this machine"):
        Plan(1, 1, device="cuda:99")
    with pytest.raises(ValueError, match="patience needs a metric"):
        Plan(1, 1, patience=3)


def test_what_comes_before_the_first_step_is_recorded_stopped_and_run_again(tmp_path):
    completed: list[int] = []

    def prepare():
        for number in range(len(completed), 5):
            completed.append(number)
            yield Prepare(number + 1, 5)

    def events(run):
        model = Net()
        return training.run(
            run,
            model,
            torch.optim.SGD(model.parameters(), 0.1),
            lambda epoch: [torch.randn(16, 3, generator=generator(epoch))],
            lambda model, x: {"mse": model(x).square().mean()},
            Plan(2, 1),
            prepare=prepare(),
        )

    run = runs.create(tmp_path / "run", "digits", Settings())
    for event in events(run):
        if event == Prepare(2, 5):
            runs.request_stop(run)
    assert run.status() == "stopped" and completed == [0, 1]
    names = [type(event).__name__ for event in events(run)]
    assert names == ["Prepare"] * 3 + ["Step", "Epoch", "Step", "Epoch", "Done"] and completed == list(
        range(5)
    )
    steps = [(e["step"], e["total"]) for e in run.events() if e["event"] == "prepare"]
    assert steps == [(number, 5) for number in range(1, 6)] and run.status() == "done"


def test_without_a_run_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = Net()
    events = training.run(
        None,
        model,
        torch.optim.SGD(model.parameters(), 0.1),
        lambda epoch: [torch.randn(16, 3)],
        lambda model, x: {"mse": model(x).square().mean()},
        Plan(2, 1),
        finish=lambda model: model,
    )
    assert list(events)[-1] == Done(model) and not list(tmp_path.iterdir())
