"""One server, one port: the landing page, the apps, the digit explorer and the dashboard."""

import argparse
import ipaddress
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

import vision_core
from apps import common, landing
from apps.color_transfer import app as color_transfer
from vision_core.files import bundled

HERE = Path(__file__).parent
DASHBOARD = HERE / "dashboard" / "app.py"


def create() -> FastAPI:
    """The whole suite as one ASGI app."""
    dashboard = _dashboard()
    suite = FastAPI(
        title="vision-core",
        lifespan=dashboard.lifespan() if dashboard else None,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    suite.add_middleware(SafeHeaders)

    @suite.get("/", response_class=HTMLResponse)
    def home() -> str:
        return landing.page()

    @suite.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok", "version": vision_core.__version__}

    suite.mount("/pictures", StaticFiles(directory=bundled("assets") / "landing"))
    suite.mount("/digits", StaticFiles(directory=HERE / "digits_site", html=True))
    page = color_transfer.build()
    page.has_launched = True  # else Gradio opens any path of ours that a client names: only launch() says so
    gr.mount_gradio_app(
        suite,
        page,
        path="/color-transfer",
        root_path="/color-transfer",
        **common.launch_settings(),
    )
    if dashboard:
        suite.mount("/dashboard", dashboard)
    return suite


def serve(host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serve the suite until interrupted.

    Raises:
        ValueError: the port is in use, or the address is not one of this machine.
    """
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    server = uvicorn.Server(uvicorn.Config(create(), log_level="warning", timeout_graceful_shutdown=2))
    told = [f"vision-core is at http://{shown}:{port} (end it with Ctrl-C)"]
    if not _loopback(host):
        told.append("It is open to the network and asks for no password: whoever reaches it can use it.")
    print(*told, sep="\n", file=sys.stderr, flush=True)  # standard output is --json's
    server.run(sockets=[listener])


class SafeHeaders:
    """ASGI middleware: browsers must not guess types, tell other sites addresses, or be framed by others."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app
        friends = " https://huggingface.co" if "SPACE_ID" in os.environ else ""  # Spaces are shown in a frame
        self.headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"content-security-policy", f"frame-ancestors 'self'{friends}".encode()),
        ]

    async def __call__(self, scope: Any, receive: Any, send: Callable[..., Awaitable[None]]) -> None:
        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", [])}
                added = [header for header in self.headers if header[0] not in given]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.app(scope, receive, with_headers)


def _dashboard() -> Any:
    """The Streamlit dashboard as an ASGI app, None where this release has none."""
    if not DASHBOARD.exists():
        return None
    import streamlit

    return streamlit.App(str(DASHBOARD))


def _listen(host: str, port: int) -> socket.socket:
    """Taken before anything is loaded, so that a port in use is told at once."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ValueError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7860)
    options = parser.parse_args()
    serve(options.host, options.port)
