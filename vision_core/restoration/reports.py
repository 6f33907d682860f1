"""What became of each page: a row, the journal that lets a run go on, the table for a spreadsheet."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from vision_core import files


@dataclass(frozen=True)
class PageReport:
    """What became of one page; page 0 stands for a whole document.

    Args:
        source: the file, as the person named it.
        written: where the page is; None where there is none.
        outcome: "restored"; "kept": the original, in the asked kind of output; "joined": a whole document
            that an earlier run had finished, or with pages that could not be read; "failed".
        reason: why, as half a sentence.
        notes: sentences about what reading and writing changed, separated by "; ".
        change: mean absolute difference of the restored page, 0 to 255.
        seconds: that it took.
        skipped: an earlier run had done it.
        unchanged: the pixels are those of the source.
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
    """A table of all pages for a spreadsheet; no cell is taken for a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names := list(PageReport.__dataclass_fields__))
    for report in reports:
        row = [asdict(report)[name] for name in names]
        writer.writerow(f"'{v}" if isinstance(v, str) and v[:1] in ("=", "+", "-", "@") else v for v in row)
    return buffer.getvalue()


def save(reports: Sequence[PageReport], path: Path) -> None:
    """Write the table of all pages, *.csv."""
    files.write_text(path, csv_table(reports))


class Journal:
    """Which pages are done, one JSON line each; another key or file makes them undone.

    Of several lines about a page the last one counts, for its result was written since.

    Args:
        key: of all that decides what a page becomes.
        identity: what tells a file from any other; by default its path, size and time.
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
            except Exception:  # half a line of a killed run, or anything: that page is done again
                continue

    def find(self, source: Path, page: int, target: Path) -> PageReport | None:
        """The row of a page whose result is still at `target`."""
        entry = self.done.get((self._identity(source), page))
        if entry is None or not target.is_file():
            return None
        try:
            return replace(PageReport(**entry), skipped=True)
        except TypeError:
            return None

    def rows(self, source: Path, target: Path) -> list[PageReport]:
        """All rows of a document whose result is still at `target`, in the order of its pages."""
        place = self._identity(source)
        found = [self.find(source, page, target) for file, page in sorted(self.done) if file == place]
        return [row for row in found if row is not None]

    def begin(self, source: Path, page: int) -> None:
        """What was done of a page counts no longer: its result is about to be written again."""
        self._write(source, {"page": page})

    def add(self, source: Path, report: PageReport) -> None:
        self._write(source, asdict(report))

    def _write(self, source: Path, report: dict) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": self.key, "file": self._identity(source), "report": report})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _place(source: Path) -> str:
    found = source.stat()
    return f"{source.resolve()} {found.st_size} {found.st_mtime_ns}"
