"""Training: start a run in a process of its own, follow it, stop it, go on with it, compare runs."""

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
    """Start what the form asks. Only the button's own click gets here, never a reload."""
    asked = st.session_state
    settings = Settings(
        epochs=int(asked["epochs"]),
        batches=0 if asked["batches"] == BATCHES[-1] else int(asked["batches"]),
        lr=float(asked["lr"]),
        seed=int(asked["seed"]),
        augment=bool(asked["augment"]),
        cosine=bool(asked["cosine"]),
    )
    asked["run"] = jobs.launch(SYSTEM, settings).name


def form(busy: runs.Run | None) -> None:
    """The settings of a new training."""
    with st.expander("**New training**", expanded=busy is None), st.form("new", border=False):
        st.number_input(
            "Epochs", 1, 100, 20, key="epochs", help="One more, epoch 0, is the untrained network."
        )
        st.select_slider(
            "Batches an epoch",
            BATCHES,
            100,
            key="batches",
            format_func=lambda n: "all" if n == BATCHES[-1] else str(n),
            help="Of 64 images. Fewer batches make early epochs worth watching; all = 8,000 images.",
        )
        st.number_input(
            "Learning rate",
            0.0001,
            0.5,
            0.001,
            0.0005,
            "%.4f",
            key="lr",
            help="Adam's. 0.001 is a good start; from 0.05 on you can watch it fail.",
        )
        st.number_input(
            "Seed", 0, 2**31 - 1, 0, key="seed", help="The same seed and settings: the same bytes."
        )
        st.toggle("Augment", key="augment", help="Turn, scale, shear and shift the training images a little.")
        st.toggle("Cosine", key="cosine", help="Let the learning rate fall to 0 along a half cosine.")
        st.form_submit_button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=busy is not None,
            on_click=attempt,
            args=(begin,),
        )
        st.caption("It runs in a process of its own: closing or reloading this page does not end it.")
    if busy is not None:
        await_end(busy)


def show_run(names: list[str]) -> None:
    """The chosen run: its state, its buttons, its curves."""
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
    """Everything that changes while a training runs."""
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
            "Validates best": f"epoch {best['epoch']}",
        }
    )


st.title("Training", anchor=False)
st.caption("Train the digit network on 10,000 real digits and watch it learn; an epoch takes about a second.")
tell_refusal()
found, busy = jobs.folders(SYSTEM), jobs.busy()
side, main = st.columns([1, 3], gap="large")
with side:
    form(busy)
with main:
    if found:
        show_run([run.name for run in found])
    else:
        st.info("No training yet. Start one: the settings beside this are a good first choice.")
if found:
    show_comparison()
