"""Which device to compute on, what it is good at, and where random numbers come from."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock

import numpy as np
import torch

_SEEDING = RLock()  # a checkpoint may be loaded where a network is drawn


def pick(device: str = "auto") -> torch.device:
    """`auto` is what VISION_CORE_DEVICE says, else CUDA, Apple's MPS or the CPU.

    Raises:
        ValueError: the device is not there.
    """
    if device == "auto":
        device = os.environ.get("VISION_CORE_DEVICE") or "auto"
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, there in here.items() if there))
    kind, _, number = device.partition(":")
    counted = torch.cuda.device_count() if kind == "cuda" else 1
    if not here.get(kind, False) or (number and not (number.isdecimal() and int(number) < counted)):
        raise ValueError(
            f"device {device!r} is not on this machine; here: {', '.join(n for n in here if here[n])}"
        )
    return torch.device(device)


def generator(seed: int, *stream: int) -> torch.Generator:
    """A CPU generator for one stream of random numbers, e.g. `generator(seed, epoch)`.

    Always on the CPU, so that a seed means the same on every device; streams of different numbers are
    independent (`numpy.random.SeedSequence`).

    Raises:
        ValueError: a number is negative.
    """
    if min(seed, *stream, 0) < 0:
        raise ValueError(f"seeds must be 0 or more, got {(seed, *stream)}")
    state = np.random.SeedSequence(seed, spawn_key=stream).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Where a network draws its first weights: from `seed`, whatever other threads do meanwhile.

    The caller's random numbers stay as they were.
    """
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reset a GPU's, too
        yield


@cache
def bf16_speedup(device: str = "cpu") -> float:
    """How many times faster a bfloat16 matrix product is than float32 here, measured once a process."""
    side = 512 if device == "cpu" else 4096  # a small product measures how fast a GPU is called
    matrices = [
        torch.ones(side, side, device=device, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    ]
    seconds = [float("inf"), float("inf")]
    began = time.perf_counter()
    for _ in range(16):  # in turns, and the best of each: another program's load must not decide
        for turn, matrix in enumerate(matrices):
            start = time.perf_counter()
            (matrix @ matrix).sum().item()
            seconds[turn] = min(seconds[turn], time.perf_counter() - start)
        spent = time.perf_counter() - began
        if spent > 0.5 or (spent > 0.1 and seconds[1] > 2 * seconds[0]):  # emulated: 0.2 s a product
            break
    return seconds[0] / seconds[1]


def autocast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where it was measured at least 1.5 times as fast as float32, else float32."""
    if device.type == "mps":
        return torch.float32
    return torch.bfloat16 if bf16_speedup(str(device)) >= 1.5 else torch.float32
