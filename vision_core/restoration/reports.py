"""Reports of restored pages: rows, the journal that makes runs resumable, and the CSV table."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from vision_core import files
from vision_core.safety.messages import printable


@dataclass(frozen=True)
class PageReport:
    """The outcome of one page; page 0 is the whole document.

    Args:
        source: the file, as named by the user.
        written: the file of the page, or None.
        outcome: "restored", "kept" (the original, in the requested output format), "joined" (a document that
            was finished by an earlier run or has unreadable pages) or "failed".
        reason: explanation of the outcome.
        notes: changes made by reading and writing, separated by "; ".
        change: mean absolute difference to the original, 0 to 255.
        seconds: duration.
        skipped: whether an earlier run had finished the page.
        unchanged: whether the pixels equal those of the source.
    """

    source: str
    page: int
    written: str | None
    outcome: Literal["restored", "kept", "joined", "failed"]
    reason: str
    notes: str = ""
    change: float = 0.0
    seconds: float = 0.0
    skipped: bool = False
    unchanged: bool = False


def failed(source: str, page: int, reason: object) -> PageReport:
    return PageReport(source, page, None, "failed", str(reason))


def csv_table(reports: Sequence[PageReport]) -> str:
    """A CSV table of all pages; no cell can be interpreted as a formula, names may be any bytes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names := list(PageReport.__dataclass_fields__))
    for report in reports:
        row = [printable(v) if isinstance(v, str) else v for v in (asdict(report)[name] for name in names)]
        writer.writerow(f"'{v}" if isinstance(v, str) and v[:1] in ("=", "+", "-", "@") else v for v in row)
    return buffer.getvalue()


def save(reports: Sequence[PageReport], path: Path) -> None:
    """Write the table of all pages, *.csv."""
    files.write_text(path, csv_table(reports))


class Journal:
    """A record of finished pages, one JSON line each. Entries with another key or file do not count.

    If there are several lines for a page, the last one counts.

    Args:
        key: see `batch.digest`.
        identity: identifies a file; by default by its path, size and modification time.
    """

    def __init__(self, path: Path, key: str, identity: Callable[[Path], str] | None = None) -> None:
        self.path, self.key, self._identity = path, key, identity or _place
        self.done: dict[tuple[str, int], dict] = {}
        for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []:
            try:
                entry = json.loads(line)
                place = entry["file"], entry["report"]["page"]
                self.done.pop(place, None)
                if entry["key"] == key and "outcome" in entry["report"]:
                    self.done[place] = entry["report"]
            except Exception:  # e.g. a truncated line: the page is restored again
                continue

    def find(self, source: Path, page: int, target: Path) -> PageReport | None:
        """The report of a page if its result is still at `target`."""
        entry = self.done.get((self._identity(source), page))
        if entry is None or not target.is_file():
            return None
        try:
            return replace(PageReport(**entry), skipped=True)
        except TypeError:
            return None

    def rows(self, source: Path, target: Path) -> list[PageReport]:
        """All reports of a document whose result is still at `target`, in page order."""
        place = self._identity(source)
        reports = [self.find(source, page, target) for file, page in sorted(self.done) if file == place]
        return [row for row in reports if row is not None]

    def begin(self, source: Path, page: int) -> None:
        """Invalidate the entry of a page whose result is about to be replaced."""
        self._write(source, {"page": page})

    def add(self, source: Path, report: PageReport) -> None:
        self._write(source, asdict(report))

    def _write(self, source: Path, report: dict) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": self.key, "file": self._identity(source), "report": report})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _place(source: Path) -> str:
    status = source.stat()
    return f"{source.resolve()} {status.st_size} {status.st_mtime_ns}"
