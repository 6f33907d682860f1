"""One server, one port: the landing page, the apps, the digit explorer and the dashboard."""

import argparse
import gc
import importlib
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

import vision_core
from apps import landing
from apps.shared import doors, logs, visits
from apps.shared.connections import Connection, proxies
from apps.shared.queue import HEAVY, take_over
from apps.shared.quota import UploadQuota
from vision_core.files import bundled

HERE = Path(__file__).parent
PAGES = {
    "color_transfer": "/color-transfer",
    "image_editing": "/image-editing",
    "restoration": "/restoration",
}
DASHBOARD = "dashboard"


def create(allow_hosts: Iterable[str] = (), only: str | None = None) -> FastAPI:
    """The suite as one ASGI app, which may be called by the names `allow_hosts`, too.

    Args:
        only: serve just this one of `PAGES`, or `DASHBOARD`, at `/`, as on a Space. The
            packages of the others need not be installed.

    Raises:
        ValueError: there is no app called `only`.
    """
    if only not in (None, DASHBOARD, *PAGES):
        raise ValueError(f"there is no app {only!r}; there are {', '.join((*PAGES, DASHBOARD))}")
    dashboard = _dashboard() if only in (None, DASHBOARD) else None
    suite = _server(allow_hosts, dashboard)
    if only is None:
        suite.add_api_route("/", landing.page, response_class=HTMLResponse)
        suite.add_api_route("/notice", lambda: landing.legal("NOTICE.md"), response_class=PlainTextResponse)
        suite.mount("/pictures", StaticFiles(directory=bundled("assets") / "landing"))
        suite.mount("/digits", StaticFiles(directory=HERE / "digits_site", html=True))
    for name, path in PAGES.items():
        if only in (None, name):
            _mount(suite, name, "/" if only else path)
    if dashboard:
        suite.mount("/" if only else "/dashboard", doors.BrowserKey(dashboard))
    return suite


def _mount(suite: FastAPI, name: str, path: str) -> None:
    """Import and mount a Gradio app; the packages of other apps are not needed."""
    from apps.shared import gpu, wiring

    app: Any = importlib.import_module(f"apps.{name}.app")
    wiring.mount(suite, app, path)
    gpu.ready()


def serve(
    host: str = "127.0.0.1", port: int = 7860, allow_hosts: Iterable[str] = (), only: str | None = None
) -> None:
    """Serve the suite, or `only` one app of it, until interrupted.

    Args:
        allow_hosts: names that browsers may call the server by, beside localhost, `host` and numbers.

    Raises:
        ValueError: the port is in use, the address is not one of this machine, or the system refuses what the
            server needs.
    """
    run(lambda: create([host, *allow_hosts], only), host, port)


def run(build: Callable[[], FastAPI], host: str, port: int) -> None:
    """Serve what `build` makes until interrupted; see `serve`."""
    visits.bound_arenas()  # must be called before any thread starts
    listener = _listen(host, port)
    try:
        config = uvicorn.Config(
            build(),
            http=Connection,
            forwarded_allow_ips=proxies(),
            log_level="warning",
            timeout_graceful_shutdown=2,
        )
    except OSError as error:
        raise ValueError(_refused(error)) from error
    gc.freeze()  # what stays for good is not searched for garbage, which stopped all requests for 0.3 s
    shown = f"[{host}]" if ":" in host else host
    lines = [f"vision-core is at http://{shown}:{port} (end it with Ctrl-C)"]
    if not _loopback(host):
        lines.append("It is open to the network and asks for no password: whoever reaches it can use it.")
    print(*lines, sep="\n", file=sys.stderr, flush=True)  # standard output is reserved for --json
    uvicorn.Server(config).run(sockets=[listener])


def _server(allow_hosts: Iterable[str], dashboard: Any = None) -> FastAPI:
    """The parts of every server: health check, icon, request checks, and the sweeper."""

    # called now, since it changes the levels of uvicorn's loggers, which we set afterwards
    lifespan = dashboard.lifespan() if dashboard is not None else None

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        take_over(HEAVY)
        if (jobs := sys.modules.get("apps.shared.jobs")) is not None:  # only Gradio pages have it
            threading.Thread(target=jobs.take_over, daemon=True).start()
        janitor = visits.Janitor()
        janitor.start()
        async with AsyncExitStack() as stack:
            stack.callback(janitor.stop)
            if lifespan is not None:
                from apps.dashboard.jobs import DASHBOARD, root

                take_over(HEAVY, [(DASHBOARD, root())])
                await stack.enter_async_context(lifespan(app))
            yield

    logs.install()
    server = FastAPI(title="vision-core", lifespan=living, docs_url=None, redoc_url=None, openapi_url=None)
    # the last one added is the first that a request passes
    server.add_middleware(doors.BadRequest)
    server.add_middleware(UnknownAddress)
    server.add_middleware(UploadQuota)
    server.add_middleware(doors.TimelyBody)
    server.add_middleware(doors.SoundPath)
    server.add_middleware(doors.SafeHeaders)
    if "SPACE_ID" in os.environ:
        server.add_middleware(doors.FramedCookies)
    server.add_middleware(doors.KnownHost, allowed=tuple(allow_hosts))

    @server.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok", "version": vision_core.__version__}

    @server.get("/favicon.ico")
    def icon() -> FileResponse:
        return FileResponse(HERE / "digits_site" / "icon.svg", media_type="image/svg+xml")

    return server


class UnknownAddress:
    """Browsers get a page instead of JSON for an unknown address."""

    def __init__(self, app: doors.App) -> None:
        self.app = app

    async def __call__(self, scope: doors.Scope, receive: doors.Receive, send: doors.Send) -> None:
        accepted = doors.header(scope, b"accept") if scope["type"] == "http" else ""
        if scope.get("method") != "GET" or "text/html" not in accepted:
            await self.app(scope, receive, send)
            return
        missing = False

        async def with_page(message: MutableMapping[str, Any]) -> None:
            nonlocal missing
            if message["type"] == "http.response.start" and message["status"] == 404:
                missing = True
                await HTMLResponse(landing.not_found(), 404)(scope, receive, send)
            elif not missing:
                await send(message)

        await self.app(scope, receive, with_page)


def _dashboard() -> Any:
    """The Streamlit dashboard as an ASGI app."""
    import streamlit

    return streamlit.App(str(HERE / "dashboard" / "app.py"))


def _listen(host: str, port: int) -> socket.socket:
    """Open the port before anything is loaded, so that a port in use is reported at once."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ValueError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _refused(error: OSError) -> str:
    """The message for a system error at the start, with a remedy."""
    reason = error.strerror or str(error)
    if error.filename:
        return f"the server cannot start, {error.filename}: {reason}"
    return (
        f"the server cannot start: the system refused a lock between processes ({reason}); /dev/shm must be "
        "there and writable (in a container: --tmpfs /dev/shm or --shm-size 64m)"
    )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(words: Sequence[str]) -> None:
    """Serve with command-line arguments; listens on all interfaces on a Space, else on this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "7860")))
    parser.add_argument("--allow-host", action="append", default=[])
    parser.add_argument("--only", choices=(*PAGES, DASHBOARD), help="serve this app alone, at /")
    options = parser.parse_args(words)
    serve(options.host, options.port, options.allow_host, options.only)


if __name__ == "__main__":
    main(sys.argv[1:])
