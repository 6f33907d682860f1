"""Quotas for uploads: bytes an hour for each visitor and for all, checked on arrival."""

import shutil
import time
from collections import Counter, deque
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.responses import JSONResponse

from apps.shared import visits
from apps.shared.connections import shared
from apps.shared.doors import App, Receive, Scope, Send, header
from vision_core.safety import limits

LOOK_AT_DISK = 4 << 20  # bytes between two checks of the free disk space


class UploadQuota:
    """Refuses an upload at the first byte above a limit, whatever Content-Length says.

    A visitor is an address. Where many share one (a proxy, this machine), it is the visit that the page's
    address names; whoever names none counts with all others who do not. What is sent within
    `visits.UPLOAD_LIFETIME` counts, for so long uploads are kept.
    """

    def __init__(self, app: App, seconds: float = visits.UPLOAD_LIFETIME) -> None:
        self.app, self.seconds = app, seconds
        self._sent: Counter[str] = Counter()  # bytes sent by each visitor
        self._expiring: deque[tuple[float, str, int]] = deque()
        self._count("an earlier server", visits.size(visits.uploads()))

    def _count(self, who: str, sent: int) -> None:
        self._sent[who] += sent
        self._expiring.append((time.monotonic() + self.seconds, who, sent))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = header(scope, b"content-type") if scope["type"] == "http" else ""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT") or "json" in kind:
            await self.app(scope, receive, send)
            return
        self._forget_old()
        who, seen, refused = visitor(scope), 0, ""

        async def counted() -> MutableMapping[str, Any]:
            nonlocal seen, refused
            message = await receive()
            before, more = seen, len(message.get("body", b""))
            seen += more
            self._sent[who] += more
            look = before == 0 or before // LOOK_AT_DISK != seen // LOOK_AT_DISK
            refused = self._refusal(who, look)
            if not refused:
                return message
            while message.get("more_body", False):  # browsers read the answer only after sending everything
                message = await receive()
            await JSONResponse({"detail": refused}, 413)(scope, receive, send)
            return {"type": "http.disconnect"}

        async def unless_refused(message: MutableMapping[str, Any]) -> None:
            if not refused:
                await send(message)

        try:
            await self.app(scope, counted, unless_refused)
        except Exception:
            if not refused:  # otherwise it complains that the visitor left
                raise
        finally:
            self._sent[who] -= seen
            self._count(who, seen)

    def _refusal(self, who: str, look_at_disk: bool) -> str:
        for amount, limit, whose in (
            (self._sent[who], limits.VISIT_UPLOADS, "What you sent within the hour"),
            (self._sent.total(), limits.ALL_UPLOADS, "What all visitors sent within the hour"),
        ):
            try:
                limit.check(amount, whose)
            except ValueError as error:
                return f"{error}: please come back later."
        full = look_at_disk and shutil.disk_usage(visits.root()).free < visits.FREE_BYTES
        return f"{visits.FULL}." if full else ""

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._expiring and self._expiring[0][0] <= now:
            _, who, sent = self._expiring.popleft()
            self._sent[who] -= sent
            if not self._sent[who]:
                del self._sent[who]


def visitor(scope: Scope) -> str:
    """The visitor whose quota a request uses."""
    address = scope["client"][0] if scope.get("client") else ""
    if not shared(address):
        return address
    page = parse_qs(urlsplit(header(scope, b"referer")).query)
    return f"visit {page.get('visit', [''])[0][:64]}"
