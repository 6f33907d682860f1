"""Visitors' input: uploads, clicks and numbers; and examples for visitors without a picture."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from apps.shared import doors, visits
from apps.shared.faults import refusal
from vision_core.pictures.images import Picture
from vision_core.safety import guarded, limits, messages


def read_picture(path: str | Path) -> Picture:
    """Decode an untrusted picture in a separate process, with a deadline."""
    return guarded.read(path, limits.UPLOAD_PIXELS.value)


def event_data(event: gr.EventData, name: str) -> Any:
    """The position of a click; a client that sends none gets an error message."""
    data = event._data
    if not isinstance(data, dict) or not isinstance(data.get(name), str):
        raise ValueError("That was not a click on this page")
    return data[name]


class Upload(gr.Image):
    """`gr.Image` that passes on the original upload.

    Gradio's version decodes the file first, and its errors cannot be replaced by our messages.
    """

    is_template = True  # drawn as a gr.Image

    def preprocess(self, payload: Any) -> str | None:
        return received(payload)


def upload(label: str, alt_text: str, height: int = 180, **options: Any) -> Upload:
    """An upload field for one picture.

    A function, since Gradio shows a component by the arguments of its class.
    """
    options |= {"type": "filepath", "image_mode": None, "format": "png", "sources": ["upload", "clipboard"]}
    return Upload(label=label, alt_text=alt_text, height=height, **options)


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
    """The checked path of an upload: an app launched alone runs without `doors.OnlyUploads`."""
    if payload is None:
        return None
    if not Path(payload.path).is_file() or visits.uploads() not in Path(payload.path).resolve().parents:
        raise refusal(doors.STRANGER)
    return payload.path


def number(value: Any, low: float, high: float, name: str) -> float:
    """Check a number from a browser, which can send anything."""
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


def text(value: Any, name: str) -> str:
    """Words from a page, at most 10,000 characters."""
    words = str(value or "").strip()
    if len(words) > 10_000:
        raise ValueError(f"{name} has {len(words):,} characters; 10,000 are the most")
    return words


def data_uri(picture: np.ndarray | Image.Image) -> str:
    """A small picture inside a page, as a JPEG."""
    buffer = BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"


def examples(folder: Path, names: Sequence[str], captions: Mapping[str, str] | None = None) -> str:
    """A button for each `NAME.jpg` of a folder, the picture inside the HTML; its caption is below, if any."""
    buttons = []
    for name in names:
        with Image.open(folder / f"{name}.jpg") as image:
            image.thumbnail((200, 200))
            uri = data_uri(image)
        alt, below = ("", f"<span>{escape(captions[name])}</span>") if captions else (name, "")
        buttons.append(
            f'<button type="button" data-act="example" data-value="{name}">'
            f'<img src="{uri}" alt="{alt}">{below}</button>'
        )
    kind, label = (" vc-pages", "example pages") if captions else ("", "example pictures")
    return (
        f'<div class="vc-examples{kind}" role="group" aria-label="{label}">'
        f"<span>or take one of these</span><div>{''.join(buttons)}</div></div>"
    )
