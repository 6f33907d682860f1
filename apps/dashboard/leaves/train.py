"""Train a leaf classifier: choose leaves and settings, watch it learn, stop it, go on with it."""

import streamlit as st

from apps.dashboard import forms, jobs
from apps.dashboard.leaves import datasets
from apps.dashboard.leaves.curves import show_curves
from apps.dashboard.leaves.story import SYSTEM, best, ending, read_story
from apps.dashboard.story import Story
from apps.dashboard.tables import offer, show_metrics
from apps.dashboard.watching import await_end, choose, follow, start_button, tell_refusal
from apps.shared.fields import Field
from vision_core import leaves, runs
from vision_core.weights import WeightsMissing

KEY = "leaf_run"  # query parameter with the chosen training
PREFIX = "leaf_set_"  # prefix of the keys of the form
BALANCE = {
    "none": "no",
    "weights": "by weights in the loss",
    "sampling": "by drawing small classes more often",
}
FORM = (
    Field(
        "epochs",
        "Epochs",
        most=100,
        default=12,
        help="It ends early when the validation loss has not fallen for 7 epochs.",
    ),
    Field(
        "cache_features",
        "Cache features",
        default=True,
        help="Looks at each picture once only: an epoch then takes about a second.",
    ),
)
MORE = (
    Field("lr", "Learning rate", least=1e-4, most=0.5, step=5e-4),
    Field("batch_size", "Batch size", least=4, most=256, help=""),
    Field(
        "unfreeze",
        "Unfreeze blocks",
        help="The last N of the network's 19 blocks learn, too, at a tenth of the rate. "
        "Slower, and only without cached features.",
    ),
    Field("balance", "Balance the classes", choices=BALANCE, help=""),
    Field("label_smoothing", "Label smoothing", slider=0.3, step=0.05, help=""),
    Field("mixup", "Mixup", slider=1.0, step=0.1, help="Mixes pairs of pictures; 0 turns it off."),
    Field("seed", "Seed", help="The same seed and settings give identical results."),
)


def begin(folder: str) -> None:
    """Start a training with the settings of the form."""
    values = forms.read(leaves.Settings, (*FORM, *MORE), PREFIX)
    try:
        settings = leaves.Settings(data=str(datasets.folders()[folder]), **values)
        run = jobs.launch(SYSTEM, settings, leaves.create, st.session_state["leaf_name"])
    except WeightsMissing as error:
        raise ValueError(str(error)) from error
    st.session_state["begun"] = run.name


def form(busy: runs.Run | None) -> None:
    """The folder and the settings of a new training."""
    with st.expander("**New training**", expanded=busy is None):
        folder = datasets.choose("leaf_data")
        with st.form("new_leaves", border=False, enter_to_submit=False):
            st.text_input(
                "Name", max_chars=40, key="leaf_name", placeholder="the time, if you leave it empty"
            )
            forms.build(leaves.Settings, FORM, PREFIX)
            with st.expander("More settings"):
                forms.build(leaves.Settings, MORE, PREFIX)
            start_button(busy is not None or folder is None, begin, folder)
        st.caption("Training runs in the background: you can close or reload this page.")
    if busy is not None:
        await_end(busy)


def show_links(story: Story) -> None:
    """Links to the pages that show and use a finished training."""
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
    if message := ending(story):
        st.info(message, icon=":material/flag:")
    show_curves(story.epochs)
    offer("Curves", story.epochs, story.run.name, story.document)


st.title("Train a leaf classifier", anchor=False)
st.caption("Teach a network that already knows everyday things to recognise the leaves of a folder.")
if begun := st.session_state.pop("begun", ""):
    st.session_state[KEY] = begun
tell_refusal()
trainings, busy = jobs.folders(SYSTEM), jobs.busy()
side, main = st.columns([1, 3], gap="large")
with side:
    form(busy)
with main:
    if trainings:
        story = choose([run.name for run in trainings], KEY, read_story, show_links)
        follow(story, lambda: read_story(story.run.name), show_live)
    else:
        st.info("No training yet. Bring or generate leaves, then start one.")
