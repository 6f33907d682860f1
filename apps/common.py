"""What every Gradio app shares: one look, limits, faults as sentences, uploads, its mount."""

import errno
import inspect
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
import plotly.graph_objects as go
from fastapi import APIRouter, FastAPI
from gradio.components.plot import PlotData

from apps import doors, logs, session
from vision_core import guarded, limits, messages, plots
from vision_core.events import Step
from vision_core.extras import ExtraMissing
from vision_core.images import Picture
from vision_core.weights import WeightsMissing

EVENTS = 60  # events of one app that may wait in Gradio's own queue; heavy work has `apps.queue`
# Looks at what goes on: they wait for no other event, and are many more than one can press
POLL: dict[str, Any] = {"concurrency_limit": 24, "concurrency_id": "poll"}
CSS = (Path(__file__).parent / "style.css").read_text("utf-8")
HOME = '<nav class="vc-home"><a href="/">‹ vision-core</a></nav>'
SHARED = (
    "This Space is one machine for all its visitors: they share its queue and its disk, not each other's "
    "work. What you upload and make is seen by whoever has the address of your page; it is deleted six hours "
    "after your last visit, and whenever the Space restarts."
)
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

log = logging.getLogger("vision_core.apps")


class AppModule(Protocol):
    """A Gradio app of the suite: its page, and its other addresses, such as downloads."""

    files: APIRouter

    def build(self) -> gr.Blocks: ...


def theme() -> gr.Theme:
    """The look of all apps, with the fonts of the visitor's own system."""
    return gr.themes.Soft(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="#f7f9fa",
        body_background_fill_dark="#0d1418",
        background_fill_primary_dark="#131c21",
        background_fill_secondary_dark="#0d1418",
        block_background_fill_dark="#131c21",
        body_text_color_subdued="#52606b",
        body_text_color_subdued_dark="#a9b7c1",
        block_info_text_color="#52606b",
        block_info_text_color_dark="#a9b7c1",
        link_text_color="#0f766e",
        link_text_color_dark="#2dd4bf",
        checkbox_label_background_fill_selected="#0f766e",
        checkbox_label_background_fill_selected_dark="#0f766e",
        checkbox_label_text_color_selected="white",
        checkbox_label_text_color_selected_dark="white",
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="*neutral_50",
        block_label_text_color="*neutral_600",
        block_label_background_fill_dark="#1b262d",
        block_label_text_color_dark="#e6edf1",
        checkbox_border_color="#6b7b86",
        checkbox_border_color_dark="#8394a0",
        block_title_text_weight="500",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#0f766e",
        button_primary_background_fill_hover_dark="#115e59",
        button_primary_text_color="white",
    )


def mount(suite: FastAPI, app: AppModule, path: str) -> None:
    """Build an app and mount it at `path`; a request to it may name no file but an upload of its own."""
    logs.quiet_gradio()
    os.environ["GRADIO_TEMP_DIR"] = str(session.uploads())  # read when the page is built
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
    mounted.app = doors.OnlyUploads(listening, session.uploads())


@contextmanager
def sentences() -> Iterator[None]:
    """Turn the visitor's faults into a sentence for a person, and our own into a log entry and an apology."""
    try:
        yield
    except gr.Error:
        raise
    except (ValueError, FloatingPointError, WeightsMissing, ExtraMissing) as error:
        raise refusal(sentence(error)) from error
    except OSError as error:
        log.exception("an event failed")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise refusal(
            "The server's disk is full: nothing was saved." if full else "The server could not do that."
        ) from error
    except Exception as error:
        log.exception("an event failed")
        raise refusal("Something went wrong on our side; it was written to the log.") from error


def refusal(text: str) -> gr.Error:
    """A sentence for the visitor; Gradio shows it as HTML, in which a "<" would end it."""
    return gr.Error(escape(text, quote=False), print_exception=False)


