"""Checks for every request: the host it names, the time of its body, and the files it asks for."""

import asyncio
import errno
import ipaddress
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, PlainTextResponse

from apps.shared import logs, visits
from vision_core.safety import limits

STREAM_SECONDS = 2.0  # that a stream of answers stays open after the last one
STREAM_LOOK = 0.02  # seconds between two checks for unanswered events
LAST_WORD = b'data: {"msg":"close_stream"'
JSON_BYTES = 8 << 20  # largest body of a request that is not an upload
PAGE_NAME = 100  # characters in the name of an open page, which Gradio keeps; its own have about ten
BAD_NAMES = (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP)
BROWSER_COOKIE = "vision_core_browser"
LONG_NAME = f"The session_hash of a request has at most {PAGE_NAME} characters."
STRANGER = "That file was not uploaded here, or is no longer here: please choose it again."

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class KnownHost:
    """Refuses an unknown Host header, to prevent DNS rebinding.

    IP addresses pass, since the attack needs a name; so do localhost, `allowed` and the name of a Space.
    An X-Forwarded-Host is kept only if it is one of these names: Gradio builds addresses from it.
    """

    def __init__(self, app: App, allowed: Iterable[str] = ()) -> None:
        self.app = app
        self.allowed = {name.lower() for name in (*allowed, os.environ.get("SPACE_HOST", "")) if name}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif self.knows(header(scope, b"host")):
            forwarded = header(scope, b"x-forwarded-host")
            if forwarded and not self._is_ours(_name(forwarded)):
                kept = [pair for pair in scope["headers"] if pair[0] != b"x-forwarded-host"]
                scope = {**scope, "headers": kept}
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            answer = PlainTextResponse(
                "This server does not go by that name; `vision-core serve --allow-host NAME` allows it.\n",
                421,
            )
            await answer(scope, receive, send)

    def knows(self, host: str) -> bool:
        return _is_number(_name(host)) or self._is_ours(_name(host))

    def _is_ours(self, name: str) -> bool:
        return name == "localhost" or name.endswith(".localhost") or name in self.allowed


