"""Batches prefetched in order by worker processes."""

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset


class _Batches(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any], count: int) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        return self.make(number)


def prefetched(make: Callable[[int], Any], count: int, workers: int = 0) -> Iterator[Any]:
    """Yield `make(0)` ... `make(count - 1)`, prefetched by `workers` processes.

    If `make` depends on nothing but its argument, the number of workers does not change the result.
    """
    if workers == 0:
        yield from map(make, range(count))
        return
    yield from DataLoader(
        _Batches(make, count), batch_size=None, collate_fn=_unchanged, num_workers=workers, prefetch_factor=3
    )


def _unchanged(batch: Any) -> Any:
    """Replaces the default collation, which would turn tuples into lists."""
    return batch
