"""Epoch explorer: draw a digit and play the training; then its curves, its mistakes and its weights."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.digits import sources
from apps.dashboard.digits.curves import show_curves
from apps.dashboard.digits.one_epoch import show_epoch
from apps.dashboard.digits.story import SYSTEM, read_story
from apps.dashboard.frame import framed
from vision_core.files import bundled
from vision_core.runs import Run

SHIPPED, OWN = "the shipped training", "an export of my own"
READ = "read_export"  # in the session: the files last uploaded, and what they hold


def choose() -> tuple[sources.Source, str, Path | None] | None:
    """The export to show, its name and its run's folder; a fault is told, and there is nothing to show."""
    names = [SHIPPED, *(run.name for run in jobs.folders(SYSTEM)), OWN]
    asked = st.query_params.get("training", SHIPPED)
    if asked not in names:
        st.warning(
            f"There is no training {jobs.quoted(asked)} here; this is {SHIPPED}.",
            icon=":material/search_off:",
        )
    name = st.selectbox("Training to look at", names, key="training", bind="query-params")
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
            "The two files of a packed export: the .json index and its .bin",
            type=["json", "bin"],
            accept_multiple_files=True,
            max_upload_size=16,
            help="`vision-core digits export RUN --out digits.json` writes them; so does the Downloads tab.",
        )
        if not files:
            st.info("Choose both files together. They stay in this session's memory, nothing is kept.")
            return None
        return _uploaded([(file.name, file.getvalue()) for file in files]), "uploaded", None
    except (ValueError, OSError) as error:
        st.error(jobs.sentence(error), icon=":material/error:")
        return None


def _uploaded(files: list[tuple[str, bytes]]) -> sources.Source:
    """Read once, however often the page is drawn."""
    if st.session_state.get(READ, (None, None))[0] != files:
        st.session_state[READ] = files, sources.uploaded(files)
    return st.session_state[READ][1]


@st.cache_data(show_spinner=False)
def _shipped() -> sources.Source:
    return sources.shipped()


@st.cache_data(max_entries=6, show_spinner=False)
def _of_run(folder: str, created: int, epochs: int) -> sources.Source:
    """`created` and `epochs` make the cache forget a run that was replaced or went on."""
    return sources.of_run(Path(folder))


def show_downloads(source: sources.Source, name: str, folder: Path | None) -> None:
    """The export in every form that can be made of it."""
    offer("Metrics", "CSV, one line an epoch", f"{name}.csv", sources.metrics_csv(source))
    packed = "ZIP of the .json index and the .bin with every epoch's weights, as this page reads it"
    offer("Packed export", packed, f"{name}.zip", sources.packed_zip(source))
    weights = (folder or bundled("models") / "digits") / "final_model_weights.pth"
    if (folder or name == "digits") and weights.is_file():
        offer("Weights", "PyTorch, the last epoch", f"{name}.pth", weights.read_bytes())
    if importlib.util.find_spec("onnxscript"):
        offer("ONNX", "the last epoch, for other engines", f"{name}.onnx", lambda: sources.onnx(source))
    if folder is None:
        st.caption("The JSON document is made of a run's folder: choose a training of your own above.")
    else:
        document = "weights, feature maps and metrics of every epoch, some MB; takes some seconds"
        offer("JSON document", document, f"{name}.json", lambda: sources.document(folder))


def offer(title: str, what: str, file_name: str, data: bytes | Callable[[], bytes]) -> None:
    """One line: what it is, and the button."""
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.markdown(f"**{title}**  \n{what}", width="stretch")
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
st.caption("Draw a digit, play the training, and see when the network understood it.")
if (chosen := choose()) is not None:
    shown, label, run_folder = chosen
    draw, curves, epoch_tab, downloads = st.tabs(
        ["Draw and play", "Curves", "One epoch", "Downloads"], key="view", bind="query-params"
    )
    with draw:  # also behind another tab, so that a drawing stays
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
