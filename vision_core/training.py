"""Training as a stream of events: the one loop that every system trains with, on one device or many."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


@dataclass(frozen=True)
class Step:
    """One optimiser step: which of how many, the losses by name (with "total"), seconds left."""

    step: int
    total: int
    losses: dict[str, float]
    eta: float


@dataclass(frozen=True)
class Epoch:
    """One pass done: its number (0 is the untrained network), of how many, and what was measured."""

    epoch: int
    epochs: int
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preview:
    """A picture on the way: uint8 (H, W, 3) RGB."""

    title: str
    image: Any


@dataclass(frozen=True)
class Done:
    """The end, with the system's result."""

    result: Any


Event = Step | Epoch | Preview | Done


def fit(
    model: nn.Module,
    batches: Callable[[int], Iterable[Any]],
    terms: Callable[[nn.Module, Any], dict[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    start: int = 0,
    weights: Mapping[str, float] | None = None,
    scheduler: Any = None,
    accelerator: Accelerator | None = None,
) -> Generator[Step | Epoch]:
    """Train from epoch `start + 1` to `epochs`.

    Stop by leaving the loop; act between epochs by catching `Epoch`.

    Args:
        batches: epoch -> its batches (a tensor or tuple of tensors each). A pure function of seed and epoch,
            so that a resumed run sees the data of an uninterrupted one. Each of several processes takes its
            share.
        terms: (model, batch) -> scalar losses by name. All of them are reported; their sum, weighted by
            `weights` (1 where a name is missing), is minimised.
        scheduler: stepped after every optimiser step.

    Of several processes all see the same losses, so that whatever a caller decides on them, all decide alike.

    Raises:
        ValueError: an epoch has other than `steps_per_epoch` batches, a batch fewer entries than processes.
        FloatingPointError: a loss or the gradient is NaN or infinite; the model keeps its last good weights.
    """
    accelerator = accelerator or Accelerator()
    weights = weights or {}
    prepared, optimizer = accelerator.prepare(model, optimizer)
    parameters = [*model.parameters()]
    total, step, began = epochs * steps_per_epoch, start * steps_per_epoch, time.monotonic()
    for epoch in range(start + 1, epochs + 1):
        sums: dict[str, float] = {}
        for batch in batches(epoch):
            if step == epoch * steps_per_epoch:
                raise ValueError(f"epoch {epoch} has more than steps_per_epoch, {steps_per_epoch}, batches")
            step += 1
            if not model.training:  # the caller may have evaluated it while we were paused
                model.train()
            losses = terms(prepared, _share(batch, accelerator))
            loss = torch.stack([weights.get(name, 1.0) * value for name, value in losses.items()]).sum()
            model.zero_grad()
            accelerator.backward(loss)
            named = _finite(parameters, {"total": loss, **losses}, accelerator, step)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            for name, value in named.items():
                sums[name] = sums.get(name, 0.0) + value
            if accelerator.trackers:
                accelerator.log(named, step=step)
            done = step - start * steps_per_epoch
            yield Step(step, total, named, (time.monotonic() - began) / done * (total - step))
        if step != epoch * steps_per_epoch:
            short = epoch * steps_per_epoch - step
            raise ValueError(
                f"epoch {epoch} has {short} batches fewer than steps_per_epoch, {steps_per_epoch}"
            )
        yield Epoch(epoch, epochs, {name: value / steps_per_epoch for name, value in sums.items()})


def _finite(
    parameters: list[nn.Parameter], losses: dict[str, Tensor], accelerator: Accelerator, step: int
) -> dict[str, float]:
    """The mean losses of all processes as numbers; NaN or infinity there, or in the gradient, is an error."""
    means: Any = accelerator.reduce(torch.stack([*losses.values()]).detach(), "mean")
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    *values, norm = torch.stack([*means, norm.to(means)]).tolist()  # one copy from the device
    if not all(map(math.isfinite, values)):
        raise FloatingPointError(f"the loss is {values[0]} at step {step}: lower the learning rate")
    scaled = accelerator.scaler is not None  # fp16 lets gradients overflow at times, and skips the step
    if not scaled and not math.isfinite(norm):
        raise FloatingPointError(f"the gradient is {norm} at step {step}: lower the learning rate")
    return dict(zip(losses, values, strict=True))


def _share(batch: Any, accelerator: Accelerator) -> Any:
    """This process's part of a batch, on its device."""
    if isinstance(batch, tuple):
        return tuple(_share(part, accelerator) for part in batch)
    rank, processes = accelerator.process_index, accelerator.num_processes
    if len(batch) < processes:
        raise ValueError(f"a batch of {len(batch)} cannot be shared by {processes} processes")
    return batch[rank::processes].to(accelerator.device)
