"""Many pages at once: files and whole books, restored page by page into a ZIP, a PDF or a TIFF."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import gradio as gr

from apps.restoration import networks, views
from apps.restoration.sheets import Choice
from apps.restoration.visit import current
from apps.shared import inputs, jobs, visits, wiring
from apps.shared.faults import sentence, user_errors
from apps.shared.jobs import Job
from apps.shared.progress import note
from apps.shared.visits import Session
from vision_core.files import atomic
from vision_core.folders import distinct
from vision_core.pictures import documents
from vision_core.restoration import batch, reports
from vision_core.restoration.reports import Journal, PageReport
from vision_core.restoration.restore import Options
from vision_core.safety import guarded, limits

MOST = 500  # pages at once
NOTES = 3  # different ones that are shown; the report has all
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
    known = current(given).session
    files = [*(chosen or []), *(folder or [])]
    if not files:
        raise ValueError("Please choose one or more files first")
    _start(known, files, "many", "zip", method, Choice(strength, output, False, gate))


@user_errors
def begin_book(given: Session | None, form: str, method: str) -> None:
    """Restore every page of the chosen file in the background."""
    chosen = current(given)
    known = chosen.session
    if not chosen.source:
        raise ValueError("Please choose a page first: a file of yours or an example")
    file = (chosen.title, str(known.path(chosen.source)))
    _start(known, [file], "book", form, method, Choice())


def _start(known: Session, files: list[File], kind: str, form: str, method: str, choice: Choice) -> None:
    if form not in FORMS:
        raise ValueError(f"There is no form {form!r}")
    options = replace(choice.options, method=networks.method_of(method))
    network = networks.loader(known, method)
    for name in FORMS.values():
        visits.remove(known.path(name))

    def act(job: Job) -> str:
        total = _count(files, job)
        rows: list[PageReport] = []
        job.tell(0, 1, f"page 1 of {total}")
        for row in _restored(known, files, network(), options, networks.version(known, method)):
            rows.append(row)
            job.tell(len(rows), max(total, len(rows)), f"page {len(rows)} of {total}: {row.source}")
        written = [row for row in rows if row.written]
        failed = [sentence(ValueError(row.reason)) for row in rows if not row.written]
        if not written:
            raise ValueError(f"None of the {len(files)} files could be restored. {failed[0]}")
        _join(known, files, form, rows, failed)
        visits.remove(known.path("done"))
        restored = sum(row.outcome == "restored" for row in written)
        said = f"{len(written)} of {len(rows)} pages are ready; {restored} of them were restored."
        notes = dict.fromkeys(row.notes for row in written if row.notes)
        said += f" Noted: {'; '.join(list(notes)[:NOTES])}." if notes else ""
        return "\n".join([said, *failed])

    jobs.begin(known, kind, act)


def _restored(
    known: Session, files: list[File], network: Any, options: Options, version: str
) -> Iterator[PageReport]:
    """Every page of every file, as PNG files named by what they were made from; what is there stays."""
    folder, key = visits.opened(known).path("done"), batch.digest(version, options)
    journal = Journal(folder / batch.JOURNAL, key, _content)
    for name, path in files:
        stem = sha256(f"{_content(Path(path))} {key}".encode()).hexdigest()[:24]
        targets = (folder / f"{stem}-{page}.png" for page in count(1))
        yield from batch.pages(
            Path(path),
            targets,
            network,
            options,
            journal,
            name=name,
            max_pixels=limits.UPLOAD_PIXELS.value,
            room=partial(visits.make_room, known),
        )


def _count(files: list[File], job: Job) -> int:
    """The pages of all files that can be opened."""
    total = 0
    for number, (_, path) in enumerate(files):
        job.tell(0, 1, f"counting the pages: file {number + 1} of {len(files)}")
        with suppress(ValueError):  # said when its turn comes
            total += guarded.count(path)
    if total > MOST:
        raise ValueError(f"{total} pages are too many at once; the most is {MOST}")
    return total


def _content(path: Path) -> str:
    """A digest of the file: the same upload again has another path."""
    return _digest(path, path.stat().st_mtime_ns)


@lru_cache(MOST)
def _digest(path: Path, time: int) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _join(known: Session, files: list[File], form: str, rows: list[PageReport], failed: list[str]) -> None:
    """Put the pages into one file; pages that cannot be read stay in a PDF, elsewhere there is no file."""
    target = known.path(FORMS[form])
    written = [row for row in rows if row.written]
    visits.make_room(known, sum(Path(row.written or "").stat().st_size for row in written))
    if form != "zip":
        if failed and not documents.keeps_pages(Path(files[0][1]), target):
            raise ValueError(f"A {form.upper()} needs every page, and {failed[0]} Take a ZIP of the others")
        parts = {row.page: Path(row.written or "") for row in written}
        documents.write(target, parts, Path(files[0][1]), {row.page for row in rows if row.unchanged})
        return
    names = _names([(row.source, row.page) for row in written])
    report = []
    with atomic(target) as file, ZipFile(file, "w", ZIP_STORED) as archive:
        for row in rows:
            inside = next(names) if row.written else None
            if inside:
                archive.write(row.written or "", inside)
            report.append(replace(row, written=inside))
        archive.writestr("report.csv", reports.csv_table(report))


def _names(pages: list[tuple[str, int]]) -> Iterator[str]:
    """A name in the ZIP for each page, no two alike."""
    several = {name for name, page in pages if page > 1}
    stems = (
        Path(f"{Path(name).stem}-{page:04d}" if name in several else Path(name).stem) for name, page in pages
    )
    return (str(name) for name in distinct(stem.with_name(f"{stem.name}.png") for stem in stems))


@user_errors
def follow(given: Session | None) -> tuple[Any, ...]:
    """(words and download, Stop, Start, timer) of the uploads."""
    return _follow(current(given).session, "many")


@user_errors
def follow_book(given: Session | None) -> tuple[Any, ...]:
    """The same of the whole book."""
    return _follow(current(given).session, "book")


def _follow(known: Session, kind: str) -> tuple[Any, ...]:
    words, going_on = jobs.report(known, kind)
    if words and not going_on:
        ended = jobs.state(known, kind)
        first, *failed = ended["words"].split("\n")
        words = note(first, "good" if ended["status"] == "done" and not failed else "warning")
        words += "".join(note(text, "warning") for text in failed)
        if ended["status"] == "done":
            file = next((name for name in FORMS.values() if known.path(name).exists()), "")
            text = (
                "Download all (ZIP)" if file.endswith(".zip") else f"Download the book ({file[6:].upper()})"
            )
            words += views.ready(known, file, text) if file else ""
    return words, gr.Button(visible=going_on), gr.Button(interactive=not going_on), gr.Timer(active=going_on)


@user_errors
def stop(given: Session | None) -> None:
    """End the work; what is done stays, and the next start goes on there."""
    jobs.stop(current(given).session)


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
            chosen = inputs.Uploads(
                label="Pages and books", file_count="multiple", height=150, elem_id="many"
            )
            folder = inputs.Uploads(label="or a whole folder", file_count="directory", height=110)
        with gr.Column(min_width=300):
            method = gr.Radio(networks.HOW, value="network", label="Restored by")
            strength = inputs.Slider(0, 1, 1, step=0.05, label="Strength")
            output = gr.Radio(
                [("colour", "color"), ("grey", "grey"), ("black on white", "binary")],
                value="color",
                label="The pages in",
            )
            gate = gr.Checkbox(True, label="Gate", info="Keeps a page where restoring does not help.")
    start = gr.Button("Restore all", variant="primary", size="lg", elem_id="restore-many")
    words = gr.HTML(elem_id="many-words")
    ended = gr.Button("Stop", variant="stop", visible=False, elem_id="stop-many")
    fields = [given, chosen, folder, method, strength, output, gate]
    return _wire(given, start, ended, words, (begin, fields, follow))


def _wire(given: gr.State, start: Any, ended: Any, words: Any, acts: tuple[Any, ...]) -> tuple[Any, ...]:
    begin, inputs, follow = acts
    timer = gr.Timer(jobs.REFRESH, active=False)
    look = (follow, given, [words, ended, start, timer])
    wiring.start(start.click, begin, inputs, look)
    wiring.watch(look, timer, ended, stop, given)
    return look
