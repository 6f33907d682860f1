"""Ask a leaf classifier about a picture: its answer and where it looks, or that it does not know."""

from dataclasses import asdict

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.leaves import models
from apps.dashboard.tables import offer
from vision_core import leaves
from vision_core.files import bundled
from vision_core.leaves.generate import CLASSES, leaf
from vision_core.pictures.images import Picture
from vision_core.safety import guarded, limits

PHOTOS = {"no leaf: a cat": "color/cat.jpg"}
DRAWN = {f"a drawn leaf: {name}": name for name in CLASSES}
WAYS = ("Example", "Upload", "Camera")


def ask(shipped: bool) -> tuple[str, Picture] | None:
    """The picture to ask about and its name; a fault is told, and there is none.

    Args:
        shipped: the classifier is the one that comes along, which knows photographs, no drawn leaves.
    """
    way = st.segmented_control("Picture", WAYS, default=WAYS[0], key="leaf_way", required=True)
    if way == "Example":
        examples = [*PHOTOS, *DRAWN] if shipped else [*DRAWN, *PHOTOS]
        name = str(st.selectbox("Example", examples, key="leaf_example"))
        return name, _example(name)
    if way == "Upload":
        file = st.file_uploader(
            "A picture of one leaf",
            type="image",
            max_upload_size=max(1, limits.UPLOAD.value >> 20),
            key="leaf_file",
        )
    else:
        file = st.camera_input("A photograph of one leaf", key="leaf_camera")
    if file is None:
        st.info("One leaf that fills most of the picture works best. It stays in this session's memory.")
        return None
    try:
        return file.name, guarded.read(file.getvalue(), limits.UPLOAD_PIXELS.value)
    except ValueError as error:
        st.error(f"{jobs.quoted(file.name)}: {error}", icon=":material/broken_image:")
        return None


@st.cache_data(show_spinner=False)
def _example(name: str) -> Picture:
    if name in PHOTOS:
        return guarded.read(bundled("assets") / PHOTOS[name])
    return Picture(leaf(DRAWN[name], 1_000_007, 256)[0])  # a seed that no data set reaches


def show(found: leaves.Explanation, name: str) -> None:
    """The answer or the refusal, the probabilities, and the picture with what speaks for the answer."""
    answer = found.prediction
    if answer.known:
        st.success(f"**{_plain(answer.label)}**, {answer.probability:.1%}", icon=":material/eco:")
    else:
        st.warning(
            "**This does not look like a leaf I know.** "
            f"Closest would be {_plain(answer.label)} ({answer.probability:.1%}); do not rely on it.",
            icon=":material/help:",
        )
    left, right = st.columns(2)
    left.image(found.shown, "What the network sees", width="stretch", alt="The picture, cut to a square")
    right.image(found.overlay, "Grad-CAM: bright speaks for the answer", width="stretch", alt="Its Grad-CAM")
    if found.outside is not None:
        st.caption(f"{found.outside:.0%} of what speaks for it lies off the leaf.")
    rows = [
        {"class": label, "probability": share}
        for label, share in sorted(answer.probabilities.items(), key=lambda row: -row[1])
    ]
    bar = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
    st.dataframe(rows, hide_index=True, alt="Probability of each class", column_config={"probability": bar})
    st.caption(f"Strangeness {answer.strangeness:.2f}; above 1 the picture is refused.")
    known = [{"file": name, "known": answer.known, **row} for row in rows]  # a refusal is in the table, too
    offer("Answer", known, "prediction", {"file": name, **asdict(answer), "outside": found.outside})


def _plain(label: str) -> str:
    """The name of a class as text, whatever markup it has."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~:$" else c for c in label)


st.title("Ask about a leaf", anchor=False)
side, main = st.columns([1, 2], gap="large")
with side:
    chosen = models.choose()
    asked = ask(chosen[0] == models.SHIPPED) if chosen else None
with main:
    if chosen and asked:
        model, (name, picture) = chosen[1], asked
        label = st.selectbox(
            "Explain",
            ["the answer", *model.classes],
            key="leaf_why",
            help="Grad-CAM for another class shows what speaks for that one.",
        )
        with st.spinner("Looking …"):
            found = leaves.explain(model, picture, label if label in model.classes else None)
        show(found, name)
