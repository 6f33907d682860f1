"""Trains AnchorNet by the exact gradient of the expected loss, or a sampled one under a budget.

Painting a given (picture, anchor, size) with a seed is deterministic. So every candidate is painted and
scored at most once, its loss goes into a table L[picture, anchor, size], and the expected loss
sum_km pi[k, m] L[k, m] has an exact gradient in the network's probabilities pi. Under a budget, the sizes to
paint are drawn from pi, and REINFORCE takes its place, with the mean of the known losses as baseline.
"""

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision_core import devices, distributed, runs, training
from vision_core.editing import choices, losses
from vision_core.editing.anchor_net import AnchorNet
from vision_core.editing.editor import find_regions, paint, pooled
from vision_core.editing.tasks import EditPlan
from vision_core.events import Event, Prepare
from vision_core.files import atomic, read_json
from vision_core.pictures import images
from vision_core.runs import Run
from vision_core.safety.messages import quote
from vision_core.settings import COUNT, TrainingSettings, setting
from vision_core.training import Plan

Score = Callable[[int, int, int], float]


@dataclass(frozen=True)
class Settings(TrainingSettings):
    """Settings of a training; the loss weights and the optimiser are the original's."""

    data: str = setting(help="A JSON {file: [caption, prompt]}, or a folder with data.json.", path=True)
    epochs: int = setting(
        100, "Passes over the pictures.", least=1, most=COUNT, option="--per-image-iteration"
    )
    alpha: float = setting(1.0, "Weight of the text-image loss.")
    beta: float = setting(1.0, "Weight of the directional loss.")
    gamma: float = setting(1.0, "Weight of the structure loss.")
    budget: int = setting(0, "Paintings at most; 0 paints every candidate.", least=0, most=COUNT)
    backend: str = setting("auto", "What paints; see `edit run --help`.")
    model: str | None = setting(None, "Folder or repository of a painter of yours.")
    vit: str | None = setting(None, "Folder or repository of the ViT.")
    clip: str | None = setting(None, "Folder or repository of the CLIP.")
    anchors: int = setting(9, "Places at which boxes are tried.", least=1, most=64)
    max_window: int = setting(15, "Half of the largest box's side, in patches.", least=4, most=16)
    steps: int = setting(20, "Steps of the painter.", least=1, most=1000)
    lr: float = setting(5e-3, "Adam's learning rate.", above=0, below=1)


