"""Restores files and folders page by page. Finished pages are safe, and a run can be resumed."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import numpy as np

from vision_core import files
from vision_core.folders import Listing, distinct, find, refuse_replacing
from vision_core.pictures import documents, images
from vision_core.pictures.images import Picture
from vision_core.restoration.networks import Restorer
from vision_core.restoration.reports import Journal, PageReport, failed
from vision_core.restoration.restore import Options, restore
from vision_core.safety import guarded
from vision_core.safety.messages import reason

JOURNAL = "restored.jsonl"
PAGES = ".pages"  # after the name of a document: the folder of its pages until they are joined


def run(
    sources: list[Path],
    out: Path,
    network: Restorer | None,
    options: Options,
    protect: np.ndarray | None = None,
    model: str = "",
) -> Iterator[PageReport]:
    """Restore images, folders, TIFFs and PDFs into `out`; yields a report of each page once it is saved.

    If `out` has a suffix and there is one source, `out` is a file. Otherwise it is a folder of files named
    after their sources, numbered where names collide. Pages of a document are kept in `NAME.pages` until the
    document is complete. Unreadable pages of a PDF are copied unchanged; any other document with unreadable
    pages is not written. Both are reported as page 0. A second run with the same options skips finished
    pages.

    Args:
        protect: mask of a single image; see `restore`.
        model: identifies the weights; other weights invalidate finished pages.

    Raises:
        ValueError: there is nothing to restore, a mask for more than one page, an output that would replace
            its source, or a PDF whose pages would have to be cropped.
        OSError: the disk is full; names the page. All pages reported so far are safe.
    """
    pairs = jobs(sources, out)
    if protect is not None and (len(pairs) > 1 or documents.is_document(pairs[0][0])):
        raise ValueError("a mask protects a part of one image: restore that image alone")
    if options.crop and any(documents.keeps_pages(*each) for each in pairs):
        raise ValueError("pages of a PDF keep their size and cannot be cropped: choose an image or a TIFF")
    refuse_replacing(*zip(*pairs, strict=True))
    for folder in {target.parent for _, target in pairs}:
        files.sweep(folder)
    key = digest(model, options)
    journal = None if pairs[0][1] == out else Journal(out / JOURNAL, key)
    for source, target in pairs:
        yield from one(source, target, network, options, key, journal, protect)


def one(
    source: Path,
    target: Path,
    network: Restorer | None,
    options: Options,
    key: str,
    journal: Journal | None = None,
    protect: np.ndarray | None = None,
) -> Iterator[PageReport]:
    """Restore one file of a run; see `run`."""
    if documents.is_document(source) or documents.is_document(target):
        yield from _document(source, target, network, options, key, journal)
    else:
        yield from pages(source, iter([target]), network, options, journal, protect)


def table(reports: Sequence[PageReport]) -> list[PageReport]:
    """Update the reports: pages that are no longer in `NAME.pages` are part of `NAME`."""
    return [_settled(report) for report in reports]


def _settled(report: PageReport) -> PageReport:
    if report.written is None or Path(report.written).exists():
        return report
    folder = Path(report.written).parent
    if not folder.name.endswith(PAGES):
        return report
    return replace(report, written=str(folder.with_name(folder.name.removesuffix(PAGES))))


def digest(model: str, options: Options) -> str:
    """A key of everything that determines the result."""
    changing = [value for name, value in asdict(options).items() if name not in ("memory", "device")]
    return hashlib.sha256(json.dumps([model, *changing]).encode()).hexdigest()[:16]


def pages(
    source: Path,
    targets: Iterator[Path],
    network: Restorer | None,
    options: Options,
    journal: Journal | None = None,
    protect: np.ndarray | None = None,
    name: str = "",
    max_pixels: int | None = None,
    room: Callable[[int], None] = lambda size: None,
) -> Iterator[PageReport]:
    """Restore each page of a file to its own file; pages are decoded in a sandboxed process.

    Args:
        targets: a file for each page.
        journal: record of finished pages, read and extended.
        name: name of the source in reports.
        room: called with an upper bound of the size in bytes before a page is saved.

    Raises:
        OSError: the disk is full; names the page.
    """
    name = name or str(source)
    try:
        total = guarded.count(source)
    except ValueError as error:
        yield failed(name, 1, str(error).replace(str(source), name))
        return
    for number, target in zip(range(1, total + 1), targets, strict=False):
        if journal and (finished := journal.find(source, number, target)):
            yield replace(finished, source=name)
            continue
        try:
            page = guarded.read(source, max_pixels, page=number)
            if journal:
                journal.begin(source, number)
            report = _page(page, target, network, options, protect, room)
            report = replace(report, source=name, page=number)
        except ValueError as error:
            yield failed(name, number, str(error).replace(str(source), name))
            continue
        except OSError as error:
            message = (
                f"page {number} of {name} could not be written ({reason(error)}); the pages before are safe"
            )
            raise OSError(error.errno, message, error.filename) from error
        if journal:
            journal.add(source, report)
        yield report


def _page(
    page: Picture,
    target: Path,
    network: Restorer | None,
    options: Options,
    protect: np.ndarray | None,
    room: Callable[[int], None],
) -> PageReport:
    """Restore a page and save it."""
    result = restore(page, network, options, protect)
    restored = result.picture
    room(restored.rgb.nbytes)
    verdict = result.verdict
    against = result.used and not verdict.accepted
    images.save(restored, target)
    return PageReport(
        source="",
        page=1,
        written=str(target),
        outcome="restored" if result.used else "kept",
        reason=f"the gate, which is off, says: {verdict.reason}" if against else verdict.reason,
        notes="; ".join([*restored.notes, *images.loss(restored, target)]),
        change=round(verdict.change, 2),
        seconds=round(result.seconds, 2),
        unchanged=(restored.kind, restored.wide is None) == (page.kind, page.wide is None)
        and np.array_equal(restored.rgb, page.rgb),
    )


def _document(
    source: Path, target: Path, network: Restorer | None, options: Options, key: str, journal: Journal | None
) -> Iterator[PageReport]:
    """Save the pages to NAME.pages one by one, then join them."""
    finished = journal.rows(source, target) if journal else []
    if finished and not finished[0].page:
        yield from (replace(row, source=str(source)) for row in finished)
        return
    folder = target.with_name(target.name + PAGES)
    files.sweep(folder)
    targets = (folder / f"page-{number:04d}.png" for number in count(1))
    reports = []
    for report in pages(source, targets, network, options, Journal(folder / JOURNAL, key)):
        report = _with_notes(report, source, target)
        reports.append(report)
        yield report
    parts = {report.page: Path(report.written) for report in reports if report.written is not None}
    unreadable = [report for report in reports if report.written is None]
    if unreadable and not (
        parts and documents.keeps_pages(source, target)
    ):  # an incomplete document would be worse than none
        if parts:
            message = f"{target} was not written; the pages that can be read are in {folder}"
            yield failed(str(source), 0, message)
        return
    if journal is not None:
        journal.begin(source, 0)
    try:
        _join(source, target, parts, {report.page for report in reports if report.unchanged})
    except ValueError as error:
        yield failed(str(source), 0, f"{error}; its pages are in {folder}")
        return
    _remove(folder, parts.values())
    restored = sum(report.outcome == "restored" for report in reports)
    message = f"{restored} of {len(reports)} pages restored"
    if unreadable:
        numbers = ", ".join(str(report.page) for report in unreadable[:9]) + ", ..." * (len(unreadable) > 9)
        message += f"; as it was, for it could not be read: page {numbers}"
        yield PageReport(str(source), 0, str(target), "joined", message)
    if journal is not None:
        journal.add(source, PageReport(str(source), 0, str(target), "joined", f"done before: {message}"))
        for report in unreadable:
            journal.add(source, report)


def _with_notes(report: PageReport, source: Path, target: Path) -> PageReport:
    """Add notes about what joining changes in a page and, to the first page, in the document."""
    if report.written is None:
        return report
    notes = [report.notes] if report.notes else []
    if notes and report.unchanged and documents.keeps_pages(source, target):
        notes.append("the page itself stays as it is in the PDF")
    notes += documents.assumed(source, Path(report.written), target)
    notes += documents.lost(source, target) if report.page == 1 else []
    return replace(report, notes="; ".join(notes))


def _join(source: Path, target: Path, parts: dict[int, Path], unchanged: set[int]) -> None:
    if documents.is_document(target):
        documents.write(target, parts, source, unchanged)
    elif len(parts) == 1:
        images.save(images.read(parts[1]), target)
    else:
        raise ValueError(f"{source} has {len(parts)} pages: name a .pdf or .tiff instead of {target}")


def _remove(folder: Path, parts: Iterable[Path]) -> None:
    """Remove the pages of a finished document, and their folder if it is empty."""
    for path in [*parts, folder / JOURNAL]:
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / documents.JOINING, ignore_errors=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def listed(sources: list[Path], out: Path) -> Listing:
    """The files to restore in these files and folders, and those that were skipped.

    Raises:
        ValueError: a folder contains no such file, or is `out`.
    """
    if any(source.is_dir() and source.resolve() == out.resolve() for source in sources):
        raise ValueError(f"{out} would replace the originals: choose another --out")
    return find(sources, documents.READABLE, out)


def jobs(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each file to restore, with its target."""
    entries = listed(sources, out).files
    if not entries:
        raise ValueError("there is nothing to restore")
    if len(entries) == 1 and out.suffix.lower() in documents.SUFFIXES and not out.is_dir():
        return [(entries[0][0], out)]
    if out.suffix.lower() in documents.SUFFIXES:
        raise ValueError(f"{len(entries)} files go into a folder, not into {out}")
    names = distinct((name for _, name in entries), documents.SUFFIXES)
    return [(source, out / name) for (source, _), name in zip(entries, names, strict=True)]
