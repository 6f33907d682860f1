"""Many pages at once: files and whole books, restored page by page into a ZIP, a PDF or a TIFF."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import gradio as gr

from apps import common, session
from apps.common import note, sentence, user_errors
from apps.restoration import networks, views, work
from apps.restoration.sheets import Choice
from apps.restoration.visit import current
from apps.restoration.work import Job
from apps.session import Session
from vision_core import documents, guarded, images
from vision_core.files import atomic, read_json, write_json
from vision_core.restoration import batch
from vision_core.restoration.batch import PageReport
from vision_core.restoration.restore import restore

MOST = 500  # pages at once
FORMS = {"zip": "pages.zip", "pdf": "pages.pdf", "tiff": "pages.tiff"}
File = tuple[str, str]  # what the visitor calls it, and where it lies


@user_errors
def begin(
    given: Session | None,
    chosen: list[File] | None,
    folder: list[File] | None,
    method: str,
    strength: float,
    output: str,
    gate: bool,
) -> None:
    """Restore all uploads in the background, into a ZIP."""
    known = current(given)[0]
    files = [*(chosen or []), *(folder or [])]
    if not files:
        raise ValueError("Please choose one or more files first")
    _start(known, files, "many", "zip", method, Choice(strength, output, False, gate))


@user_errors
def begin_book(given: Session | None, form: str, method: str) -> None:
    """Restore every page of the chosen file in the background."""
    known, chosen = current(given)
    if not chosen.source:
        raise ValueError("Please choose a page first: a file of yours or an example")
    file = (chosen.title, str(known.path(chosen.source)))
    _start(known, [file], "book", form, method, Choice())


def _start(known: Session, files: list[File], kind: str, form: str, method: str, choice: Choice) -> None:
    if form not in FORMS:
        raise ValueError(f"There is no form {form!r}")
    options = choice.options
    options = type(options)(**{**vars(options), "method": networks.method_of(method)})
    network = networks.loader(known, method)
    for name in FORMS.values():
        session.remove(known.path(name))

    def act(job: Job) -> str:
        job.tell(0, 1, "counting the pages")
        pages, failed = _count(files, job)
        uncounted = len(failed)
        if len(pages) > MOST:
            raise ValueError(f"{len(pages)} pages are too many at once; the most is {MOST}")
        reports, parts = [], []
        loaded = network()
        for index, (name, path, page) in enumerate(pages):
            job.tell(index, len(pages), f"page {index + 1} of {len(pages)}: {name}")
            target = session.opened(known).path("done") / f"{_digest(path, page, method, options)}.png"
            try:
                if not target.exists():  # done before a stop, or before the disk was full
                    result = restore(guarded.read(path, common.MAX_PIXELS, page=page), loaded, options)
                    session.make_room(known, result.picture.rgb.nbytes)
                    images.save(result.picture, target)
                    said = {"used": result.used, "reason": result.verdict.reason}
                    write_json(target.with_suffix(".json"), said)
                taken, reason = read_json(target.with_suffix(".json")).values()
                reports.append(PageReport(name, page, target.name, taken, reason, 0.0, 0.0))
                parts.append((name, page, target))
            except ValueError as error:
                failed.append(f"{name}{'' if page == 1 else f', page {page}'}: {sentence(error)}")
        if not parts:
            raise ValueError(f"None of the {len(files)} files could be restored. {failed[0]}")
        _join(known, form, parts, reports, failed)
        session.remove(known.path("done"))
        restored = sum(report.accepted for report in reports)
        said = f"{len(parts)} of {len(pages) + uncounted} pages are ready; {restored} of them were restored."
        return "\n".join([said, *failed])

    work.begin(known, kind, act)


def _count(files: list[File], job: Job) -> tuple[list[tuple[str, str, int]], list[str]]:
    """Every page of every file, and why some files have none."""
    pages: list[tuple[str, str, int]] = []
    failed = []
    for number, (name, path) in enumerate(files):
        job.tell(0, 1, f"counting the pages: file {number + 1} of {len(files)}")
        try:
            pages += [(name, path, page) for page in range(1, guarded.count(path) + 1)]
        except ValueError as error:
            failed.append(f"{name}: {sentence(error)}")
    return pages, failed


def _digest(path: str, page: int, method: str, options: Any) -> str:
    """A name for a restored page that another file, page or option does not have."""
    content = sha256(Path(path).read_bytes()).hexdigest()
    return sha256(f"{content} {page} {method} {options}".encode()).hexdigest()[:24]


def _join(known: Session, form: str, parts: list[Any], reports: list[PageReport], failed: list[str]) -> None:
    """Put the pages into one file; a book with a page missing would be worse than none."""
    target = known.path(FORMS[form])
    session.make_room(known, sum(path.stat().st_size for _, _, path in parts))
    if form != "zip":
        if failed:
            raise ValueError(f"A {form.upper()} needs every page, and {failed[0]} Take a ZIP of the others")
        documents.write(target, [path for _, _, path in parts])
        return
    names = list(_names([(name, page) for name, page, _ in parts]))
    with atomic(target) as file, ZipFile(file, "w", ZIP_STORED) as archive:
        for inside, (_, _, path) in zip(names, parts, strict=True):
            archive.write(path, inside)
        archive.writestr("report.csv", batch.report_csv(reports))


def _names(pages: list[tuple[str, int]]) -> Iterator[str]:
    """A name in the ZIP for each page, no two alike."""
    several = {name for name, page in pages if page > 1}
    taken: set[str] = set()
    for name, page in pages:
        stem = Path(name).stem + (f"-{page:04d}" if name in several else "")
        free, number = f"{stem}.png", 1
        while free.lower() in taken:
            number += 1
            free = f"{stem}-{number}.png"
        taken.add(free.lower())
        yield free


@user_errors
def follow(given: Session | None) -> tuple[Any, ...]:
    """(words and download, Stop, Start, timer) of the uploads."""
    return _follow(current(given)[0], "many")


@user_errors
def follow_book(given: Session | None) -> tuple[Any, ...]:
    """The same of the whole book."""
    return _follow(current(given)[0], "book")


def _follow(known: Session, kind: str) -> tuple[Any, ...]:
    words, going_on = work.report(known, kind)
    if words and not going_on:
        path = known.path(f"{kind}.json")
        ended = read_json(path)
        first, *failed = ended["words"].split("\n")
        words = note(first, "good" if ended["state"] == "done" and not failed else "warning")
        words += "".join(note(text, "warning") for text in failed)
        if ended["state"] == "done":
            file = next((name for name in FORMS.values() if known.path(name).exists()), "")
            text = (
                "Download all (ZIP)" if file.endswith(".zip") else f"Download the book ({file[6:].upper()})"
            )
            words += views.ready(known, file, text) if file else ""
    return words, gr.Button(visible=going_on), gr.Button(interactive=not going_on), gr.Timer(active=going_on)


@user_errors
def stop(given: Session | None) -> None:
    """End the work; what is done stays, and the next start goes on there."""
    work.stop(current(given)[0])


def build_book(given: gr.State, method: gr.Radio) -> tuple[Any, ...]:
    """The controls for a file of several pages; what to call when a page is loaded."""
    with gr.Row(equal_height=True):
        form = gr.Radio(
            [("PDF", "pdf"), ("TIFF", "tiff"), ("ZIP of PNG", "zip")],
            value="pdf",
            label="All pages as one file",
        )
        start = gr.Button("Restore all pages", elem_id="restore-book")
    words = gr.HTML(elem_id="book-words")
    ended = gr.Button("Stop", variant="stop", visible=False, elem_id="stop-book")
    return _wire(given, start, ended, words, (begin_book, [given, form, method], follow_book))


def build(given: gr.State) -> tuple[Any, ...]:
    """The tab's layout and wiring; what to call when a page is loaded."""
    gr.Markdown(
        "One file or hundreds: images, TIFFs and PDFs. Every page comes back as a PNG, with a report; what "
        "cannot be read is named and left out. You may close this page and come back."
    )
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            chosen = common.Uploads(
                label="Pages and books", file_count="multiple", height=150, elem_id="many"
            )
            folder = common.Uploads(label="or a whole folder", file_count="directory", height=110)
        with gr.Column(min_width=300):
            method = gr.Radio(networks.HOW, value="network", label="Restored by")
            strength = common.Slider(0, 1, 1, step=0.05, label="Strength")
            output = gr.Radio(
                [("colour", "color"), ("grey", "grey"), ("black on white", "binary")],
                value="color",
                label="The pages in",
            )
            gate = gr.Checkbox(True, label="Gate", info="Keeps a page where restoring does not help.")
    start = gr.Button("Restore all", variant="primary", size="lg", elem_id="restore-many")
    words = gr.HTML(elem_id="many-words")
    ended = gr.Button("Stop", variant="stop", visible=False, elem_id="stop-many")
    inputs = [given, chosen, folder, method, strength, output, gate]
    return _wire(given, start, ended, words, (begin, inputs, follow))


def _wire(given: gr.State, start: Any, ended: Any, words: Any, acts: tuple[Any, ...]) -> tuple[Any, ...]:
    begin, inputs, follow = acts
    timer = gr.Timer(work.REFRESH, active=False)
    look = (follow, given, [words, ended, start, timer])
    quiet: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 6, "concurrency_id": "page"}
    quiet["api_visibility"] = "private"
    start.click(begin, inputs, None, **quiet).success(*look, **quiet)
    ended.click(stop, given, None, queue=False, api_visibility="private").success(*look, **quiet)
    timer.tick(*look, **quiet)
    return look
