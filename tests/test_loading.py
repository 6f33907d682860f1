"""Tests that worker processes give the same batches as one process."""

import os

import pytest
import torch

from vision_core.loading import prefetched


def _batch(number):
    return torch.full((2,), number), (torch.arange(number), os.getpid())


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_as_they_were_made(workers):
    batches = list(prefetched(_batch, 7, workers))
    assert [type(part) for part in batches[0]] == [torch.Tensor, tuple]
    assert [first.tolist() for first, _ in batches] == [[n, n] for n in range(7)]
    assert [rest.tolist() for _, (rest, _) in batches] == [list(range(n)) for n in range(7)]
    makers = {process for _, (_, process) in batches}
    assert makers == {os.getpid()} if workers == 0 else len(makers) == 2 and os.getpid() not in makers


def test_an_error_of_a_worker_reaches_the_caller():
    def broken(number):
        raise ValueError(f"batch {number}")

    with pytest.raises(ValueError, match="batch 0"):
        list(prefetched(broken, 2, 1))
