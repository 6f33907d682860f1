"""Tests of hostile connections: idle, half sent, unread, too many. Running requests continue."""

import asyncio
import socket
import threading
import time
from contextlib import closing, suppress

import pytest
import uvicorn

from apps.shared.connections import REFUSED, Connection, shared

WAIT = 20  # seconds after which a connection that should have ended has not


async def app(scope, receive, send):
    """Answers /slow after 1.5 seconds, /large with 64 MB, and what else it is asked at once."""
    if scope["type"] != "http":
        return
    await asyncio.sleep(1.5 if scope["path"] == "/slow" else 0)
    body = bytes(64 << 20) if scope["path"] == "/large" else b"here"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def serve(monkeypatch):
    """Serves on an address, this machine's by default: a function that opens a connection and sends bytes."""
    monkeypatch.setenv("VISION_CORE_MAX_IDLE_SECONDS", "1")
    servers = []

    def start(host: str = "127.0.0.1"):
        config = uvicorn.Config(app, host=host, port=0, http=Connection, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        servers.append((server, thread))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]

        def connect(data: bytes = b"") -> socket.socket:
            one = socket.create_connection((host, port))
            one.settimeout(WAIT)
            one.sendall(data)
            return one

        connect.held = lambda: len(server.server_state.connections)
        return connect

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(20)


def read(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection; TimeoutError if it does not."""
    data = bytearray()
    with closing(connection), suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            data += part
    return bytes(data)


@pytest.mark.parametrize("half", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\x16\x03\x01"])
def test_a_connection_without_a_whole_request_is_ended(serve, half):
    read(serve()(half))


def test_a_drip_of_header_bytes_does_not_keep_a_connection(serve):
    connection, end = serve()(b"GET / HTTP/1.1\r\n"), time.monotonic() + WAIT
    with closing(connection), pytest.raises(OSError):
        while time.monotonic() < end:
            connection.sendall(b"x")
            time.sleep(0.1)
    assert time.monotonic() < end


def test_a_request_at_work_is_not_idle_and_the_next_on_its_connection_is_answered(serve):
    connection = serve()(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"here" in read(connection)


def test_a_connection_that_asks_again_and_again_is_not_idle(serve):
    with closing(serve()()) as one:
        for _ in range(12):  # far longer than it may be idle
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            data = b""
            while not data.endswith(b"0\r\n\r\n"):  # in chunks
                part = one.recv(4096)
                assert part, "the server ended it"
                data += part
            time.sleep(0.3)


def test_an_answer_that_nobody_takes_is_ended(serve):
    connect = serve()
    connection = connect(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(1)
    end = time.monotonic() + WAIT
    while connect.held():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert len(read(connection)) < 64 << 20


def test_all_connections_together_have_a_limit(serve, monkeypatch):
    monkeypatch.setenv("VISION_CORE_MAX_IDLE_SECONDS", "60")
    monkeypatch.setenv("VISION_CORE_MAX_ALL_CONNECTIONS", "3")
    connect = serve()
    held = [connect(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(3)]
    refused = read(connect())
    assert refused.startswith(b"HTTP/1.1 503 ") and refused.endswith(REFUSED)
    assert all(one.recv(1000).startswith(b"HTTP/1.1 200") for one in held)
    for one in held:
        one.close()
    end = time.monotonic() + WAIT  # the server learns a moment later that they are gone
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    while b"here" not in (response := read(connect(request))):
        assert time.monotonic() < end, response


def own_address() -> str:
    """This machine's address in its network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


@pytest.mark.skipif(shared(own_address()), reason="the machine is in no network")
def test_one_address_has_a_limit_that_a_proxy_has_not(serve, monkeypatch):
    monkeypatch.setenv("VISION_CORE_MAX_IDLE_SECONDS", "60")
    monkeypatch.setenv("VISION_CORE_MAX_CONNECTIONS", "2")
    connect = serve(own_address())
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    held = [connect(), connect()]
    assert read(connect(request)).startswith(b"HTTP/1.1 503 ")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", f"198.51.100.1, {own_address()}/32")
    assert b"here" in read(connect(request))
    for one in held:
        one.close()


@pytest.mark.parametrize(
    ("address", "many"),
    [("127.0.0.1", True), ("::1", True), ("", True), ("203.0.113.9", False), ("2001:db8::9", False)],
)
def test_this_machine_may_be_a_proxy_and_a_stranger_is_none(monkeypatch, address, many):
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    assert shared(address) == many
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert shared(address)