class SoundPath:
    """Answers 404 to a path that no file can have: control characters, or a name longer than 255 bytes.

    Gradio passes it on to the file system and to HTTP clients and does not catch their errors.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_sound = all(ord(one) >= 32 and one != "\x7f" for one in path) and all(
            len(name.encode("utf-8", "replace")) <= 255 for name in path.split("/")
        )
        if scope["type"] != "http" or is_sound:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("Not Found\n", 404)(scope, receive, send)


class BadRequest:
    """Answers 400 if a library fails on a request before our code runs.

    A full disk gives 507, other system errors give 500.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        held: list[MutableMapping[str, Any]] = []  # an answer of status 500, until its cause is known
        started = False
        logs.CAUGHT.set(caught := [])

        async def hold_faults(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if held or (message["type"] == "http.response.start" and message["status"] == 500):
                held.append(message)
            else:
                started = True
                await send(message)

        try:
            await self.app(scope, receive, hold_faults)
        except Exception as error:
            if started or logs.is_ours(error):
                await _send_all(held, send)
                raise
            logs.log.warning("a request was not answered (%s)", logs.where(error))
            await _refusal(error)(scope, receive, send)
        else:
            if held and caught and not logs.is_ours(caught[-1]):
                await _refusal(caught[-1])(scope, receive, send)
            else:
                await _send_all(held, send)


def _refusal(error: BaseException) -> PlainTextResponse:
    """The answer to a request on which a library failed."""
    for one in logs.chain(error):
        if isinstance(one, OSError) and visits.is_full(one):
            return PlainTextResponse(f"{visits.FULL}.\n", 507)
        of_request = isinstance(one, ConnectionError) or getattr(one, "errno", None) in BAD_NAMES
        if isinstance(one, MemoryError) or (isinstance(one, OSError) and not of_request):
            return PlainTextResponse(f"{visits.FAILED}.\n", 500)
    return PlainTextResponse("This server does not know such a request.\n", 400)


async def _send_all(messages: Iterable[MutableMapping[str, Any]], send: Send) -> None:
    for message in messages:
        await send(message)


class SafeHeaders:
    """Headers that stop browsers from guessing types, leaking our addresses and framing our pages."""

    def __init__(self, app: App) -> None:
        self.app = app
        friends = " https://huggingface.co" if "SPACE_ID" in os.environ else ""  # Spaces are shown in a frame
        self.headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"content-security-policy", f"frame-ancestors 'self'{friends}".encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", [])}
                added = [header for header in self.headers if header[0] not in names]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.app(scope, receive, with_headers)


class TimelyBody:
    """Ends a request whose body arrives too slowly, which would hold a connection and a file forever."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        end, complete = time.monotonic() + limits.BODY_SECONDS.value, False

        async def in_time() -> MutableMapping[str, Any]:
            nonlocal complete
            if complete:  # now it only waits for the visitor to leave
                return await receive()
            try:
                left = max(0.01, end - time.monotonic())
                message = await asyncio.wait_for(receive(), min(limits.IDLE_SECONDS.value, left))
            except TimeoutError:
                complete = True
                return {"type": "http.disconnect"}
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        await self.app(scope, in_time, send)


class BrowserKey:
    """Gives each browser a secret cookie, so that it may stop the work that it started."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_key = scope["type"] != "http" or f"{BROWSER_COOKIE}=" in header(scope, b"cookie")
        text = (
            f"{BROWSER_COOKIE}={secrets.token_urlsafe(24)}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"
        )

        async def with_key(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and b"text/html" in _type(message):
                message["headers"] = [*message["headers"], (b"set-cookie", text.encode())]
            await send(message)

        await self.app(scope, receive, send if has_key else with_key)


class FramedCookies:
    """Marks every cookie so that it works inside a frame of another site, as on the page of a Space.

    Browsers drop other cookies there. Marked ones need HTTPS and are kept per outer site.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def framed(message: MutableMapping[str, Any]) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message["headers"] = [
                    (name, self.mark(value) if name.lower() == b"set-cookie" else value)
                    for name, value in message.get("headers", [])
                ]
            await send(message)

        await self.app(scope, receive, framed)

    @staticmethod
    def mark(cookie: bytes) -> bytes:
        parts = [part.strip() for part in cookie.split(b";")]
        replaced = (b"samesite=", b"secure", b"partitioned")
        kept = [part for part in parts[1:] if not part.lower().startswith(replaced)]
        return b"; ".join([parts[0], *kept, b"SameSite=None", b"Secure", b"Partitioned"])


class OnlyUploads:
    """Refuses requests to Gradio that name anything but a regular file inside `folder`, or a page at length.

    Gradio records each path of a request before checking it, and later deletes the recorded files;
    this fails on a folder, and then its cleaner never runs again.
    """

    def __init__(self, app: App, folder: Path) -> None:
        self.app, self.folder = app, folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = header(scope, b"content-type")
        if scope["type"] != "http" or scope["method"] != "POST" or kind.startswith("multipart/form-data"):
            await self.app(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > JSON_BYTES:
                await JSONResponse({"detail": "The request is too large."}, 413)(scope, receive, send)
                return
        sent = _parsed(body)
        if isinstance(sent, dict) and len(str(sent.get("session_hash"))) > PAGE_NAME:
            await JSONResponse({"detail": LONG_NAME}, 400)(scope, receive, send)
            return
        if not all(map(self.may_be_named, _paths(sent))):
            await JSONResponse({"detail": STRANGER}, 400)(scope, receive, send)
            return
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> MutableMapping[str, Any]:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, again, send)

    def may_be_named(self, path: Any) -> bool:
        try:
            requested = Path(path)
            return (
                requested.is_file()
                and not requested.is_symlink()
                and self.folder in requested.resolve().parents
            )
        except (TypeError, ValueError, OSError):
            return False


class OpenStream:
    """Keeps Gradio's stream of answers open for a moment, and while another answer is expected.

    Gradio closes it with the last answer. A page that sends an event at that time assumes an open stream
    and never fetches the answer, so a click is lost. An event within that moment is answered at once.

    Args:
        awaited: gives the unanswered events of a session by its hash.
    """

    def __init__(self, app: App, awaited: Callable[[str], Collection[str]]) -> None:
        self.app, self.awaited = app, awaited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/queue/data"):
            await self.app(scope, receive, send)
            return
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        started, end = False, None

        async def pass_on(message: MutableMapping[str, Any]) -> None:
            nonlocal started, end
            if end is None and message.get("body", b"").startswith(LAST_WORD):
                end = message
            if end is None and not (started and message["type"] == "http.response.start"):
                await send(message)
            started = True

        while True:
            await self.app(scope, receive, pass_on)
            if end is None:
                return
            last_answer = time.monotonic()
            while not self.awaited(session) and time.monotonic() < last_answer + STREAM_SECONDS:
                if await _has_left(receive, STREAM_LOOK):
                    return  # the next stream of that page must receive its events
            if not self.awaited(session):
                await send(end)
                await send({"type": "http.response.body"})
                return
            end = None


async def _has_left(receive: Receive, seconds: float) -> bool:
    """Whether the visitor closes the connection within the given time."""
    try:
        return (await asyncio.wait_for(receive(), seconds))["type"] == "http.disconnect"
    except TimeoutError:
        return False


def _parsed(body: bytes) -> Any:
    """What a JSON text says; None if it is none, which Gradio refuses itself."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _paths(sent: Any) -> Iterator[Any]:
    """Every "path" of the objects in it, at any depth."""
    waiting = [sent]
    while waiting:
        match waiting.pop():
            case dict() as node:
                if node.get("path") is not None:
                    yield node["path"]
                waiting.extend(node.values())
            case list() as node:
                waiting.extend(node)


def header(scope: Scope, name: bytes) -> str:
    """A header of the request, or ""; `name` in lower case."""
    return next((value.decode("latin-1") for key, value in scope.get("headers", []) if key == name), "")


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.strip("[]").rstrip(".").lower()


def _is_number(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _type(message: MutableMapping[str, Any]) -> bytes:
    return next((value for key, value in message["headers"] if key.lower() == b"content-type"), b"")
