"""One result of a visit: a folder with its LUT, and with the network and the run that made it, if any."""

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from apps.color_transfer.visit import Visit
from apps.shared import jobs, results, trainings
from apps.shared.inputs import read_picture
from apps.shared.results import Result
from vision_core import color, runs
from vision_core.color.lut import Lut, Shaped, check
from vision_core.pictures import images
from vision_core.pictures.images import Picture

VIEW = 1280  # longest side of a result on the page; downloads have every pixel
BYTES = 16 << 20  # upper bound for one result: training states, a LUT of 3 MB, a model of 1 MB
PREVIEW_NODES = 17  # LUT size while the network still trains: takes 0.03 s
MODEL, LAST, LUT, FIRST = "model.safetensors", "run/last.safetensors", "lut.npz", "first.npy"
GRACE = 0.1  # seconds that a refresh waits for unfinished work
_SETTLING: dict[Path, threading.Thread] = {}  # by the folder of the result
_LOCK, _ONE_AT_A_TIME = threading.Lock(), threading.Lock()
NO_NETWORK = "This result came from a .cube file: it has no network"


@dataclass(frozen=True)
class Look(Result):
    """A result with its LUT.

    `facts`: "kind" (training, model, cube or tuned), "source" and "target" (names of kept pictures), "title".
    """

    KIND: ClassVar[str] = "look"
    NOTHING: ClassVar[str] = "There is no result yet: transfer the colours first"

    @property
    def run(self) -> runs.Run:
        return runs.Run(self.folder / "run")

    @property
    def source(self) -> Picture:
        return read_picture(self.session.path(self.facts["source"]))

    @property
    def target(self) -> Picture | None:
        name = self.facts["target"]
        return read_picture(self.session.path(name)) if name else None

    @property
    def model(self) -> color.ColorMap:
        """The trained network. Raises `ValueError` if there is none (yet)."""
        if self.facts["kind"] == "cube":
            raise ValueError(NO_NETWORK)
        if not self.path(MODEL).exists():
            raise ValueError("The network is not trained yet")
        return color.load(self.path(MODEL))

    @property
    def palette(self) -> color.Palette | None:
        """The target palette; None for a .cube file of another program."""
        return None if self.facts["kind"] == "cube" else self.model.palette


def create(
    visit: Visit,
    kind: str,
    title: str,
    picture: Picture,
    lut: Lut | None = None,
    network: color.ColorMap | None = None,
    first: np.ndarray | None = None,
) -> Look:
    """Create the folder of a new result for the chosen pictures; it is listed once everything is stored.

    Args:
        picture: the picture to recolour.
        lut: the LUT of a final result; else `first` is shown until there is a network.
    """
    look = results.create(Look, visit, BYTES)
    images.save(Picture(images.shrink(picture.on_white().rgb, VIEW)), look.path("view.png"))
    if first is not None:
        np.save(look.path(FIRST), first)
    if lut is not None:
        keep_lut(look, lut)
    if network is not None:
        color.save(network, look.path(MODEL))
    look.describe(kind=kind, title=title, source=visit.source, target=visit.target)
    return look


every = partial(results.every, Look)
get = partial(results.get, Look)


def shown(visit: Visit) -> Look | None:
    """The result that the page shows, if any."""
    return get(visit) if visit.result else None


def report(visit: Visit, job: str) -> tuple[str, bool]:
    """(message on the visitor's job, whether it runs); empty for a job about another result."""
    words, going_on = jobs.report(visit.session, job)
    about = jobs.state(visit.session, job).get("look")
    return (words, going_on) if going_on or about == visit.result else ("", False)


def outcome(visit: Visit, job: str, file: str) -> tuple[Look | None, str, tuple[Any, ...]]:
    """(the result on the page if the job has stored `file` in it, message on the job, `jobs.buttons`)."""
    words, going_on = report(visit, job)
    look = shown(visit)
    done = not going_on and look is not None and look.path(file).exists()
    return look if done else None, words, jobs.buttons(going_on)


def status(look: Look) -> str:
    """The status of a training (see `trainings.status`); `ready` for any other result."""
    return trainings.status(look.session, look.run) if look.facts["kind"] == "training" else "ready"


def table(look: Look) -> Lut:
    """The LUT to show now: the final one, that of the network so far, or the first until there is one."""
    if look.path(LUT).exists():
        with np.load(look.path(LUT), allow_pickle=False) as parts:
            return Shaped(**parts) if "curves" in parts else parts["grid"]
    if look.path(LAST).exists():
        learned = color.load(look.path(LAST))
        if learned.metadata.get("epoch", 0) > 0:
            return learned.lut(PREVIEW_NODES)
    if look.path(FIRST).exists():
        return np.load(look.path(FIRST), allow_pickle=False)
    raise ValueError("That result is no longer here")


def finish(look: Look) -> bool:
    """After a training: store the network and its LUT, remove the rest; False when nothing was learned."""
    if look.path(LUT).exists():
        return True
    if not look.path(LAST).exists() or color.load(look.path(LAST)).metadata.get("epoch", 0) == 0:
        return False
    shutil.copyfile(look.path(LAST), look.path(MODEL))
    keep_lut(look, color.load(look.path(MODEL)).lut())
    for name in ("last.safetensors", "best.safetensors", "resume.pt"):
        (look.run.folder / name).unlink(missing_ok=True)
    return True


def settled(look: Look, draw: Callable[[], object]) -> bool | None:
    """Like `finish`, but in a separate thread; None while it runs, so that no refresh waits.

    Args:
        draw: called by the same thread afterwards, to prepare what else the page needs.
    """
    with _LOCK:
        if look.folder not in _SETTLING and not look.path(LUT).exists():
            thread = _SETTLING[look.folder] = threading.Thread(target=_settle, args=(look, draw), daemon=True)
            thread.start()
        thread = _SETTLING.get(look.folder)
    if thread is not None:
        thread.join(GRACE)
        if thread.is_alive():
            return None
        _SETTLING.pop(look.folder, None)
    return finish(look)


def _settle(look: Look, draw: Callable[[], object]) -> None:
    with suppress(Exception), _ONE_AT_A_TIME:  # the next refresh meets the same error and reports it
        if finish(look):
            draw()


def keep_lut(look: Look, lut: Lut) -> None:
    """Store the LUT of a final result."""
    part = look.path("lut.part.npz")
    parts: dict[str, Any] = vars(lut) if isinstance(lut, Shaped) else {"grid": check(lut)}
    np.savez(part, **parts)
    part.replace(look.path(LUT))


def seconds(look: Look) -> float:
    """Duration of the training, 0 for a loaded result."""
    times = [event["time"] for event in look.run.events()]
    return times[-1] - times[0] if times else 0.0
