"""The fields of a form, Gradio's or Streamlit's, that shows a settings dataclass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vision_core.settings import described


@dataclass(frozen=True)
class Field:
    """One setting in a form. Missing values come from the settings dataclass.

    Args:
        least, most: bounds on the page, if they are tighter than those of the setting.
        slider: right end of a slider; None for a number box.
        default, help: replace those of the setting.
        choices: labels on the page for the values of a `Literal`.
    """

    name: str
    label: str
    least: float | None = None
    most: float | None = None
    slider: float | None = None
    step: float | None = None
    default: Any = None
    help: str | None = None
    choices: Mapping[str, str] | None = None


def bounds(kind: type, field: Field) -> tuple[Any, Any]:
    """The smallest and the largest value that a page accepts."""
    setting = described(kind, field.name)
    least = setting.least if field.least is None else field.least
    most = setting.most if field.most is None else field.most
    return least or 0, 2**31 if most is None else min(most, 2**31)
