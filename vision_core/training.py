"""A whole training as a stream of events: evaluated, logged to a run folder and resumable."""

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.tracking import filter_trackers
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vision_core import checkpoints, devices, runs, states
from vision_core.events import Done, Epoch, Event, Step
from vision_core.fit import Batches, Terms, fit
from vision_core.recording import record
from vision_core.runs import Run
from vision_core.safety.messages import quote, reason
from vision_core.settings import absolute

Train = Callable[[Run, Any, Any], Generator[Event]]
SHARED = ("epochs", "clip", "accumulate", "ema", "patience", "every", "device", "track")


@dataclass(frozen=True)
class Plan:
    """The schedule of a training.

    Args:
        steps_per_epoch: optimiser steps per epoch.
        weights: weights of the loss terms; 1 for terms that are not named.
        clip: maximum norm of the gradient.
        accumulate: batches per optimiser step.
        ema: decay of an exponential moving average (EMA) of the weights. If set, the averaged model is
            evaluated and saved. The decay warms up as (1 + n) / (10 + n).
        best: metrics to maximise or minimise. The best weights by the first metric are kept in
            best.safetensors, by any other in best_NAME.safetensors.
        patience: stop after this many evaluations without an improvement of the first metric in `best`; 0
            disables early stopping.
        every: evaluate and save the state every so many epochs.
        untrained: also evaluate the untrained network, as epoch 0.
        seed: if set, seeds torch's global generator at each epoch, e.g. for dropout. All threads share that
            generator, so use this only if the training has a process of its own.
        device: see `devices.pick`.
        track: experiment tracker supported by accelerate, e.g. "tensorboard"; logs to the run's folder.
    """

    epochs: int
    steps_per_epoch: int
    weights: Mapping[str, float] = field(default_factory=dict)
    clip: float | None = None
    accumulate: int = 1
    ema: float | None = None
    best: Mapping[str, Literal["max", "min"]] = field(default_factory=dict)
    patience: int = 0
    every: int = 1
    untrained: bool = False
    seed: int | None = None
    device: str = "auto"
    track: str | None = None

    @classmethod
    def of(cls, settings: Any, steps_per_epoch: int, **others: Any) -> "Plan":
        """A plan with the `SHARED` attributes that `settings` has."""
        shared = {name: getattr(settings, name) for name in SHARED if hasattr(settings, name)}
        return cls(steps_per_epoch=steps_per_epoch, **{**shared, **others})

    def __post_init__(self) -> None:
        if self.patience and not self.best:
            raise ValueError("patience needs a metric in `best`")
        if self.track and not filter_trackers([self.track], "."):
            raise ValueError(f"the tracker {self.track} is not installed")
        devices.pick(self.device)


def cosine(step: int, total: int, warmup: int = 1, least: float = 0.0) -> float:
    """Learning rate factor at a step, counted from 0: linear warm-up, then cosine decay to `least`."""
    rise, done = min(1.0, (step + 1) / warmup), min(1.0, step / total)
    return rise * (0.5 * (1 + math.cos(math.pi * done)) * (1 - least) + least)


def start(
    out: str | Path, system: str, settings: Any, read: Callable[[Any], Any], train: Train, replace: bool
) -> Generator[Event]:
    """Train in the new folder `out`.

    Args:
        system: see `runs.create`.
        read: maps the settings to the data. Called before the folder is created, so that no folder is left
            if the data cannot be used.
        train: maps (run, settings, data) to events.

    Raises:
        ValueError: `out` holds a run and `replace` is not set, or `read` rejects the data.
        FloatingPointError: the loss is not finite.
    """
    settings = absolute(settings)
    data = read(settings)
    yield from train(runs.create(out, system, settings, replace=replace), settings, data)


def resume(
    out: str | Path, system: str, kind: type, read: Callable[[Any], Any], train: Train
) -> Generator[Event]:
    """Resume a stopped or killed run from its last evaluation. Arguments are documented in `start`.

    Raises:
        ValueError: `out` holds no run of this system, or the run is complete or being trained.
    """
    run, settings = runs.open(out, system, kind)
    yield from train(run, settings, read(settings))


