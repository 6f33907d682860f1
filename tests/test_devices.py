"""Tests of devices, threads and seeds."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from vision_core.devices import autocast_dtype, bf16_speedup, generator, pick, seeded


def draws(*seed: int, count: int = 4000) -> torch.Tensor:
    return torch.randn(count, generator=generator(*seed))


def test_one_seed_one_stream_in_every_process():
    code = (
        "import torch; from vision_core.devices import generator;"
        "torch.manual_seed(99); print(torch.randn(5, generator=generator(3, 7)).tolist())"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == str(draws(3, 7, count=5).tolist())
    assert generator(3, 7).device.type == "cpu"


def test_a_stream_leaves_the_global_numbers_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    draws(1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_network_drawn_beside_others_is_the_same():
    def weights(_):
        with seeded(3):
            return torch.nn.Linear(400, 400).weight.sum().item()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(weights, range(200)))) == 1


def test_numbers_drawn_inside_others_change_nothing_around_them():
    def weights(seed, between=lambda: None):
        with seeded(seed):
            first = torch.nn.Linear(4, 4).weight
            between()
            return torch.cat([first, torch.nn.Linear(4, 4).weight])

    inner = []
    assert torch.equal(weights(3, lambda: inner.append(weights(5))), weights(3))
    assert torch.equal(inner[0], weights(5))


def test_streams_are_independent():
    """Neighbouring seeds, swapped numbers and longer names: no two alike, none correlated."""
    names = [
        (0,),
        (1,),
        (2,),
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (0, 0, 0),
        (2**40,),
        (0, 2**40),
        (1, 2),
        (2, 1),
    ]
    together = torch.stack([draws(*name) for name in names])
    correlation = torch.corrcoef(together) - torch.eye(len(names))
    assert correlation.abs().max() < 5 / together.shape[1] ** 0.5
    starts = [
        torch.randint(2**62, (1,), generator=generator(seed, epoch)).item()
        for seed in range(60)
        for epoch in range(60)
    ]
    assert len(set(starts)) == 3600


def test_numpy_numbers_are_seeds_too_and_fractions_are_not():
    assert torch.equal(draws(np.int64(3), np.uint8(7)), draws(3, 7))
    with pytest.raises(ValueError, match=r"seeds must be 0 or more, got \(1, -2\)"):
        generator(1, -2)
    with pytest.raises(TypeError):
        generator(1.5)  # pyright: ignore[reportArgumentType]


def test_pick():
    assert pick("cpu") == torch.device("cpu")
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick().type == best
    for device in ("gpu", "", "cuda:99", "cpu:x", "cpu:-1", "CUDA"):
        with pytest.raises(
            ValueError, match=f"device '{device}' is not available on this machine; available: .*cpu"
        ):
            pick(device)


def test_bfloat16_is_chosen_where_it_was_measured_faster():
    speedup = bf16_speedup()
    assert speedup > 0 and bf16_speedup() == speedup  # measured once
    assert autocast_dtype(torch.device("cpu")) == (torch.bfloat16 if speedup >= 1.5 else torch.float32)
    assert autocast_dtype(torch.device("mps")) == torch.float32


SHARING = """
import os, sys, time, torch
os.sched_getaffinity = lambda pid: range(8)
from vision_core import devices
torch.set_num_threads(6)
devices.POLL_SECONDS = 0
fixed = "fixed" in sys.argv
for line in sys.stdin:
    print(devices.share_cores(fixed), flush=True)
"""


def test_all_processes_of_a_machine_use_the_precision_that_the_first_one_measured(tmp_path):
    """Otherwise the load on the machine changes the weights of a training that is resumed."""
    words = [sys.executable, "-c", "from vision_core import devices; print(devices.bf16_speedup())"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    def measured() -> str:
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout

    first = measured()
    [path] = tmp_path.rglob("bf16-*")
    assert float(first) > 0 and float(path.read_text()) == float(first)
    path.write_text("123.5")
    assert measured() == "123.5\n"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the machine's cores are set for the test")
def test_work_takes_its_share_of_the_cores_and_all_of_them_when_the_others_end(tmp_path):
    def worker(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SHARING, *arguments],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def threads(one: subprocess.Popen[str]) -> int:
        assert one.stdin and one.stdout
        one.stdin.write("\n")
        one.stdin.flush()
        return int(one.stdout.readline())

    first, second, training = worker(), worker(), worker("fixed")
    try:
        assert threads(first) == 6  # never more than it had
        assert threads(second) == 4 and threads(first) == 4
        assert threads(training) == 6 and threads(first) == 2  # a training keeps its number, and counts
        training.kill()
        training.wait()
        assert threads(second) == 4
        assert second.stdin
        second.stdin.close()
        second.wait(60)
        assert threads(first) == 6
        [mark] = (tmp_path / f"vision-core-{os.getuid()}" / "cores").iterdir()
        mark.with_name(f"{os.getpid()}-1").touch()
        long_ago = time.time() - 60
        os.utime(mark.with_name(f"{os.getpid()}-1"), (long_ago, long_ago))
        assert threads(first) == 6  # lives, but works no more
    finally:
        for one in (first, second, training):
            one.kill()
