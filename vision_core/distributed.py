"""Distributed training: each process computes its rows of every batch, then the outputs are gathered.

Every process evaluates the loss on the whole batch. So losses that compare rows with each other (contrastive
ones, distributions, histograms) and their gradients are the same as in a single process. `fit` does this for
every trainer.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The rows `rank`, `rank + processes`, ... of a batch of `rows`."""

    rank: int
    processes: int
    rows: int

    def of(self, x: Tensor) -> Tensor:
        return x[self.rank :: self.processes]


_SHARE: ContextVar[Share | None] = ContextVar("share", default=None)


def count() -> int:
    """The number of processes in this training."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def shared(model: nn.Module) -> Iterator[None]:
    """Shard the forward passes of `model` inside the block over the processes, and gather their outputs.

    Tensor arguments and outputs are sharded along their first dimension.

    Raises:
        ValueError: in a forward pass, if a batch has fewer rows than there are processes.
    """
    if count() == 1:
        yield
        return
    rank, processes, entered = dist.get_rank(), count(), list[Any]()

    def before(module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        lengths = [len(x) for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.ndim]
        if not lengths or min(lengths) < processes:
            raise ValueError(
                f"a batch of {min(lengths, default=0)} cannot be shared by {processes} processes"
            )
        share = Share(rank, processes, lengths[0])
        entered.append((_SHARE.set(share), lengths))
        return pytree.tree_map(
            lambda x: share.of(x) if isinstance(x, Tensor) and x.ndim else x, (args, kwargs)
        )

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        token, lengths = entered.pop()
        _SHARE.reset(token)
        whole = {-(-(length - rank) // processes): length for length in reversed(lengths)}
        return pytree.tree_map(
            lambda x: _Gather.apply(x, whole[len(x)]) if isinstance(x, Tensor) and x.ndim else x, output
        )

    hooks = [
        model.register_forward_pre_hook(before, with_kwargs=True),
        model.register_forward_hook(after, with_kwargs=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        while entered:  # the forward pass raised
            _SHARE.reset(entered.pop()[0])


class _Gather(torch.autograd.Function):
    """All-gather: each process's rows -> all rows, in order. Backward keeps the gradient of its own rows.

    All processes compute the same loss from the same outputs, so the backward pass needs no communication.
    Gradients are averaged over processes later, although each row belongs to one process: hence the factor.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, rows: int) -> Tensor:
        processes, most = count(), -(-rows // count())
        padded = part.new_zeros(most, *part.shape[1:])
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in range(processes)]
        dist.all_gather(parts, padded.contiguous())
        return torch.stack(parts, 1).flatten(0, 1)[:rows]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][dist.get_rank() :: count()] * count(), None


class _Sum(torch.autograd.Function):
    """All-reduce: the sum of a statistic over processes; every process's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its mean over processes, in one message per dtype."""
    if count() == 1:
        return
    with_gradient = [p for p in parameters if p.grad is not None]
    for dtype in dict.fromkeys(p.dtype for p in with_gradient):
        gradients = [p.grad for p in with_gradient if p.dtype == dtype and p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= count()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def from_first(make: Callable[[], T]) -> T:
    """Call `make` in the first process only and broadcast the result, which must be plain data or tensors."""
    if count() == 1:
        return make()
    box: list[Any] = [make()] if dist.get_rank() == 0 else [None]
    dist.broadcast_object_list(box)
    return box[0]


def synchronize(model: nn.Module) -> None:
    """Make the batch norms and dropouts of a network treat a sharded batch as a whole, in place.

    Like `torch.nn.SyncBatchNorm.convert_sync_batchnorm`, but on any device.
    """
    if count() == 1:
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _BatchNorm2d
        elif type(module) is nn.Dropout:
            module.__class__ = _Dropout


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """`F.dropout` that, in a sharded batch, drops the same entries as a single process would."""
    share = _SHARE.get()
    if share is None or not training or p == 0:
        return F.dropout(x, p, training)
    whole = x.new_ones(share.rows, *x.shape[1:])
    return x * share.of(F.dropout(whole, p))


class _Dropout(nn.Dropout):
    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)


class _BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the mean and variance of the whole, sharded batch."""

    def forward(self, input: Tensor) -> Tensor:
        share = _SHARE.get()
        if share is None or not self.training:
            return super().forward(input)
        x = input.float()
        pixels = share.rows * math.prod(x.shape[2:])
        mean = _Sum.apply(x.sum((0, 2, 3))) / pixels
        centred = x - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / pixels
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (pixels / (pixels - 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)
