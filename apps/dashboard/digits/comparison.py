"""Trainings side by side: one measure over each other, and a table of what was asked and what was reached."""

from typing import Any

import streamlit as st

from apps.dashboard import charts, jobs
from apps.dashboard.digits.story import SYSTEM, read_story
from apps.dashboard.story import Story
from apps.dashboard.tables import csv_bytes

MEASURES = {
    "val_accuracy": "Validation accuracy",
    "test_accuracy": "Test accuracy",
    "train_accuracy": "Training accuracy",
    "val_loss": "Validation loss",
    "loss": "Training loss",
}
MOST = 8  # lines that a chart can show


def show_comparison() -> None:
    """Several runs over each other, and a table of what they were asked and what they reached."""
    st.subheader("Compare trainings", anchor=False)
    stories = [read_story(run) for run in jobs.folders(SYSTEM)]
    measured = {story.run.name: story for story in stories if story.epochs}
    _choose_new(list(measured))
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    chosen = left.multiselect("Trainings", list(measured), max_selections=MOST, key="compared_trainings")
    key = right.selectbox("Measure", list(MEASURES), format_func=MEASURES.__getitem__)
    if chosen:
        first = 1 if charts.ask_close_up("compare_close_up") else 0
        lines = {name: measured[name].epochs[first:] for name in chosen}
        charts.show(
            charts.compared(lines, key, MEASURES[key]),
            "compared",
            f"{MEASURES[key]} of the chosen trainings after each epoch",
        )
    rows = [_row(story) for story in stories]
    st.dataframe(
        rows,
        hide_index=True,
        alt="Settings and results of all trainings",
        column_config={
            "validation": charts.PERCENT,
            "test": charts.PERCENT,
            "learning rate": st.column_config.NumberColumn(format="%.4f"),
            "seconds": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    table = csv_bytes(list(rows[0]), [list(row.values()) for row in rows])
    st.download_button("Table as CSV", table, "trainings.csv", on_click="ignore", icon=":material/download:")


def _choose_new(names: list[str]) -> None:
    """Choose the newest four, then what is new since: what the visitor took out stays out."""
    known = set(st.session_state.get("known_trainings", names))
    kept = st.session_state.get("compared_trainings")
    if kept is None:  # also when the visitor comes back from another page
        known, chosen = set(names), names[:4]
    else:
        # a new one is known once it came back from the page, which may have sent an older choice
        known |= set(kept)
        new = [name for name in names if name not in known]
        chosen = [*(name for name in kept if name in names), *new][:MOST]
    if chosen != kept:
        st.session_state["compared_trainings"] = chosen
    st.session_state["known_trainings"] = known


def _row(story: Story) -> dict[str, Any]:
    asked, best = story.settings, story.best
    return {
        "training": story.run.name,
        "status": story.status,
        "best epoch": best and best["epoch"],
        "validation": best and 100 * best["val_accuracy"],
        "test": best and 100 * best["test_accuracy"],
        "epochs": f"{story.epochs[-1]['epoch'] if best else 0} of {asked.get('epochs', '?')}",
        "batches": str(asked.get("batches") or "all") if asked else None,
        "learning rate": asked.get("lr"),
        "seed": asked.get("seed"),
        "augment": asked.get("augment"),
        "cosine": asked.get("cosine"),
        "seconds": story.seconds,
    }
