"""Digit trainings side by side."""

from typing import Any

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.comparison import compare
from apps.dashboard.digits.sources import SYSTEM, read_story
from apps.dashboard.story import Story

MEASURES = {
    "val_accuracy": "Validation accuracy",
    "test_accuracy": "Test accuracy",
    "train_accuracy": "Training accuracy",
    "val_loss": "Validation loss",
    "loss": "Training loss",
}


def show_comparison() -> None:
    st.header("Compare trainings", anchor=False)
    compare(SYSTEM, lambda: [read_story(run) for run in jobs.folders(SYSTEM)], MEASURES, _row)


def _row(story: Story) -> dict[str, Any]:
    settings, best = story.settings, story.best
    return {
        "test": best and 100 * best["test_accuracy"],
        "batches": str(settings.get("batches") or "all") if settings else None,
        "augment": settings.get("augment"),
        "cosine": settings.get("cosine"),
    }
