"""Restore one page: choose it, restore it, compare before and after, download it."""

from base64 import b64decode
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import gradio as gr

from apps.restoration import many, networks, sheets, views
from apps.restoration.sheets import Choice
from apps.restoration.visit import change, current
from apps.shared import gpu, inputs, jobs, results, visits, wiring
from apps.shared.faults import sentence, user_errors
from apps.shared.inputs import event_data, examples, whole
from apps.shared.jobs import Job
from apps.shared.progress import note
from apps.shared.views import CLICKED
from apps.shared.visits import Session
from vision_core.files import bundled
from vision_core.pictures import documents, images
from vision_core.restoration.restore import Options, uncertainty
from vision_core.restoration.restore import change as change_page
from vision_core.safety import guarded, limits

EXAMPLES = bundled("assets") / "restoration"
WORDS = {"stained": "stained", "shaded": "in shade, folded", "faded": "faded, ink shows through"}
OUTPUTS = [
    ("colour", "color"),
    ("grey", "grey"),
    ("black on white", "binary"),
    ("soft black on white", "soft"),
]
PREVIEW = 640  # longest side of the page before it is restored


@user_errors
def take_example(state: Session | None, event: gr.EventData) -> tuple[Any, ...]:
    """Choose an example page."""
    session, name = current(state).session, event_data(event, "value")
    if name not in WORDS:
        raise ValueError(f"There is no example {name!r}")
    return _take(session, EXAMPLES / f"{name}.jpg", f"the {name} example")


@user_errors
def choose(state: Session | None, path: str | None) -> tuple[Any, ...]:
    """Choose an upload; after a refused or cleared one no page is chosen."""
    session = current(state).session
    try:
        if path:
            return _take(session, path, Path(path).name)
        refused = ""
    except ValueError as error:
        refused = note(sentence(error), "warning")
    change(session, source="", title="", pages=0, page=1)
    preview, _, *rest = shown(session)
    return preview, refused, *rest


@user_errors
def turn(state: Session | None, number: float) -> tuple[Any, ...]:
    """Choose another page of the same file."""
    chosen = current(state)
    session = chosen.session
    if chosen.pages:
        change(session, page=whole(number, 1, chosen.pages, "The page"))
    return shown(session)


def shown(session: Session) -> tuple[Any, ...]:
    """(preview, description, page picker, controls for the whole document) of the chosen file."""
    chosen = current(session)
    if not chosen.source:
        return gr.Image(visible=False, value=None), "", gr.Slider(visible=False), gr.Column(visible=False)
    page = sheets.source(session)
    height, width = page.rgb.shape[:2]
    pages = f", page {chosen.page} of {chosen.pages}" if chosen.pages > 1 else ""
    description = ". ".join([f"{chosen.title}{pages}: {width:,} x {height:,} pixels", *page.notes])
    several = chosen.pages > 1
    return (
        gr.Image(visits.shown(session, images.shrink(page.rgb, PREVIEW)), visible=True),
        note(description),
        inputs.Slider(1, max(2, chosen.pages), chosen.page, visible=several, label=f"Page of {chosen.pages}"),
        gr.Column(visible=several),
    )


def _take(session: Session, path: Any, title: str) -> tuple[Any, ...]:
    pages = guarded.count(path)
    guarded.read(path, limits.UPLOAD_PIXELS.value, page=1)
    kept = visits.keep(session, path, results.removable(sheets.Sheet, current(session)))
    change(session, source=kept, title=title, pages=pages, page=1)
    return shown(session)


@user_errors
def begin(state: Session | None, method: str) -> None:
    """Restore the chosen page in the background."""
    chosen = current(state)
    session = chosen.session
    options = Options(method=networks.method_of(method), gate=False)
    page = sheets.source(session)
    network = networks.loader(session, method)
    title = f"{chosen.title}, page {chosen.page}" if chosen.pages > 1 else chosen.title

    def act(job: Job) -> str:
        began = monotonic()
        job.tell(0, 1, f"looking at {title}")
        changed = gpu.call(change_page, page.rgb, network(), options, partial(_tell, job))
        seconds = round(monotonic() - began, 2)
        facts = {"title": title, "source": chosen.source, "method": method, "seconds": seconds}
        change(session, result=sheets.create(session, page, changed, facts).name)
        return f"Done: {title}."

    jobs.begin(session, "restore", act, again=(begin, [method]))


