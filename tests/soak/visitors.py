"""Many visitors at once on a running suite: whose pictures they get, errors, polls and memory.

Each visitor's picture has a size that no other's has: a result of another size is somebody else's. A bare
server is polled beside the suite: what it needs for an answer is the machine's and this script's own share.
"""

import argparse
import io
import json
import os
import random
import re
import sys
import tempfile
import threading
import time
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "apps"))

from server import ROOT, running, served  # pyright: ignore[reportMissingImports]  # found by the line above

POLL = {"color-transfer": 1.0, "restoration": 0.7, "image-editing": 0.7}  # seconds, as the pages' timers

BARE = """
import asyncio, os

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\nconnection: close\\r\\n\\r\\nok")
    await writer.drain()
    writer.close()

async def main():
    await (await asyncio.start_server(answer, "127.0.0.1", int(os.environ["PORT"]))).serve_forever()

asyncio.run(main())
"""


class Page:
    """One visitor's page of one app, which speaks to the server as Gradio's browser code does."""

    def __init__(self, address: str, app: str, polls: list[float], rng: random.Random) -> None:
        self.client = httpx.Client(base_url=f"{address}/{app}", timeout=300)
        self.app, self.polls, self.key = app, polls, f"{rng.getrandbits(48):x}"
        config = self.client.get("/config").raise_for_status().json()
        self.functions = config["dependencies"]
        self.fields = {
            each["id"]: (
                each["props"].get("elem_id") or each["props"].get("label"),
                each["props"].get("value"),
            )
            for each in config["components"]
        }
        self.call("opened")

    def call(self, name: str, changed: dict[str, Any] | None = None, shows: str = "") -> list[Any]:
        """The outputs of an event.

        Args:
            changed: inputs by id or label of their field; the others have their defaults.
            shows: the field among its outputs that tells it from others of its name.
        """
        changed = changed or {}
        function = next(each for each in self.functions if self._is(each, name, {*changed}, shows))
        inputs = [self.fields[number] for number in function["inputs"]]
        data = [changed.get(field, value) for field, value in inputs]
        arguments = {"data": data, "fn_index": function["id"], "session_hash": self.key}
        began = time.perf_counter()
        if not function["queue"]:
            response = self.client.post("/gradio_api/run/predict", json=arguments)
            if name == "follow":
                self.polls.append(time.perf_counter() - began)
            return response.raise_for_status().json()["data"]
        event = (
            self.client.post("/gradio_api/queue/join", json=arguments).raise_for_status().json()["event_id"]
        )
        where = {"session_hash": self.key}
        with self.client.stream("GET", "/gradio_api/queue/data", params=where) as stream:
            for line in filter(None, stream.raise_for_status().iter_lines()):
                message = json.loads(line.removeprefix("data: "))
                if message["msg"] == "process_completed" and message["event_id"] == event:
                    assert message["success"], f"{self.app} {name}: {message['output']}"
                    return message["output"]["data"]
        raise AssertionError(f"{self.app} {name}: the stream ended without an answer")

    def _is(self, function: dict[str, Any], name: str, inputs: set[str], shows: str) -> bool:
        called = re.sub(r"_\d+$", "", function["api_name"] or "")
        there, shown = ({self.fields[n][0] for n in function[way]} for way in ("inputs", "outputs"))
        return called.lstrip("_") == name and inputs <= there and (not shows or shows in shown)

    def upload(self, picture: np.ndarray) -> dict[str, Any]:
        """A file as Gradio's components name it."""
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        sent = self.client.post("/gradio_api/upload", files={"files": ("a.png", buffer.getvalue())})
        return {"path": sent.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}

    def watch(self, shows: str) -> str:
        """Look again and again until the page's timer rests; all that was shown, the last first."""
        outputs_before = ""
        while True:
            outputs = self.call("follow", shows=shows)
            outputs_before = json.dumps(outputs) + outputs_before
            [timer] = [each for each in outputs if isinstance(each, dict) and "active" in each]
            if not timer["active"]:
                return outputs_before
            time.sleep(POLL[self.app])

    def download(self, shown: str, name: str) -> tuple[int, int]:
        """(height, width) of the picture behind the first link to a file of that name."""
        match = re.search(rf'href=\\"([^"\\]*{re.escape(name)}[^"\\]*)', shown)
        assert match, f"{self.app} shows no {name}: {shown[:300]}"
        data = self.client.get(f"/{unescape(match[1]).lstrip('/')}").raise_for_status().content
        width, height = Image.open(io.BytesIO(data)).size
        return height, width


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth colours, uint8 (H, W, 3)."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def recolour(page: Page, height: int, width: int, seed: int) -> None:
    page.call("choose_source", {"source": page.upload(picture(height, width, seed))})
    page.call("choose_target", {"target": page.upload(picture(60, 80, seed + 1))})
    page.call("begin", {"set-epochs": 150})
    assert page.download(page.watch("curves"), "recoloured.png") == (height, width)


