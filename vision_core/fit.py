"""The training loop shared by all systems, as a stream of events."""

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
    """Train from epoch `start + 1` to `epochs` without writing anything to disk.

    Leave the loop to stop training; handle `Epoch` to act between epochs. Arguments shared with
    `training.Plan` are documented there. In distributed training, every process yields the same losses.

    Args:
        batches: maps an epoch to its batches (each a tensor or a tuple of tensors), `accumulate` per step.
            It must be a pure function of the seed and the epoch, so that a resumed run sees the same data.
        terms: maps (model, batch) to scalar losses by name. All are reported; their sum, weighted by
            `weights`, is minimised. In distributed training each process receives the whole batch, and the
            forward pass is sharded over the processes; see `distributed.shared`.
        scheduler: stepped after every optimiser step.

    Raises:
        ValueError: an epoch has too many or too few batches, or a batch has fewer rows than processes.
        FloatingPointError: a loss or the gradient is not finite; the model keeps its last finite weights.
    """
    accelerator = accelerator or Accelerator()
    model.to(accelerator.device)
    distributed.synchronize(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    total, step, began = epochs * steps_per_epoch, start * steps_per_epoch, time.monotonic()
    model.train()  # unconditionally: a network may override `train` to keep frozen parts in eval mode
    for epoch in range(start + 1, epochs + 1):
        sums: dict[str, float] = {}
        if seed is not None:
            torch.manual_seed(devices.generator(seed, epoch).initial_seed())
        for group in _groups(batches(epoch), accumulate, steps_per_epoch, epoch):
            step += 1
            devices.share_cores(fixed=True)
            if not model.training:  # the caller may have evaluated the model between two events
                model.train()
            model.zero_grad()
            losses = _backward(model, group, terms, weights or {}, accelerator)
            distributed.average_gradients(parameters)
            values, norm = _finite(parameters, losses, accelerator, step)
            if clip is not None:
                clip_grads_with_norm_(parameters, clip, norm)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            if accelerator.trackers:
                accelerator.log(values, step=step)
            done = step - start * steps_per_epoch
            yield Step(step, total, values, (time.monotonic() - began) / done * (total - step))
        yield Epoch(epoch, epochs, {name: value / steps_per_epoch for name, value in sums.items()})


def _groups(batches: Iterable[Any], size: int, count: int, epoch: int) -> Iterator[list[Any]]:
    """Group the batches by optimiser step; raises `ValueError` unless there are exactly `count` groups."""
    group: list[Any] = []
    count_so_far = 0
    for batch in batches:
        if count_so_far == count * size:
            raise ValueError(f"epoch {epoch} has more than {count * size} batches")
        count_so_far += 1
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if count_so_far < count * size:
        raise ValueError(f"epoch {epoch} has {count_so_far} batches, not {count * size}")


def _backward(
    model: nn.Module, group: list[Any], terms: Terms, weights: Mapping[str, float], accelerator: Accelerator
) -> dict[str, Tensor]:
    """Backpropagate the mean loss of a group of batches; returns the mean losses by name, "total" first."""
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
    """The losses, averaged over processes, and the gradient norm; raises if any of them is not finite."""
    means: Any = accelerator.reduce(torch.stack([*losses.values()]), "mean")
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    *values, length = torch.stack([*means, norm.to(means)]).tolist()  # a single transfer from the device
    if not all(map(math.isfinite, values)):
        raise FloatingPointError(f"the loss is {values[0]} at step {step}: lower the learning rate")
    if not math.isfinite(length):
        raise FloatingPointError(f"the gradient is {length} at step {step}: lower the learning rate")
    return dict(zip(losses, values, strict=True)), norm


def _on(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, tuple):
        return tuple(_on(part, device) for part in batch)
    return batch.to(device)