@user_errors
def follow(
    state: Session | None,
    strength: float,
    output: str,
    sharpen: bool,
    gate: bool,
    light: float,
    caution: float,
    crop: bool,
    seen: str,
) -> tuple[Any, ...]:
    """All that the page shows of the result, in the order of `build`'s outputs.

    Args:
        seen: what the page already shows, as returned by the last call.
    """
    chosen = current(state)
    session = chosen.session
    words, going_on = jobs.report(session, "restore")
    guess, guessing = jobs.report(session, "guess")
    about = jobs.state(session, "guess").get("sheet") == chosen.result
    if guessing or (about and not going_on):
        words, going_on = guess, guessing
    buttons = jobs.buttons(going_on)
    if not chosen.result:
        section = gr.Column(visible=bool(words))
        return section, gr.Column(visible=False), "", words, *buttons, "", "", "", ""
    sheet, choice = sheets.get(session), Choice(strength, output, sharpen, gate, light, caution, crop)
    shown, guessed = f"{sheet.name} {choice.query(sheet)}", sheet.path(sheets.GUESSES).exists()
    now = f"{shown} {guessed}"
    rest: tuple[Any, ...] = (gr.skip(),) * 4
    if now != seen:
        _, decision = sheets.finished(sheet, choice)
        rest = (
            views.viewer(sheet, choice, "guesses" if guessed and seen == f"{shown} {False}" else ""),
            views.verdict(sheet.facts["title"], decision, bool(gate)),
            views.facts(decision, sheet.facts),
            views.offered(sheet, choice, decision["accepted"] or not gate),
        )
    return gr.Column(visible=True), gr.Column(visible=True), rest[0], words, *buttons, *rest[1:], now


@user_errors
def act(state: Session | None, event: gr.EventData) -> None:
    """Handle an action in the viewer: a brush stroke or a request for the uncertainty."""
    session = current(state).session
    sheet = sheets.get(session)
    match event_data(event, "act"):
        case "protect":
            kind, _, data = event_data(event, "value").partition(";base64,")
            if kind != "data:image/png":
                raise ValueError("That is no painted mask")
            sheets.keep_mask(sheet, b64decode(data))
        case "guess":
            begin_guess(session, sheet.name)
        case other:
            raise ValueError(f"{other!r} is nothing that can be done here")


def _tell(job: Job, done: int, total: int) -> None:
    job.tell(done, total, f"part {done} of {total}")


def begin_guess(state: Session | None, result: str) -> None:
    """Compute the uncertainty of the network on a restored page, in the background."""
    session = current(state).session
    sheet = sheets.get(session, result)
    network = networks.loader(session, sheet.facts["method"])

    def act(job: Job) -> str:
        job.tell(0, 1, "the page four times, mirrored and shifted")
        loaded = network()
        if loaded is None:
            raise ValueError("Only a network can say where it guesses")
        page = sheets.page(sheet).rgb
        values = gpu.call(partial(uncertainty, tell=partial(_tell, job)), page, loaded)
        sheets.keep_guesses(sheet, values)
        return "Done: red and yellow show where the network guesses."

    jobs.begin(session, "guess", act, again=(begin_guess, [result]), sheet=result)


