"""Folders of leaves that a visitor may look at and train on: the operator's, drawn ones, and their own."""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

import streamlit as st

from apps.dashboard import jobs
from apps.shared import visits
from vision_core import leaves
from vision_core.events import Step
from vision_core.leaves.data import check_folder
from vision_core.pictures.images import READABLE
from vision_core.safety import archives, guarded, limits

DRAWN = "data"  # folder of the drawn leaves, beside the runs
BROUGHT = "brought"  # folder of uploaded data sets, one folder for each browser
MOST_DRAWN = 20  # such folders on a host
MOST_IMAGES = 1200
SIZE = 128  # pixels of a drawn leaf: enough to tell its disease, and seconds to draw


def folders() -> dict[str, Path]:
    """All folders by their visible names; visitors cannot choose any other folder of the server."""
    paths = {}
    for parent in filter(None, (jobs.data_root(), _browser_folder(), jobs.root() / DRAWN)):
        if parent.is_dir():
            inside = sorted(path for path in parent.iterdir() if path.is_dir() and path.name[0] != ".")
            paths |= {path.name: path for path in inside if path.name not in paths and _has_classes(path)}
    return paths


def _browser_folder() -> Path:
    """The folder with the data sets of this browser; removes those unused for longer than a visit lives."""
    current = jobs.root() / BROUGHT / jobs.browser()
    for folder in (jobs.root() / BROUGHT).glob("*/*"):
        if time.time() - folder.stat().st_mtime > visits.lifetime():
            shutil.rmtree(folder, ignore_errors=True)
    return current


def bring(files: Iterable[tuple[str, bytes]], name: str, tell: Callable[[float], object]) -> str:
    """Store uploaded pictures (path, content) as a data set of this browser; returns its name.

    Raises:
        ValueError: pictures that cannot be read or have no class, too many of them, too few for a training,
            or no room.
    """
    entries = list(files)
    limits.VISIT_PICTURES.check(len(entries), "the folder")
    home = _browser_folder()
    home.mkdir(parents=True, exist_ok=True)
    needed = sum(len(content) for _, content in entries)
    if visits.size(home) + needed > limits.VISIT.value:
        raise ValueError(
            f"that is more than the {limits.VISIT.value >> 20} MB that are kept for a visitor; "
            "remove a folder of yours, or bring fewer pictures"
        )
    if shutil.disk_usage(home).free < jobs.FREE + needed:
        raise ValueError("the disk is nearly full")
    partial = home / f".{secrets.token_hex(8)}"
    try:
        archives.write(_checked(entries, tell), partial)
        check_folder(partial)
        taken = folders()
        title = next(title for title in jobs.titles(Path(name).stem, "leaves") if title not in taken)
        os.replace(partial, home / title)
    except ValueError as error:
        raise ValueError(str(error).replace(str(partial), name)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return title


def _checked(
    files: Sequence[tuple[str, bytes]], tell: Callable[[float], object]
) -> Iterator[tuple[str, bytes]]:
    """Check that each file is a picture, and yield it."""
    for number, (path, content) in enumerate(files):
        tell(number / len(files))
        try:
            guarded.read(content, limits.UPLOAD_PIXELS.value)
        except ValueError as error:
            raise ValueError(f"{PurePosixPath(path).name}: {error}") from error
        yield path, content


def forget(name: str) -> None:
    """Remove a data set of this browser."""
    shutil.rmtree(_browser_folder() / name, ignore_errors=True)


def _has_classes(folder: Path) -> bool:
    return any(path.is_dir() for path in folder.iterdir())


def draw(count: int, seed: int, biased: bool, tell: Callable[[float], object]) -> str:
    """Draw leaves; returns the name of their folder, the same for the same settings.

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
    partial = parent / f".{secrets.token_hex(8)}"  # the folder appears only when complete
    for event in leaves.generate(partial, min(count, MOST_IMAGES), seed, SIZE, biased):
        if isinstance(event, Step):
            tell(event.step / event.total)
    try:
        os.replace(partial, parent / name)
    except OSError:  # another visitor drew the same one first
        shutil.rmtree(partial, ignore_errors=True)
    return name


def choose(key: str) -> str | None:
    """Let the visitor choose, upload or draw a data set; None while there is none."""
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
        help="Each of its subfolders is a class.",
    )
    if name is not None and (folder := _browser_folder() / name).is_dir():
        folder.touch()
        st.button(
            "Remove this folder", icon=":material/delete:", key=f"forget_{key}", on_click=forget, args=(name,)
        )
    with st.popover("Bring your own leaves", icon=":material/upload:", width="stretch"):
        _ask_to_bring()
    with st.popover("Generate leaves", icon=":material/eco:", width="stretch"):
        _ask_to_draw()
    return name


def _ask_to_bring() -> None:
    hours = visits.lifetime() // 3600
    kept = f"{hours // 24} days" if hours >= 48 else f"{hours} hours"
    st.caption(
        "A folder, or a ZIP of it, in which each class is a folder of pictures: at least three, better "
        f"forty. Only this browser sees it; it is removed {kept} after its last use."
    )
    most = max(1, limits.UPLOAD.value >> 20)
    packed = st.file_uploader("ZIP", type="zip", max_upload_size=most, key="bring_zip")
    loose = st.file_uploader(
        "or a folder",
        type="image",
        accept_multiple_files="directory",
        max_upload_size=most,
        key="bring_folder",
    )
    if not st.button(
        "Use these leaves",
        icon=":material/upload:",
        key="bring",
        width="stretch",
        disabled=not (packed or loose),
    ):
        return
    bar = st.progress(0.0, "reading the pictures")
    try:
        if packed:
            files, title = _unpacked(packed.getvalue()), packed.name
        else:
            files = [(file.name, file.getvalue()) for file in loose]
            title = PurePosixPath(files[0][0]).parts[0]
        brought = bring(files, title, lambda share: bar.progress(share, "reading the pictures"))
    except (ValueError, OSError) as error:
        bar.empty()
        st.error(jobs.sentence(error), icon=":material/block:")
    else:
        st.session_state["drawn"] = brought
        st.rerun()


def _unpacked(data: bytes) -> list[tuple[str, bytes]]:
    with NamedTemporaryFile(suffix=".zip") as file:
        file.write(data)
        file.flush()
        return guarded.call(archives.members, file.name, tuple(READABLE), limits.VISIT_PICTURES, limits.VISIT)


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
            generated = draw(count, int(seed), biased, lambda share: bar.progress(share, "drawing"))
        except (ValueError, OSError) as error:
            bar.empty()
            st.error(jobs.sentence(error), icon=":material/block:")
        else:
            st.session_state["drawn"] = generated
            st.rerun()
