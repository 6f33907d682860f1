"""Trainings of a system side by side: one measure over each other, what was asked and what was reached."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from apps.dashboard import charts, jobs
from apps.dashboard.story import Story
from apps.dashboard.tables import offer
from apps.dashboard.watching import REFRESH

MOST = 8  # lines that a chart can show
COLUMNS = {
    **dict.fromkeys(("validation", "test"), charts.PERCENT),
    "macro-F1": st.column_config.NumberColumn(format="%.3f"),
    "test macro-F1": st.column_config.NumberColumn(format="%.3f"),
    "learning rate": st.column_config.NumberColumn(format="%.4f"),
    "seconds": st.column_config.NumberColumn(format="%.0f"),
}


def compare(
    system: str,
    read: Callable[[], Sequence[Story]],
    measures: Mapping[str, str],
    row: Callable[[Story], dict[str, Any]],
) -> None:
    """Chart several trainings together and list all in a table; refreshed while one is running.

    Args:
        read: the stories of all trainings, newest first.
        measures: the metrics that can be drawn, with their labels.
        row: further table columns of a training, besides name, status and seconds.
    """
    busy = jobs.running() is not None

    def look() -> None:
        if busy and jobs.running() is None:
            st.rerun()  # the timer ends
        stories = read()
        _show_lines(system, {story.run.name: story for story in stories if story.epochs}, measures)
        rows = [_row(story, row(story)) for story in stories]
        st.dataframe(
            rows, hide_index=True, alt="Settings and results of all trainings", column_config=COLUMNS
        )
        offer("Table", rows, "trainings")

    st.fragment(look, run_every=2 * REFRESH if busy else None)()


def _show_lines(system: str, measured: Mapping[str, Story], measures: Mapping[str, str]) -> None:
    _choose_new(system, list(measured))
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    chosen = left.multiselect("Trainings", list(measured), max_selections=MOST, key=f"compared_{system}")
    key = right.selectbox("Measure", list(measures), format_func=measures.__getitem__, key=f"by_{system}")
    if chosen:
        untrained = any(measured[name].epochs[0]["epoch"] == 0 for name in chosen)
        first = 1 if untrained and charts.ask_close_up(f"close_up_{system}") else 0
        lines = {name: measured[name].epochs[first:] for name in chosen}
        figure = charts.compared(lines, key, measures[key])
        charts.show(figure, "compared", f"{measures[key]} of the chosen trainings after each epoch")


def _choose_new(system: str, names: list[str]) -> None:
    """Choose the newest four and later ones; trainings that the visitor removed stay removed."""
    chosen_key, known_key = f"compared_{system}", f"known_{system}"
    known = set(st.session_state.get(known_key, names))
    kept = st.session_state.get(chosen_key)
    if kept is None:  # also when the visitor comes back from another page
        known, chosen = set(names), names[:4]
    else:
        # mark a training as known only after the page returned it: it may still send an older choice
        known |= set(kept)
        new = [name for name in names if name not in known]
        chosen = [*(name for name in kept if name in names), *new][:MOST]
    if chosen != kept:
        st.session_state[chosen_key] = chosen
    st.session_state[known_key] = known


def _row(story: Story, more: dict[str, Any]) -> dict[str, Any]:
    settings, best = story.settings, story.best
    return {
        "training": story.run.name,
        "status": story.status,
        "best epoch": best and best["epoch"],
        "validation": best and 100 * best["val_accuracy"],
        **more,
        "epochs": f"{story.epochs[-1]['epoch'] if best else 0} of {settings.get('epochs', '?')}",
        "learning rate": settings.get("lr"),
        "seed": settings.get("seed"),
        "seconds": story.seconds,
    }
