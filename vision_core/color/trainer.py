"""Trains a colour map for a picture and a palette, resumes it, and fine-tunes it on user ratings."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vision_core import devices, runs, training
from vision_core.color import feedback, objective, optim
from vision_core.color.colormap import ColorMap, seen_colors
from vision_core.color.colormap import save as save_map
from vision_core.color.network import ColorMapper
from vision_core.color.objective import LossWeights, Settings
from vision_core.color.palette import CountedColors, Palette, count_colors
from vision_core.events import Done, Event, Preview, Step
from vision_core.files import atomic
from vision_core.settings import from_plain

PLACEMENT = 5.0  # loss weight of colours rated as misplaced, in fine-tuning
EVERY = 100  # epochs between two saved states of 3 MB


def train(
    source: np.ndarray | CountedColors,
    palette: Palette,
    settings: Settings | None = None,
    *,
    out: str | Path | None = None,
    save: str | Path | None = None,
    replace: bool = False,
    thumbnail: np.ndarray | None = None,
    names: dict[str, str] | None = None,
) -> Generator[Event]:
    """Train a map from the colours of `source`, uint8 (H, W, 3), to `palette`; `Done.result` is a `ColorMap`.

    An epoch is one step, whose time does not depend on the size of the picture. The loop can be left at any
    time: the state is saved in `out`, and `resume` continues as if the training had not been interrupted.

    Args:
        out: folder of the run; without it, nothing is written.
        save: file to which the model is also saved, however the training ends; ratings of an earlier model
            with this name are deleted.
        replace: replace an existing run in `out`.
        thumbnail: uint8 (H, W, 3), recoloured every 50 epochs as a `Preview`.
        names: further metadata of the model, such as file names.

    Raises:
        ValueError: `out` holds a run and `replace` is not set, or settings are not supported here.
        FloatingPointError: the loss is not finite.
    """
    settings = settings or Settings()
    _plan(settings)  # validates before a folder is created
    settings = _with_precision(settings)
    counted = source if isinstance(source, CountedColors) else count_colors(source)
    if out is None:
        if save is not None:
            raise ValueError("`save` needs the folder of a run, too")
        yield from _train(None, _untrained(counted, palette, settings, names), counted, settings, thumbnail)
        return
    create(out, counted, palette, settings, save=save, replace=replace, names=names)
    yield from resume(out, thumbnail)


def create(
    out: str | Path,
    source: np.ndarray | CountedColors,
    palette: Palette,
    settings: Settings | None = None,
    *,
    save: str | Path | None = None,
    replace: bool = False,
    names: dict[str, str] | None = None,
) -> runs.Run:
    """Create a run without training it; then use `resume` or, for a background process, `runs.start`."""
    settings = settings or Settings()
    _plan(settings)  # validates before a folder is created
    settings = _with_precision(settings)
    counted = source if isinstance(source, CountedColors) else count_colors(source)
    facts = {
        "palette": {"colors": palette.colors.tolist(), "shares": palette.shares.tolist()},
        "names": names or {},
        "save": None if save is None else str(Path(save).absolute()),
    }

    def write_colors(folder: Path) -> None:
        with atomic(folder / "colors.npz") as file:
            np.savez_compressed(file, colors=counted.colors, counts=counted.counts, pairs=counted.pairs)

    run = runs.create(out, "color", settings, replace=replace, inputs=write_colors, **facts)
    if runs.is_first_process() and save is not None:
        feedback.file_of(save).unlink(missing_ok=True)  # it belongs to the model that is replaced
    return run


def resume(out: str | Path, thumbnail: np.ndarray | None = None) -> Generator[Event]:
    """Resume the run in `out`, which was stopped, killed or just created.

    Raises:
        ValueError: there is no run of this system, or it is damaged, complete or still training.
    """
    run, settings = runs.open(out, "color", Settings)
    palette, counted = _read_inputs(run)
    result = _untrained(counted, palette, settings, run.config.get("names"))
    yield from _train(run, result, counted, settings, thumbnail)


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
    """Fine-tune a copy of `start` towards other shares; `Done.result` is the new `ColorMap`.

    Args:
        shares: target shares (K,) of the palette colours.
        misplaced: bool (K,), colours in the wrong places. Source colours that are mapped to them are pushed
            away; since the target share is unchanged, other source colours take their place.
    """
    counted = source if isinstance(source, CountedColors) else count_colors(source)
    original = from_plain(Settings, start.metadata["settings"])
    weights = LossWeights(**{**asdict(original.weights), "usage": 3 * max(original.weights.usage, 0.1)})
    settings = replace(
        original, epochs=epochs, lr=lr, seed=seed, weights=weights, patience=0, cosine=True, track=None
    )
    model = ColorMapper(**start.model.architecture)
    model.load_state_dict(start.model.state_dict())
    done = start.metadata.get("fine_tuned_epochs", 0) + epochs
    result = ColorMap(model, start.palette, {**start.metadata, "fine_tuned_epochs": done})
    before = start.recolor_colors(counted.colors)
    wishes = {"shares": shares, "misplaced": misplaced, "before": before}
    yield from _train(None, result, counted, settings, thumbnail, **wishes)


def _train(
    run: runs.Run | None,
    result: ColorMap,
    counted: CountedColors,
    settings: Settings,
    thumbnail: np.ndarray | None,
    **wishes: np.ndarray,
) -> Generator[Event]:
    task = objective.task(counted, result.palette, devices.pick(settings.device), **wishes)
    optimizer = optim.Adam(result.model.parameters(), settings.lr)
    weights = _plan(settings).weights
    held_out = objective.draw(task, settings, settings.epochs + 1)  # never used for training
    save_to = run.config.get("save") if run is not None else None

    def batches(epoch: int) -> Iterator[tuple[Tensor, ...]]:
        yield objective.draw(task, settings, epoch)

    def terms(network: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return objective.terms(network, batch, task, settings)

    def measure(network: nn.Module, epoch: int) -> dict[str, float]:
        with torch.no_grad():
            losses = terms(network, held_out)
        return {"loss": sum(weights[name] * value.item() for name, value in losses.items())}

    def keep() -> ColorMap:
        if save_to is not None and runs.is_first_process():
            save_map(result, save_to)
        return result

    stream = training.run(
        run,
        result.model,
        optimizer,
        batches,
        terms,
        _plan(settings),
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(settings)),
        measure=measure,
        metadata=result.metadata,
        finish=lambda model: keep(),
    )
    unsaved = False
    try:
        for event in stream:
            unsaved = not isinstance(event, Done)
            if isinstance(event, Step):
                loss = round(event.losses["total"], 6)
                result.metadata.update(training_epochs=event.step, final_loss=loss)
            yield event
            if isinstance(event, Step) and thumbnail is not None and _shows(event.step):
                yield Preview(f"epoch {event.step}", result.preview(thumbnail))
    finally:
        stream.close()
        result.model.cpu()
        if unsaved:
            keep()


def _plan(settings: Settings) -> training.Plan:
    return training.Plan.of(
        settings,
        steps_per_epoch=1,
        weights={**asdict(settings.weights), "placement": PLACEMENT},
        best={"loss": "min"},
        patience=math.ceil(settings.patience / EVERY),
        every=EVERY,
        untrained=True,
    )


def _shows(epoch: int) -> bool:
    return epoch % 50 == 0 or epoch in (1, 10, 25)


def _untrained(
    counted: CountedColors, palette: Palette, settings: Settings, names: dict[str, str] | None
) -> ColorMap:
    with devices.seeded(settings.seed):
        model = ColorMapper(
            settings.layers, settings.hidden, settings.head, palette.colors.tolist(), settings.temperature
        )
    facts = {
        "palette": palette.colors.tolist(),
        "shares": [round(float(share), 6) for share in palette.shares],
        "settings": asdict(settings),
        "source_colors": seen_colors(counted),
        "training_epochs": 0,
    }
    return ColorMap(model, palette, facts | (names or {}))


def _read_inputs(run: runs.Run) -> tuple[Palette, CountedColors]:
    """Read the palette and the counted colours of a run."""
    try:
        stored = run.config["palette"]
        palette = Palette(np.array(stored["colors"], np.uint8), np.array(stored["shares"], np.float64))
        with np.load(run.folder / "colors.npz", allow_pickle=False) as file:
            colors, counts, pairs = file["colors"], file["counts"], file["pairs"]
        if colors.ndim != 2 or colors.shape[1] != 3 or colors.dtype != np.uint8:
            raise ValueError("colors.npz has no valid colours")
        if counts.shape != colors.shape[:1] or not len(counts) or not (counts > 0).all():
            raise ValueError("colors.npz has no valid counts")
        if pairs.ndim != 3 or pairs.shape[1:] != (2, 3) or pairs.dtype != np.uint8:
            raise ValueError("colors.npz has no valid pairs")
    except Exception as error:  # untrusted files can raise anything
        raise ValueError(f"cannot read the inputs of {run.folder}: {error}") from error
    return palette, CountedColors(colors, counts, pairs)


def _with_precision(settings: Settings) -> Settings:
    """Resolve the precision "auto", so that a resume uses the same one."""
    if settings.precision != "auto":
        return settings
    fast = devices.autocast_dtype(devices.pick(settings.device))
    return replace(settings, precision=str(fast).removeprefix("torch."))


def _schedule(settings: Settings) -> Callable[[int], float]:
    if not settings.cosine:
        return lambda step: 1.0
    return lambda step: 0.02 + 0.98 * (1 + math.cos(math.pi * min(step / settings.epochs, 1))) / 2
