"""The dashboard: watch trainings, start them, and look inside what they learnt."""

import streamlit as st

from vision_core.files import bundled

# a file of ours: an emoji or a material icon would be fetched from another host
icon = bundled("apps") / "digits_site" / "icon.svg"
st.set_page_config(page_title="vision-core", page_icon=str(icon), layout="wide")
st.html(
    "<style>.stMainBlockContainer { padding-top: 4.5rem; padding-bottom: 3rem }"
    # it flickers with every refresh, and its "Stop" would not stop a training
    "[data-testid=stStatusWidget] { display: none }</style>"
)
st.navigation(
    [
        st.Page(
            "explorer.py",
            title="Epoch explorer",
            icon=":material/timeline:",
            default=True,
        ),
        st.Page("training.py", title="Training", icon=":material/model_training:", url_path="training"),
    ],
    position="top",
).run()
