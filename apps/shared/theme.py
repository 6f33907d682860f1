"""The theme of all pages, and the line at their top."""

import os
from pathlib import Path

import gradio as gr

from apps.shared import visits
from apps.shared.progress import note
from vision_core.safety import limits

CSS = (Path(__file__).parent / "style.css").read_text("utf-8")
SCRIPT = (Path(__file__).parent / "page.js").read_text("utf-8")
HOME = (
    '<nav class="vc-home"><a href="/">‹ vision-core</a>'
    "<span>Files of up to {} MB and {:g} megapixels. Your work is kept for {} after your last visit."
    "</span></nav>"
)
SHARED = (
    "This Space is one machine for all its visitors: they share its queue and its disk, not each other's "
    "work. What you upload and make is seen by whoever has the address of your page; it is deleted {} "
    "after your last visit, and whenever the Space restarts."
)


def theme() -> gr.Theme:
    """The theme of all apps, with system fonts."""
    return gr.themes.Soft(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="#f7f9fa",
        body_background_fill_dark="#0d1418",
        background_fill_primary_dark="#131c21",
        background_fill_secondary_dark="#0d1418",
        block_background_fill_dark="#131c21",
        body_text_color_subdued="#52606b",
        body_text_color_subdued_dark="#a9b7c1",
        block_info_text_color="#52606b",
        block_info_text_color_dark="#a9b7c1",
        link_text_color="#0f766e",
        link_text_color_dark="#2dd4bf",
        checkbox_label_background_fill_selected="#0f766e",
        checkbox_label_background_fill_selected_dark="#0f766e",
        checkbox_label_text_color_selected="white",
        checkbox_label_text_color_selected_dark="white",
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="*neutral_50",
        block_label_text_color="*neutral_600",
        block_label_background_fill_dark="#1b262d",
        block_label_text_color_dark="#e6edf1",
        checkbox_border_color="#6b7b86",
        checkbox_border_color_dark="#8394a0",
        block_title_text_weight="500",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#0f766e",
        button_primary_background_fill_hover_dark="#115e59",
        button_primary_text_color="white",
    )


def home() -> str:
    """A link to the landing page; on a Space, which has none, a note on what its visitors share."""
    hours = visits.lifetime() / 3600
    kept = f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"
    if "SPACE_ID" in os.environ:
        return note(SHARED.format(kept))
    return HOME.format(limits.UPLOAD.value >> 20, limits.UPLOAD_PIXELS.value / 1e6, kept)
