"""Which device to compute on, what it is good at, how many cores are ours, where random numbers come from."""

import atexit
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from threading import RLock, get_native_id, local

import numpy as np
import psutil
import torch

AT_WORK = 10.0  # seconds after its last sign for which work counts
LOOK = 0.5  # seconds between two looks at the ledger
_mine = local()  # when this thread looked last, and with how many threads it computes alone
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


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_cores(fixed: bool = False) -> int:
    """How many threads the calling thread computes with: its share of the cores, as others of ours work, too.

    Two processes with two threads each on two cores take six times as long as one alone; with a thread each
    they take as long as one after the other. Work of any process calls this between its steps: that tells the
    others of it, by a file in the temporary folder, and sets the threads of torch and OpenCV to what is left.
    A first call never gives more threads than torch had. Where there is no such folder, nothing is shared.

    Args:
        fixed: for a training, whose numbers may not depend on who else works: its threads stay as they are.
    """
    now = time.monotonic()
    if not hasattr(_mine, "alone"):
        _mine.alone, _mine.looked = torch.get_num_threads(), -LOOK
        atexit.register(_leave, _mark())
    if now - _mine.looked >= LOOK:
        _mine.looked, others = now, 0
        with suppress(OSError):
            others = _tell_others()
        if not (fixed or getattr(_mine, "fixed", False)):
            _set_threads(max(1, min(_mine.alone, cores() // (1 + others))))
    return torch.get_num_threads()


@contextmanager
def fixed_cores() -> Iterator[None]:
    """In the block `share_cores` leaves this thread's number of threads as it is."""
    _mine.fixed = True
    try:
        yield
    finally:
        _mine.fixed = False


def _mark() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(gettempdir()).resolve() / f"vision-core-{user}" / "cores"
    return folder / f"{os.getpid()}-{get_native_id()}"


def _tell_others() -> int:
    """Say that this thread works; how many other threads of ours do, in whatever process."""
    mark, others = _mark(), 0
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.touch(mode=0o600)
    for other in mark.parent.iterdir():
        pid = other.name.partition("-")[0]
        if other.name == mark.name or not pid.isdecimal():
            continue
        with suppress(FileNotFoundError):  # it has just ended
            age = time.time() - other.stat().st_mtime
            if not psutil.pid_exists(int(pid)) or age > 3600:
                other.unlink()
            elif age < AT_WORK:
                others += 1
    return others


def _set_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    if "cv2" in sys.modules and sys.modules["cv2"].getNumThreads() != count:
        sys.modules["cv2"].setNumThreads(count)


def _leave(mark: Path) -> None:
    with suppress(OSError):
        mark.unlink()


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
