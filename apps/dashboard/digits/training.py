"""Training: start, follow, stop and resume runs in background processes, and compare them."""

import streamlit as st

from apps.dashboard import charts, jobs
from apps.dashboard.digits.comparison import show_comparison
from apps.dashboard.digits.story import SYSTEM, read_story
from apps.dashboard.story import Story
from apps.dashboard.tables import offer, show_metrics
from apps.dashboard.watching import attempt, await_end, choose, follow, tell_refusal
from vision_core import runs
from vision_core.digits import Settings

BATCHES = [10, 25, 50, 100, 125]  # of 64 images; 125 are all 8,000 training images


def begin() -> None:
    """Start a training with the form's settings. Called only by a click on the button, never by a reload."""
    values = st.session_state
    settings = Settings(
        epochs=int(values["epochs"]),
        batches=0 if values["batches"] == BATCHES[-1] else int(values["batches"]),
        lr=float(values["lr"]),
        seed=int(values["seed"]),
        augment=bool(values["augment"]),
        cosine=bool(values["cosine"]),
    )
    values["run"] = jobs.launch(SYSTEM, settings, name=values["digits_name"]).name


def form(busy: runs.Run | None) -> None:
    """The settings of a new training."""
    with (
        st.expander("**New training**", expanded=busy is None),
        st.form("new", border=False, enter_to_submit=False),
    ):
        st.text_input("Name", max_chars=40, key="digits_name", placeholder="the time, if you leave it empty")
        st.number_input("Epochs", 1, 100, 20, key="epochs", help="Epoch 0 is the untrained network.")
        st.select_slider(
            "Batches per epoch",
            BATCHES,
            100,
            key="batches",
            format_func=lambda n: "all" if n == BATCHES[-1] else str(n),
            help="64 images each. With fewer batches, early epochs are more interesting; all = 8,000 images.",
        )
        st.number_input(
            "Learning rate",
            0.0001,
            0.5,
            0.001,
            0.0005,
            "%.4f",
            key="lr",
            help="For Adam. 0.001 is a good start; from 0.05 on, training fails.",
        )
        st.number_input(
            "Seed", 0, 2**31 - 1, 0, key="seed", help="The same seed and settings give identical results."
        )
        st.toggle(
            "Augment",
            key="augment",
            help="Randomly rotate, scale, shear and shift the training images a little.",
        )
        st.toggle("Cosine", key="cosine", help="Cosine decay of the learning rate to 0.")
        st.form_submit_button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=busy is not None,
            on_click=attempt,
            args=(begin,),
        )
        st.caption("Training runs in the background: you can close or reload this page.")
    if busy is not None:
        await_end(busy)


def show_run(names: list[str]) -> None:
    """Show the selected run: state, buttons and curves."""
    story = choose(names, "run", _story, _link)
    follow(story, lambda: read_story(story.run), show_live)


def _story(name: str) -> Story:
    return read_story(runs.Run(jobs.root() / SYSTEM / name))


def _link(story: Story) -> None:
    if story.epochs:
        st.page_link(
            "digits/explorer.py",
            label="Open in the explorer",
            icon=":material/timeline:",
            query_params={"training": story.run.name},  # "run" is dropped with this page
        )


def show_live(story: Story) -> None:
    """Show everything that changes during training."""
    if story.epochs:
        show_numbers(story)
        left, right = st.columns(2)
        with left:
            charts.show(charts.accuracy(story.epochs), "live_accuracy", "Accuracy after each epoch so far")
        with right:
            charts.show(
                charts.steps(story.steps, story.losses, story.total), "live_loss", "Loss of each step so far"
            )
        offer("Curves", story.epochs, story.run.name, story.document)


def show_numbers(story: Story) -> None:
    last, best = story.epochs[-1], story.best or story.epochs[-1]
    show_metrics(
        {
            "Epoch": f"{last['epoch']} of {story.settings['epochs']}",
            "Validation accuracy": f"{last['val_accuracy']:.1%}",
            "Test accuracy": f"{last['test_accuracy']:.1%}",
            "Best validation": f"epoch {best['epoch']}",
        }
    )


st.title("Training", anchor=False)
st.caption("Train the network on 10,000 real digits and watch it learn; an epoch takes about a second.")
tell_refusal()
folders, busy = jobs.folders(SYSTEM), jobs.busy()
side, main = st.columns([1, 3], gap="large")
with side:
    form(busy)
with main:
    if folders:
        show_run([run.name for run in folders])
    else:
        st.info("No training yet. The default settings are a good start.")
if folders:
    show_comparison()
