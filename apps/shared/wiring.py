"""Mounting a Gradio page in the suite, and the options that its events share."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr
from anyio import CapacityLimiter
from fastapi import APIRouter, FastAPI
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Queue
from gradio.route_utils import get_fn

from apps.shared import doors, jobs, logs, visits
from apps.shared.faults import user_errors
from apps.shared.open_pages import OpenPages
from apps.shared.theme import CSS, SCRIPT, home, theme
from apps.shared.visits import Session, Visit
from vision_core.safety import limits

EVENTS = 60  # events of one app that may wait in Gradio's own queue; heavy work has `apps.queue`
QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": 8,
    "concurrency_id": "page",
    "api_visibility": "private",
}
# Refreshes are far more frequent than clicks. Without Gradio's queue, stream of answers and statistics they
# take less processor time and do not wait for other events
LOOK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
THREADS = 64  # for the events of an app; downloads use other threads
Look = tuple[Callable[..., Any], Any, Any]  # the refresh of running work: function, inputs, outputs
# Put the key of the visit into the address, so that a reload continues it
KEEP_KEY = """key => {
  const address = new URL(location);
  if (key && address.searchParams.get('visit') !== key) {
    address.searchParams.set('visit', key);
    history.replaceState(null, '', address);
  }
}"""
OVER = "The visit in this address is over: its files were removed. This is a new one."
# The landing page offers to go on. Again and again while the work goes on and the pictures load, for the page
# grows; but not against a person who scrolls
TO_RESULT = """() => {
  try {
    const visits = JSON.parse(localStorage.getItem('vision-core visits') || '{}');
    const title = document.title.split(' · ')[0];
    visits[location.pathname] = {title, address: location.pathname + location.search, time: Date.now()};
    localStorage.setItem('vision-core visits', JSON.stringify(visits));
  } catch { /* a browser that keeps nothing */ }
  let last = null;
  const find = left => {
    if (last !== null && Math.abs(scrollY - last) > 4) return;
    const result = document.querySelector('#bench, #result-section');
    const top = result?.getBoundingClientRect().top ?? 0;
    if (top < 0 || top > innerHeight / 3) result?.scrollIntoView({block: 'start'});
    last = scrollY;
    const working = document.querySelector('#result-section .vc-progress');
    if (left || working) setTimeout(find, 200, working ? 8 : left - 1);
  };
  find(8);
}"""
# A job's bar may be below the window
TO_PROGRESS = """() => setTimeout(() => {
  const bar = [...document.querySelectorAll('.vc-progress')].find(each => each.checkVisibility());
  if (bar?.getBoundingClientRect().bottom > innerHeight - 60) bar.scrollIntoView({block: 'center'});
}, 100)"""
# The page keeps its height as well: a shorter one would move the picture under the eye
BUSY = """() => {
  document.activeElement?.closest('button')?.setAttribute('aria-busy', 'true');
  document.body.style.minHeight = `${scrollY + innerHeight}px`;
}"""
# A moment later, when the page has shown that the work goes on
IDLE = """() => setTimeout(() => document.querySelectorAll('button[aria-busy]').forEach(
  button => button.removeAttribute('aria-busy')
), 300)"""


class AppModule(Protocol):
    """A Gradio app of the suite: its page and its routes, such as downloads."""

    files: APIRouter

    def build(self) -> gr.Blocks: ...


def mount(suite: FastAPI, app: AppModule, path: str) -> None:
    """Build an app and mount it at `path`; requests to it may name only uploaded files."""
    logs.quiet_gradio()
    os.environ["GRADIO_TEMP_DIR"] = str(visits.uploads())  # read when the page is built
    page = app.build()
    page.has_launched = (
        True  # otherwise Gradio opens any server path that it is given: only launch() sets this
    )
    suite.include_router(app.files, prefix=path.rstrip("/"))
    gr.mount_gradio_app(
        suite,
        page,
        path=path,
        root_path=path.rstrip("/"),
        theme=theme(),
        css=CSS,
        js=SCRIPT,
        max_file_size=limits.UPLOAD.value,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        footer_links=[],
    )
    page.limiter = CapacityLimiter(THREADS)
    page._queue.push = _refusing_short_calls(page._queue)
    mounted: Any = suite.routes[-1]
    mounted.app.state_holder = OpenPages()
    mounted.app.state_holder.set_blocks(page)
    listening = doors.OpenStream(mounted.app, lambda key: page._queue.pending_event_ids_session.get(key, ()))
    mounted.app = doors.OnlyUploads(listening, visits.uploads())


def _refusing_short_calls(queue: Queue) -> Callable[..., Any]:
    """Refuse events with missing inputs, which Gradio would accept first and fail on later."""
    push = queue.push

    async def checked(body: PredictBodyInternal, *args: Any, **kwargs: Any) -> Any:
        needed = len(get_fn(queue.blocks, None, body).inputs) if body.fn_index is not None else 0
        if len(body.data) < needed:
            text = f"{len(body.data)} of {needed} inputs of the event were sent"
            logs.log.warning("a request was not answered (%s)", text)
            return False, f"{text}.", "error"
        return await push(body, *args, **kwargs)

    return checked


@dataclass(frozen=True)
class Page:
    """A page under construction, with the state that holds the visit."""

    blocks: gr.Blocks
    visit: gr.State
    key: gr.Textbox


@contextmanager
def page(title: str, intro: str) -> Iterator[Page]:
    """The frame of a page: the link home, its title and an introduction."""
    with gr.Blocks(title=f"{title} · vision-core", analytics_enabled=False) as blocks:
        visit = gr.State(None, time_to_live=visits.lifetime())
        key = gr.Textbox(visible="hidden", show_label=False)
        gr.HTML(home())
        gr.Markdown(f"# {title}\n{intro}", elem_classes="vc-intro")
        yield Page(blocks, visit, key)
    blocks.queue(max_size=EVENTS)


def load(
    page: Page,
    kind: type[Visit],
    shown: Callable[[Session], tuple[Any, ...]],
    outputs: Sequence[Any],
    looks: Sequence[Look],
    controls: Sequence[Any] = (),
) -> None:
    """When the page is opened, continue the visit in its address or start a new one.

    Args:
        shown: gives the values of `outputs` for a visit.
        looks: refreshes to run when the page was opened.
        controls: components whose values the visit keeps.
    """
    names = [f"{number} {control.label}" for number, control in enumerate(controls)]

    @user_errors
    def opened(request: gr.Request) -> tuple[Any, ...]:
        key = request.query_params.get("visit")
        session = visits.find(kind.APP, key) or visits.new(kind.APP)
        if key and session.key != key:
            gr.Warning(OVER)
        kept = visits.current(kind, session).controls
        values = [gr.update(value=kept[name]) if name in kept else gr.skip() for name in names]
        return session, session.key, *shown(session), *values

    @user_errors
    def keep(state: Session | None, *values: Any) -> None:
        held = {name: value for name, value in zip(names, values, strict=True) if _is_plain(value)}
        visit = visits.current(kind, state)
        if held != visit.controls:
            visits.change(kind, visit.session, controls=held)

    filled = [page.visit, page.key, *outputs, *controls]
    loaded = page.blocks.load(opened, None, filled, show_progress="hidden", api_visibility="private")
    loaded.success(None, page.key, js=KEEP_KEY)
    for look in looks:
        loaded.success(*look, **LOOK)
    if controls:
        changes = [control.change for control in controls]
        gr.on(changes, keep, [page.visit, *controls], None, trigger_mode="always_last", **QUIET)


def controls(page: Page, without: Sequence[str] = ()) -> list[Any]:
    """The sliders, boxes and fields of a page so far, except those with the labels `without`."""
    kinds = (gr.Slider, gr.Number, gr.Radio, gr.Checkbox, gr.Dropdown, gr.Textbox, gr.ColorPicker)
    blocks = [block for block in page.blocks.blocks.values() if isinstance(block, kinds)]
    return [block for block in blocks if block is not page.key and block.label not in without]


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | bool) or (isinstance(value, str) and len(value) <= 10_000)


def start(
    event: Callable[..., Any], handler: Callable[..., Any], inputs: Any, look: Look, out: Any = None
) -> Any:
    """On `event`, start some work with `handler` and follow it on the page.

    The pressed button looks busy at once, until the page shows the work or a refusal.
    """
    event(None, js=BUSY)
    begun = event(handler, inputs, out, **QUIET)
    begun.failure(None, js=IDLE)
    followed = begun.success(*look, **LOOK)
    followed.then(None, js=IDLE)
    return followed


def watch(look: Look, timer: gr.Timer, stop: gr.Button, handler: Callable[..., Any], visit: gr.State) -> None:
    """Refresh the page repeatedly while `timer` is active, and immediately after `stop`."""
    stopped = stop.click(handler, visit, None, queue=False, api_visibility="private")
    stopped.success(*look, **LOOK)
    timer.tick(*look, **LOOK)


def job(
    visit: gr.State,
    button: gr.Button,
    begin: Callable[..., Any],
    inputs: Sequence[Any],
    follow: Callable[..., Any],
    shown: Sequence[Any],
    stopper: gr.Button,
) -> Look:
    """Connect the button that starts a job, its Stop and a timer; returns the refresh for a loaded page.

    Args:
        follow: gives the values of `shown`, and `jobs.buttons`.
    """
    timer = gr.Timer(jobs.REFRESH, active=False)
    look = (follow, visit, [*shown, stopper, button, timer])
    start(button.click, begin, [visit, *inputs], look).then(None, js=TO_PROGRESS)
    watch(look, timer, stopper, jobs.end, visit)
    return look
