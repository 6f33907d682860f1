"""The dashboard: watch trainings, start them, and look inside what they learnt."""

import streamlit as st

st.set_page_config(page_title="vision-core", page_icon=":material/neurology:", layout="wide")
st.navigation(
    [
        st.Page(
            "pages/explorer.py",
            title="Epoch explorer",
            icon=":material/timeline:",
            url_path="explorer",
            default=True,
        ),
        st.Page("pages/training.py", title="Training", icon=":material/model_training:", url_path="training"),
    ],
    position="top",
).run()
