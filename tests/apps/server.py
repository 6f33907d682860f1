"""A server of ours in a process of its own, as a browser or a script meets it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def served(module: str, environment: Mapping[str, str], log: Path | None = None) -> Iterator[str]:
    """The address of `python -m module` on a free port, once it answers; it ends with the block.

    What it writes goes to `log`.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", module, *(["--port", port] if module == "apps.suite" else [])]
    with open(log, "w") if log else nullcontext() as output:
        streams = {"stdout": output, "stderr": output} if log else {}
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment, "PORT": port}, **streams
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, f"{module} ended"
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(20)
