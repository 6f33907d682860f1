"""Visits: one visitor's folder on the server under an unguessable key, bounded in size and lifetime."""

import ctypes
import errno
import gc
import logging
import os
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Any, ClassVar, TypeVar

import numpy as np

from vision_core import runs
from vision_core.files import atomic, read_json, write_json, write_text
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.safety import limits

SPACE_LIFETIME = 6 * 3600  # seconds without a visit after which a Space, which is shared, removes a folder
UPLOAD_LIFETIME = 3600  # lifetime of unused uploads; used ones are copied into a session
FREE_BYTES = 500 << 20  # bytes of disk that always stay free
SHOWN = 24  # pictures kept after they were shown; Gradio has its own copies
M_ARENA_MAX = -8  # of glibc's mallopt
FULL = "The server's disk is full: please come back later"
FAILED = "The server could not do that"
log = logging.getLogger("vision_core.apps")
CHOICES = "visit.json"
_KEY = re.compile(r"[\w-]{32}")
_CHANGING = threading.Lock()
_BUSY: set[str] = set()
_BUSY_LOCK = threading.Lock()


@dataclass(frozen=True)
class Session:
    """A visitor of one app. `key` is the secret in the address of the visitor's page."""

    app: str
    key: str

    @property
    def owner(self) -> str:
        """The name of the folder, from which the key cannot be derived."""
        return sha256(self.key.encode()).hexdigest()[:32]

    @property
    def folder(self) -> Path:
        return root() / self.app / self.owner

    def path(self, name: str) -> Path:
        return self.folder / name


@dataclass(frozen=True)
class Left(Session):
    """A visitor whose secret is unknown here: `key` is the name of the folder instead."""

    @property
    def owner(self) -> str:
        return self.key


@dataclass(frozen=True)
class Visit:
    """A visitor's choices on one page; subclasses add theirs as fields, plain values with defaults.

    Args:
        result: name of the result on the page.
        controls: the values of its sliders, fields and boxes, by name.
    """

    APP: ClassVar[str]
    session: Session
    result: str = ""
    controls: dict[str, Any] = field(default_factory=dict)


Chosen = TypeVar("Chosen", bound=Visit)


def current(kind: type[Chosen], state: Session | None) -> Chosen:
    """The visitor's current choices, read from disk, since several events of a page may run at once.

    A client that never opened the page has no session, and gets a new one.
    """
    if state is None or not state.path(CHOICES).exists():
        return kind(state or new(kind.APP))
    choices = read_json(opened(state).path(CHOICES))
    return kind(state, **{name: _tuples(choices[name]) for name in _choices(kind) if name in choices})


def change(kind: type[Chosen], state: Session, **choices: Any) -> Chosen:
    """Store some choices and keep the others, which another event may just have changed."""
    with _CHANGING:
        visit = replace(current(kind, state), **choices)
        write_json(opened(state).path(CHOICES), {name: getattr(visit, name) for name in _choices(kind)})
    return visit


def _choices(kind: type[Visit]) -> list[str]:
    return [each.name for each in fields(kind) if each.name != "session"]


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def lifetime() -> int:
    """Seconds without a visit after which a folder is removed."""
    limit = limits.VISIT_HOURS
    shared = "SPACE_ID" in os.environ and limit.variable not in os.environ
    return SPACE_LIFETIME if shared else limit.value


def root() -> Path:
    """The folder of all visitors, in the system's temporary folder, which this user alone may enter."""
    path = Path(gettempdir()).resolve() / f"vision-core-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    path.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
        raise ValueError(f"{path} belongs to another user: set TMPDIR to a folder of your own")
    return path


def uploads() -> Path:
    """The folder in which Gradio keeps uploads and outputs; swept by age."""
    path = root() / "uploads"
    path.mkdir(exist_ok=True)
    return path


def is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def new(app: str) -> Session:
    """A new session; `opened` creates its folder when it is first needed."""
    return Session(app, secrets.token_urlsafe(24))


def find(app: str, key: object) -> Session | None:
    """The session with the key from an address; None if there is none (any more)."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        return None
    session = Session(app, key)
    return session if session.folder.is_dir() else None


def opened(session: Session) -> Session:
    """Create the folder of the session if needed and mark it as just used."""
    session.folder.mkdir(parents=True, exist_ok=True)
    os.utime(session.folder)
    return session


@contextmanager
def locked(session: Session) -> Iterator[None]:
    """Hold the session's lock; a second holder gets `ValueError`."""
    with _BUSY_LOCK:
        if session.owner in _BUSY:
            raise ValueError("Something of yours is still going on: wait for its end, or stop it")
        _BUSY.add(session.owner)
    try:
        yield
    finally:
        with _BUSY_LOCK:
            _BUSY.discard(session.owner)


def make_room(session: Session, needed: int = 0, removable: list[Path] | None = None) -> None:
    """Make room for `needed` more bytes within the limits of the visitor, of all visitors and of the disk.

    Args:
        removable: files and folders of the session that may be deleted, in this order.

    Raises:
        ValueError: there is still no room.
    """
    old, kept = list(removable or []), size(session.folder)
    while kept + needed > limits.VISIT.value and old:
        kept -= _remove_measured(old.pop(0))
    if kept + needed > limits.VISIT.value:
        raise ValueError(
            f"That is more than the {limits.VISIT.value >> 20} MB that the server keeps for a visitor"
        )
    if _missing(needed) <= 0:
        return
    sweep(needed)
    missing = _missing(needed)
    while missing > 0 and old:
        missing -= _remove_measured(old.pop(0))
    if missing > 0:
        raise ValueError(FULL)