def run(
    run: Run | None,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    terms: Terms,
    plan: Plan,
    *,
    scheduler: Any = None,
    measure: Callable[[nn.Module, int], dict[str, Any]] | None = None,
    metadata: dict[str, Any] | None = None,
    finish: Callable[[nn.Module], Any] | None = None,
    prepare: Generator[Event] | None = None,
    keep: Mapping[str, Any] | None = None,
) -> Generator[Event]:
    """Train a model in the folder of `run`, resuming from its saved state if there is one.

    A run that was stopped or killed and then resumed produces the same bytes as an uninterrupted one. Each
    evaluation writes metrics.jsonl, last.safetensors, the best weights by `plan.best`, and then resume.pt.
    With `run=None`, nothing is written. Arguments that are not listed here are documented in `fit`.

    Args:
        scheduler: as in `fit`, but a `ReduceLROnPlateau` is stepped at each evaluation, with the first metric
            of `plan.best`.
        measure: maps (model in eval mode, epoch) to metrics, which are reported with the mean losses. It may
            also write to the run's folder.
        metadata: stored with the weights, next to the epoch and its metrics.
        finish: maps the trained model to `Done.result`; called before the run counts as done.
        prepare: work before the first step, as `Prepare` events. It is logged and can be stopped. A resume
            runs it again, so it should cache its results.
        keep: additional parts of the state, by name, with `state_dict` and `load_state_dict`.

    Raises:
        ValueError: the run is complete, is being trained by another process, or its state cannot be loaded.
        FloatingPointError: as in `fit`; the run keeps its last saved state.
    """
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer}
    if scheduler is not None:
        parts["scheduler"] = scheduler
    if plan.ema is not None:
        average = _moving_average(plan.ema)
        parts["ema"] = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    trainer = _Trainer(run, parts | dict(keep or {}), plan, measure, metadata or {}, finish)
    events = _prepared(prepare, trainer.events(batches, terms))
    if run is None:
        yield from events
        return
    if run.status() == "done":
        raise ValueError(f"{run.folder} is complete: there is nothing to resume")
    resumed_from = None
    if run.events():
        resumed_from = (trainer.epoch, max(trainer.epoch, 0) * plan.steps_per_epoch)
    try:
        yield from record(run, events, resumed_from)
    finally:
        if runs.is_first_process() and run.status() == "done":
            run.resume_file.unlink(missing_ok=True)


def _prepared(prepare: Generator[Event] | None, events: Generator[Event]) -> Generator[Event]:
    if prepare is not None:
        yield from prepare
    yield from events


class _Trainer:
    """The state of a training, and its evaluation between epochs."""

    def __init__(
        self,
        run: Run | None,
        parts: dict[str, Any],
        plan: Plan,
        measure: Callable[[nn.Module, int], dict[str, Any]] | None,
        metadata: dict[str, Any],
        finish: Callable[[nn.Module], Any] | None,
    ) -> None:
        self.run, self.parts, self.plan = run, parts, plan
        self.measure, self.metadata, self.finish = measure, metadata, finish
        self.epoch = -1  # the epoch a resume could start from; -1 within an epoch and until it is evaluated
        self.whole = -1  # the epoch that just ended, until its weights are saved
        self.best, self.saved = dict[str, list[float]](), -1
        self.accelerator = _accelerator(run, plan)
        for name in ("model", "ema"):
            if name in parts:
                parts[name].to(self.accelerator.device)
        if run is not None and run.resume_file.is_file():
            self._restore(run)

    @property
    def result(self) -> nn.Module:
        """The model that is evaluated and saved: the EMA model if there is one."""
        return self.parts["ema"].module if "ema" in self.parts else self.parts["model"]

    def events(self, batches: Batches, terms: Terms) -> Generator[Event]:
        plan, start = self.plan, max(self.epoch, 0)
        scheduler = self.parts.get("scheduler")
        stream = fit(
            self.parts["model"],
            batches,
            terms,
            self.parts["optimizer"],
            epochs=start if self._impatient() else plan.epochs,
            steps_per_epoch=plan.steps_per_epoch,
            start=start,
            weights=plan.weights,
            clip=plan.clip,
            accumulate=plan.accumulate,
            seed=plan.seed,
            scheduler=None if isinstance(scheduler, ReduceLROnPlateau) else scheduler,
            accelerator=self.accelerator,
        )
        try:
            if self.epoch < 0 and plan.untrained:
                yield from self._measured(Epoch(0, plan.epochs))
            self.epoch = start
            for event in stream:
                if isinstance(event, Step):
                    self._stepped(event)
                    yield event
                elif self._due(event.epoch):
                    yield from self._measured(event)
                    if self._impatient():
                        break
            yield Done(self.finish(self.result.eval()) if self.finish else None)
        finally:
            stream.close()
            self._leave()

    def _stepped(self, step: Step) -> None:
        if "ema" in self.parts:
            self.parts["ema"].update_parameters(self.parts["model"])
        epoch, rest = divmod(step.step, self.plan.steps_per_epoch)
        self.whole = epoch if rest == 0 else -1
        self.epoch = -1 if self._due(epoch) else self.whole

    def _due(self, epoch: int) -> bool:
        return epoch % self.plan.every == 0 or epoch == self.plan.epochs

    def _measured(self, epoch: Epoch) -> Generator[Epoch]:
        """Evaluate, save the weights, report, and save the state last, so that a resumed log has no gaps."""
        if not self._finite():  # never save such weights, neither as a result nor as the state to resume
            raise FloatingPointError(
                f"the weights are not finite after epoch {epoch.epoch}: lower the learning rate"
            )
        metrics = dict(epoch.metrics)
        if self.measure is not None:
            metrics |= self.measure(self.result.eval(), epoch.epoch)
        for name in self.plan.best:
            if math.isnan(metrics[name]):
                raise FloatingPointError(f"{name} is NaN after epoch {epoch.epoch}: lower the learning rate")
        scheduler = self.parts.get("scheduler")
        if isinstance(scheduler, ReduceLROnPlateau) and epoch.epoch > 0:
            scheduler.step(metrics[next(iter(self.plan.best))])
        event = Epoch(epoch.epoch, epoch.epochs, metrics)
        better = [name for name, way in self.plan.best.items() if self._improves(name, way, metrics[name])]
        self.best |= {name: [float(metrics[name]), epoch.epoch] for name in better}
        if self.accelerator.trackers:
            self.accelerator.log(_scalars(event), step=epoch.epoch * self.plan.steps_per_epoch)
        self._keep("last", event)
        for name in better:
            self._keep("best" if name == next(iter(self.plan.best)) else f"best_{name}", event)
        self.epoch, self.whole = epoch.epoch, -1
        yield event
        self._save()

    def _finite(self) -> bool:
        return all(_finite(self.parts[name]) for name in ("model", "ema") if name in self.parts)

    def _improves(self, name: str, way: str, value: float) -> bool:
        if name not in self.best:
            return True
        before = self.best[name][0]
        return value > before if way == "max" else value < before

    def _impatient(self) -> bool:
        plan = self.plan
        if not plan.patience or not self.best:
            return False
        return self.epoch - self.best[next(iter(plan.best))][1] >= plan.patience * plan.every

    def _keep(self, name: str, epoch: Epoch) -> None:
        if self.run is not None and self.accelerator.is_main_process:
            facts = {**self.metadata, "epoch": epoch.epoch, "metrics": _scalars(epoch)}
            checkpoints.save(self.run.folder / f"{name}.safetensors", self.result, facts)

    def _save(self) -> None:
        if self.run is not None and self.accelerator.is_main_process:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            state["model"] = checkpoints.trained_state(self.parts["model"])
            states.save_state(self.run.resume_file, {"epoch": self.epoch, "best": self.best, **state})
        self.saved = self.epoch

    def _restore(self, run: Run) -> None:
        state = states.load_state(run.resume_file, "epoch", "best", *self.parts)
        try:
            for name, part in self.parts.items():
                if _holds_nan(state[name]):
                    raise ValueError(f"{name} holds NaN")
                if name == "model":
                    checkpoints.load_trained(part, state[name])
                else:
                    part.load_state_dict(state[name])
            self.epoch, self.best = (
                int(state["epoch"]),
                {n: [float(v), int(e)] for n, (v, e) in state["best"].items()},
            )
            if not self._finite():
                raise ValueError("its weights are not finite")
            if not 0 <= self.epoch <= self.plan.epochs or self.best.keys() - self.plan.best.keys():
                raise ValueError(f"epoch {self.epoch} of {self.plan.epochs}, best {quote(self.best)}")
        except Exception as error:  # untrusted file: its values can be anything
            raise ValueError(
                f"{run.resume_file} is not the state of this training: {reason(error)}"
            ) from error
        self.saved = self.epoch

    def _leave(self) -> None:
        """Save what was learned since the last state and close the trackers, however the training ends."""
        try:
            if self.whole > self.saved and self._finite():
                self._keep("last", Epoch(self.whole, self.plan.epochs))
            if self.epoch > self.saved:
                self._save()
        finally:
            self.parts["model"].eval()
            if self.accelerator.trackers:
                self.accelerator.end_training()


