"""Devices, autocast precision, CPU threads shared between processes, and random generators."""

import atexit
import hashlib
import os
import platform
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

from vision_core.files import write_text

ACTIVE_SECONDS = 10.0  # a thread counts as active this long after its last heartbeat
POLL_SECONDS = 0.5  # between two scans of the heartbeat files
_mine = local()  # per thread: time of the last scan, and the thread count when alone
_SEEDING = RLock()  # reentrant: a network under construction may load a checkpoint


def pick(device: str = "auto") -> torch.device:
    """Resolve a device name. `auto` is VISION_CORE_DEVICE if set, else CUDA, MPS or the CPU.

    Raises:
        ValueError: the device is not available.
    """
    if device == "auto":
        device = os.environ.get("VISION_CORE_DEVICE") or "auto"
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, usable in available.items() if usable))
    kind, _, number = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not available.get(kind, False) or (number and not (number.isdecimal() and int(number) < count)):
        usable = ", ".join(name for name in available if available[name])
        raise ValueError(f"device {device!r} is not available on this machine; available: {usable}")
    return torch.device(device)


def cores() -> int:
    """The number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_cores(fixed: bool = False) -> int:
    """Set the thread count of torch and OpenCV to this thread's fair share of the cores, and return it.

    Oversubscription is expensive: two processes with two threads each on two cores take six times as long
    as one alone, but with one thread each no longer than one after the other. Long work calls this between
    its steps. Each call touches a heartbeat file in the temporary folder, by which other processes see it.
    The thread count never exceeds torch's original one. Without a writable folder, cores are not shared.

    Args:
        fixed: only send the heartbeat and keep the thread count. Trainings need this: the number of threads
            changes the rounding of sums.
    """
    now = time.monotonic()
    if not hasattr(_mine, "alone"):
        _mine.alone, _mine.scanned = torch.get_num_threads(), -POLL_SECONDS
        atexit.register(_remove, _heartbeat_file())
    if now - _mine.scanned >= POLL_SECONDS:
        _mine.scanned, others = now, 0
        with suppress(OSError):
            others = _send_heartbeat()
        if not (fixed or getattr(_mine, "fixed", False)):
            _set_threads(max(1, min(_mine.alone, cores() // (1 + others))))
    return torch.get_num_threads()


@contextmanager
def fixed_cores() -> Iterator[None]:
    """Keep the thread count of this thread inside the block, whatever `share_cores` is called with."""
    _mine.fixed = True
    try:
        yield
    finally:
        _mine.fixed = False


def _heartbeat_file() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(gettempdir()).resolve() / f"vision-core-{user}" / "cores"
    return folder / f"{os.getpid()}-{get_native_id()}"


def _send_heartbeat() -> int:
    """Mark this thread as active; returns the number of other active threads, in any process."""
    heartbeat, others = _heartbeat_file(), 0
    heartbeat.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    heartbeat.touch(mode=0o600)
    for other in heartbeat.parent.iterdir():
        pid = other.name.partition("-")[0]
        if other.name == heartbeat.name or not pid.isdecimal():
            continue
        with suppress(FileNotFoundError):  # it has just ended
            age = time.time() - other.stat().st_mtime
            if not psutil.pid_exists(int(pid)) or age > 3600:
                other.unlink()
            elif age < ACTIVE_SECONDS:
                others += 1
    return others


def _set_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    if "cv2" in sys.modules and sys.modules["cv2"].getNumThreads() != count:
        sys.modules["cv2"].setNumThreads(count)


def _remove(heartbeat: Path) -> None:
    with suppress(OSError):
        heartbeat.unlink()


def generator(seed: int, *stream: int) -> torch.Generator:
    """A CPU generator for one stream of random numbers, e.g. `generator(seed, epoch)`.

    It is always on the CPU, so that a seed gives the same numbers on every device. Different streams are
    statistically independent (`numpy.random.SeedSequence`).

    Raises:
        ValueError: a number is negative.
    """
    if min(seed, *stream, 0) < 0:
        raise ValueError(f"seeds must be 0 or more, got {(seed, *stream)}")
    state = np.random.SeedSequence(seed, spawn_key=stream).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator inside the block, for weight initialisation, and restore it afterwards.

    Other threads that enter wait for their turn.
    """
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed the GPUs
        yield


@cache
def bf16_speedup(device: str = "cpu") -> float:
    """Speed-up of a bfloat16 matrix product over float32, measured once per machine.

    The first process stores it in the temporary folder. If each process measured for itself, a load on the
    machine could change the precision of a training between a kill and its resume, and with it the weights.
    """
    hardware = f"{platform.processor()} {platform.machine()} {torch.__version__} {device}"
    if device.startswith("cuda"):
        hardware += torch.cuda.get_device_name(device)
    name = f"bf16-{hashlib.sha256(hardware.encode()).hexdigest()[:16]}"
    try:
        path = _heartbeat_file().parent.with_name(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            measured = _measured_speedup(device)
            if not path.exists():  # another process may have been faster
                write_text(path, repr(measured))
        return float(path.read_text("utf-8"))
    except (OSError, ValueError):  # no folder to write to, or a damaged file
        return _measured_speedup(device)


def _measured_speedup(device: str) -> float:
    side = 512 if device == "cpu" else 4096  # on a GPU, a small product would measure the launch overhead
    matrices = [
        torch.ones(side, side, device=device, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    ]
    seconds = [float("inf"), float("inf")]
    began = time.perf_counter()
    for _ in range(16):  # interleaved, and the best of each: robust to load from other programs
        for turn, matrix in enumerate(matrices):
            start = time.perf_counter()
            (matrix @ matrix).sum().item()
            seconds[turn] = min(seconds[turn], time.perf_counter() - start)
        spent = time.perf_counter() - began
        if spent > 0.5 or (spent > 0.1 and seconds[1] > 2 * seconds[0]):  # emulated: 0.2 s each
            break
    return seconds[0] / seconds[1]


def autocast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 if it is measured to be at least 1.5 times as fast as float32, else float32."""
    if device.type == "mps":
        return torch.float32
    return torch.bfloat16 if bf16_speedup(str(device)) >= 1.5 else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """Autocast to `autocast_dtype`."""
    dtype = autocast_dtype(device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
