"""Restore old pages: one page from a stained sheet to a clean one, with what was changed in plain sight."""

from typing import Any

import gradio as gr

from apps.restoration import api, lab, many, restore_tab, training
from apps.restoration.files import router as files
from apps.restoration.visit import APP
from apps.shared import theme, visits, wiring
from apps.shared.faults import user_errors
from apps.shared.visits import LIFETIME

__all__ = ["build", "files"]

INTRO = """# Manuscript restoration
A network that has seen clean pages only takes away what time did to yours: stains, yellowing, shade, folds.
It shows what it changed and where it guesses, and a gate keeps the original where that is better."""


def build() -> gr.Blocks:
    """The page, wired."""
    with gr.Blocks(title="Manuscript restoration · vision-core", analytics_enabled=False) as page:
        given = gr.State(None, time_to_live=LIFETIME)
        key = gr.Textbox(visible="hidden", show_label=False)
        gr.HTML(theme.home())
        gr.Markdown(INTRO, elem_classes="vc-intro")
        with gr.Tabs():
            with gr.Tab("One page", id="page"):
                one = restore_tab.build(given, key)
            with gr.Tab("Many", id="many"):
                looks = [one["look"], one["book"], many.build(given)]
            with gr.Tab("Lab", id="lab"):
                looks.append(lab.build(given))
            with gr.Tab("Train", id="train"):
                looks.append(training.build(given))
        api.build()
        opened = page.load(_opened, None, [given, key], show_progress="hidden", api_visibility="private")
        opened.success(None, key, js=wiring.KEEP_KEY)
        opened.success(_chosen, given, one["chosen"], **wiring.QUIET)
        for look in looks:
            opened.success(*look, **wiring.LOOK)
    return page.queue(max_size=wiring.EVENTS)


def _opened(request: gr.Request) -> tuple[Any, ...]:
    """The visit that the address names, else a new one."""
    found = visits.find(APP, request.query_params.get("visit")) or visits.new(APP)
    return found, found.key


@user_errors
def _chosen(given: visits.Session | None) -> tuple[Any, ...]:
    return restore_tab.shown(given or visits.new(APP))
