"""Forms from a settings dataclass: the default, the bounds and the help of a field are the setting's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from apps.shared.inputs import Number, Slider, number, whole
from vision_core.settings import described


@dataclass(frozen=True)
class Field:
    """One setting in a form.

    Args:
        least, most: what the page allows, where that is less than the setting does.
        slider: right end of a slider; a box for a number where it is None.
        default, help: instead of the setting's own.
    """

    name: str
    label: str
    least: float | None = None
    most: float | None = None
    slider: float | None = None
    step: float | None = None
    default: float | None = None
    help: str | None = None


def build(kind: type, form: Sequence[Field], **look: Any) -> list[gr.components.Component]:
    """The form's components; `look` are arguments of all of them, such as `min_width`."""
    return [_component(kind, field, look) for field in form]


def read(kind: type, form: Sequence[Field], values: Sequence[Any]) -> dict[str, Any]:
    """The settings by name, from what a browser sent.

    Raises:
        ValueError: a value that is no number or out of bounds; names its label.
    """
    found = {}
    for field, value in zip(form, values, strict=True):
        least, most = _bounds(kind, field)
        check = whole if described(kind, field.name).whole else number
        found[field.name] = check(value, least, most, field.label)
    return found


def _component(kind: type, field: Field, look: dict[str, Any]) -> gr.components.Component:
    setting, (least, most) = described(kind, field.name), _bounds(kind, field)
    default = setting.default if field.default is None else field.default
    help = setting.help if field.help is None else field.help
    words: dict[str, Any] = {"label": field.label, "info": help or None, "elem_id": f"set-{field.name}"}
    if field.slider is not None:
        step = field.step or (1 if setting.whole else 0.01)
        low = max(least, step) if least else 0
        return Slider(low, field.slider, default, step=step, **words, **look)
    precision = 0 if setting.whole else None
    bounds: dict[str, Any] = {"minimum": least, "maximum": most, "precision": precision}
    return Number(default, step=field.step or 1, **bounds, **words, **look)


def _bounds(kind: type, field: Field) -> tuple[Any, Any]:
    setting = described(kind, field.name)
    least = setting.least if field.least is None else field.least
    most = setting.most if field.most is None else field.most
    return least or 0, 2**31 if most is None else min(most, 2**31)