def _page_step() -> tuple[inputs.UploadFile, gr.HTML, list[Any]]:
    """Step 1: (upload, examples, [preview, its words, page number])."""
    gr.Markdown("## 1 · A page")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            upload = inputs.UploadFile(
                label="Image, TIFF or PDF", file_types=[*documents.READABLE], height=170, elem_id="page-file"
            )
            chooser = gr.HTML(examples(EXAMPLES, tuple(WORDS), WORDS), js_on_load=CLICKED, elem_id="examples")
        with gr.Column(min_width=300):
            preview = gr.Image(
                label="The chosen page",
                alt_text="the chosen page",
                format="png",
                interactive=False,
                visible=False,
                height=320,
                elem_id="preview",
                buttons=[],
            )
            page_words = gr.HTML(elem_id="page-words")
            picker = inputs.Slider(1, 2, 1, step=1, label="Page", visible=False, elem_id="page-number")
    return upload, chooser, [preview, page_words, picker]


def _controls() -> list[Any]:
    """The controls of the result, in the order of `follow`."""
    strength = inputs.Slider(
        0, 1, 1, step=0.05, label="Strength", info="0 is the page as it was.", elem_id="strength"
    )
    output = gr.Radio(OUTPUTS, value="color", label="The page in", elem_id="output")
    sharpen = gr.Checkbox(False, label="Sharpen", elem_id="sharpen")
    light = inputs.Slider(
        0,
        1,
        0.5,
        step=0.05,
        label="Light",
        info="0: unchanged. 0.5: as far as the network is sure. 1: like a clean page.",
        elem_id="light",
    )
    gate = gr.Checkbox(
        True, label="Gate", info="Keeps the original wherever restoring does not help.", elem_id="gate"
    )
    caution = inputs.Slider(
        0, 1, 0.5, step=0.05, label="Caution of the gate", info="Lower restores more.", elem_id="caution"
    )
    crop = gr.Checkbox(
        False,
        label="Crop to the page",
        info="The download leaves out the table around it; a dashed frame shows where.",
        elem_id="crop",
    )
    return [strength, output, sharpen, gate, light, caution, crop]


def build(state: gr.State, key: gr.Textbox) -> dict[str, Any]:
    """Build the tab and connect its events; what `app` needs when a page is loaded."""
    upload, chooser, (preview, page_words, picker) = _page_step()
    gr.Markdown("## 2 · Restore")
    start = gr.Button("Restore", variant="primary", size="lg", elem_id="restore")
    with gr.Accordion("How", open=False):
        method = gr.Radio(networks.HOW, value="network", label="Restored by", elem_id="method")
    with gr.Column(visible=False) as book:
        book_parts = many.build_book()
    with gr.Column(visible=False, elem_id="result-section") as section:
        status = gr.HTML(elem_id="progress")
        stopper = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
        with gr.Column(visible=False) as result:
            gr.Markdown("## 3 · Before and after")
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=300):
                    viewer = gr.HTML(js_on_load=views.VIEWER, elem_id="viewer")
                with gr.Column(scale=1, min_width=260):
                    verdict = gr.HTML(elem_id="verdict", js_on_load=CLICKED)
                    links = gr.HTML(elem_id="downloads")
                    controls = _controls()
            facts = gr.HTML(elem_id="facts")
    timer, seen = gr.Timer(jobs.REFRESH, active=False), gr.State("")
    outputs = [section, result, viewer, status, stopper, start, timer, verdict, facts, links, seen]
    look = (follow, [state, *controls, seen], outputs)
    whole_book = many.wire_book(state, book_parts, [method, *controls])
    chosen = [preview, page_words, picker, book]
    upload.change(choose, [state, upload], chosen, **wiring.QUIET)
    chooser.click(take_example, state, chosen, **wiring.QUIET)
    picker.release(turn, [state, picker], chosen, **wiring.QUIET)
    picker.input(turn, [state, picker], chosen, trigger_mode="always_last", **wiring.QUIET)
    wiring.start(start.click, begin, [state, method], look).then(None, js=wiring.TO_RESULT)
    wiring.watch(look, timer, stopper, jobs.end, state)
    for control in controls:
        control.change(None, js=views.WORKING)
        control.change(*look, trigger_mode="always_last", **wiring.LOOK).then(None, js=views.MADE)
    verdict.click(lambda: False, None, controls[3], **wiring.QUIET)
    wiring.start(viewer.click, act, state, look)
    return {"look": look, "chosen": chosen, "book": whole_book}
