"""Runs ONNX networks with onnxruntime, with this process's share of the threads."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vision_core import devices, extras

KEPT = 2  # sessions kept per network: for two different thread counts


class Network:
    """The network in a file; loaded lazily.

    Raises:
        ValueError: there is no such file, or it holds no ONNX network that can be run.
        ExtraMissing: onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        extras.need("editing", "marking things and finding them by words", "onnxruntime")
        if not path.is_file():
            raise ValueError(f"there is no network {path}")
        self.path = path
        self._loading = threading.Lock()
        self._sessions: dict[int, Any] = {}  # by number of threads, which onnxruntime fixes when it loads

    def session(self) -> Any:
        """Its `onnxruntime.InferenceSession`."""
        import onnxruntime

        threads = devices.share_cores()
        with self._loading:
            if threads not in self._sessions:
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = threads
                options.log_severity_level = 4  # what goes wrong is raised, too
                options.enable_cpu_mem_arena = False  # it would keep its peak memory
                try:
                    session = onnxruntime.InferenceSession(
                        str(self.path), options, providers=["CPUExecutionProvider"], enable_fallback=False
                    )
                except Exception as error:  # onnxruntime's own kinds, which share no other ancestor
                    raise ValueError(f"{self.path} holds no ONNX network that can be run") from error
                while len(self._sessions) >= KEPT:
                    self._sessions.pop(next(iter(self._sessions)))
                self._sessions[threads] = session
            return self._sessions[threads]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Its outputs, in their order."""
        return self.session().run(None, inputs)
