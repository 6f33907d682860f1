"""Trains a colour map for one picture and one palette, resumes it, and fine-tunes it on ratings."""

import math
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import filter_trackers
from torch import Tensor, nn

from vision_core import checkpoints, devices, runs
from vision_core.color import feedback, objective
from vision_core.color.colormap import ColorMap, seen_colors
from vision_core.color.colormap import save as save_map
from vision_core.color.network import ColorMapper
from vision_core.color.objective import LossWeights, Settings, settings_from
from vision_core.color.palette import CountedColors, Palette, count_colors
from vision_core.training import Done, Event, Preview, Step, fit

PLACEMENT = 5.0  # weight of what a person called misplaced, in fine-tuning
SAVE_EVERY = 100  # epochs between resume states: 3 MB each


def train(
    source: np.ndarray | CountedColors,
    palette: Palette,
    settings: Settings | None = None,
    *,
    run: runs.Run | None = None,
    save_to: str | Path | None = None,
    resume: bool = False,
    thumbnail: np.ndarray | None = None,
    track: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Generator[Event]:
    """Train a map from the colours of `source`, uint8 (H, W, 3), to `palette`; `Done.result` is a `ColorMap`.

    Time does not depend on the size of the picture. Leaving the loop early is safe: `run` then holds the
    state, and `resume` goes on to the numbers of an uninterrupted run.

    Args:
        run: where resume.pt is kept; None keeps none.
        save_to: where the model is saved, however the training ends.
        thumbnail: uint8 (H, W, 3); recoloured every 50 epochs as a `Preview`.
        track: an accelerate tracker such as "tensorboard", written into the run's folder.
        metadata: what else to store with the model, such as file names.

    Raises:
        ValueError: nothing to resume, or a state of other settings.
        FloatingPointError: the loss is not finite.
    """
    settings = _with_precision(settings or Settings(), run if resume else None)
    counted = source if isinstance(source, CountedColors) else count_colors(source)
    with devices.seeded(settings.seed):
        model = ColorMapper(
            settings.layers, settings.hidden, settings.head, palette.colors.tolist(), settings.temperature
        )
    result = ColorMap(model, palette, _facts(counted, palette, settings) | (metadata or {}))
    yield from _optimise(
        result, counted, settings, run=run, save_to=save_to, resume=resume, thumbnail=thumbnail, track=track
    )


def train_run(
    folder: str | Path,
    source: np.ndarray,
    palette: Palette,
    settings: Settings | None = None,
    *,
    save_to: str | Path,
    resume: bool = False,
    thumbnail: np.ndarray | None = None,
    track: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Generator[Event]:
    """`train` with a run's folder that can be followed, stopped (`runs.request_stop`) and resumed.

    The model goes to `save_to` however the training ends. Without `resume` an earlier run in `folder` is
    replaced, and the ratings of an earlier model go. To resume a finished run changes nothing.

    Raises:
        ValueError: `folder` is being trained by another process, or holds something else than a run.
    """
    run, settings = runs.Run(Path(folder)), settings or Settings()
    devices.pick(settings.device)  # before anything of an earlier run is removed
    if track and not filter_trackers([track], folder):
        raise ValueError(f"the tracker {track} is not installed")
    if resume:
        if not run.resume_file.is_file():
            raise ValueError(f"there is nothing to resume in {folder}")
        epoch = checkpoints.load_state(run.resume_file, *_STATE)["epoch"]
    else:
        epoch = None
        if runs.is_first_process():
            _clear(run)
            feedback.file_of(save_to).unlink(missing_ok=True)  # it rates the network that is replaced
        runs.create(folder, {"system": "color", **asdict(settings), **(metadata or {})})
    events = train(
        source,
        palette,
        settings,
        run=run,
        save_to=save_to,
        resume=resume,
        thumbnail=thumbnail,
        track=track,
        metadata=metadata,
    )
    yield from runs.record(run, events, epoch)


def _clear(run: runs.Run) -> None:
    """Remove an earlier run of this system; one that is alive, or any other folder, is a `ValueError`."""
    if (pid := run.process()) is not None:
        raise ValueError(f"{run.folder} is being trained by process {pid}")
    if run.folder.exists() and any(run.folder.iterdir()):
        if run.config.get("system") != "color":
            raise ValueError(f"{run.folder} is not the run of a colour map: choose another folder")
        shutil.rmtree(run.folder)


def fine_tune(
    start: ColorMap,
    source: np.ndarray | CountedColors,
    shares: np.ndarray,
    misplaced: np.ndarray,
    *,
    epochs: int = 150,
    lr: float = 5e-4,
    seed: int = 0,
    thumbnail: np.ndarray | None = None,
) -> Generator[Event]:
    """Train a copy of `start` a little more towards other shares; `Done.result` is the new `ColorMap`.

    Args:
        shares: (K,) wanted usage of each palette colour.
        misplaced: bool (K,): colours that stand in the wrong places. What is mapped to them now is pushed
            away; as their share is still wanted, other source colours take their place.
    """
    counted = source if isinstance(source, CountedColors) else count_colors(source)
    kept = start.metadata["settings"]
    weights = LossWeights(**{**kept["weights"], "usage": 3 * max(kept["weights"]["usage"], 0.1)})
    settings = replace(
        settings_from(kept), epochs=epochs, lr=lr, seed=seed, weights=weights, patience=0, cosine=True
    )
    model = ColorMapper(**start.model.architecture)
    model.load_state_dict(start.model.state_dict())
    done = start.metadata.get("fine_tuned_epochs", 0) + epochs
    result = ColorMap(model, start.palette, {**start.metadata, "fine_tuned_epochs": done})
    before = start.recolor_colors(counted.colors)
    yield from _optimise(
        result, counted, settings, shares=shares, misplaced=misplaced, before=before, thumbnail=thumbnail
    )


def _optimise(
    result: ColorMap,
    counted: CountedColors,
    settings: Settings,
    *,
    run: runs.Run | None = None,
    save_to: str | Path | None = None,
    resume: bool = False,
    thumbnail: np.ndarray | None = None,
    track: str | None = None,
    shares: np.ndarray | None = None,
    misplaced: np.ndarray | None = None,
    before: np.ndarray | None = None,
) -> Generator[Event]:
    device = devices.pick(settings.device)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        log_with=track,
        project_dir=run.folder if run and track else None,
    )
    if track:
        accelerator.init_trackers("color")
    model = result.model.to(accelerator.device)
    task = objective.task(counted, result.palette, accelerator.device, shares, misplaced, before)
    optimizer = torch.optim.Adam(model.parameters(), settings.lr, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _falling(settings))
    state = {"epoch": 0, "loss": math.inf, "smooth": math.inf, "best": math.inf, "best_epoch": 0}
    if resume:
        state = _restore(run, result, settings, optimizer, scheduler)

    began = state["epoch"]

    def impatient() -> bool:
        return 0 < settings.patience <= state["epoch"] - state["best_epoch"]

    def batches(epoch: int) -> Iterator[tuple[Tensor, ...]]:
        yield objective.draw(task, settings, epoch)

    def terms(network: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return objective.terms(network, batch, task, settings)

    def save() -> None:
        if run is not None and accelerator.is_main_process:
            checkpoints.save_state(
                run.resume_file,
                {
                    **state,
                    "facts": {k: v for k, v in result.metadata.items() if k in _IDENTITY},
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scheduler": scheduler.state_dict(),
                },
            )

    stream = fit(
        model,
        batches,
        terms,
        optimizer,
        epochs=state["epoch"] if impatient() else settings.epochs,
        steps_per_epoch=1,
        start=state["epoch"],
        weights={**asdict(settings.weights), "placement": PLACEMENT},
        scheduler=scheduler,
        accelerator=accelerator,
    )
    try:
        for event in stream:
            if not isinstance(event, Step):
                continue
            epoch, loss = event.step, event.losses["total"]
            first = not math.isfinite(state["smooth"])
            state |= {"epoch": epoch, "loss": loss}
            state |= {"smooth": loss if first else 0.98 * state["smooth"] + 0.02 * loss}
            if state["smooth"] < state["best"] * 0.999:
                state |= {"best": state["smooth"], "best_epoch": epoch}
            _tell(result, state)
            yield event
            if thumbnail is not None and (epoch % 50 == 0 or epoch in (1, 10, 25)):
                yield Preview(f"epoch {epoch}", result.preview(thumbnail))
            if epoch % SAVE_EVERY == 0:
                save()
            if impatient():
                break
    finally:
        stream.close()
        try:
            save()
        finally:  # on another disk there may be room
            model.eval().cpu()
            if save_to is not None and accelerator.is_main_process:
                # nothing new to save keeps what is there: it may have been fine-tuned since
                if state["epoch"] > (began if Path(save_to).exists() else 0):
                    save_map(result, save_to)
        if track:
            accelerator.end_training()
    yield Done(result)


_PROGRESS = ("epoch", "loss", "smooth", "best", "best_epoch")
_STATE = (*_PROGRESS, "facts", "model", "optimizer", "scheduler")
_IDENTITY = ("palette", "shares", "settings", "source_colors")


def _facts(counted: CountedColors, palette: Palette, settings: Settings) -> dict[str, Any]:
    return {
        "palette": palette.colors.tolist(),
        "shares": [round(float(share), 6) for share in palette.shares],
        "settings": asdict(settings),
        "source_colors": seen_colors(counted),
        "training_epochs": 0,
    }


def _restore(
    run: runs.Run | None, result: ColorMap, settings: Settings, optimizer: Any, scheduler: Any
) -> dict[str, Any]:
    if run is None or not run.resume_file.is_file():
        raise ValueError("there is nothing to resume: no earlier training was found")
    state = checkpoints.load_state(run.resume_file, *_STATE)
    facts = {k: v for k, v in result.metadata.items() if k in _IDENTITY}
    if changed := [name for name in _IDENTITY if state["facts"].get(name) != facts[name]]:
        raise ValueError(f"cannot resume {run.folder}: its {changed[0].replace('_', ' ')} were not the same")
    result.model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    progress = {name: state[name] for name in _PROGRESS}
    _tell(result, progress)
    return progress


def _tell(result: ColorMap, state: dict[str, Any]) -> None:
    result.metadata.update(training_epochs=state["epoch"], final_loss=round(state["loss"], 6))


def _with_precision(settings: Settings, resumed: runs.Run | None) -> Settings:
    """The settings with "auto" replaced: by what a resumed run began with, or by what is fast here."""
    if settings.precision != "auto":
        return settings
    if resumed is not None and resumed.resume_file.is_file():
        precision = checkpoints.load_state(resumed.resume_file, *_STATE)["facts"]["settings"]["precision"]
    else:
        precision = str(devices.autocast_dtype(devices.pick(settings.device))).removeprefix("torch.")
    return replace(settings, precision=precision)


def _falling(settings: Settings) -> Callable[[int], float]:
    if not settings.cosine:
        return lambda step: 1.0
    return lambda step: 0.02 + 0.98 * (1 + math.cos(math.pi * min(step / settings.epochs, 1))) / 2