def _missing(needed: int) -> int:
    """Number of bytes to delete before `needed` more may be written; 0 or less if there is room."""
    free = shutil.disk_usage(root()).free
    return needed + max(FREE_BYTES - free, size(root()) - limits.ALL_VISITS.value)


def keep(session: Session, upload: str | Path, removable: list[Path] | None = None) -> str:
    """Copy an upload into the session; its name there, from its content and suffix. See `title`."""
    source = Path(upload)
    data = source.read_bytes()
    suffix = source.suffix.lower() if re.fullmatch(r"\.\w{1,11}", source.suffix) else ""
    name = f"kept-{sha256(data).hexdigest()[:24]}{suffix}"
    if not (path := opened(session).path(name)).exists():
        make_room(session, len(data), removable)
        with atomic(path) as file:  # the same upload may come twice at once
            file.write(data)
        write_text(session.path(f"{name}.title"), file_title(source.name))
    return name


def title(session: Session, name: str) -> str:
    """The visitor's name for a kept file, without its suffix, for use in a file name."""
    try:
        return session.path(f"{name}.title").read_text("utf-8")
    except OSError:
        return "picture"


def file_title(name: str) -> str:
    """A file name without its suffix and without characters that file names may not hold."""
    return re.sub(r"[^\w.() -]+", "-", Path(name).stem).strip("-. ")[:60] or "picture"


def numbered(session: Session, kind: str, file: str = "") -> list[str]:
    """The names of a visit's folders KIND-001, KIND-002 ... KIND-1000 that hold `file`, newest first."""
    names = [path.name for path in session.folder.glob(f"{kind}-*") if (path / file).exists()]
    return sorted((name for name in names if _number(name)), key=_number, reverse=True)


def next_name(session: Session, kind: str) -> str:
    """The name of a new folder of that kind: one more than the largest number there."""
    return f"{kind}-{max(map(_number, numbered(session, kind)), default=0) + 1:03}"


def _number(name: str) -> int:
    text = name.rpartition("-")[2]
    return int(text) if text.isdecimal() else 0


def shown(session: Session, rgb: np.ndarray) -> str:
    """The path of a PNG of `rgb`, uint8 (H, W, 3), for the page to show.

    Given an array, Gradio would rewrite the file in place each time, and a browser could read
    half a picture. This file is named by its content and written once.
    """
    content = sha256(str(rgb.shape).encode() + np.ascontiguousarray(rgb).data).hexdigest()
    path = opened(session).path(f"shown-{content[:24]}.png")
    try:
        os.utime(path)
    except FileNotFoundError:
        make_room(session, rgb.nbytes)
        images.save(Picture(rgb), path)
        for old in sorted(session.folder.glob("shown-*"), key=_written)[:-SHOWN]:
            old.unlink(missing_ok=True)
    return str(path)


def sweep(needed: int = 0) -> None:
    """Remove expired folders and, while there is no room for `needed` bytes, the least recently used."""
    now = time.time()
    for path in [*uploads().iterdir()]:
        if now - max(map(_written, [path, *path.rglob("*")])) > UPLOAD_LIFETIME:
            remove(path)
    missing = _missing(needed)
    for path in sorted(everyone(), key=_written):
        age = now - _written(path)
        if (age > lifetime() or (age > UPLOAD_LIFETIME and missing > 0)) and not _in_use(path):
            missing -= _remove_measured(path)


def trainings(folder: Path) -> Iterator[runs.Run]:
    """The runs in a visitor's folder that are training now, whichever server started them."""
    for path in folder.rglob("process.json"):
        if (run := runs.Run(path.parent)).process() is not None:
            yield run


def everyone() -> list[Path]:
    """The folders of all visitors, each with its `Session.owner` as its name."""
    return [path for path in root().glob("*/*") if path.parent != uploads() and path.is_dir()]


def _in_use(folder: Path) -> bool:
    return folder.name in _BUSY or any(trainings(folder))


class Janitor:
    """Sweeps every minute in a separate thread, which survives every error."""

    def __init__(self, every: float = 60) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(every,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _work(self, every: float) -> None:
        while True:
            try:
                sweep()
                return_memory()
            except Exception:  # the next minute is another chance
                log.exception("the sweep failed")
            if self._ended.wait(every):
                return


def bound_arenas() -> None:
    """Limit glibc to two arenas: by default it uses eight per core, and each keeps its memory."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(M_ARENA_MAX, 2)


def return_memory() -> None:
    """Return freed memory to the system, since glibc keeps it; garbage in cycles, too."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    total = path.lstat().st_size if path.is_file() else 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_measured(path: Path) -> int:
    freed = size(path)
    remove(path)
    return freed


def _written(path: Path) -> float:
    """Modification time in seconds since 1970; 0 if another event has just removed the file."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