def restore(page: Page, height: int, width: int, seed: int) -> None:
    page.call("choose", {"page-file": page.upload(picture(height, width, seed))})
    page.call("begin", {"method": "network"})
    assert page.download(page.watch("viewer"), "restored.png") == (height, width)


def extend(page: Page, height: int, width: int, seed: int) -> None:
    page.call("choose", {"source": page.upload(picture(height, width, seed))}, shows="canvas")
    page.call("begin_task", {"task": "extend", "ratio": "", "Pixels at the left": 16})
    assert page.download(page.watch("candidates"), ".png") == (height, width + 16)


VISITS = {"color-transfer": recolour, "restoration": restore, "image-editing": extend}


def visit(address: str, number: int, until: float, polls: list[float], faults: list[str]) -> None:
    """One visitor, who uses the three apps in turns until the time is over."""
    rng = random.Random(number)
    turns = 0
    while turns == 0 or time.monotonic() < until:
        app = list(VISITS)[(number + turns) % 3]
        turns += 1
        try:
            VISITS[app](
                Page(address, app, polls, rng), 200 + 3 * number, 300 + 2 * turns, 1000 * number + turns
            )
        except Exception as error:
            faults.append(f"visitor {number}, {app}: {type(error).__name__}: {error}")
            time.sleep(1)


class Memory(threading.Thread):
    """Samples the resident memory of the server's own process, in MB."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process, self.peak = process, 0.0

    def now(self) -> float:
        return self.process.memory_info().rss / (1 << 20)

    def run(self) -> None:
        while self.process.is_running():
            try:
                self.peak = max(self.peak, self.now())
            except psutil.Error:
                return
            time.sleep(0.2)


def look(address: str, ended: threading.Event, took: list[float]) -> None:
    """Poll the bare server until the end."""
    while not ended.wait(0.5):
        began = time.perf_counter()
        httpx.get(address, timeout=300).raise_for_status()
        took.append(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rest", type=float, default=120, help="seconds before memory is measured again")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    options = parser.parse_args()
    polls: list[float] = []
    faults: list[str] = []
    bare: list[float] = []
    ended = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        beside = running([sys.executable, "-c", BARE], ROOT, os.environ)
        with served(None, {"TMPDIR": folder}, log) as address, beside as beside_address:
            [server] = [p for p in psutil.Process().children() if "apps.suite" in p.cmdline()]
            memory = Memory(server)
            memory.start()
            result = {"cold_mb": memory.now()}
            for number in range(3):
                visit(address, 90 + number, 0, [], faults)
            time.sleep(5)
            result["warm_mb"] = memory.now()
            memory.peak = 0
            until = time.monotonic() + options.seconds
            threads = [
                threading.Thread(target=visit, args=(address, number, until, polls, faults))
                for number in range(options.visitors)
            ]
            threading.Thread(target=look, args=(beside_address, ended, bare)).start()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            ended.set()
            result["peak_mb"] = memory.peak
            time.sleep(options.rest)
            result["after_mb"] = memory.now()
        text = log.read_text()
    tracebacks = text.count("Traceback")
    result |= {
        "polls": len(polls),
        **{f"poll_p{p}": float(np.percentile(polls or [np.nan], p)) for p in (50, 90, 99)},
        "poll_max": max(polls, default=np.nan),
        **{f"bare_p{p}": float(np.percentile(bare or [np.nan], p)) for p in (50, 90, 99)},
        "faults": len(faults),
        "tracebacks": tracebacks,
        "log_lines": len(text.splitlines()),
    }
    for name, value in result.items():
        print(f"{name:12} {value:,.2f}")
    print(*faults[:20], sep="\n")
    if tracebacks:
        print(text[:6000])
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))
    sys.exit(bool(faults or tracebacks))


if __name__ == "__main__":
    main()
