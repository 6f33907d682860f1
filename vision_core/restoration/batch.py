"""Restores files and folders page by page: each page is safe once it is written, and a run goes on later."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np

from vision_core import documents, files, images
from vision_core.batch import distinct, refuse_replacing
from vision_core.restoration.networks import Restorer
from vision_core.restoration.restore import Options, restore

JOURNAL = "restored.jsonl"


@dataclass(frozen=True)
class PageReport:
    """What became of one page; `written` is None where it could not be read, and `reason` says why."""

    source: str
    page: int
    written: str | None
    accepted: bool
    reason: str
    change: float
    seconds: float
    skipped: bool = False  # an earlier run had done it


def run(
    sources: list[Path],
    out: Path,
    network: Restorer | None,
    options: Options,
    protect: np.ndarray | None = None,
    model: str = "",
) -> Iterator[PageReport]:
    """Restore images, folders, TIFFs and PDFs into `out`; reports each page once it is on the disk.

    One source and an `out` with a suffix give that file; otherwise `out` is a folder, in which each file has
    the name of its source, with a number where two are called alike.
    Pages of a document wait in `NAME.pages` until all of them are there. Started
    again with the same options, the run leaves out what it has done.

    Args:
        protect: for one single image.
        model: names the weights, so that other ones start anew.

    Raises:
        ValueError: nothing to restore, a mask for more than one page, an output that would replace its
            source.
        OSError: the disk is full; all pages reported so far are safe.
    """
    jobs = _jobs(sources, out)
    if protect is not None and (len(jobs) > 1 or documents.is_document(jobs[0][0])):
        raise ValueError("a mask protects a part of one image: restore that image alone")
    key = hashlib.sha256(json.dumps([model, *_relevant(options)]).encode()).hexdigest()[:16]
    journal = None if jobs[0][1] == out else Journal(out / JOURNAL, key)
    refuse_replacing(*zip(*jobs, strict=True))
    for source, target in jobs:
        if documents.is_document(source) or documents.is_document(target):
            yield from _document(source, target, network, options, key, journal)
        else:
            yield from _pages(source, iter([target]), network, options, protect, journal)


def report_csv(reports: list[PageReport]) -> str:
    """A table of all pages for a spreadsheet; no cell is taken for a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names := list(PageReport.__dataclass_fields__))
    for report in reports:
        row = [asdict(report)[name] for name in names]
        writer.writerow(f"'{v}" if isinstance(v, str) and v[:1] in ("=", "+", "-", "@") else v for v in row)
    return buffer.getvalue()


class Journal:
    """Which pages are done, one JSON line each; another key, source or time makes them undone."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.done: dict[tuple[str, int], dict] = {}
        for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []:
            try:
                entry = json.loads(line)
                if entry["key"] == key:
                    self.done[entry["report"]["source"], entry["report"]["page"]] = entry
            except Exception:  # half a line of a killed run, or anything: that page is done again
                continue

    def find(self, source: Path, page: int, target: Path) -> PageReport | None:
        entry = self.done.get((str(source), page))
        if entry is None or entry.get("stamp") != _stamp(source) or not target.is_file():
            return None
        try:
            return PageReport(**entry["report"] | {"skipped": True})
        except TypeError:
            return None

    def add(self, source: Path, report: PageReport) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": self.key, "stamp": _stamp(source), "report": asdict(report)})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _jobs(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each file to restore and where it goes."""
    found: list[tuple[Path, Path]] = []
    for source in sources:
        if source.is_dir():
            if source.resolve() == out.resolve():
                raise ValueError(f"{out} would replace the originals: choose another --out")
            inside = sorted(p for p in source.rglob("*") if p.suffix.lower() in documents.SUFFIXES)
            found += [(path, path.relative_to(source)) for path in inside if out not in path.parents]
            if not inside:
                raise ValueError(f"{source} holds no images, TIFFs or PDFs")
        else:
            found.append((source, Path(source.name)))
    if not found:
        raise ValueError("there is nothing to restore")
    if len(found) == 1 and out.suffix.lower() in documents.SUFFIXES and not out.is_dir():
        return [(found[0][0], out)]
    if out.suffix.lower() in documents.SUFFIXES:
        raise ValueError(f"{len(found)} files go into a folder, not into {out}")
    names = distinct((name for _, name in found), documents.SUFFIXES)
    return [(source, out / name) for (source, _), name in zip(found, names, strict=True)]


def _document(
    source: Path,
    target: Path,
    network: Restorer | None,
    options: Options,
    key: str,
    journal: Journal | None,
) -> Iterator[PageReport]:
    """Pages go into NAME.pages one by one and are joined at the end; page 0 stands for the whole."""
    if (finished := journal and journal.find(source, 0, target)) is not None:
        yield finished
        return
    folder = target.with_name(target.name + ".pages")
    inside = Journal(folder / JOURNAL, key)
    targets = (folder / f"page-{number:04d}.png" for number in count(1))
    reports = []
    for report in _pages(source, targets, network, options, None, inside):
        reports.append(report)
        yield report
    parts = [Path(report.written) for report in reports if report.written is not None]
    if len(parts) < len(reports):  # a book with a page missing would be worse than none
        if parts:
            raise ValueError(f"{source} has pages that cannot be read; the others are in {folder}")
        return
    if documents.is_document(target):
        documents.write(target, parts)
    elif len(parts) == 1:
        images.save(images.read(parts[0]), target)
    else:
        raise ValueError(f"{source} has {len(parts)} pages, which are in {folder}: name a .pdf or .tiff")
    for path in [*parts, folder / JOURNAL]:
        path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
    if journal is not None:
        accepted = sum(report.accepted for report in reports)
        reason = f"done before: {accepted} of {len(reports)} pages restored"
        seconds = round(sum(report.seconds for report in reports), 2)
        change = round(sum(report.change for report in reports) / len(reports), 2)
        journal.add(source, PageReport(str(source), 0, str(target), accepted > 0, reason, change, seconds))


def _pages(
    source: Path,
    targets: Iterator[Path],
    network: Restorer | None,
    options: Options,
    protect: np.ndarray | None,
    journal: Journal | None,
) -> Iterator[PageReport]:
    number = 0
    try:
        for number, decode in enumerate(documents.pages(source), 1):
            target = next(targets)
            if journal and (done := journal.find(source, number, target)):
                yield done
                continue
            try:
                result = restore(decode(), network, options, protect)
            except ValueError as error:
                yield PageReport(str(source), number, None, False, str(error), 0.0, 0.0)
                continue
            images.save(result.picture, target)
            verdict = result.verdict
            report = PageReport(
                str(source),
                number,
                str(target),
                verdict.accepted,
                verdict.reason,
                round(verdict.change, 2),
                round(result.seconds, 2),
            )
            if journal:
                journal.add(source, report)
            yield report
    except ValueError as error:  # the file as a whole cannot be read, or not from here on
        yield PageReport(str(source), number + 1, None, False, str(error), 0.0, 0.0)


def _stamp(source: Path) -> list[int]:
    found = source.stat()
    return [found.st_size, found.st_mtime_ns]


def _relevant(options: Options) -> list:
    """The options that change a page."""
    return [value for name, value in asdict(options).items() if name not in ("memory", "device")]


def save_report(reports: list[PageReport], path: Path) -> None:
    files.write_text(path, report_csv(reports))
