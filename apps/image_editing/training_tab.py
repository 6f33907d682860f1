"""Train AnchorNet on the visitor's pictures, in a separate process, with live curves."""

from html import escape
from typing import Any

import gradio as gr

from apps.image_editing import by_text
from apps.image_editing.visit import Visit, change, current, source_of
from apps.shared import forms, trainings, visits, wiring
from apps.shared.curves import loss_curves
from apps.shared.faults import user_errors
from apps.shared.fields import Field
from apps.shared.inputs import data_uri, read_picture, text, whole
from apps.shared.progress import note, training
from apps.shared.queue import HEAVY
from apps.shared.visits import Session
from vision_core import editing, runs
from vision_core.editing import train
from vision_core.files import write_json
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.runs import Run
from vision_core.smallworld import world

REFRESH = 1.5  # seconds between two looks at the training
MOST = 12  # pictures of one training
FORM = (
    Field("epochs", "Passes over the pictures", most=1000, slider=300, help=""),
    Field("anchors", "Regions of each picture", most=25, slider=16, help=""),
    Field("steps", "Steps of each painting", most=200, slider=50, help=""),
    Field("budget", "Budget", most=100_000, slider=600, step=10),
    Field("seed", "Seed", slider=100, help=""),
)


@user_errors
def add(state: Session | None, caption: str, prompt: str) -> str:
    """Add the current picture, with caption and prompt, to the training pictures."""
    visitor = current(state)
    source_of(visitor)
    caption, prompt = text(caption, "The caption"), text(prompt, "The prompt")
    if not caption or not prompt:
        raise ValueError("A picture to learn from needs its caption and its prompt: see above")
    return listed(_add_lesson(visitor, (visitor.source, caption, prompt)))


@user_errors
def add_scenes(state: Session | None, count: float) -> str:
    """Add drawn scenes, with prompts that change one thing, to the training pictures."""
    visitor = current(state)
    for _ in range(whole(count, 1, MOST, "The number of scenes")):
        seed = len(visitor.lessons) + 1000
        scene = world.scene(seed, 2)
        path = visits.opened(visitor.session).path(f"kept-scene-{seed}.png")
        images.save(Picture(world.render(scene, 128)), path)
        edited = world.variants(scene)[seed % 7]
        visitor = _add_lesson(visitor, (path.name, str(world.caption(scene)), str(world.caption(edited))))
    return listed(visitor)


@user_errors
def clear(state: Session | None) -> str:
    """Remove all training pictures."""
    return listed(change(current(state).session, lessons=()))


def _add_lesson(visitor: Visit, lesson: tuple[str, str, str]) -> Visit:
    if len(visitor.lessons) >= MOST:
        raise ValueError(f"{MOST} pictures are the most for one training here; the command line takes more")
    lessons = tuple(dict.fromkeys((*visitor.lessons, lesson)))
    return change(visitor.session, lessons=lessons)


def listed(visitor: Visit) -> str:
    """The training pictures as HTML."""
    if not visitor.lessons:
        return '<p class="vc-empty">No pictures yet.</p>'
    items = []
    for name, caption, prompt in visitor.lessons:
        small = images.shrink(read_picture(visitor.session.path(name)).on_white().rgb, 160)
        items.append(
            f'<li><img src="{data_uri(small)}" alt="">'
            f"<span>{escape(caption)}<br>→ {escape(prompt)}</span></li>"
        )
    return f'<ul class="vc-lessons" aria-label="pictures to learn from">{"".join(items)}</ul>'


@user_errors
def begin(state: Session | None, *values: float) -> None:
    """Write the data set and put the training into the queue."""
    visitor = current(state)
    if not visitor.lessons:
        raise ValueError("Add at least one picture with its caption and prompt first")
    missing = editing.missing()
    if missing:
        raise ValueError(
            f"Teaching needs networks that are not on this machine yet ({', '.join(missing)}): every "
            "candidate is painted and scored once"
        )
    HEAVY.refuse_second(visitor.session.owner)
    folder = visitor.session.path(visits.next_name(visitor.session, "lessons"))
    visits.make_room(visitor.session, 64 << 20)
    data = {}
    for number, (name, caption, prompt) in enumerate(visitor.lessons):
        picture = read_picture(visitor.session.path(name))
        images.save(picture, folder / f"{number}.png")
        data[f"{number}.png"] = [caption, prompt]
    write_json(folder / "data.json", data)
    settings = train.Settings(
        data=str(folder / "data.json"), **forms.read(train.Settings, FORM, values), backend="tiny"
    )
    HEAVY.train(visitor.session.owner, runs.create(folder / "run", "edit", settings))


