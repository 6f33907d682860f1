"""Starts a server in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

ROOT = Path(__file__).parents[2]


def served(
    only: str | None, environment: Mapping[str, str], log: Path | None = None
) -> AbstractContextManager[str]:
    """The address of the suite, or of one app alone, once it answers; it ends with the block."""
    command = [sys.executable, "-m", "apps.suite", *(["--only", only] if only else [])]
    return running(command, ROOT, {**os.environ, **environment}, log)


@contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path | None = None
) -> Iterator[str]:
    """The address of a server that listens on PORT of its environment; what it writes goes to `log`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with open(log, "w") if log else nullcontext() as output:
        streams = {"stdout": output, "stderr": output} if log else {}
        process = subprocess.Popen(command, cwd=folder, env={**environment, "PORT": port}, **streams)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, f"{command} ended"
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(20)
