"""Look at a folder of leaves before training: its classes, pictures, augmentations, measurements, leaks."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from apps.dashboard import charts, jobs
from apps.dashboard.leaves import datasets
from apps.dashboard.tables import offer
from vision_core import leaves
from vision_core.leaves import plots
from vision_core.leaves.data import square
from vision_core.safety import guarded

EACH = 6  # pictures shown of a class
PAIRS = 6  # of near duplicates
SIDE = 160  # pixels of a shown picture


@st.cache_data(max_entries=4, ttl=600, show_spinner=False)
def _survey(folder: str) -> leaves.Survey:
    return leaves.survey(folder)


@st.cache_data(max_entries=500, ttl=600, show_spinner=False)
def _thumbnail(path: str) -> np.ndarray:
    return square(guarded.read(path).rgb, SIDE)


def show_classes(survey: leaves.Survey) -> None:
    """Number of pictures per class, and the skipped files."""
    counts, balance = survey.counts(), leaves.imbalance(survey.counts())
    charts.show(plots.distribution(counts), "leaf_distribution", "Pictures of each class")
    if balance["small"]:
        names = ", ".join(jobs.quoted(name) for name in balance["small"])
        st.warning(f"Less than half as many as the mean: {names}. Balance them when you train.")
    for note in survey.notes:
        st.info(jobs.quoted(note), icon=":material/info:")
    if survey.skipped:
        with st.expander(f"{len(survey.skipped)} files are skipped"):
            st.dataframe([*survey.skipped], hide_index=True, alt="The skipped files and why")
    offer("Counts", [{"class": name, "pictures": count} for name, count in counts.items()], "classes")


def show_pictures(survey: leaves.Survey) -> None:
    """The first pictures of a class."""
    name = str(st.selectbox("Class", survey.classes, key="leaf_class"))
    label = survey.classes.index(name)
    files = [f for f, n in zip(survey.files, survey.labels, strict=True) if n == label]
    _row(survey.folder, files[:EACH])
    st.caption(f"The first {min(EACH, len(files))} of {len(files)}.")


def _row(folder: Path, files: Sequence[str]) -> None:
    with st.container(horizontal=True, gap="small"):
        for file in files:
            with st.container(width=SIDE):
                st.image(_thumbnail(str(folder / file)), width=SIDE, alt=f"A picture named {file}")
                st.caption(jobs.quoted(file))


def show_one(survey: leaves.Survey) -> None:
    """Augmented versions of one picture, and measurements of it without a network."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    file = str(left.selectbox("Picture", survey.files, key="leaf_picture"))
    seed = right.number_input("Seed", 0, 9999, 0, key="leaf_augment_seed")
    picture = guarded.read(survey.folder / file)
    _named({name: variant.rgb for name, variant in leaves.gallery(picture, int(seed)).items()})
    try:
        leaf = leaves.transform(picture)
    except ValueError as error:
        st.info(f"No measurements: {error}")
        return
    st.markdown("**The leaf, separated from the background**")
    _named(leaf.steps)
    left, right = st.columns([2, 1])
    with left:
        charts.show(plots.histograms(leaf.histograms), "leaf_colours", "Colour histograms of the leaf")
    rows = [{"measure": name, "value": str(value)} for name, value in leaf.shape.items()]
    right.dataframe(rows, hide_index=True, alt="Shape of the leaf")
    document = json.dumps({"file": file, "shape": leaf.shape, "landmarks": leaf.landmarks}, indent=1)
    icon = ":material/download:"
    right.download_button("Measurements as JSON", document, "leaf.json", on_click="ignore", icon=icon)


def _named(pictures: dict[str, np.ndarray]) -> None:
    with st.container(horizontal=True, gap="small"):
        for name, rgb in pictures.items():
            st.image(square(rgb, SIDE), name, width=SIDE, alt=f"The picture: {name}")


def show_split(survey: leaves.Survey) -> None:
    """The split of the folder for a training, and the pictures that would leak between the sides."""
    seed = st.number_input("Seed of the split", 0, 9999, 0, key="leaf_split_seed")
    try:
        manifest = leaves.split(survey, int(seed))
    except ValueError as error:
        st.error(jobs.sentence(error), icon=":material/error:")
        return
    rows = [{"class": name, **counts} for name, counts in manifest.counts().items()]
    st.dataframe(rows, hide_index=True, alt="Pictures of each class in each split")
    where = "" if any(survey.sides) else ", each kept on one side"
    st.markdown(
        f"**{len(manifest.leaks)} pairs of near duplicates**{where}; "
        f"{len(manifest.conflicts)} of them lie in two classes."
    )
    for pair in (*manifest.conflicts, *manifest.leaks)[:PAIRS]:
        _row(survey.folder, pair)
    offer(
        "Split",
        [
            {"file": p.file, "class": manifest.classes[p.label], "split": p.split, "group": p.group}
            for p in manifest.photos
        ],
        "split",
    )
    if manifest.leaks:
        offer("Near duplicates", [{"first": a, "second": b} for a, b in manifest.leaks], "duplicates")


st.title("Look at leaves", anchor=False)
st.caption("Before you train: what a folder holds, what it lacks, and which pictures are in it twice.")
name = datasets.choose("leaf_folder")
if name is None:
    st.info("No folder of leaves yet. Bring your own, or generate some in seconds.")
    st.stop()
try:
    with st.spinner("Reading every picture …"):
        survey = _survey(str(datasets.folders()[name]))
    if not survey.files:
        raise ValueError(f"{name} has no picture that can be read")
    views = {
        "Classes": show_classes,
        "Pictures": show_pictures,
        "One picture": show_one,
        "Split and duplicates": show_split,
    }
    view = st.segmented_control("View", list(views), default="Classes", key="leaf_view", required=True)
    views[str(view)](survey)
except (ValueError, OSError) as error:
    st.error(jobs.sentence(error), icon=":material/error:")