def _finite(model: nn.Module) -> bool:
    """Whether all weights are finite; buffers may hold infinity (attention masks do) but no NaN."""
    return all(bool(part.isfinite().all()) for part in model.parameters()) and not _holds_nan(
        [*model.buffers()]
    )


def _holds_nan(state: Any) -> bool:
    match state:
        case Tensor() if state.is_floating_point():
            return bool(state.isnan().any())
        case dict():
            return any(map(_holds_nan, state.values()))
        case list() | tuple():
            return any(map(_holds_nan, state))
    return isinstance(state, float) and math.isnan(state)


def _moving_average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """An exponential moving average whose decay warms up, to forget the initial weights quickly."""

    def update(averaged: Any, current: Any, count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        pairs = list(zip(averaged, current, strict=True))
        if current[0].is_floating_point():
            # leave infinite values alone: averaging -inf with -inf, as in attention masks, gives NaN
            largest = torch.stack(torch._foreach_norm(current, math.inf))
            pairs = [pair for pair, ends in zip(pairs, largest.isfinite().tolist(), strict=True) if ends]
        if pairs:
            old, new = (list(part) for part in zip(*pairs, strict=True))
            torch.optim.swa_utils.get_ema_multi_avg_fn(now)(old, new, count)

    return update


def _scalars(epoch: Epoch) -> dict[str, float]:
    return {name: value for name, value in epoch.metrics.items() if isinstance(value, int | float)}


def _accelerator(run: Run | None, plan: Plan) -> Accelerator:
    device = devices.pick(plan.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    if run is None or plan.track is None:
        return Accelerator(
            cpu=device.type == "cpu", mixed_precision="no"
        )  # systems choose their own precision
    accelerator = Accelerator(
        cpu=device.type == "cpu", mixed_precision="no", log_with=plan.track, project_dir=run.folder
    )
    accelerator.init_trackers(run.config["system"])
    return accelerator
