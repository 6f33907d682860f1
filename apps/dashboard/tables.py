"""Numbers that a visitor sees and takes away: a row of metrics, tables as CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from vision_core.files import without_nan


def show_metrics(values: Mapping[str, str], explanations: Mapping[str, str] | None = None) -> None:
    """A row of boxes; `explanations` has help texts for some of them."""
    with st.container(horizontal=True):
        for title, value in values.items():
            st.metric(title, value, border=True, help=(explanations or {}).get(title))


def offer(label: str, rows: Sequence[Mapping[str, Any]], name: str, document: Any = None) -> None:
    """Buttons that download rows of equal keys as CSV, and `document`, or else the rows, as JSON."""
    table = csv_bytes(list(rows[0]) if rows else [], [list(row.values()) for row in rows])
    text = json.dumps(without_nan(rows if document is None else document), indent=1)
    with st.container(horizontal=True, gap="small"):
        for kind, data in (("CSV", table), ("JSON", text)):
            st.download_button(
                f"{label} as {kind}",
                data,
                f"{name}.{kind.lower()}",
                on_click="ignore",
                icon=":material/download:",
            )


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """UTF-8 CSV in which no text is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_plain(cell) for cell in header])
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _plain(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
