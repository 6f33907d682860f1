"""Tests of two replicas behind nginx: visitors stay with their replica, and one may die."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import httpx
import pytest
from server import ROOT, running

CONF = ROOT / "docs" / "scale" / "nginx.conf"
COOKIE = "vision_core_replica"


@pytest.fixture
def proxied(tmp_path):
    """(address of the proxy, what ends the replica of a name)."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx on the PATH")
    with ExitStack() as stack:
        command = [
            sys.executable,
            "-m",
            "apps.suite",
            "--only",
            "color_transfer",
            "--allow-host",
            "suite.example",
        ]
        replicas = {}
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            environment = {**os.environ, "TMPDIR": str(tmp_path / name), "OMP_NUM_THREADS": "1"}
            replicas[name] = ExitStack()
            stack.callback(replicas[name].close)
            replicas[name].address = replicas[name].enter_context(running(command, ROOT, environment))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        text = CONF.read_text().replace("listen 8080", f"listen 127.0.0.1:{port}")
        for name, number in (("one", "7861"), ("two", "7862")):
            text = text.replace(number, replicas[name].address.rpartition(":")[2])
        (tmp_path / "nginx.conf").write_text(f"daemon off; pid {tmp_path}/nginx.pid;\n{text}")
        log = ["-e", str(tmp_path / "error.log")]
        process = subprocess.Popen([nginx, *log, "-c", str(tmp_path / "nginx.conf")])
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        yield f"http://127.0.0.1:{port}", lambda name: replicas[name].close()


def visitor(address: str, replica: str) -> httpx.Client:
    """A newcomer whom the proxy sends to that replica."""
    for number in range(60):
        client = httpx.Client(
            base_url=address, headers={"host": "suite.example", "user-agent": f"browser {number}"}
        )
        for _ in range(50):
            try:
                response = client.get("/")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        assert response.status_code == 200
        if response.cookies[COOKIE] == replica:
            client.cookies.set(COOKIE, replica)
            return client
    raise AssertionError(f"nobody was sent to {replica}")


def process_of(client: httpx.Client) -> str:
    return client.get("/config").json()["app_id"]


@pytest.mark.slow
def test_visitors_stay_with_their_replica_and_are_told_when_it_dies(proxied):
    address, end = proxied
    mine, other = visitor(address, "one"), visitor(address, "two")
    places = process_of(mine), process_of(other)
    assert places[0] != places[1]
    assert [process_of(mine) for _ in range(4)] == [places[0]] * 4
    end("one")
    response = mine.get("/")
    assert response.status_code == 503 and "The machine that held your work has stopped" in response.text
    assert process_of(other) == places[1]  # notices nothing
    assert "Max-Age=0" in mine.get("/begin-anew").headers["set-cookie"]
    mine.cookies.clear()
    assert process_of(mine) == places[1]
    for number in range(6):  # newcomers are passed on, wherever they would have been sent
        health = httpx.get(
            address, timeout=120, headers={"host": "suite.example", "user-agent": f"new {number}"}
        )
        assert health.status_code == 200 and health.cookies[COOKIE] == "two"
