"""Training: start a run in a process of its own, follow it, stop it, go on with it, compare runs."""

import os
import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from apps.dashboard import charts, jobs
from apps.dashboard.digits.comparison import show_comparison
from apps.dashboard.digits.story import SYSTEM, Story, read_story
from vision_core import runs
from vision_core.digits import Settings

REFRESH = 2.0  # seconds between two looks at a running training
QUIET = 30  # seconds without news after which the page says so
BATCHES = [10, 25, 50, 100, 125]  # of 64 images; 125 are all 8,000 training images
STATUS = {
    "running": (":blue-badge[:material/progress_activity: running]", ""),
    "done": (":green-badge[:material/check: done]", ""),
    "stopped": (
        ":orange-badge[:material/pause: stopped]",
        "Stopped as asked. Resume goes on from the last whole epoch, to the result it would have had.",
    ),
    "interrupted": (
        ":orange-badge[:material/power_off: interrupted]",
        "Its process was ended from outside. Resume goes on from the last whole epoch, to the same result.",
    ),
    "failed": (":red-badge[:material/error: failed]", ""),
    "damaged": (":red-badge[:material/error: damaged]", ""),
    "empty": (":gray-badge[empty]", ""),
    "new": (":gray-badge[new]", "Nothing was trained yet."),
}


def attempt(act: Callable[..., object], *arguments: Any) -> None:
    """Do what a button asks; a refusal is kept for the page to tell."""
    try:
        act(*arguments)
    except (ValueError, OSError) as error:
        st.session_state["refused"] = jobs.sentence(error)


def begin() -> None:
    """Start what the form asks. Only the button's own click gets here, never a reload."""
    asked = st.session_state
    batches = None if asked["batches"] == BATCHES[-1] else int(asked["batches"])
    settings = Settings(
        epochs=int(asked["epochs"]),
        batches=batches,
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
        st.fragment(await_end, run_every=REFRESH)(busy)


def await_end(busy: runs.Run) -> None:
    """Say why nothing can be started, until it can."""
    if busy.process() is None:
        st.rerun()
    st.caption(f"**{busy.name}** is training. One training at a time on this machine: wait, or stop it.")


def show_run(names: list[str]) -> None:
    """The chosen run: its state, its buttons, its curves."""
    asked = st.query_params.get("run", st.session_state.get("run"))
    if asked not in names:
        st.session_state["run"] = names[0]  # no default, so that the address always names the run
        if asked is not None:
            st.warning(
                f"There is no training {jobs.quoted(asked)} here; this is the newest.",
                icon=":material/search_off:",
            )
    with st.container(horizontal=True, vertical_alignment="center"):
        name = str(
            st.selectbox(
                "Training",
                names,
                index=None,
                key="run",
                bind="query-params",
                label_visibility="collapsed",
                required=True,
            )
        )
        run = runs.Run(jobs.root() / "digits" / name)
        story = read_story(run)
        if not jobs.mine(run):
            if story.status in ("running", "stopped", "interrupted"):
                st.caption("Started from another browser, which can stop and resume it. You can watch.")
        elif story.status == "running":
            stopping = (run.folder / "stop").exists()
            st.button(
                "Stopping …" if stopping else "Stop training",
                icon=":material/stop:",
                disabled=stopping,
                on_click=attempt,
                args=(jobs.stop, run),
                help="It saves and ends after its current step.",
            )
        elif story.status in ("stopped", "interrupted", "new") or run.resume_file.exists():
            busy = jobs.running() is not None
            st.button(
                "Resume",
                icon=":material/resume:",
                disabled=busy,
                on_click=attempt,
                args=(jobs.resume, run),
                type="primary",
            )
        if story.epochs:
            st.page_link(
                "digits/explorer.py",
                label="Open in the explorer",
                icon=":material/timeline:",
                query_params={"training": name},  # not "run": leaving this page drops its own parameters
            )
    # the timer exists only while there is something to wait for
    live = st.fragment(show_live, run_every=REFRESH if story.status == "running" else None)
    live(run, story.status == "running", bool(story.epochs))


def show_live(run: runs.Run, was_running: bool, had_epochs: bool) -> None:
    """Everything that changes while a training runs."""
    story = read_story(run)
    if (was_running and story.status != "running") or (story.epochs and not had_epochs):
        st.rerun()  # the whole page: buttons change, and the timer may end
    badge, meaning = STATUS[story.status]
    st.markdown(f"{badge} {_age(story)}")
    if story.problem:
        st.error(story.problem, icon=":material/error:")
    elif meaning:
        st.info(meaning)
    if story.status == "running":
        show_progress(story)
    if story.epochs:
        show_numbers(story)
        left, right = st.columns(2)
        with left:
            charts.show(charts.accuracy(story.epochs), "live_accuracy", "Accuracy after each epoch so far")
        with right:
            charts.show(
                charts.steps(story.steps, story.losses, story.total), "live_loss", "Loss of each step so far"
            )


def _age(story: Story) -> str:
    if story.updated is None:
        return ""
    seconds = max(0.0, time.time() - story.updated)
    if story.status != "running":
        return f":gray[last entry {time.strftime('%Y-%m-%d %H:%M', time.localtime(story.updated))}]"
    if seconds > QUIET:
        return f":orange[no news for {seconds:.0f} s: the machine may be busy]"
    return f":gray[last update {seconds:.0f} s ago]"


def show_progress(story: Story) -> None:
    """How far a running training is, and how long it will take."""
    if not story.steps:
        st.progress(0.0, "starting: loading the images and measuring the untrained network")
        return
    step, left = story.steps[-1], max(0.0, story.eta - (time.time() - (story.updated or 0)))
    st.progress(
        step / story.total,
        f"step {step:,} of {story.total:,}, epoch {len(story.epochs)}, about {left:.0f} s of training left",
    )


def show_numbers(story: Story) -> None:
    last, best = story.epochs[-1], story.best or story.epochs[-1]
    with st.container(horizontal=True):
        for title, value in (
            ("Epoch", f"{last['epoch']} of {story.settings['epochs']}"),
            ("Validation accuracy", f"{last['val_accuracy']:.1%}"),
            ("Test accuracy", f"{last['test_accuracy']:.1%}"),
            ("Validates best", f"epoch {best['epoch']}"),
        ):
            st.metric(title, value, border=True)


st.title("Training", anchor=False)
st.caption("Train the digit network on 10,000 real digits and watch it learn; an epoch takes about a second.")
if refused := st.session_state.pop("refused", ""):
    st.error(refused, icon=":material/block:")
if os.environ.get("SPACE_ID"):
    st.caption(
        "This Space is shared: everybody who opens it sees all trainings and their settings; only the "
        "browser that started one can stop it. Drawings and uploads stay in your own session."
    )
found, busy = jobs.folders(SYSTEM), jobs.running()
side, main = st.columns([1, 3], gap="large")
with side:
    form(busy)
with main:
    if found:
        show_run([run.name for run in found])
    else:
        st.info("No training yet. Start one: the settings beside this are a good first choice.")
if found:
    st.fragment(show_comparison, run_every=2 * REFRESH if busy else None)()
