"""Training: start, follow, stop and resume runs in background processes, and compare them."""

import streamlit as st

from apps.dashboard import charts, forms, jobs
from apps.dashboard.digits.comparison import show_comparison
from apps.dashboard.digits.sources import SYSTEM, read_story
from apps.dashboard.story import Story
from apps.dashboard.tables import offer, show_metrics
from apps.dashboard.watching import await_end, choose, follow, start_button, tell_refusal
from apps.shared.fields import Field
from vision_core import runs
from vision_core.digits import Settings

BATCHES = [10, 25, 50, 100, 125]  # of 64 images; 125 are all 8,000 training images
FORM = (
    Field("lr", "Learning rate", least=1e-4, most=0.5, step=5e-4, help="From 0.05 on, training fails."),
    Field("seed", "Seed", help="The same seed and settings give identical results."),
    Field("augment", "Augment"),
    Field("cosine", "Cosine"),
)
EPOCHS = Field("epochs", "Epochs", most=100, help="Epoch 0 is the untrained network.")


def begin() -> None:
    """Start a training with the form's settings. Called only by a click on the button, never by a reload."""
    values = st.session_state
    batches = 0 if values["batches"] == BATCHES[-1] else int(values["batches"])
    settings = Settings(batches=batches, **forms.read(Settings, (EPOCHS, *FORM)))
    values["run"] = jobs.launch(SYSTEM, settings, name=values["digits_name"]).name


def form(busy: runs.Run | None) -> None:
    """The settings of a new training."""
    with (
        st.expander("**New training**", expanded=busy is None),
        st.form("new", border=False, enter_to_submit=False),
    ):
        st.text_input("Name", max_chars=40, key="digits_name", placeholder="the time, if you leave it empty")
        forms.build(Settings, [EPOCHS])
        st.select_slider(
            "Batches per epoch",
            BATCHES,
            100,
            key="batches",
            format_func=lambda n: "all" if n == BATCHES[-1] else str(n),
            help="64 images each. With fewer batches, early epochs are more interesting; all = 8,000 images.",
        )
        forms.build(Settings, FORM)
        start_button(busy is not None, begin)
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
