"""A Gradio page in the suite: its mount, and what its events share."""

import os
from typing import Any, Protocol

import gradio as gr
from fastapi import APIRouter, FastAPI

from apps.shared import doors, logs, visits
from apps.shared.theme import CSS, theme
from vision_core.safety import limits

EVENTS = 60  # events of one app that may wait in Gradio's own queue; heavy work has `apps.queue`
# Looks at what goes on: they wait for no other event, and are many more than one can press
POLL: dict[str, Any] = {"concurrency_limit": 24, "concurrency_id": "poll"}
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
