"""HTML shared by several pages: past results, tables, explained numbers."""

from collections.abc import Iterable, Sequence
from html import escape

# For `js_on_load`: sends what the clicked button carries in its data-* attributes
CLICKED = """element.addEventListener('click', event => {
  const button = event.target.closest('[data-act]');
  if (!button || button.disabled) return;
  const picker = element.querySelector('input[type=color]');
  const {act, value = ''} = button.dataset;
  trigger('click', {act, value, picked: picker ? picker.value : ''});
})"""


def pressed(yes: bool) -> str:
    """The attribute of a button that stays pressed."""
    return f'aria-pressed="{str(yes).lower()}"'


def history(results: Sequence[tuple[str, str, str]], shown: str, missing: str = "") -> str:
    """Past results as (name, title, thumbnail's address) to go back to; nothing for a single one, if `shown`.

    Args:
        missing: which results are not among them, and why; see `results.missing`.
    """
    if not results or (len(results) < 2 and shown and not missing):
        return ""
    entries = [("show", name, name == shown, picture, escape(title)) for name, title, picture in results]
    return strip("your results", f"Your results, newest first{missing}", entries)


def strip(label: str, title: str, entries: Iterable[tuple[str, str, bool, str, str]]) -> str:
    """Pictures to click, each as (act, value, whether it is the chosen one, its address, HTML below it)."""
    buttons = "".join(
        f'<button type="button" data-act="{act}" data-value="{value}" {pressed(chosen)}>'
        f'<img src="{picture}" alt=""><span>{below}</span></button>'
        for act, value, chosen, picture, below in entries
        if picture
    )
    return (
        f'<div class="vc-strip" role="group" aria-label="{label}"><span>{title}</span>'
        f"<div>{buttons}</div></div>"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> str:
    """A table whose first column names the row; a cell that starts with "*" is marked as the best."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(_cell(title, cell) for title, cell in zip(columns[1:], row[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="vc-table" tabindex="0" role="region" aria-label="{escape(label)}">{whole}</div>'


def _cell(title: str, text: str) -> str:
    best = ' class="best"' if text.startswith("*") else ""
    return f'<td{best} data-title="{escape(title)}">{escape(text.removeprefix("*"))}</td>'


def tiles(numbers: Iterable[tuple[str, str, str]], label: str) -> str:
    """Tiles of numbers, from (value, name, explanation)."""
    cells = "".join(
        f"<li><b>{value}</b><span>{name}</span><small>{words}</small></li>" for value, name, words in numbers
    )
    return f'<ul class="vc-facts" aria-label="{label}">{cells}</ul>'
