"""Heavy calls on the GPU that a ZeroGPU Space lends for a moment; anywhere else they are plain calls.

ZeroGPU carries out such a call in a process of its own, into which arguments and results are pickled; CUDA is
real in there alone. So everything else computes on the CPU in such a Space, trainings included.
"""

import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any

try:  # must be imported before CUDA is first used
    spaces: Any = importlib.import_module("spaces")
except ImportError:
    spaces = None

SECONDS = 60  # requested for each GPU call
ZERO = spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
if ZERO:
    os.environ["VISION_CORE_DEVICE"] = "cpu"  # for this process and the trainings it starts


def ready() -> None:
    """Tell ZeroGPU that all functions are declared. `Blocks.launch` does it, but we mount our pages."""
    if ZERO:
        importlib.import_module("spaces.zero").startup()


def _call(function: Callable[..., Any], *args: Any) -> Any:
    _use_gpu()
    return function(*args)


def _stream(function: Callable[..., Iterator[Any]], *args: Any) -> Iterator[Any]:
    _use_gpu()
    yield from function(*args)


def _use_gpu() -> None:
    if ZERO:  # runs in the process of the call
        os.environ.pop("VISION_CORE_DEVICE", None)  # a process may serve several calls


def _on_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
    return function if spaces is None else spaces.GPU(function, duration=SECONDS)


call = _on_gpu(_call)  # call(function, *args) gives function(*args)
stream = _on_gpu(_stream)  # stream(function, *args) yields what function(*args) yields
