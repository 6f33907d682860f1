"""Compare leaf trainings: their curves over each other, their settings, what they reach on test pictures."""

from typing import Any

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.comparison import compare
from apps.dashboard.leaves import models
from apps.dashboard.leaves.story import SYSTEM, read_story
from apps.dashboard.leaves.story import best as kept
from apps.dashboard.story import Story

MEASURES = {
    "val_accuracy": "Validation accuracy",
    "val_macro_f1": "Validation macro-F1",
    "train_accuracy": "Training accuracy (augmented)",
    "val_loss": "Validation loss",
    "cross_entropy": "Training loss (augmented)",
    "lr": "Learning rate",
}


def row(story: Story) -> dict[str, Any]:
    """The settings and, for a finished training, the test metrics of the weights it kept."""
    settings, best = story.shown_settings, kept(story.epochs)
    test = models.test_measures(story.run) if story.status == "done" else {}
    return {
        "macro-F1": best and best["val_macro_f1"],
        "test": 100 * test["accuracy"] if test else None,
        "test macro-F1": test.get("macro_f1"),
        "folder": settings.get("data"),
        "cached": settings.get("cache_features"),
        "unfrozen": settings.get("unfreeze"),
        "balance": settings.get("balance"),
        "smoothing": settings.get("label_smoothing"),
        "mixup": settings.get("mixup"),
    }


st.title("Compare leaf trainings", anchor=False)
st.caption("See which settings helped: choose trainings and a measure.")
if jobs.folders(SYSTEM):
    compare(SYSTEM, lambda: [read_story(run.name) for run in jobs.folders(SYSTEM)], MEASURES, row)
else:
    st.info("No training yet: start two that differ in one setting.")
    st.page_link("leaves/train.py", label="Train a leaf classifier", icon=":material/model_training:")
