"""A Gradio page in the suite: its mount, and what its events share."""

import os
from collections.abc import Callable
from typing import Any, Protocol

import gradio as gr
from fastapi import APIRouter, FastAPI

from apps.shared import doors, logs, visits
from apps.shared.theme import CSS, theme
from vision_core.safety import limits

EVENTS = 60  # events of one app that may wait in Gradio's own queue; heavy work has `apps.queue`
# Looks at what goes on: they wait for no other event, and are many more than one can press
POLL: dict[str, Any] = {"concurrency_limit": 24, "concurrency_id": "poll"}
QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": 8,
    "concurrency_id": "page",
    "api_visibility": "private",
}
LOOK: dict[str, Any] = {**QUIET, **POLL}
Look = tuple[Callable[..., Any], Any, Any]  # what shows how far some work is: function, inputs, outputs
# The visit's key goes into the address: a reload comes back to the work
KEEP_KEY = """key => {
  const address = new URL(location);
  if (key && address.searchParams.get('visit') !== key) {
    address.searchParams.set('visit', key);
    history.replaceState(null, '', address);
  }
}"""
# Again and again, for the page grows while the pictures load
TO_RESULT = """() => {
  const find = left => {
    document.querySelector('#result-section')?.scrollIntoView({block: 'start'});
    if (left) setTimeout(find, 200, left - 1);
  };
  find(8);
}"""


class AppModule(Protocol):
    """A Gradio app of the suite: its page, and its other addresses, such as downloads."""

    files: APIRouter

    def build(self) -> gr.Blocks: ...


def mount(suite: FastAPI, app: AppModule, path: str) -> None:
    """Build an app and mount it at `path`; a request to it may name no file but an upload of its own."""
    logs.quiet_gradio()
    os.environ["GRADIO_TEMP_DIR"] = str(visits.uploads())  # read when the page is built
    page = app.build()
    page.has_launched = True  # else Gradio opens any path of ours that it is given: only launch() says so
    suite.include_router(app.files, prefix=path.rstrip("/"))
    gr.mount_gradio_app(
        suite,
        page,
        path=path,
        root_path=path.rstrip("/"),
        theme=theme(),
        css=CSS,
        max_file_size=limits.UPLOAD.value,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        footer_links=[],
    )
    mounted: Any = suite.routes[-1]
    listening = doors.OpenStream(mounted.app, lambda key: page._queue.pending_event_ids_session.get(key, ()))
    mounted.app = doors.OnlyUploads(listening, visits.uploads())


def start(
    event: Callable[..., Any], handler: Callable[..., Any], inputs: Any, look: Look, out: Any = None
) -> Any:
    """When `event` comes, `handler` starts some work, and the page looks at it."""
    return event(handler, inputs, out, **QUIET).success(*look, **LOOK)


def watch(look: Look, timer: gr.Timer, stop: gr.Button, handler: Callable[..., Any], visit: gr.State) -> None:
    """Look at some work again and again while `timer` is active, and at once after `stop`."""
    stopped = stop.click(handler, visit, None, queue=False, api_visibility="private")
    stopped.success(*look, **LOOK)
    timer.tick(*look, **LOOK)
