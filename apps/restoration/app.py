"""Restore old pages: one page from a stained sheet to a clean one, with what was changed in plain sight."""

import gradio as gr

from apps.restoration import api, lab, many, restore_tab, training
from apps.restoration.files import router as files
from apps.restoration.visit import Visit
from apps.shared import wiring

__all__ = ["build", "files"]

INTRO = """A network trained on clean pages removes stains, yellowing, shade and folds from yours. You see
what it changed and where it guesses; a gate keeps the original wherever restoring does not help."""


def build() -> gr.Blocks:
    """Build the page and connect its events."""
    with wiring.page("Manuscript restoration", INTRO) as page:
        state = page.visit
        with gr.Tabs():
            with gr.Tab("One page", id="page"):
                one = restore_tab.build(state, page.key)
            with gr.Tab("Many", id="many"):
                looks = [one["look"], one["book"], many.build(state)]
            with gr.Tab("Lab", id="lab"):
                looks.append(lab.build(state))
            with gr.Tab("Train", id="train"):
                looks.append(training.build(state))
        kept = wiring.controls(page, without=("Page",))
        api.build()
        wiring.load(page, Visit, restore_tab.shown, one["chosen"], looks, kept)
    return page.blocks
