"""Folders of leaves that a visitor may look at and train on: the operator's, and drawn ones."""

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from apps.dashboard import jobs
from vision_core import leaves
from vision_core.events import Step

DRAWN = "data"  # folder of the drawn leaves, beside the runs
MOST_DRAWN = 20  # such folders on a host
MOST_IMAGES = 1200
SIZE = 128  # pixels of a drawn leaf: enough to tell its disease, and seconds to draw


def folders() -> dict[str, Path]:
    """The folders by the names that visitors see; nothing else of the server can be named."""
    found = {}
    for parent in filter(None, (jobs.data_root(), jobs.root() / DRAWN)):
        if parent.is_dir():
            inside = sorted(path for path in parent.iterdir() if path.is_dir() and path.name[0] != ".")
            found |= {path.name: path for path in inside if path.name not in found and _has_classes(path)}
    return found


def _has_classes(folder: Path) -> bool:
    return any(path.is_dir() for path in folder.iterdir())


def draw(count: int, seed: int, biased: bool, tell: Callable[[float], object]) -> str:
    """Draw leaves; the name of their folder, which is the same for the same wishes.

    Raises:
        ValueError: the disk is nearly full, or there are too many such folders.
    """
    name = f"drawn-{count}-seed-{seed}" + ("-biased" if biased else "")
    parent = jobs.root() / DRAWN
    if (parent / name).is_dir():
        return name
    parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(parent).free < jobs.FREE:
        raise ValueError("the disk is nearly full; remove trainings that are no longer needed")
    if sum(path.is_dir() for path in parent.iterdir()) >= MOST_DRAWN:
        raise ValueError(f"there are {MOST_DRAWN} folders of drawn leaves already: choose one of them")
    partial = parent / f".{secrets.token_hex(8)}"  # nobody sees half a folder
    for event in leaves.generate(partial, min(count, MOST_IMAGES), seed, SIZE, biased):
        if isinstance(event, Step):
            tell(event.step / event.total)
    try:
        os.replace(partial, parent / name)
    except OSError:  # another visitor was faster
        shutil.rmtree(partial, ignore_errors=True)
    return name


def choose(key: str) -> str | None:
    """Ask for a folder, or draw one; None while there is none."""
    if drawn := st.session_state.pop("drawn", None):
        st.session_state[key] = drawn
    names = list(folders())
    if names and st.session_state.get(key) not in names:
        st.session_state[key] = names[0]  # not only forgotten: the browser would go on showing the old one
    name = st.selectbox(
        "Folder of leaves",
        names,
        key=key,
        placeholder="none yet: generate leaves below",
        help="Each of its subfolders is a class. The operator offers folders through VISION_CORE_DATA.",
    )
    with st.popover("Generate leaves", icon=":material/eco:", width="stretch"):
        _ask_to_draw()
    return name


def _ask_to_draw() -> None:
    st.caption("Draws leaves that are healthy or have rot, rust or scab: to try a training with, in seconds.")
    count = st.slider("Leaves", 48, MOST_IMAGES, 120, 24, key="draw_count")
    seed = st.number_input("Seed of the drawing", 0, 9999, 0, key="draw_seed")
    biased = st.toggle(
        "Biased",
        key="draw_biased",
        help="Each class lies on a ground of its own: the classifier can cheat, and the evaluation shows it.",
    )
    if st.button("Generate", icon=":material/brush:", key="draw", width="stretch"):
        bar = st.progress(0.0, "drawing")
        try:
            drawn = draw(count, int(seed), biased, lambda share: bar.progress(share, "drawing"))
        except (ValueError, OSError) as error:
            bar.empty()
            st.error(jobs.sentence(error), icon=":material/block:")
        else:
            st.session_state["drawn"] = drawn
            st.rerun()
