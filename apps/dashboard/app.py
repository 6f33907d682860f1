"""The dashboard: watch trainings, start them, and look inside what they learned."""

import streamlit as st

from vision_core.files import bundled

# a file of ours: an emoji or a material icon would be fetched from another host
icon = bundled("apps") / "digits_site" / "icon.svg"
st.set_page_config(page_title="vision-core", page_icon=str(icon), layout="wide")
st.html(
    "<style>.stMainBlockContainer { padding-top: 4rem; padding-bottom: 3rem }"
    # so that a chart and its legend are on one screen of 800 pixels
    ".stMainBlockContainer h1 { padding: 0 0 .5rem }"
    # it flickers with every refresh, and its "Stop" would not stop a training
    "[data-testid=stStatusWidget] { display: none }"
    # Streamlit's captions and its primary button are too pale to read
    "[data-testid=stCaptionContainer] { opacity: 1 } [data-testid=stCaptionContainer] p { opacity: .82 }"
    "[data-testid^=stBaseButton-primary] { background: #1d5fd0; border-color: #1d5fd0; color: #fff }"
    # and these too small for a finger: 24 pixels a side are the least
    "[data-testid=stTooltipIcon] button { min-width: 24px; min-height: 24px; margin: -4px;"
    " display: inline-flex; align-items: center; justify-content: center }"
    "[data-testid=stMultiSelect] button { min-width: 24px; min-height: 24px }"
    # a chosen training: white on the dark theme's blue is too pale
    "[data-testid=stMultiSelect] [data-baseweb=tag], [data-testid=stMultiSelectTagsContainer] [data-tag]"
    " { background: #1d5fd0 !important; color: #fff !important }"
    ".vc-home a { color: inherit; display: inline-block; padding: 6px 0; font-weight: 600 }</style>"
    '<nav class="vc-home"><a href="/" target="_self">‹ vision-core</a></nav>'
    # Streamlit's list of pages on a phone holds headers between its items: to a screen reader it is no list
    """<script>
    if (!window.mendedLists) {
      const mend = () => document.querySelectorAll(
        '[data-testid=stSidebarNavItems]:not([role]), [data-testid=stSidebarNavItems] li:not([role])'
      ).forEach(node => node.setAttribute('role', 'none'));
      window.mendedLists = new MutationObserver(mend);
      window.mendedLists.observe(document.body, {childList: true, subtree: true});
      mend();
    }
    </script>""",
    unsafe_allow_javascript=True,
)
st.navigation(
    {
        "Digits": [
            st.Page("digits/explorer.py", title="Epoch explorer", icon=":material/timeline:", default=True),
            st.Page(
                "digits/training.py", title="Training", icon=":material/model_training:", url_path="training"
            ),
        ],
        "Leaves": [
            st.Page("leaves/dataset.py", title="Dataset", icon=":material/eco:"),
            st.Page("leaves/train.py", title="Train", icon=":material/model_training:"),
            st.Page("leaves/evaluate.py", title="Evaluate", icon=":material/grid_on:"),
            st.Page("leaves/predict.py", title="Predict", icon=":material/photo_camera:"),
            st.Page("leaves/teach.py", title="Teach", icon=":material/school:"),
            st.Page("leaves/compare.py", title="Compare", icon=":material/stacked_line_chart:"),
        ],
    },
    position="top",
).run()
