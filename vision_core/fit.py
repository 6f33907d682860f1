"""The loop of every training: batches, losses, gradients and optimiser steps, as a stream of events."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from vision_core import devices, distributed
from vision_core.events import Epoch, Step

Batches = Callable[[int], Iterable[Any]]
Terms = Callable[[nn.Module, Any], dict[str, Tensor]]


def fit(
    model: nn.Module,
    batches: Batches,
    terms: Terms,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    start: int = 0,
    weights: Mapping[str, float] | None = None,
    clip: float | None = None,
    accumulate: int = 1,
    seed: int | None = None,
    scheduler: Any = None,
    accelerator: Accelerator | None = None,
) -> Generator[Step | Epoch]:
    """Train from epoch `start + 1` to `epochs`, keeping nothing on disk.

    Stop by leaving the loop; act between epochs by catching `Epoch`. The arguments that `Plan` has mean the
    same here. Of several processes all see the same losses, so that all decide alike.

    Args:
        batches: epoch -> its batches (a tensor or tuple of tensors each), `accumulate` for each step. A pure
            function of seed and epoch, so that a resumed run sees the data of an uninterrupted one.
        terms: (model, batch) -> scalar losses by name. All of them are reported; their sum, weighted by
            `weights`, is minimised. Of several processes each sees the whole batch; the call of the model in
            it computes a share of the rows and returns those of all, see `distributed.shared`.
        scheduler: stepped after every optimiser step.

    Raises:
        ValueError: an epoch has too many or too few batches, or a batch fewer entries than processes.
        FloatingPointError: a loss or the gradient is NaN or infinite; the model keeps its last good weights.
    """
    accelerator = accelerator or Accelerator()
    model.to(accelerator.device)
    distributed.synchronize(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    total, step, began = epochs * steps_per_epoch, start * steps_per_epoch, time.monotonic()
    model.train()  # once in any case: a network whose frozen parts do not follow says so in its `train`
    for epoch in range(start + 1, epochs + 1):
        sums: dict[str, float] = {}
        if seed is not None:
            torch.manual_seed(devices.generator(seed, epoch).initial_seed())
        for group in _groups(batches(epoch), accumulate, steps_per_epoch, epoch):
            step += 1
            devices.share_cores(fixed=True)
            if not model.training:  # the caller may have evaluated it while we were paused
                model.train()
            model.zero_grad()
            losses = _backward(model, group, terms, weights or {}, accelerator)
            distributed.average_gradients(parameters)
            named, norm = _finite(parameters, losses, accelerator, step)
            if clip is not None:
                clip_grads_with_norm_(parameters, clip, norm)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            for name, value in named.items():
                sums[name] = sums.get(name, 0.0) + value
            if accelerator.trackers:
                accelerator.log(named, step=step)
            done = step - start * steps_per_epoch
            yield Step(step, total, named, (time.monotonic() - began) / done * (total - step))
        yield Epoch(epoch, epochs, {name: value / steps_per_epoch for name, value in sums.items()})


def _groups(batches: Iterable[Any], size: int, count: int, epoch: int) -> Iterator[list[Any]]:
    """The batches of each optimiser step; an epoch of more or fewer than `count` groups is a `ValueError`."""
    group: list[Any] = []
    drawn = 0
    for batch in batches:
        if drawn == count * size:
            raise ValueError(f"epoch {epoch} has more than {count * size} batches")
        drawn += 1
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if drawn < count * size:
        raise ValueError(f"epoch {epoch} has {drawn} batches, not {count * size}")


def _backward(
    model: nn.Module, group: list[Any], terms: Terms, weights: Mapping[str, float], accelerator: Accelerator
) -> dict[str, Tensor]:
    """Add the gradient of the mean loss of a group of batches; the mean losses by name, "total" first."""
    means: dict[str, Tensor] = {}
    for batch in group:
        with distributed.shared(model):
            losses = terms(model, _on(batch, accelerator.device))
        loss = torch.stack([weights.get(name, 1.0) * value for name, value in losses.items()]).sum()
        accelerator.backward(loss / len(group))
        for name, value in {"total": loss, **losses}.items():
            means[name] = means.get(name, 0.0) + value.detach() / len(group)
    return means


def _finite(
    parameters: list[nn.Parameter], losses: dict[str, Tensor], accelerator: Accelerator, step: int
) -> tuple[dict[str, float], Tensor]:
    """The losses (means over all processes) as numbers, and the norm of the gradient, both finite."""
    means: Any = accelerator.reduce(torch.stack([*losses.values()]), "mean")
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    *values, length = torch.stack([*means, norm.to(means)]).tolist()  # one copy from the device
    if not all(map(math.isfinite, values)):
        raise FloatingPointError(f"the loss is {values[0]} at step {step}: lower the learning rate")
    if not math.isfinite(length):
        raise FloatingPointError(f"the gradient is {length} at step {step}: lower the learning rate")
    return dict(zip(losses, values, strict=True)), norm


def _on(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, tuple):
        return tuple(_on(part, device) for part in batch)
    return batch.to(device)
