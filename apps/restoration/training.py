"""Train a restoration network on clean pages, in a separate process that outlives the page."""

from pathlib import Path
from typing import Any

import gradio as gr

from apps.restoration import networks, views
from apps.restoration.visit import change, current
from apps.shared import forms, inputs, jobs, progress, trainings, visits, wiring
from apps.shared.curves import plot
from apps.shared.faults import user_errors
from apps.shared.fields import Field
from apps.shared.progress import note
from apps.shared.queue import HEAVY
from apps.shared.visits import Session
from vision_core import restoration, runs, weights
from vision_core.files import atomic
from vision_core.pictures.images import READABLE
from vision_core.restoration import data
from vision_core.restoration.curves import curves as curves_of
from vision_core.safety import archives, guarded, limits

BYTES = 240 << 20  # upper bound for one training: four copies of the weights, and the optimiser states
SYSTEM = "restore"
FORM = (
    Field("epochs", "Epochs", most=10_000, default=20, help=""),
    Field("crops", "Crops an epoch", most=10_000, default=32, help=""),
    Field("batch_size", "Crops a batch", most=64, default=4, help=""),
    Field("crop", "Side of a crop", least=64, most=512, step=16, default=128, help=""),
    Field("lr", "Learning rate", least=1e-6, most=0.1, step=1e-5, help=""),
    Field("every", "Epochs a look", most=1000, default=5, help=""),
    Field("seed", "Seed", help=""),
)


@user_errors
def begin(state: Session | None, source: str, archive: str | None, start: str, *settings: float) -> None:
    """Create a run with the settings and put it into the queue."""
    chosen = current(state)
    session = chosen.session
    HEAVY.refuse_second(session.owner)
    if source == "archive" and not archive:
        raise ValueError("Please choose a ZIP with clean pages first")
    if start not in ("release", "scratch"):
        raise ValueError(f"There is no start {start!r}")
    chosen_settings = forms.read(restoration.Settings, FORM, settings)
    chosen_settings["crop"] = chosen_settings["crop"] // 16 * 16
    chosen_settings["start"] = str(weights.find("restoration")) if start == "release" else None
    if chosen_settings["crops"] < chosen_settings["batch_size"]:
        raise ValueError("An epoch needs at least as many crops as a batch has")
    visits.opened(session)
    for old in session.folder.glob("run-*"):
        visits.remove(old)
    visits.make_room(session, BYTES)
    name = f"run-{1 + int(chosen.run[4:] or 0) if chosen.run else 1:03}"
    folders: dict[str, Any] = (
        unpack(archive, session.path(f"{name}-pages")) if source == "archive" and archive else {}
    )
    run = runs.create(
        session.path(name), SYSTEM, restoration.Settings(**chosen_settings, perceptual="gradient", **folders)
    )
    change(session, run=name)
    HEAVY.train(session.owner, run)


def unpack(archive: str, folder: Path) -> dict[str, Any]:
    """Unpack the pages of a ZIP into folders for `Settings`; each page is checked before it is written.

    Raises:
        ValueError: no ZIP, too many pages, pixels or bytes, or a page that cannot be read.
    """
    members = guarded.call(archives.members, archive, tuple(READABLE))
    pages, pixels = [("__".join(Path(name).parts[-2:]).lstrip("."), content) for name, content in members], 0
    for name, content in pages:
        pixels += _read(content, name).rgb.size // 3
        limits.ARCHIVE_PIXELS.check(pixels, "The archive")
    if len(pages) < 2:
        raise ValueError("At least two pages are needed, one of them to measure on")
    return _write(pages, folder)


def _read(content: bytes, name: str) -> Any:
    try:
        return guarded.read(content, limits.UPLOAD_PIXELS.value)
    except ValueError as error:
        raise ValueError(str(error).replace("the image", name, 1)) from error


def _write(pages: list[tuple[str, bytes]], folder: Path) -> dict[str, Any]:
    """Write one folder if there are several manuscripts, else every seventh page for validation."""
    import numpy as np

    empty = data.page_tensor(np.zeros((1, 1, 3), np.uint8))
    several = len({data.Page(name, empty).manuscript for name, _ in pages}) > 1
    for index, (name, content) in enumerate(pages):
        part = "val" if not several and index % 7 == len(pages) // 2 % 7 else "train"
        with atomic(folder / part / name) as file:
            file.write(content)
    folders = {"train_dir": str(folder / "train")}
    return folders if several else {**folders, "val_dir": str(folder / "val")}


@user_errors
def stop(state: Session | None) -> None:
    """End the training after its current step, or take it out of the queue."""
    session = current(state).session
    run = _run(session)
    trainings.stop(session, run)


@user_errors
def resume(state: Session | None) -> None:
    """Resume a stopped or interrupted training."""
    session = current(state).session
    run = _run(session)
    if not run.resume_file.exists():
        raise ValueError("There is nothing to go on with")
    HEAVY.train(session.owner, run)


def _run(session: Session) -> runs.Run:
    run = networks.own_run(session)
    if run is None or not run.folder.is_dir():
        raise ValueError("There is no training yet")
    return run


