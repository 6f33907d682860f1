"""Batches made ahead by worker processes, in order, while the device computes."""

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset


class _Made(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any], count: int) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        return self.make(number)


def made(make: Callable[[int], Any], count: int, workers: int = 0) -> Iterator[Any]:
    """`make(0)` ... `make(count - 1)`; with `workers`, that many processes make them ahead.

    The number of processes changes the speed alone, as long as `make` is a function of its argument.
    """
    if workers == 0:
        yield from map(make, range(count))
        return
    yield from DataLoader(
        _Made(make, count), batch_size=None, collate_fn=_as_made, num_workers=workers, prefetch_factor=3
    )


def _as_made(batch: Any) -> Any:
    """Instead of the loader's own conversion, which would make lists of tuples."""
    return batch