def user_errors(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a handler, function or generator, so that its faults reach the visitor as sentences."""
    if inspect.isgeneratorfunction(handler):

        @wraps(handler)
        def stream(*args: Any) -> Iterator[Any]:
            with sentences():
                yield from handler(*args)

        return stream

    @wraps(handler)
    def call(*args: Any) -> Any:
        with sentences():
            return handler(*args)

    return call


def read_picture(path: str | Path) -> Picture:
    """A stranger's picture, decoded in a process of its own, with a deadline."""
    return guarded.read(path, limits.UPLOAD_PIXELS.value)


def event_data(event: gr.EventData, name: str) -> Any:
    """What a click carries; a client that sends none gets a sentence."""
    data = event._data
    if not isinstance(data, dict) or not isinstance(data.get(name), str):
        raise ValueError("That was not a click on this page")
    return data[name]


class Upload(gr.Image):
    """`gr.Image` that hands over the untouched upload.

    Gradio's own opens the file first, where a fault cannot be told in a sentence of ours.
    """

    is_template = True  # drawn as a gr.Image

    def preprocess(self, payload: Any) -> str | None:
        return received(payload)


class UploadFile(gr.File):
    """`gr.File` for one upload."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        return received(payload)


class Slider(gr.Slider):
    """`gr.Slider` whose value the handler checks: Gradio's own check fills the log with tracebacks."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload


class Number(gr.Number):
    """`gr.Number` whose value the handler checks."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload


class Uploads(gr.File):
    """`gr.File` for many uploads: (name, path) of each."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        files = [] if payload is None else getattr(payload, "root", payload)
        files = files if isinstance(files, list) else [files]
        return [(Path(file.orig_name or file.path).name, str(received(file))) for file in files]


def received(payload: Any) -> str | None:
    """The path of an upload: checked again, for an app that is launched alone has no `doors.OnlyUploads`."""
    if payload is None:
        return None
    if not Path(payload.path).is_file() or session.uploads() not in Path(payload.path).resolve().parents:
        raise refusal(doors.STRANGER)
    return payload.path


def number(value: Any, low: float, high: float, name: str) -> float:
    """A number from a page, checked again: what a browser sends can be anything."""
    try:
        checked = float(value)
    except (TypeError, ValueError, OverflowError):
        checked = math.nan
    if not low <= checked <= high:
        came = messages.sentence(value, 40)
        raise ValueError(f"{name} is {came}, expected a number from {low:g} to {high:g}")
    return checked


def whole(value: Any, low: int, high: int, name: str) -> int:
    """Like `number`, for counts."""
    return round(number(value, low, high, name))


def duration(seconds: float) -> str:
    """3.2 s, 45 s, 2 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def progress(step: Step, unit: str = "epoch") -> str:
    """A bar with loss, percent and the time left, as HTML."""
    percent = 100 * step.step / step.total
    words = f"{unit} {step.step:,} of {step.total:,} · loss {step.losses['total']:.4f}"
    return (
        f'<div class="vc-progress" role="progressbar" aria-label="training" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent:.0f}"><span style="width:{percent:.1f}%"></span></div>'
        f'<div class="vc-progress-words"><b>{percent:.0f} %</b><span>{words}</span>'
        f"<span>{duration(step.eta)} left</span></div>"
    )


def home() -> str:
    """The way back to the landing page; in a Space, which has none, what its visitors share."""
    return note(SHARED) if "SPACE_ID" in os.environ else HOME


def note(text: str, kind: str = "info") -> str:
    """A sentence in a soft box; `kind` is info, good or warning."""
    return f'<div class="vc-note vc-{kind}" role="status">{escape(text)}</div>' if text else ""


def loss_curves(steps: Sequence[Step]) -> PlotData:
    """Every term of the loss over the steps."""
    names = steps[-1].losses if steps else ()
    terms = {name: [step.losses[name] for step in steps] for name in names}
    return plot(plots.loss_terms([step.step for step in steps], terms, height=340, parts=100))


def plot(figure: go.Figure) -> PlotData:
    """A figure for `gr.Plot`, which takes no config, without the button that sends it elsewhere."""
    return PlotData(
        type="plotly", plot=json.dumps(json.loads(figure.to_json() or "{}") | {"config": plots.CONFIG})
    )


def sentence(error: Exception) -> str:
    """The error's text without the server's folders, as a sentence."""
    text = re.sub(r"(?<!\S)/(?:[^\s/]+/)+", "", messages.sentence(error, 1000)).strip()
    text = messages.sentence(text or "That cannot be used")
    if "." not in text.split()[0]:  # a file's name stays as it is
        text = text[0].upper() + text[1:]
    return text + ("" if text[-1] in ".!?" else ".")
