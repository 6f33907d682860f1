"""Gradio components for the fields of a settings dataclass."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from apps.shared.fields import Field, bounds
from apps.shared.inputs import Number, Slider, number, whole
from vision_core.settings import described


def build(kind: type, form: Sequence[Field], **look: Any) -> list[gr.components.Component]:
    """The components of the form; `look` is passed to each of them, such as `min_width`."""
    return [_component(kind, field, look) for field in form]


def read(kind: type, form: Sequence[Field], values: Sequence[Any]) -> dict[str, Any]:
    """Check the values from a browser; the settings by name.

    Raises:
        ValueError: a value is no number or out of bounds; the message names its label.
    """
    settings = {}
    for field, value in zip(form, values, strict=True):
        least, most = bounds(kind, field)
        check = whole if described(kind, field.name).whole else number
        settings[field.name] = check(value, least, most, field.label)
    return settings


def _component(kind: type, field: Field, look: dict[str, Any]) -> gr.components.Component:
    setting, (least, most) = described(kind, field.name), bounds(kind, field)
    default = setting.default if field.default is None else field.default
    help = setting.help if field.help is None else field.help
    words: dict[str, Any] = {"label": field.label, "info": help or None, "elem_id": f"set-{field.name}"}
    if field.slider is not None:
        step = field.step or (1 if setting.whole else 0.01)
        low = max(least, step) if least else 0
        return Slider(low, field.slider, default, step=step, **words, **look)
    precision = 0 if setting.whole else None
    limits: dict[str, Any] = {"minimum": least, "maximum": most, "precision": precision}
    return Number(default, step=field.step or 1, **limits, **words, **look)
