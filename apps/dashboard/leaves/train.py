"""Train a leaf classifier: choose leaves and settings, watch it learn, stop it, go on with it."""

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.leaves import datasets
from apps.dashboard.leaves.curves import show_curves
from apps.dashboard.leaves.story import SYSTEM, best, ending, read_story
from apps.dashboard.story import Story
from apps.dashboard.tables import offer, show_metrics
from apps.dashboard.watching import attempt, await_end, choose, follow, tell_refusal
from vision_core import leaves, runs
from vision_core.weights import WeightsMissing

KEY = "leaf_run"  # of the chosen training, in the address
BALANCE = {
    "none": "no",
    "weights": "by weights in the loss",
    "sampling": "by drawing small classes more often",
}


def begin(folder: str) -> None:
    """Start what the form asks."""
    asked = st.session_state
    settings = leaves.Settings(
        data=str(datasets.folders()[folder]),
        epochs=int(asked["leaf_epochs"]),
        batch_size=int(asked["leaf_batch"]),
        lr=float(asked["leaf_rate"]),
        unfreeze=int(asked["leaf_unfreeze"]),
        cache_features=bool(asked["leaf_cache"]),
        balance=asked["leaf_balance"],
        label_smoothing=float(asked["leaf_smoothing"]),
        mixup=float(asked["leaf_mixup"]),
        seed=int(asked["leaf_seed"]),
    )
    try:
        run = jobs.launch(SYSTEM, settings, leaves.create, asked["leaf_name"])
    except WeightsMissing as error:
        raise ValueError(str(error)) from error
    asked["begun"] = run.name


def form(busy: runs.Run | None) -> None:
    """The folder and the settings of a new training."""
    with st.expander("**New training**", expanded=busy is None):
        folder = datasets.choose("leaf_data")
        with st.form("new_leaves", border=False, enter_to_submit=False):
            st.text_input(
                "Name", max_chars=40, key="leaf_name", placeholder="the time, if you leave it empty"
            )
            st.number_input(
                "Epochs",
                1,
                100,
                12,
                key="leaf_epochs",
                help="It ends early when the validation loss has not fallen for 7 epochs.",
            )
            st.toggle(
                "Cache features",
                True,
                key="leaf_cache",
                help="Looks at each picture once only: an epoch then takes about a second.",
            )
            with st.expander("More settings"):
                _more_settings()
            st.form_submit_button(
                "Start training",
                type="primary",
                icon=":material/play_arrow:",
                width="stretch",
                disabled=busy is not None or folder is None,
                on_click=attempt,
                args=(begin, folder),
            )
        st.caption("Training runs in the background: you can close or reload this page.")
    if busy is not None:
        await_end(busy)


def _more_settings() -> None:
    st.number_input("Learning rate", 0.0001, 0.5, 0.001, 0.0005, "%.4f", key="leaf_rate", help="Adam's.")
    st.number_input("Batch size", 4, 256, 32, key="leaf_batch")
    st.number_input(
        "Unfreeze blocks",
        0,
        19,
        0,
        key="leaf_unfreeze",
        help="The last N of the network's 19 blocks learn, too, at a tenth of the rate. "
        "Slower, and only without cached features.",
    )
    st.selectbox("Balance the classes", list(BALANCE), format_func=BALANCE.__getitem__, key="leaf_balance")
    st.slider("Label smoothing", 0.0, 0.3, 0.0, 0.05, key="leaf_smoothing")
    st.slider("Mixup", 0.0, 1.0, 0.0, 0.1, key="leaf_mixup", help="Mixes pairs of pictures; 0 turns it off.")
    st.number_input(
        "Seed", 0, 2**31 - 1, 0, key="leaf_seed", help="The same seed and settings give identical results."
    )


def show_links(story: Story) -> None:
    """Where a finished training can be looked into and used."""
    if story.status == "done":
        for page, label, icon in (
            ("evaluate", "Evaluate", ":material/grid_on:"),
            ("predict", "Predict", ":material/photo_camera:"),
        ):
            query = {"leaf_model": story.run.name}
            st.page_link(f"leaves/{page}.py", label=label, icon=icon, query_params=query)


def show_live(story: Story) -> None:
    """Everything that changes while a training runs."""
    if not story.epochs:
        return
    last, kept = story.epochs[-1], best(story.epochs) or story.epochs[-1]
    show_metrics(
        {
            "Epoch": f"{last['epoch']} of {story.settings['epochs']}",
            "Validation accuracy": f"{last['val_accuracy']:.1%}",
            "Macro-F1": f"{last['val_macro_f1']:.3f}",
            "Best epoch": f"{kept['epoch']}",
            "Gap": f"{leaves.gap(last)['gap']:+.3f}",
        },
        {
            "Macro-F1": "of the validation pictures: the mean over the classes",
            "Best epoch": f"the smallest validation loss, {kept['val_loss']:.4f}: its weights are kept; "
            f"{kept['val_accuracy']:.1%} of the validation pictures were right",
            "Gap": "training less validation accuracy: mild from 0.1, serious from 0.2",
        },
    )
    if said := ending(story):
        st.info(said, icon=":material/flag:")
    show_curves(story.epochs)
    offer("Curves", story.epochs, story.run.name, story.document)


st.title("Train a leaf classifier", anchor=False)
st.caption("Teach a network that already knows everyday things to recognise the leaves of a folder.")
if begun := st.session_state.pop("begun", ""):
    st.session_state[KEY] = begun
tell_refusal()
found, busy = jobs.folders(SYSTEM), jobs.busy()
side, main = st.columns([1, 3], gap="large")
with side:
    form(busy)
with main:
    if found:
        story = choose([run.name for run in found], KEY, read_story, show_links)
        follow(story, lambda: read_story(story.run.name), show_live)
    else:
        st.info("No training yet. Bring or generate leaves, then start one.")
