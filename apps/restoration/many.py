"""Many pages at once: files and whole books, restored page by page into a ZIP, a PDF or a TIFF."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import lru_cache, partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import gradio as gr

from apps.restoration import contact, networks, views
from apps.restoration.sheets import Choice
from apps.restoration.visit import current
from apps.shared import inputs, jobs, visits, wiring
from apps.shared.faults import sentence, user_errors
from apps.shared.jobs import Job, Stopped
from apps.shared.progress import note
from apps.shared.views import table
from apps.shared.visits import Session
from vision_core.files import atomic, read_json, write_json
from vision_core.folders import distinct
from vision_core.pictures import documents
from vision_core.restoration import batch, reports
from vision_core.restoration.reports import Journal, PageReport
from vision_core.restoration.restore import Options
from vision_core.safety import guarded, limits

MOST = 500  # pages at once
NOTES = 3  # distinct notes shown on the page; the report has all
LIST, ROWS, CONTACT = "many-files.json", "{}-pages.json", "contact-sheet.jpg"
FORMS = {"zip": "pages.zip", "pdf": "pages.pdf", "tiff": "pages.tiff"}
File = tuple[str, str]  # (name, path)


@user_errors
def begin(
    state: Session | None,
    chosen: list[File] | None,
    folder: list[File] | None,
    method: str,
    strength: float,
    output: str,
    gate: bool,
    crop: bool,
) -> None:
    """Restore all uploads in the background, into a ZIP; without new uploads, the previous ones again."""
    session = current(state).session
    files = [*(chosen or []), *(folder or [])] or _previous_uploads(session)
    if not files:
        raise ValueError("Please choose one or more files first")
    write_json(visits.opened(session).path(LIST), files)
    again = begin, [files, None, method, strength, output, gate, crop]
    _start(session, files, "many", "zip", method, Choice(strength, output, False, gate, crop=crop), again)


@user_errors
def begin_book(state: Session | None, form: str, method: str, *choices: Any) -> None:
    """Restore every page of the chosen file in the background, with the settings of the result."""
    chosen = current(state)
    session = chosen.session
    if not chosen.source:
        raise ValueError("Please choose a page first: a file of yours or an example")
    choice = Choice(*choices)
    if choice.crop and form == "pdf":
        raise ValueError("The pages of a PDF keep their size: take a TIFF or a ZIP, or do not crop")
    file = (chosen.title, str(session.path(chosen.source)))
    _start(session, [file], "book", form, method, choice, (begin_book, [form, method, *choices]))


def _previous_uploads(session: Session) -> list[File]:
    """The previous uploads; none if one of them is gone."""
    path = session.path(LIST)
    files = [(name, file) for name, file in read_json(path)] if path.exists() else []
    return files if all(Path(file).is_file() for _, file in files) else []


def _start(
    session: Session, files: list[File], kind: str, form: str, method: str, choice: Choice, again: jobs.Again
) -> None:
    if form not in FORMS:
        raise ValueError(f"There is no form {form!r}")
    options = replace(choice.options, method=networks.method_of(method))
    network = networks.loader(session, method)
    for name in (*FORMS.values(), ROWS.format(kind), CONTACT):
        visits.remove(session.path(name))

    def act(job: Job) -> str:
        total = _count(files, job)
        rows: list[PageReport] = []
        stopped = False
        try:
            job.tell(0, 1, f"page 1 of {total}")
            for row in _restore_files(session, files, network(), options, networks.version(session, method)):
                rows.append(row)
                write_json(session.path(ROWS.format(kind)), [asdict(row) for row in rows])
                job.tell(len(rows), max(total, len(rows)), f"page {len(rows)} of {total}: {row.source}")
        except Stopped:
            stopped = True
        written = [row for row in rows if row.written]
        failed = [sentence(ValueError(row.reason)) for row in rows if not row.written]
        if stopped and not written:
            raise Stopped
        if not written:
            which = "The file" if len(files) == 1 else f"None of the {len(files)} files"
            raise ValueError(f"{which} could{' not' * (len(files) == 1)} be restored. {failed[0]}")
        _join(session, files, "zip" if stopped else form, rows, failed)
        restored = sum(row.outcome == "restored" for row in written)
        kept = len(written) - restored
        summary = (
            f"{len(written)} of {len(rows)} pages are ready: {restored} restored, {kept} kept as they were."
        )
        if stopped:  # the next start reuses finished pages
            return f"Stopped after {len(rows)} of {total} pages; a ZIP has them. Start again to go on."
        visits.remove(session.path("done"))
        notes = dict.fromkeys(row.notes for row in written if row.notes)
        summary += f" Noted: {'; '.join(list(notes)[:NOTES])}." if notes else ""
        return "\n".join([summary, *failed])

    source = files[0][0] if len(files) == 1 else ""
    jobs.begin(session, kind, act, again=again, source=source)


def _restore_files(
    session: Session, files: list[File], network: Any, options: Options, version: str
) -> Iterator[PageReport]:
    """Restore every page to a PNG named by a digest of its input; finished pages are reused."""
    folder, key = visits.opened(session).path("done"), batch.digest(version, options)
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
            room=partial(visits.make_room, session),
        )


def _count(files: list[File], job: Job) -> int:
    """The number of pages in all readable files."""
    total = 0
    for number, (_, path) in enumerate(files):
        job.tell(0, 1, f"counting the pages: file {number + 1} of {len(files)}")
        with suppress(ValueError):  # reported when its pages are restored
            total += guarded.count(path)
    if total > MOST:
        raise ValueError(f"{total} pages are too many at once; the most is {MOST}")
    return total


def _content(path: Path) -> str:
    """A digest of the file, since a repeated upload has another path."""
    return _digest(path, path.stat().st_mtime_ns)


@lru_cache(MOST)
def _digest(path: Path, time: int) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _join(session: Session, files: list[File], form: str, rows: list[PageReport], failed: list[str]) -> None:
    """Join the pages in one file. A ZIP leaves out unreadable pages; else only a PDF may keep them."""
    target = session.path(FORMS[form])
    written = [row for row in rows if row.written]
    visits.make_room(session, sum(Path(row.written or "").stat().st_size for row in written))
    if form != "zip":
        if failed and not documents.keeps_pages(Path(files[0][1]), target):
            raise ValueError(f"A {form.upper()} needs every page, and {failed[0]} Take a ZIP of the others")
        parts = {row.page: Path(row.written or "") for row in written}
        documents.write(target, parts, Path(files[0][1]), {row.page for row in rows if row.unchanged})
        return
    names = _names([(row.source, row.page) for row in written])
    report = [replace(row, written=next(names) if row.written else None) for row in rows]
    pictured = contact.sheet(rows, [row.written or row.source for row in report])
    pictured.save(session.path(CONTACT), quality=85)
    with atomic(target) as file, ZipFile(file, "w", ZIP_STORED) as archive:
        for row, named in zip(rows, report, strict=True):
            if row.written and named.written:
                archive.write(row.written, named.written)
        archive.writestr("report.csv", reports.csv_table(report))
        archive.write(session.path(CONTACT), CONTACT)


def _names(pages: list[tuple[str, int]]) -> Iterator[str]:
    """A unique name in the ZIP for each page."""
    several = {name for name, page in pages if page > 1}
    stems = (
        Path(f"{Path(name).stem}-{page:04d}" if name in several else Path(name).stem) for name, page in pages
    )
    return (str(name) for name in distinct(stem.with_name(f"{stem.name}.png") for stem in stems))


@user_errors
def follow(state: Session | None) -> tuple[Any, ...]:
    """(words and download, list of pages, Stop, Start, timer) of the uploads."""
    return _follow(current(state).session, "many")


@user_errors
def follow_book(state: Session | None) -> tuple[Any, ...]:
    """Like `follow`, for all pages of one file."""
    return _follow(current(state).session, "book")


def _follow(session: Session, kind: str) -> tuple[Any, ...]:
    words, going_on = jobs.report(session, kind)
    if words and not going_on:
        ended = jobs.state(session, kind)
        first, *failed = ended["words"].split("\n")
        words = note(first, "good" if ended["status"] == "done" and not failed else "warning")
        words += "".join(note(text, "warning") for text in failed)
        if ended["status"] == "done":
            file = next((name for name in FORMS.values() if session.path(name).exists()), "")
            text = (
                "Download all (ZIP)" if file.endswith(".zip") else f"Download the book ({file[6:].upper()})"
            )
            sheet = session.path(CONTACT).exists()
            one = ended.get("source", "")
            words += views.ready(session, file, text, CONTACT if sheet else "", one) if file else ""
    return words, _table(session, kind), *jobs.buttons(going_on)


def _table(session: Session, kind: str) -> str:
    """The outcome for each page so far."""
    path = session.path(ROWS.format(kind))
    if not path.exists():
        return ""
    rows = [PageReport(**row) for row in read_json(path)]
    several = {row.source for row in rows if row.page > 1}
    columns = ["page", "result", "changed, of 255", "seconds"]
    cells = [
        [
            f"{row.source}, {row.page}" if row.source in several else row.source,
            "not readable" if row.outcome == "failed" else row.outcome,
            f"{row.change:.1f}",
            f"{row.seconds:.1f}",
        ]
        for row in rows
    ]
    title = f"{len(rows)} page{'s' * (len(rows) != 1)}"
    return f"<details open><summary>{title}</summary>{table(columns, cells, title)}</details>"


def build_book() -> tuple[Any, ...]:
    """The controls for a file of several pages: (form, start, words, pages, Stop)."""
    with gr.Row(equal_height=True):
        form = gr.Radio(
            [("PDF", "pdf"), ("TIFF", "tiff"), ("ZIP of PNG", "zip")],
            value="pdf",
            label="All pages as one file",
        )
        start = gr.Button("Restore all pages", elem_id="restore-book")
    words, rows = gr.HTML(elem_id="book-words"), gr.HTML(elem_id="book-pages")
    stopper = gr.Button("Stop", variant="stop", visible=False, elem_id="stop-book")
    return form, start, words, rows, stopper


def wire_book(state: gr.State, parts: tuple[Any, ...], controls: Sequence[Any]) -> wiring.Look:
    """Connect the events of `build_book`: all pages are restored with the method and the settings."""
    form, start, words, rows, stopper = parts
    return wiring.job(state, start, begin_book, [form, *controls], follow_book, [words, rows], stopper)


def build(state: gr.State) -> wiring.Look:
    """The tab's layout and wiring; what to call when a page is loaded."""
    gr.Markdown(
        "Restore one file or hundreds: images, TIFFs and PDFs. You get a ZIP with every page as a PNG, a "
        "report and a contact sheet. You may close this page and come back."
    )
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            chosen = inputs.Uploads(
                label="Pages and books", file_count="multiple", height=150, elem_id="many"
            )
            folder = inputs.Uploads(label="or a whole folder", file_count="directory", height=150)
        with gr.Column(min_width=300):
            method = gr.Radio(networks.HOW, value="network", label="Restored by")
            strength = inputs.Slider(0, 1, 1, step=0.05, label="Strength")
            output = gr.Radio(
                [("colour", "color"), ("grey", "grey"), ("black on white", "binary")],
                value="color",
                label="The pages in",
            )
            gate = gr.Checkbox(True, label="Gate", info="Keeps a page where restoring does not help.")
            crop = gr.Checkbox(False, label="Crop to the page", info="Leaves out the table around it.")
    start = gr.Button("Restore all", variant="primary", size="lg", elem_id="restore-many")
    words, rows = gr.HTML(elem_id="many-words"), gr.HTML(elem_id="many-pages")
    stopper = gr.Button("Stop", variant="stop", visible=False, elem_id="stop-many")
    fields = [chosen, folder, method, strength, output, gate, crop]
    return wiring.job(state, start, begin, fields, follow, [words, rows], stopper)