class Table:
    """The losses L[picture, anchor, size] computed so far; NaN for candidates not painted yet.

    Painted losses are kept in a separate file, so that a resumed training does not paint again; which of them
    are known is part of the training's state.

    Args:
        path: the file of all paintings' losses.
        score: paints and scores one candidate.
        budget: of them at most; 0 is no limit.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], score: Score, budget: int = 0) -> None:
        self.path, self.score, self.budget = path, score, budget or int(np.prod(shape))
        self.values = np.full(shape, np.nan, np.float32)
        self.painted = self.values.copy()
        if path.is_file():
            try:
                stored = np.load(path, allow_pickle=False)
            except Exception as error:  # whatever numpy raises on strange bytes
                raise ValueError(f"{path} is damaged: remove it to paint the candidates again") from error
            if stored.shape != shape or stored.dtype != np.float32:
                raise ValueError(f"{path} holds the losses of another run")
            self.painted = stored

    @property
    def known(self) -> np.ndarray:
        return ~np.isnan(self.values)

    def state_dict(self) -> dict[str, Tensor]:
        return {"known": torch.from_numpy(self.known), "values": torch.from_numpy(np.nan_to_num(self.values))}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        values, known = state["values"].numpy(), state["known"].numpy()
        if not values.shape == known.shape == self.values.shape or known.dtype != bool:
            raise ValueError("the state holds the losses of another run")
        self.values = np.where(known, values, np.nan).astype(np.float32)

    def get(self, picture: int, anchor: int, size: int) -> float | None:
        """The loss, painting the candidate if necessary; None if the budget is used up."""
        place = picture, anchor, size
        if np.isnan(self.values[place]):
            if self.known.sum() >= self.budget:
                return None
            if np.isnan(self.painted[place]):
                self.painted[place] = distributed.from_first(lambda: self.score(*place))
                if runs.is_first_process():
                    with atomic(self.path) as file:
                        np.save(file, self.painted)
            self.values[place] = self.painted[place]
        return float(self.values[place])


def expected(log_pi: Tensor, table: Tensor) -> Tensor:
    """The mean over anchors of sum_m pi[k, m] L[k, m]; unknown losses (NaN) are left out of pi.

    Args:
        log_pi, table: (K, M).
    """
    if log_pi.shape != table.shape:
        raise ValueError(f"expected (K, M) twice, got {tuple(log_pi.shape)} and {tuple(table.shape)}")
    known = ~table.isnan()
    pi = torch.where(known, log_pi, -torch.inf)[known.any(1)].softmax(1)
    return (pi * table.nan_to_num()[known.any(1)]).sum(1).mean()


def reinforce(log_pi: Tensor, sizes: Tensor, observed: Tensor, baseline: Tensor) -> Tensor:
    """A loss whose gradient estimates the expected loss's without bias: (observed - baseline) log pi[size].

    Args:
        log_pi: (K, M). sizes, observed, baseline: (K,), the sizes drawn from pi, their losses, and any number
            that does not depend on the draw.
    """
    return ((observed - baseline) * log_pi.gather(1, sizes[:, None])[:, 0]).mean()


def optimize(
    run: Run, boxes: list[Tensor], table: Table, settings: Settings, metadata: dict[str, Any]
) -> Generator[Event]:
    """Train on the boxes' features, (K, M, C, 8, 8) of each picture, and their losses.

    Metrics: `loss`, the mean loss of the network's choice among the known ones, and its `regret` against the
    best box at each anchor.
    """
    sampled = table.budget < table.values.size
    with devices.seeded(settings.seed):
        model = AnchorNet(boxes[0].shape[2], boxes[0].shape[1])
    # decoupled: CLIP's losses differ by hundredths, and Adam with the decay in the gradient learns only zeros
    optimizer = torch.optim.AdamW(model.parameters(), settings.lr, betas=(0.9, 0.96), weight_decay=0.045)
    steps = settings.epochs * len(boxes)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def batches(epoch: int) -> Iterator[Tensor]:
        order = torch.randperm(len(boxes), generator=devices.generator(settings.seed, epoch))
        return iter([torch.tensor([epoch, number]) for number in order.tolist()])

    def terms(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        epoch, number = batch.tolist()
        log_pi = model(boxes[number].to(batch.device)).cpu()
        if sampled:
            return {
                "expected": _sampled(log_pi, table, number, devices.generator(settings.seed, epoch, number))
            }
        return {"expected": expected(log_pi, torch.from_numpy(table.values[number]))}

    yield from training.run(
        run,
        model,
        optimizer,
        batches,
        terms,
        Plan.of(
            settings,
            len(boxes),
            clip=None,  # the settings' is the name of a CLIP
            best={"loss": "min"},
            every=max(1, settings.epochs // 20),
            untrained=True,
        ),
        scheduler=scheduler,
        measure=lambda model, epoch: measure(model, boxes, table.values),
        metadata=metadata,
        finish=lambda model: {
            "weights": str(run.folder / "last.safetensors"),
            "painted": int(table.known.sum()),
            **measure(model, boxes, table.values),
        },
        prepare=None if sampled else _complete(table),
        keep={"table": table},
    )


def measure(model: nn.Module, boxes: list[Tensor], table: np.ndarray) -> dict[str, float]:
    """Mean loss and regret of the most probable known size, and the regret of a random size."""
    chosen, best, mean = [], [], []
    device = next(model.parameters()).device
    with torch.inference_mode():
        for features, rows in zip(boxes, table, strict=True):
            log_pi = model(features.to(device)).cpu().numpy()
            for scores, row in zip(log_pi, rows, strict=True):
                if (known := ~np.isnan(row)).any():
                    chosen.append(float(row[np.where(known, scores, -np.inf).argmax()]))
                    best.append(float(np.nanmin(row)))
                    mean.append(float(np.nanmean(row)))
    if not chosen:
        return {"loss": 0.0, "regret": 0.0, "regret_of_random": 0.0}
    loss, floor = float(np.mean(chosen)), float(np.mean(best))
    return {"loss": loss, "regret": loss - floor, "regret_of_random": float(np.mean(mean)) - floor}


def train(out: str | Path, settings: Settings, replace: bool = False) -> Generator[Event]:
    """Train in the folder `out`; see `training.start`.

    Raises:
        WeightsMissing: the backend's networks are not on this machine.
    """
    return training.start(out, "edit", settings, lambda asked: read_data(asked.data), _train, replace)


def resume(out: str | Path) -> Generator[Event]:
    """Resume the run in `out`; finished paintings are not repeated."""
    return training.resume(out, "edit", Settings, lambda asked: read_data(asked.data), _train)


def _train(run: Run, settings: Settings, entries: list[tuple[Path, str, str]]) -> Generator[Event]:
    painter = choices.painter(
        settings.backend, settings.model, generative=True, steps=settings.steps, device=settings.device
    )
    eyes = choices.load_saliency(settings.vit, settings.backend, settings.device, painter)
    pictures = [images.read(path) for path, _, _ in entries]
    regions = [find_regions(p, eyes, settings.anchors, settings.max_window) for p in pictures]
    boxes = [pooled(f, *p.rgb.shape[:2]) for f, p in zip(regions, pictures, strict=True)]
    if len({b.shape for b in boxes}) > 1:
        raise ValueError("the pictures are too small for so many anchors")
    clip = choices.load_clip(settings.clip, settings.backend, settings.device)

    def score(picture: int, anchor: int, size: int) -> float:
        source, (_, caption, prompt) = pictures[picture], entries[picture]
        mask = regions[picture].boxes[anchor][size].mask(*source.rgb.shape[:2])
        events = paint(source, EditPlan(mask, prompt, seed=settings.seed), painter)
        edited = _finish(events)
        terms = clip.terms(source.seen, [edited.seen], caption, prompt)
        return float(losses.total(terms, settings.alpha, settings.beta, settings.gamma)[0])

    anchors, sizes = boxes[0].shape[:2]
    table = Table(run.folder / "table.npy", (len(boxes), anchors, sizes), score, settings.budget)
    digest = hashlib.sha256(_data_file(settings.data).read_bytes()).hexdigest()
    metadata = {
        "licence": "Apache-2.0",
        "backend": painter.name,
        "data_sha256": digest,
        "seed": settings.seed,
    }
    yield from optimize(run, boxes, table, settings, metadata)


def read_data(path: str | Path) -> list[tuple[Path, str, str]]:
    """Pictures, captions and prompts of `{file: [caption, prompt]}`, or of data.json in a folder.

    Raises:
        ValueError: it is something else, empty, or names a file that is not beside it.
    """
    path = _data_file(path)
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise ValueError(f"{path} holds no pictures; an object {{file: [caption, prompt]}} was expected")
    entries = []
    for name, texts in data.items():
        if not (isinstance(texts, list) and len(texts) == 2 and all(isinstance(text, str) for text in texts)):
            raise ValueError(f"{path}: {quote(name)} is {quote(texts)}; [caption, prompt] was expected")
        file = path.parent / name
        try:
            beside = file.resolve().is_relative_to(path.parent.resolve()) and file.is_file()
        except (OSError, ValueError):  # too long, or not a name at all
            beside = False
        if not beside:
            raise ValueError(f"{path} names {name[:100]!r}, which is no file beside it")
        entries.append((file.resolve(), texts[0], texts[1]))
    return entries


def _data_file(path: str | Path) -> Path:
    return Path(path) / "data.json" if Path(path).is_dir() else Path(path)


def _sampled(log_pi: Tensor, table: Table, number: int, generator: torch.Generator) -> Tensor:
    """The loss estimate from one drawn size per anchor; if the budget is used up, from the known losses."""
    samples = torch.multinomial(log_pi.detach().exp(), 1, generator=generator)[:, 0]
    before = table.values[number].copy()
    observed = [table.get(number, anchor, size) for anchor, size in enumerate(samples.tolist())]
    if None in observed:
        rows = torch.from_numpy(table.values[number])
        return expected(log_pi, rows) if (~rows.isnan()).any() else log_pi.sum() * 0
    values = torch.tensor([value for value in observed if value is not None])
    baseline = np.nanmean(before) if not np.isnan(before).all() else float(values.mean())
    return reinforce(log_pi, samples, values, torch.full_like(values, float(baseline)))


def _complete(table: Table) -> Generator[Prepare]:
    """Paint all candidates that are not painted yet, and make all losses known to the training."""
    table.values = table.painted.copy()
    began, places = time.monotonic(), np.argwhere(~table.known).tolist()
    for number, (picture, anchor, size) in enumerate(places, 1):
        table.get(picture, anchor, size)
        yield Prepare(number, len(places), (time.monotonic() - began) / number * (len(places) - number))


def _finish(events: Generator[Event, None, Any]) -> Any:
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value
