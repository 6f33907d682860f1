"""Streamlit widgets for the fields of a settings dataclass."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from apps.shared.fields import Field, bounds
from vision_core.settings import described


def build(kind: type, form: Sequence[Field], prefix: str = "") -> None:
    """Show a widget for each field; its key is `prefix` and the name of the setting."""
    for field in form:
        _show(kind, field, prefix + field.name)


def read(kind: type, form: Sequence[Field], prefix: str = "") -> dict[str, Any]:
    """The values of the widgets by the names of the settings."""
    values = {field.name: st.session_state[prefix + field.name] for field in form}
    return {name: int(value) if described(kind, name).whole else value for name, value in values.items()}


def _show(kind: type, field: Field, key: str) -> None:
    setting, (least, most) = described(kind, field.name), bounds(kind, field)
    default = setting.default if field.default is None else field.default
    help = setting.help if field.help is None else field.help
    if field.choices is not None:
        names = field.choices
        st.selectbox(field.label, list(names), format_func=names.__getitem__, key=key, help=help or None)
    elif isinstance(default, bool):
        st.toggle(field.label, default, key=key, help=help or None)
    elif field.slider is not None:
        st.slider(field.label, float(least), field.slider, default, field.step, key=key, help=help or None)
    else:
        number = int if setting.whole else float
        least, most, default = (number(value) for value in (least, most, default))
        format = None if setting.whole else "%.4f"
        st.number_input(field.label, least, most, default, field.step, format, key=key, help=help or None)
