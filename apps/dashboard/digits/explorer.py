"""Epoch explorer: draw a digit, play the training, and inspect its curves, mistakes and weights."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.digits import sources
from apps.dashboard.digits.curves import show_curves
from apps.dashboard.digits.one_epoch import show_epoch
from apps.dashboard.digits.sources import SYSTEM, read_story
from apps.dashboard.frame import framed
from vision_core.files import bundled
from vision_core.runs import Run

SHIPPED, OWN = "the bundled training", "my own export"
READ = "read_export"  # session key: the last uploaded files and their content


def choose() -> tuple[sources.Source, str, Path | None] | None:
    """The selected export, its name and its run's folder; shows a message and returns None on errors."""
    names = [SHIPPED, *(run.name for run in jobs.folders(SYSTEM)), OWN]
    requested = st.query_params.get("training", SHIPPED)
    if requested not in names:
        st.warning(
            f"There is no training {jobs.quoted(requested)} here; this is {SHIPPED}.",
            icon=":material/search_off:",
        )
    name = st.selectbox("Training", names, key="training", bind="query-params")
    try:
        if name == SHIPPED:
            return _shipped(), "digits", None
        if name != OWN:
            folder = jobs.root() / "digits" / name
            story = read_story(Run(folder))
            if not story.epochs:
                raise ValueError(story.problem or f"{name} has no finished epoch yet")
            with st.spinner("Reading the run's epochs …"):
                created = (folder / "config.json").stat().st_mtime_ns
                return _of_run(str(folder), created, len(story.epochs)), name, folder
        files = st.file_uploader(
            "The two files of a packed export: .json index and .bin",
            type=["json", "bin"],
            accept_multiple_files=True,
            max_upload_size=16,
            help="Written by `vision-core digits export RUN --out digits.json`, or see the Downloads tab.",
        )
        if not files:
            st.info("Choose both files together. They stay in the memory of this session and are not stored.")
            return None
        return _uploaded([(file.name, file.getvalue()) for file in files]), "uploaded", None
    except (ValueError, OSError) as error:
        st.error(jobs.sentence(error), icon=":material/error:")
        return None


def _uploaded(files: list[tuple[str, bytes]]) -> sources.Source:
    """Parse uploads once, not at every rerun of the page."""
    if st.session_state.get(READ, (None, None))[0] != files:
        st.session_state[READ] = files, sources.uploaded(files)
    return st.session_state[READ][1]


@st.cache_data(show_spinner=False)
def _shipped() -> sources.Source:
    return sources.shipped()


@st.cache_data(max_entries=6, show_spinner=False)
def _of_run(folder: str, created: int, epochs: int) -> sources.Source:
    """`created` and `epochs` invalidate the cache when a run is replaced or continues."""
    return sources.of_run(Path(folder))


def show_downloads(source: sources.Source, name: str, folder: Path | None) -> None:
    """Offer the export in all available formats."""
    offer(
        "Metrics",
        "CSV, one row per epoch, and for moments of the first one",
        f"{name}.csv",
        sources.metrics_csv(source),
    )
    packed = "ZIP of the .json index and the .bin with the weights of every epoch; can be opened here"
    offer("Packed export", packed, f"{name}.zip", sources.packed_zip(source))
    weights = (folder or bundled("models") / "digits") / "final_model_weights.pth"
    if (folder or name == "digits") and weights.is_file():
        offer("Weights", "PyTorch, the last epoch", f"{name}.pth", weights.read_bytes())
    if importlib.util.find_spec("onnxscript"):
        offer("ONNX", "the last epoch, for other runtimes", f"{name}.onnx", lambda: sources.onnx(source))
    if folder is None:
        st.caption("The JSON document needs the folder of a run: select a training of your own above.")
    else:
        document = "weights, feature maps and metrics of every epoch; several MB, takes a few seconds"
        offer("JSON document", document, f"{name}.json", lambda: sources.document(folder))


def offer(title: str, label: str, file_name: str, data: bytes | Callable[[], bytes]) -> None:
    """A row with a description and a download button."""
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.markdown(f"**{title}**  \n{label}", width="stretch")
        st.download_button(
            Path(file_name).suffix.removeprefix(".").upper(),
            data,
            file_name,
            on_click="ignore",
            icon=":material/download:",
            key=f"download_{title}",
            width=120,
        )


st.title("Epoch explorer", anchor=False)
st.caption("Draw a digit, play the training, and see when the network learns to read it.")
if (chosen := choose()) is not None:
    shown, label, run_folder = chosen
    draw, curves, epoch_tab, downloads = st.tabs(
        ["Draw and play", "Curves", "One epoch", "Downloads"], key="view", bind="query-params"
    )
    with draw:  # rendered even when hidden, so that a drawing is kept
        kind = "dark" if st.context.theme.type == "dark" else "light"
        page = framed(shown.index, shown.binary, kind)
        st.iframe(page, height=900, alt="Draw a digit and watch every epoch read it")
    with curves:
        if curves.open:
            show_curves(shown)
    with epoch_tab:
        if epoch_tab.open:
            show_epoch(shown)
    with downloads:
        if downloads.open:
            show_downloads(shown, label, run_folder)