@user_errors
def follow(state: Session | None, seen: str) -> tuple[Any, ...]:
    """(words, Stop, Resume, Start, timer, curves, preview, download, seen)."""
    session = current(state).session
    run = networks.own_run(session)
    if run is None or not run.folder.is_dir():
        still = gr.Button(visible=False), gr.Button(visible=False), gr.Button(interactive=True)
        return "", *still, gr.Timer(active=False), gr.Plot(visible=False), gr.Image(visible=False), "", ""
    events = run.events()
    status, going_on = _state(session, run, events)
    previews = sorted((run.folder / "previews").glob("epoch_*.jpg"))
    now = f"{run.name} {len(events)} {len(previews)} {going_on}"
    figure, preview, download = gr.skip(), gr.skip(), gr.skip()
    if now != seen:
        figure = gr.Plot(plot(curves_of(events)), visible=any(e["event"] == "step" for e in events))
        if previews:
            preview = gr.Image(str(previews[-1]), visible=True, label=_title(previews[-1]))
        else:
            preview = gr.Image(visible=False)
        download = _download(session, run) if not going_on else ""
    again = not going_on and run.resume_file.exists()
    return (
        status,
        gr.Button(visible=going_on),
        gr.Button(visible=again),
        gr.Button(interactive=not going_on),
        gr.Timer(active=going_on),
        figure,
        preview,
        download,
        now,
    )


def _title(path: Path) -> str:
    epoch = int(path.stem.removeprefix("epoch_"))
    return f"Epoch {epoch}: damaged, restored and clean crops, one column a kind of damage"


def _state(session: Session, run: runs.Run, events: list[dict[str, Any]]) -> tuple[str, bool]:
    """(message, whether it runs)."""
    steps = trainings.steps(run)
    measured = [event["metrics"] for event in events if event["event"] == "epoch"]
    so_far = f"{steps[-1].step if steps else 0:,} steps"
    best = max((metrics.get("val_gain", -99) for metrics in measured), default=None)
    gained = f" Best gain over the damaged crops: {best:+.1f} dB." if best is not None else ""
    match trainings.status(session, run):
        case "waiting":
            return note(HEAVY.words(session.owner)), True
        case "starting":
            return note("Starting: reading or drawing the pages, and the crops to measure on …"), True
        case "training":
            psnr = f"PSNR {measured[-1]['val_psnr']:.1f} dB" if measured else ""
            return progress.training(steps[-1], "step", psnr) + trainings.stopping(run), True
        case "done":
            return note(f"Trained: {so_far}.{gained} “My own network” restores with it.", "good"), False
        case "stopped":
            return note(f"Stopped after {so_far}.{gained} Resume goes on from the last epoch."), False
        case "failed":
            return note(f"The training failed after {so_far}. {trainings.failure(run)}", "warning"), False
    return note(f"The training was interrupted after {so_far}.{gained} Resume goes on.", "warning"), False


def _download(session: Session, run: runs.Run) -> str:
    best = run.folder / networks.BEST
    if not best.exists():
        return ""
    target = session.path("network.safetensors")
    visits.remove(target)
    target.hardlink_to(best)
    return views.ready(session, target.name, "Your network (.safetensors)")


def build(state: gr.State) -> tuple[Any, ...]:
    """The tab's layout and wiring; what to call when a page is loaded."""
    gr.Markdown(
        "The network learns from clean pages alone: crops of them are damaged on purpose, restored and "
        "compared. Training continues when you close this page; its address brings you back. A good network "
        "takes hours; a few minutes show how it begins."
    )
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            source = gr.Radio(
                [("generated pages", "generated"), ("a ZIP of my own clean pages", "archive")],
                value="generated",
                label="Learn from",
            )
            archive = inputs.UploadFile(
                label="ZIP of clean pages", file_types=[".zip"], height=110, elem_id="archive"
            )
            start_from = gr.Radio(
                [("the bundled network", "release"), ("scratch", "scratch")],
                value="release",
                label="Start from",
            )
        with gr.Column(min_width=300):
            with gr.Row():
                fields = forms.build(restoration.Settings, FORM[:3], min_width=90)
            with gr.Row():
                fields += forms.build(restoration.Settings, FORM[3:], min_width=90)
    begun = gr.Button("Train", variant="primary", size="lg", elem_id="train")
    message = gr.HTML(elem_id="training-words")
    with gr.Row():
        ended = gr.Button("Stop", variant="stop", visible=False, elem_id="stop-training")
        again = gr.Button("Resume", variant="primary", visible=False, elem_id="resume-training")
    curves = gr.Plot(show_label=False, visible=False, elem_id="training-curves")
    preview = gr.Image(
        label="Preview",
        alt_text="damaged, restored and clean crops",
        format="png",
        interactive=False,
        visible=False,
        elem_id="training-preview",
        buttons=["fullscreen"],
    )
    download = gr.HTML(elem_id="training-download")
    timer, seen = gr.Timer(2 * jobs.REFRESH, active=False), gr.State("")
    look = (follow, [state, seen], [message, ended, again, begun, timer, curves, preview, download, seen])
    wiring.start(begun.click, begin, [state, source, archive, start_from, *fields], look)
    wiring.start(again.click, resume, state, look)
    wiring.watch(look, timer, ended, stop, state)
    return look
