"""Tests of upload quotas: accepted at the limit, rejected above, forgotten after an hour."""

import asyncio
import time
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from apps.shared import visits
from apps.shared.quota import UploadQuota, visitor

MEGABYTE = 1 << 20


@pytest.fixture
def send(tmp_path, monkeypatch):
    """Sends bytes as a visit through the door; the answer, and how many bytes the app behind it has taken."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("VISION_CORE_MAX_VISIT_UPLOADS_MB", "2")
    monkeypatch.setenv("VISION_CORE_MAX_ALL_UPLOADS_MB", "3")
    taken = []

    async def app(scope, receive, send):
        async for part in Request(scope, receive).stream():
            taken.append(len(part))
        await PlainTextResponse("taken")(scope, receive, send)

    def client(seconds: float = 3600):
        door = UploadQuota(app, seconds)

        def upload(size: int, visit: str = "me", kind: str = "image/png") -> tuple[int, str]:
            page = {"referer": f"http://localhost/?visit={visit}", "content-type": kind}
            headers = [(name.encode(), text.encode()) for name, text in page.items()]
            parts = [MEGABYTE // 4] * (size * 4 // MEGABYTE) + [size % (MEGABYTE // 4)]
            events: list[Any] = []

            async def receive():
                return {"type": "http.request", "body": bytes(parts.pop(0)), "more_body": bool(parts)}

            async def send(message):
                events.append(message)

            scope = {"type": "http", "method": "POST", "path": "/upload", "headers": headers}
            asyncio.run(door(scope, receive, send))
            assert not parts and [message["type"] for message in events] == [
                "http.response.start",
                "http.response.body",
            ]
            return events[0]["status"], events[1]["body"].decode()

        return upload

    return client, taken


def test_a_visit_may_send_up_to_its_limit_and_not_a_byte_more(send):
    upload = send[0]()
    assert upload(MEGABYTE) == upload(MEGABYTE) == (200, "taken")
    status, text = upload(1)
    assert status == 413 and "at most 2 are accepted (VISION_CORE_MAX_VISIT_UPLOADS_MB)" in text


def test_what_is_above_the_limit_is_refused_while_it_arrives(send):
    client, taken = send
    assert client()(40 * MEGABYTE)[0] == 413
    assert sum(taken) == 2 * MEGABYTE


def test_all_visits_together_have_a_limit_and_other_visits_none_of_mine(send):
    upload = send[0]()
    assert upload(2 * MEGABYTE, "me")[0] == upload(MEGABYTE, "you")[0] == 200
    status, text = upload(1, "they")
    assert status == 413 and "ALL_UPLOADS_MB" in text


def test_what_lies_there_from_an_earlier_server_counts(send):
    (visits.uploads() / "old").write_bytes(bytes(3 * MEGABYTE))
    assert send[0]()(1)[0] == 413


def test_after_a_while_there_is_room_again_and_json_never_counts(send):
    upload = send[0](0.2)
    assert upload(2 * MEGABYTE)[0] == upload(5 * MEGABYTE, kind="application/json")[0] == 200
    time.sleep(0.3)
    assert upload(2 * MEGABYTE)[0] == 200


def test_a_full_disk_takes_nothing(send, monkeypatch):
    monkeypatch.setattr(visits, "FREE_BYTES", 1 << 60)
    status, text = send[0]()(1)
    assert status == 413 and "disk is full" in text


def test_a_fault_behind_the_door_stays_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def app(scope, receive, send):
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        asyncio.run(UploadQuota(app)({"type": "http", "method": "POST", "headers": []}, app, app))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("client", "who"),
    [
        (("203.0.113.9", 1), "203.0.113.9"),
        (("127.0.0.1", 1), "visit K"),
        (("10.0.0.7", 1), "visit K"),
        (None, "visit K"),
    ],
)
def test_a_visitor_is_an_address_or_behind_a_proxy_a_visit(monkeypatch, client, who):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8, 2001:db8::1")
    page = [(b"referer", b"http://localhost/color-transfer/?visit=K")]
    assert visitor({"client": client, "headers": page}) == who
