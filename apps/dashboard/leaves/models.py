"""The classifiers that the pages use: of finished trainings, shipped, or taught in this visit."""

from pathlib import Path
from typing import Any

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.leaves.story import SYSTEM
from vision_core import leaves
from vision_core.files import read_json
from vision_core.runs import Run
from vision_core.weights import WeightsMissing

SHIPPED = "the shipped classifier"
TAUGHT, TAUGHT_KEY = "what I taught", "leaf_taught"  # the taught model belongs to this visit only
KEY = "leaf_model"  # of the chosen classifier, in the address


def choose(taught: bool = True) -> tuple[str, leaves.LeafNet, dict[str, Any]] | None:
    """(name, network, metadata) of the chosen classifier; None if there is none."""
    names = [run.name for run in jobs.folders(SYSTEM) if (run.folder / "model.safetensors").exists()]
    with st.spinner("Loading the classifier …"):
        names += [SHIPPED] if _shipped() else []
    names += [TAUGHT] if taught and TAUGHT_KEY in st.session_state else []
    if not names:
        st.info("No classifier yet: train one first; with generated leaves it takes a minute or two.")
        st.page_link("leaves/train.py", label="Train a leaf classifier", icon=":material/model_training:")
        return None
    requested = st.query_params.get(KEY, st.session_state.get(KEY))
    if requested not in names:
        st.session_state[KEY] = names[0]
        if requested is not None:
            st.warning(
                f"There is no finished classifier {jobs.quoted(requested)} here; this is {names[0]}.",
                icon=":material/search_off:",
            )
    name = st.selectbox("Classifier", names, index=None, key=KEY, bind="query-params", required=True)
    try:
        with st.spinner("Loading the classifier …"):
            return (str(name), *load(str(name)))
    except (ValueError, OSError, WeightsMissing) as error:
        st.error(error_text(error), icon=":material/error:")
        return None


def error_text(error: Exception) -> str:
    return str(error) if isinstance(error, WeightsMissing) else jobs.sentence(error)


def folder(name: str) -> Path:
    return jobs.root() / SYSTEM / name


def load(name: str) -> tuple[leaves.LeafNet, dict[str, Any]]:
    """A classifier and its metadata; shared by all visitors, who only read it."""
    if name == SHIPPED:
        return _loaded(None, 0)
    if name == TAUGHT:
        return st.session_state[TAUGHT_KEY][:2]
    path = folder(name) / "model.safetensors"
    return _loaded(str(path), path.stat().st_mtime_ns)


def report(run: Run) -> dict[str, Any]:
    """All measures of a finished training, on "test" and "validation" pictures."""
    path = run.folder / "report.json"
    return _read(str(path), path.stat().st_mtime_ns)


def test_measures(run: Run) -> dict[str, Any]:
    """The measures on the test pictures; empty if they cannot be read."""
    try:
        measures = report(run)["test"]
        return measures if {"accuracy", "macro_f1"} <= measures.keys() else {}
    except (ValueError, OSError, KeyError, TypeError, AttributeError):
        return {}


@st.cache_data(max_entries=64, show_spinner=False)
def _read(path: str, stamp: int) -> dict[str, Any]:
    """`stamp` makes the cache forget a file that was replaced."""
    return read_json(Path(path))


@st.cache_resource(max_entries=4, show_spinner=False)
def _loaded(path: str | None, stamp: int) -> tuple[leaves.LeafNet, dict[str, Any]]:
    """`stamp` makes the cache forget a file that was replaced."""
    return leaves.load(path)


def _shipped() -> bool:
    try:
        load(SHIPPED)
    except (ValueError, OSError, WeightsMissing):
        return False
    return True