def newest(visitor: Visit) -> Run | None:
    """The visitor's last training."""
    names = visits.numbered(visitor.session, "lessons", "run/config.json")
    return Run(visitor.session.path(names[0]) / "run") if names else None


@user_errors
def stop(state: Session | None) -> None:
    """End the training after its current step, or take it out of the queue."""
    visitor = current(state)
    run = newest(visitor)
    if run is None:
        raise ValueError("There is no training to stop")
    trainings.stop(visitor.session, run)


@user_errors
def follow(state: Session | None) -> tuple[Any, ...]:
    """(words, curves, Stop, Start, timer, choice of a trained network) of the last training."""
    visitor = current(state)
    run = newest(visitor)
    choice = gr.Dropdown(["", *by_text.networks(visitor)])
    if run is None:
        return (
            "",
            gr.skip(),
            gr.Button(visible=False),
            gr.Button(interactive=True),
            gr.Timer(active=False),
            choice,
        )
    words, going_on = report(visitor, run)
    steps = [step for step in trainings.steps(run) if "expected" in step.losses]
    curves = gr.Plot(loss_curves(steps), visible=True) if steps else gr.skip()
    timer = gr.Timer(active=going_on)
    return words, curves, gr.Button(visible=going_on), gr.Button(interactive=not going_on), timer, choice


def report(visitor: Visit, run: Run) -> tuple[str, bool]:
    """(message, whether it runs)."""
    match state := trainings.status(visitor.session, run):
        case "waiting":
            return note(HEAVY.words(visitor.session.owner)), True
        case "starting":
            return note("Painting and scoring each candidate once; the training then takes seconds …"), True
        case "training":
            last = trainings.steps(run)[-1]
            unit = "step" if "expected" in last.losses else "candidate"
            return training(last, unit) + trainings.stopping(run), True
    entries = run.events()
    metrics = [e["metrics"] for e in entries if e["event"] == "epoch" and "regret" in e["metrics"]]
    if not metrics:
        return note(f"It ended before it learned anything. {trainings.failure(run)}", "warning"), False
    now = metrics[-1]
    verb = {"done": "Trained", "stopped": "Stopped as you asked"}.get(state, "Ended")
    return note(
        f"{verb}. Its sizes score {now['regret']:.4f} below the best ones; random sizes, "
        f"{now['regret_of_random']:.4f}. Choose it in “By text” under “Sizes by”.",
        "good",
    ), False


def build(visit: gr.State, caption: gr.Textbox, prompt: gr.Textbox, learned: gr.Dropdown) -> tuple[Any, ...]:
    """The section's layout and wiring: (follow's arguments) and the list of pictures, for the page's load."""
    gr.Markdown(
        "AnchorNet chooses how large the edited box at each region should be. It learns this from your "
        "pictures: every candidate size is painted and scored once, then it trains in seconds."
    )
    with gr.Row():
        take = gr.Button("Add this picture, caption and prompt", size="sm", elem_id="lesson")
        count = gr.State(3)
        scenes = gr.Button("Add 3 drawn scenes", size="sm", elem_id="scenes")
        none = gr.Button("Clear the list", size="sm")
    listing = gr.HTML(elem_id="lessons")
    with gr.Row():
        fields = forms.build(train.Settings, FORM)
    start = gr.Button("Teach AnchorNet", variant="primary", elem_id="teach")
    words = gr.HTML(elem_id="lesson-status")
    halt = gr.Button("Stop", variant="stop", visible=False, elem_id="stop-teaching")
    curves = gr.Plot(show_label=False, visible=False, elem_id="lesson-curves")
    timer = gr.Timer(REFRESH, active=False)
    look = (follow, [visit], [words, curves, halt, start, timer, learned])
    take.click(add, [visit, caption, prompt], listing, **wiring.QUIET)
    scenes.click(add_scenes, [visit, count], listing, **wiring.QUIET)
    none.click(clear, visit, listing, **wiring.QUIET)
    wiring.start(start.click, begin, [visit, *fields], look)
    wiring.watch(look, timer, halt, stop, visit)
    return look, listing
