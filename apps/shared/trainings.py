"""A visitor's training: a run in a separate process, from the queue to its end."""

from apps.shared.faults import sentence
from apps.shared.progress import note
from apps.shared.queue import HEAVY, QUEUED
from apps.shared.visits import Session
from vision_core import runs
from vision_core.events import Step
from vision_core.runs import Run

GOING_ON = ("waiting", "starting", "training")


def status(session: Session, run: Run) -> str:
    """`waiting`, `starting` or `training`; afterwards `done`, `stopped`, `failed` or `interrupted`."""
    before = HEAVY.before(session.owner) if (run.folder / QUEUED).exists() else None
    if before:
        return "waiting"
    if before == 0 or run.process() is not None:
        return "training" if steps(run) else "starting"
    ended = run.status()
    return "failed" if ended == "new" else ended


def stop(session: Session, run: Run) -> bool:
    """End a training after its current step; True if it only waited and was taken out of the queue."""
    waited = (run.folder / QUEUED).exists() and HEAVY.leave_line(session.owner)
    if not waited:
        runs.request_stop(run)
    return waited


def stopping(run: Run) -> str:
    """The message below the progress of a training that is stopping."""
    return note("Stopping …") if (run.folder / "stop").exists() else ""


def failure(run: Run) -> str:
    """Why a training failed, as a message for the visitor."""
    return sentence(ValueError(run.failure() or "It could not start"))


def steps(run: Run) -> list[Step]:
    """The steps of a training so far."""
    return [
        Step(event["step"], event["total"], event["losses"], event["eta"])
        for event in run.events()
        if event["event"] == "step"
    ]
