"""The transfer: an instant first picture, then a network that trains in a separate process."""

from collections.abc import Callable

from apps.color_transfer import looks, visit
from apps.color_transfer.looks import Look
from apps.color_transfer.visit import Visit, change, current
from apps.shared import forms, jobs, progress, trainings, visits
from apps.shared.faults import user_errors
from apps.shared.fields import Field
from apps.shared.progress import duration, note
from apps.shared.queue import HEAVY
from apps.shared.visits import Session
from vision_core import color
from vision_core.color import classical
from vision_core.color.palette import CountedColors

FORM = (
    Field("epochs", "Epochs", most=20_000, slider=5000, step=10, help="Batches of 512 colours each."),
    Field("patience", "Patience", most=20_000, slider=1000, step=100),
    Field("lr", "Learning rate", least=1e-6, most=1, step=1e-4, help=""),
    Field("seed", "Seed", help=""),
)
TERMS = tuple(Field(name, name, most=1000) for name in color.LossWeights.__dataclass_fields__)
FEW = 100  # a network stopped earlier than this has learned too little
FIRST = "This first picture is histogram matching; the network replaces it as it learns."


@user_errors
def begin(state: Session | None, head: str, *values: float) -> None:
    """Make the first picture, and put the training with the forms' `values` into the queue."""
    visitor = current(state)
    picture = visit.source_of(visitor)
    if visitor.palette is None:
        raise ValueError("Please choose the colours to take: a picture or a palette file")
    fields, weights = values[: len(FORM)], values[len(FORM) :]
    settings = color.Settings(
        **forms.read(color.Settings, FORM, fields),
        head=head,  # pyright: ignore[reportArgumentType]  # checked by the network
        weights=color.LossWeights(**forms.read(color.LossWeights, TERMS, weights)),
    )
    HEAVY.refuse_second(visitor.session.owner)
    counted = color.count_picture(picture)
    first = classical.match_histograms(counted, _target_colors(visitor))
    title = f"{settings.epochs:,} epochs, seed {settings.seed}"
    look = looks.create(visitor, "training", title, picture, first=first)
    run = color.create(look.run.folder, counted, visitor.palette, settings)
    HEAVY.train(visitor.session.owner, run)
    change(visitor.session, result=look.name)


def _target_colors(visitor: Visit) -> CountedColors:
    """The colours for the first picture: all of the target picture, or those of a palette file."""
    target = None if visitor.imported else visit.target_of(visitor)
    if target is not None:
        return color.count_colors(target.visible)
    assert visitor.palette is not None
    return CountedColors(visitor.palette.colors, visitor.palette.shares)


@user_errors
def stop(state: Session | None) -> None:
    """End the training after its current step, or take it out of the queue."""
    visitor = current(state)
    look = looks.get(visitor)
    if looks.status(look) not in trainings.GOING_ON:
        return jobs.stop(visitor.session)  # a training on ratings
    if trainings.stop(visitor.session, look.run):
        visits.remove(look.folder)
        earlier = looks.every(visitor)
        change(visitor.session, result=earlier[0].name if earlier else "")


def report(look: Look, draw: Callable[[], object]) -> tuple[str, bool]:
    """(message, whether it runs); a finished training gets its final LUT, then `draw` is called."""
    state = looks.status(look)
    match state:
        case "waiting":
            return note(f"{HEAVY.words(look.session.owner)} {FIRST}"), True
        case "starting":
            return note(f"{FIRST} Starting the network …"), True
        case "training":
            return progress.training(trainings.steps(look.run)[-1]) + trainings.stopping(look.run), True
        case "ready":
            return note(look.facts["title"] + ".", "good"), False
    learned = looks.settled(look, draw)
    if learned is None:
        return note("Trained. The result is being drawn …"), True
    return _ended(look, state, learned), False


def _ended(look: Look, state: str, learned: bool) -> str:
    steps = trainings.steps(look.run)
    done, total = (steps[-1].step, steps[-1].total) if steps else (0, 0)
    so_far = f"{done:,} of {total:,} epochs in {duration(looks.seconds(look))}"
    if not learned:
        why = f" {trainings.failure(look.run)}" if state == "failed" else ""
        return note(f"The network learned nothing: what you see is histogram matching.{why}", "warning")
    if state == "failed":
        return note(f"The training failed after {so_far}. {trainings.failure(look.run)}", "warning")
    if state == "interrupted":
        return note(f"The training was interrupted after {so_far}; this is what it had learned.", "warning")
    if state == "stopped" and done < FEW:
        return note(f"Stopped after {so_far}: the network has hardly begun to learn.", "warning")
    return note(f"{'Trained' if state == 'done' else 'Stopped as you asked, after'} {so_far}.", "good")
