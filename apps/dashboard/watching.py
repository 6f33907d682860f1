"""Shared parts of the training pages: choosing a training, its buttons, state and progress."""

import os
import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.story import Story
from apps.shared.queue import HEAVY
from vision_core import runs

REFRESH = 2.0  # seconds between two refreshes of a running training
QUIET = 30  # seconds without a new entry after which the page warns
GOING_ON = ("waiting", "running")
STATUS = {
    "running": (":blue-badge[:material/progress_activity: running]", ""),
    "waiting": (":blue-badge[:material/hourglass: waiting]", ""),
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
    """Carry out the action of a button; an error is kept for `tell_refusal`."""
    try:
        act(*arguments)
    except (ValueError, OSError) as error:
        st.session_state["refused"] = jobs.sentence(error)


def start_button(disabled: bool, begin: Callable[..., object], *arguments: Any) -> None:
    """The button that sends the form of a new training."""
    st.form_submit_button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=disabled,
        on_click=attempt,
        args=(begin, *arguments),
    )


def tell_refusal() -> None:
    """Show why a button had no effect and, on a Space, who else sees this page."""
    if refused := st.session_state.pop("refused", ""):
        st.error(refused, icon=":material/block:")
    if os.environ.get("SPACE_ID"):
        st.caption(
            "This Space is shared: everybody who opens it sees all trainings and their settings; only the "
            "browser that started one can stop it. Drawings and uploads stay in your own session."
        )


def await_end(busy: runs.Run) -> None:
    """Show why no training can start, until one can."""

    def look() -> None:
        if jobs.busy() is None:
            st.rerun()
        waits = HEAVY.words(jobs.DASHBOARD) if HEAVY.before(jobs.DASHBOARD) else "training."
        st.caption(f"**{busy.name}**: {waits} One training at a time on this machine: wait, or stop it.")

    st.fragment(look, run_every=REFRESH)()


def choose(names: list[str], key: str, read: Callable[[str], Story], links: Callable[[Story], None]) -> Story:
    """Let the visitor choose a training and show its buttons; the address names it as `key`.

    Args:
        links: shows links to other pages of the training, beside the buttons.
    """
    requested = st.query_params.get(key, st.session_state.get(key))
    if requested not in names:
        st.session_state[key] = names[0]  # no default, so that the address always names the run
        if requested is not None:
            st.warning(
                f"There is no training {jobs.quoted(requested)} here; this is the newest.",
                icon=":material/search_off:",
            )
    with st.container(horizontal=True, vertical_alignment="center"):
        name = st.selectbox(
            "Training",
            names,
            index=None,
            key=key,
            bind="query-params",
            label_visibility="collapsed",
            required=True,
        )
        story = read(str(name))
        _buttons(story)
        links(story)
    return story


def _buttons(story: Story) -> None:
    run = story.run
    if not jobs.mine(run):
        if story.status in (*GOING_ON, "stopped", "interrupted"):
            st.caption("Started from another browser, which can stop and resume it. You can watch.")
    elif story.status in GOING_ON:
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
        st.button(
            "Resume",
            icon=":material/resume:",
            disabled=jobs.busy() is not None,
            on_click=attempt,
            args=(jobs.resume, run),
            type="primary",
        )


def follow(story: Story, read: Callable[[], Story], draw: Callable[[Story], None]) -> None:
    """Show the state of a training and `draw` it, refreshed while it runs."""
    was_running, had_epochs = story.status in GOING_ON, bool(story.epochs)

    def look() -> None:
        now = read()
        if (was_running and now.status not in GOING_ON) or (now.epochs and not had_epochs):
            st.rerun()  # the whole page: buttons change, and the timer may end
        _tell_state(now)
        draw(now)

    # no timer without a running training
    st.fragment(look, run_every=REFRESH if was_running else None)()


def _tell_state(story: Story) -> None:
    badge, meaning = STATUS[story.status]
    st.markdown(f"{badge} {_age(story)}")
    if story.problem:
        st.error(story.problem, icon=":material/error:")
    elif story.status == "waiting":
        st.info(HEAVY.words(jobs.DASHBOARD))
    elif meaning:
        st.info(meaning)
    if story.status == "running":
        _show_progress(story)


def _age(story: Story) -> str:
    if story.updated is None:
        return ""
    seconds = max(0.0, time.time() - story.updated)
    if story.status != "running":
        return f":gray[last entry {time.strftime('%Y-%m-%d %H:%M', time.localtime(story.updated))}]"
    if seconds > QUIET:
        return f":orange[no news for {seconds:.0f} s: the machine may be busy]"
    return f":gray[last update {seconds:.0f} s ago]"


def _show_progress(story: Story) -> None:
    """Progress and remaining time of a running training."""
    if story.prepared is not None:
        done, of = story.prepared
        st.progress(min(1.0, done / max(1, of)), f"the network looks at the pictures once: {done} of {of}")
    elif not story.steps:
        st.progress(0.0, "starting: the images are read")
    else:
        step, left = story.steps[-1], max(0.0, story.eta - (time.time() - (story.updated or 0)))
        st.progress(
            min(1.0, step / max(1, story.total)),
            f"step {step:,} of {story.total:,}, epoch {len(story.epochs)}, about {left:.0f} s left",
        )
