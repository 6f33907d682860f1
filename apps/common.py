"""What every app shares: one look, limits, faults as sentences, and a training as a bar and curves."""

import errno
import inspect
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components.plot import PlotData
from gradio.utils import get_upload_folder, is_in_or_equal

from vision_core import images
from vision_core.color.plots import CONFIG
from vision_core.color.plots import figure as house
from vision_core.images import Picture
from vision_core.training import Step
from vision_core.weights import WeightsMissing

MAX_FILE_SIZE = "40mb"
MAX_PIXELS = 26_000_000  # a 24-megapixel camera's picture, with some room
CACHE = (3600, 86400)  # look every hour, delete what is older than a day
QUEUE = 20  # visitors who may wait; the next is told to come back
HEAVY = 2  # events of `concurrency_id="heavy"` that run at once
CSS = (Path(__file__).parent / "style.css").read_text("utf-8")
COLORS = ("#0d9488", "#f59e0b", "#6366f1", "#ef4444", "#84cc16", "#06b6d4", "#ec4899", "#a16207")

log = logging.getLogger("vision_core.apps")


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
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="*neutral_50",
        block_label_text_color="*neutral_600",
        block_title_text_weight="500",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#0d9488",
        button_primary_background_fill_hover_dark="#0f766e",
        button_primary_text_color="white",
    )


def launch_settings() -> dict[str, Any]:
    """What every app is launched or mounted with: look, limits, and nothing that tells on visitors."""
    return {
        "theme": theme(),
        "css": CSS,
        "max_file_size": MAX_FILE_SIZE,
        "show_error": False,
        "enable_monitoring": False,
        "run_history": False,
        "ssr_mode": False,
        "footer_links": [],
    }


@contextmanager
def sentences() -> Iterator[None]:
    """Turn the visitor's faults into a sentence for a person, and our own into a log entry and an apology."""
    try:
        yield
    except gr.Error:
        raise
    except (ValueError, FloatingPointError, WeightsMissing) as error:
        raise gr.Error(_sentence(error), print_exception=False) from error
    except OSError as error:
        log.exception("an event failed")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        text = "The server's disk is full: nothing was saved." if full else "The server could not do that."
        raise gr.Error(text, print_exception=False) from error
    except Exception as error:
        log.exception("an event failed")
        raise gr.Error(
            "Something went wrong on our side; it was written to the log.", print_exception=False
        ) from error


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler, function or generator, whose faults reach the visitor as sentences."""
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


def read_upload(path: str | None, what: str) -> Picture:
    """The uploaded picture; `what` it is for is named when there is none."""
    if not path:
        raise ValueError(f"Please choose {what} first.")
    return images.read(Path(path).read_bytes(), MAX_PIXELS)


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


def received(payload: Any) -> str | None:
    """The path of an upload; a client may name any file, and Gradio checks only some of the ways to do it."""
    if payload is None:
        return None
    if not is_in_or_equal(payload.path, get_upload_folder()):
        raise gr.Error("That file was not uploaded here.", print_exception=False)
    return payload.path


def number(value: Any, low: float, high: float, name: str) -> float:
    """A number from a page, checked again: what a browser sends can be anything."""
    try:
        checked = float(value)
    except (TypeError, ValueError):
        checked = math.nan
    if not low <= checked <= high:
        raise ValueError(f"{name} is {value}, expected a number from {low:g} to {high:g}")
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


def note(text: str, kind: str = "info") -> str:
    """A sentence in a soft box; `kind` is info, good or warning."""
    return f'<div class="vc-note vc-{kind}" role="status">{escape(text)}</div>' if text else ""


def loss_curves(steps: Sequence[Step], points: int = 100) -> PlotData:
    """Every term of the loss over the steps, thinned to about `points` means."""
    figure = house("Losses", 340)
    size = max(1, math.ceil(len(steps) / points))
    groups = [steps[start : start + size] for start in range(0, len(steps), size)]
    x = [group[-1].step for group in groups]
    for index, name in enumerate(steps[-1].losses if steps else ()):
        y = [sum(step.losses[name] for step in group) / len(group) for group in groups]
        line = {"color": COLORS[index % len(COLORS)], "width": 3 if name == "total" else 1.6}
        figure.add_scatter(x=x, y=y, name=name, mode="lines", line=line)
    title = {"text": "log scale", "standoff": 14}
    figure.update_yaxes(type="log", dtick=1, exponentformat="power", title=title)
    figure.update_xaxes(title="step")
    return plot(figure)


def plot(figure: go.Figure) -> PlotData:
    """A figure for `gr.Plot`, which takes no config, without the button that sends it elsewhere."""
    return PlotData(type="plotly", plot=json.dumps(json.loads(figure.to_json() or "{}") | {"config": CONFIG}))


def _sentence(error: Exception) -> str:
    """The error's text without the server's folders, as a sentence."""
    text = re.sub(r"(?<!\S)/(?:[^\s/]+/)+", "", str(error)).strip() or "That cannot be used"
    if "." not in text.split()[0]:  # a file's name stays as it is
        text = text[0].upper() + text[1:]
    return text + ("" if text[-1] in ".!?" else ".")
