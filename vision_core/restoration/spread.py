"""Restores many files on a Ray cluster, with the reports, journal and pages of a single process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import numpy as np

from vision_core import cluster
from vision_core.folders import refuse_replacing
from vision_core.restoration.batch import JOURNAL, digest, jobs, one, table
from vision_core.restoration.networks import Restorer
from vision_core.restoration.reports import Journal, PageReport, failed
from vision_core.restoration.restore import Options

EVERY = 60.0  # seconds between two uploads of the journal


class _Entries(Journal):
    """Collects the journal entries of a worker, for the process that writes the journal."""

    def __init__(self) -> None:
        self.entries: list[PageReport] = []

    def find(self, source: Path, page: int, target: Path) -> PageReport | None:
        return None

    def rows(self, source: Path, target: Path) -> list[PageReport]:
        return []

    def begin(self, source: Path, page: int) -> None:
        """Tell the other processes that this one is done."""

    def add(self, source: Path, report: PageReport) -> None:
        self.entries.append(report)


def run(
    sources: list[Path],
    out: Path,
    network: Restorer | None,
    options: Options,
    protect: np.ndarray | None,
    model: str,
    address: str,
    workers: int | None = None,
) -> Iterator[PageReport]:
    """Like `batch.run`, with files in the order of completion; `out` is a folder, or the URL of one.

    A document is restored by one worker. Raises the errors of `batch.run` and `cluster.each`.
    """
    pairs = jobs(sources, out)
    if protect is not None or pairs[0][1] == out:
        raise ValueError("--ray is for a folder of results, without --protect")
    refuse_replacing(*zip(*pairs, strict=True))
    key = digest(model, options)
    with _kept(out) as (folder, uploaded, save):
        journal = Journal(folder / JOURNAL, key)
        todo = []
        for source, target in pairs:
            place = _Place(target, out, uploaded)
            finished = journal.rows(source, place)  # pyright: ignore[reportArgumentType]
            if finished and finished[0].outcome != "failed":
                yield from (replace(row, source=str(source)) for row in finished)
            else:
                for page in (0, 1):
                    journal.begin(source, page)
                todo.append((source, target))
        act = partial(_restored, network, options, key)
        for outcome in cluster.files(todo, act, address, workers):
            source, target = outcome.item
            if outcome.error:
                yield failed(str(source), 1, outcome.error)
                continue
            assert outcome.result is not None
            reports, entries, local, place = outcome.result
            settle = partial(_settled, ((local, str(source)), (place, cluster.as_typed(target))))
            for report in map(settle, entries):
                journal.add(source, report)
            save(EVERY)
            yield from map(settle, reports)


def in_order(rows: list[PageReport], sources: list[Path], out: Path) -> list[PageReport]:
    """Sort the reports into the order of a single process."""
    places = {str(source): number for number, (source, _) in enumerate(jobs(sources, out))}
    return sorted(rows, key=lambda row: places.get(row.source, len(places)))


def _restored(network: Any, options: Options, key: str, source: Path, target: Path) -> tuple[Any, ...]:
    entries = _Entries()
    reports = table(list(one(source, target, network, options, key, entries)))
    return reports, entries.entries, str(source), str(target)


def _settled(names: tuple[tuple[str, str], ...], report: PageReport) -> PageReport:
    """Replace the names of files inside the worker by those outside."""
    texts = {}
    for field in ("source", "written", "reason", "notes"):
        text = getattr(report, field)
        for inside, outside in names if text else ():
            text = text.replace(inside, outside)
        texts[field] = text
    return replace(report, **texts)


class _Place:
    """A target that may be at a URL, with the part of the `Path` interface that `Journal` uses."""

    def __init__(self, target: Path, out: Path, uploaded: set[str] | None) -> None:
        self.target, self.uploaded = target, uploaded
        self.name = target.relative_to(out).as_posix() if uploaded is not None else ""

    def is_file(self) -> bool:
        return self.target.is_file() if self.uploaded is None else self.name in self.uploaded


@contextmanager
def _kept(out: Path) -> Iterator[tuple[Path, set[str] | None, Callable[[float], None]]]:
    """(folder of the journal, names at the URL `out`, function that uploads the journal)."""
    if not cluster.is_url(out):
        yield out, None, lambda seconds: None
        return
    url, saved = cluster.as_typed(out), monotonic()

    def save(seconds: float) -> None:
        nonlocal saved
        if monotonic() - saved >= seconds:
            cluster.upload(Path(scratch), url)
            saved = monotonic()

    with TemporaryDirectory(prefix="vision-core-") as scratch:
        uploaded = cluster.below(url)
        if JOURNAL in uploaded:
            cluster.download(f"{url.rstrip('/')}/{JOURNAL}", Path(scratch) / JOURNAL)
        try:
            yield Path(scratch), uploaded, save
        finally:
            save(0)
